"""The home, hosts and boards of a demo, which are gone at its end. It has no form of a demo."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from microclaw.devices.virtual_boards.fork_server import board_environ
from microclaw.durable import write_private
from microclaw.errors import MicroclawError
from microclaw.events import Edge
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl, Child
from microclaw.interfaces.terminal.page import Terminal
from microclaw.programs.proof.pin_track import rhythms

MAX_STARTING = 16


BOARD = "virtual"


PIN = 2


EDGES = 8


T = TypeVar("T")


Rows: TypeAlias = Iterator[tuple[str, ...]]
"""(stage, text) or (stage, text, "ok"); ("", "") is an empty line; the stage "passed" has the last line's text."""


class DemoFailed(MicroclawError, code="demo_failed"):
    """The demonstration did not show a promised result; the message is the reason."""


class Stage:
    """A form's home, hosts and boards. `children` are the processes by name: all are stopped at the end."""

    def __init__(self, home: Path, terminal: Terminal, running: ExitStack, count: int) -> None:
        self.home = home
        self.terminal = terminal
        self.running = running
        self.count = count
        # The temporary files of a killed host are removed with the home.
        self.environ = {**os.environ, "TMPDIR": str(home)}
        self.children: dict[str, Child] = {}
        running.callback(self.stop)

    def client(self) -> Client:
        return Client(load_settings(self.environ, home=self.home).control_socket)

    def start_host(self, *options: str) -> tuple[dict[str, Any], float]:
        """Start the host and return its ready line and the seconds that it took."""
        words = ["microclaw", "--json", "--home", str(self.home), "up", "--port", "0", "--die-with-parent"]
        return self._start("host", [*words, *options], self.environ).wait_ready()

    def start_board(self, name: str, *options: str) -> Child:
        words = ["microclaw.virtual", "--name", name, "--board", BOARD, "--wasmachine", "0", "--serial", "none"]
        words += ["--control", str(self.home / f"{name}.sock"), "--die-with-parent"]
        return self._start(name, [*words, *options], board_environ(self.environ))

    def join(self, client: Client, *options: str) -> dict[str, list[str]]:
        """Start `count` boards with a flash, paired by a secret. Return the options of each for a later start."""
        boards: dict[str, list[str]] = {}
        starting: list[str] = []
        for number in range(1, self.count + 1):
            name = f"board-{number}"
            paired = client.post("/v1/devices/provision", {"name": name, "board": BOARD})
            secret_file = self.home / f"{name}.secret"
            write_private(secret_file, paired["secret"].encode("ascii"))
            url = f"wss://{paired['host']}:{paired['port']}/link"
            boards[name] = ["--link", url, "--link-ca-sha256", paired["ca_sha256"], *options]
            boards[name] += ["--flash", str(self.home / "boards" / name)]
            self.start_board(name, *boards[name], "--link-secret-file", str(secret_file))
            starting.append(name)
            # Too many processes that start at once would make each of them slow.
            if len(starting) == MAX_STARTING or number == self.count:
                for child_name in starting:
                    self.children[child_name].wait_ready()
                starting.clear()
        return boards

    def board(self, name: str) -> BoardControl:
        """Return a board's control socket, which is closed when the demo ends."""
        return self.running.enter_context(BoardControl(self.home / f"{name}.sock"))

    def until(self, look: Callable[[], T], why: str) -> T:
        """Call `look` until its result is true, and return that. Raises DemoFailed with the reason after 2 minutes.

        With more than 60 boards it waits 2 s for each.
        """
        give_up_s = time.monotonic() + max(120, 2 * self.count)
        while not (result := look()):
            if time.monotonic() > give_up_s:
                raise DemoFailed(why)
            # A short sleep, because a download is short.
            time.sleep(0.02)
        return result

    def transports(self, name: str) -> list[str]:
        facts, _ = self.children[name].wait_ready()
        transports = [f"wasmachine://127.0.0.1:{facts['wasmachine']}"]
        if facts["serial"]:
            transports.append(f"serial:tcp://127.0.0.1:{facts['serial']}")
        transports.append(f"virtual:{facts['control']}")
        return transports

    def watch_pin(self, board: BoardControl, cursor: int, plus: str = "") -> tuple[list[Edge], int]:
        """Draw the pin until it had EDGES edges after `cursor`, at most for 20 s. Return them and the next cursor.

        `plus` is put before their number.
        """
        edges: list[Edge] = []
        start_ms = board.edges(cursor).now_ms
        give_up_s = time.monotonic() + 20
        is_final = False
        while not is_final:
            time.sleep(0.1)
            page = board.edges(cursor)
            cursor = page.cursor
            edges += [edge for edge in page.edges if edge.pin == PIN and edge.t_ms >= start_ms]
            # 350 ms more, so that the last level is visible.
            has_enough = len(edges) >= EDGES and page.now_ms >= edges[EDGES - 1].t_ms + 350
            is_final = has_enough or time.monotonic() >= give_up_s
            period = f"period {rhythms(edges)[0].period_s:.3f} s, " if len(edges) > 1 else ""
            self.terminal.track(
                PIN,
                edges,
                start_ms=start_ms,
                end_ms=page.now_ms,
                window_ms=max(4200, page.now_ms - start_ms),
                level=1 - edges[0].level if edges else 0,
                note=f"{period}{plus}{len(edges)} edges",
                final=is_final,
            )
        return edges, cursor

    def stop(self) -> None:
        for child in self.children.values():
            child.ask_to_end()
        for child in self.children.values():
            child.stop()

    def _start(self, name: str, words: list[str], environ: dict[str, str]) -> Child:
        self.children[name] = Child(name, words, log=self.home / f"{name}.stderr", environ=environ)
        return self.children[name]


def run_demo(form: Callable[[Stage], Rows], terminal: Terminal, count: int) -> None:
    """Print each row as it comes. Everything that was started is stopped at the end, also after an error."""
    # These signals end the demo as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="microclaw-demo-"))
    try:
        with ExitStack() as running:
            for stage, text, *right in form(Stage(home, terminal, running, count)):
                if stage == "passed":
                    terminal.line(text and f"demo passed: {text}")
                elif not stage and not text:
                    terminal.line()
                else:
                    terminal.row(stage, text, right="".join(right))
    finally:
        shutil.rmtree(home, ignore_errors=True)
