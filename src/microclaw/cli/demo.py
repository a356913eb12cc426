"""`microclaw demo`: its engine and its first form, one sentence that becomes a program.

A form is a generator of the rows of its screen; it runs in a home of its own, and nothing of it is left behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias, TypeVar

import click

from microclaw.api.operations import read_status
from microclaw.apps.device_operations import add_device
from microclaw.apps.operations import list_apps
from microclaw.boards import load_board
from microclaw.cli.chat_commands import Conversation
from microclaw.cli.child import BoardControl, Child
from microclaw.cli.host_commands import link_text
from microclaw.cli.options import GlobalOptions, command
from microclaw.config.load import load_settings
from microclaw.durable import write_private
from microclaw.errors import MicroclawError
from microclaw.events import Edge
from microclaw.operations.client import Client
from microclaw.pin_track import rhythms
from microclaw.terminal.page import Terminal
from microclaw.virtual_boards.process import board_environ

SENTENCE = "blink the LED on pin 2 every half second"
DEVICE = "virtual-1"
MIN_FLEET = 4  # of fewer no three stages are made
BOARD = "virtual"
PIN = 2
EDGES = 8
T = TypeVar("T")
Rows: TypeAlias = Iterator[tuple[str, ...]]
"""(stage, text) or (stage, text, "ok"); ("", "") is an empty line, the text of "passed" the last one."""


@command()
@click.option("--once", is_flag=True, help="No questions; the exit code says whether it worked.")
@click.option("--voice", is_flag=True, help="Say the sentence into the board's microphone.")
@click.option("--fleet", is_flag=True, help="Update many virtual boards in stages instead.")
@click.option("--boards", default=20, type=click.IntRange(MIN_FLEET, 300), help="So many, with --fleet.")
def demo(options: GlobalOptions, once: bool, voice: bool, fleet: bool, boards: int) -> None:
    """See it work on a virtual board. One sentence becomes a program that goes on without the host."""
    terminal = options.terminal()
    if voice or fleet:
        from microclaw.cli import demo_forms as forms  # voice and signing take a second to import

        run_demo(forms.fleet if fleet else forms.voice, terminal, boards)
    else:
        run_demo(partial(blink, once=once), terminal, 1)


class DemoFailed(MicroclawError, code="demo_failed"):
    """The demonstration did not show what it promises; the message is the reason."""


class Stage:
    """A form's home, hosts and boards. `children` are the processes by name: all are stopped at the end."""

    def __init__(self, home: Path, terminal: Terminal, running: ExitStack, count: int) -> None:
        self.home = home
        self.terminal = terminal
        self.running = running
        self.count = count
        self.environ = {**os.environ, "TMPDIR": str(home)}  # what a killed host leaves goes with the home
        self.children: dict[str, Child] = {}
        running.callback(self.stop)

    def client(self) -> Client:
        return Client(load_settings(self.environ, home=self.home).control_socket)

    def start_host(self, *options: str) -> tuple[dict[str, Any], float]:
        """Its ready line, and the seconds that it took."""
        words = ["microclaw", "--json", "--home", str(self.home), "up", "--port", "0", "--die-with-parent"]
        return self._start("host", [*words, *options], self.environ).wait_ready()

    def start_board(self, name: str, *options: str) -> Child:
        words = ["microclaw.virtual", "--name", name, "--board", BOARD, "--wasmachine", "0", "--serial", "none"]
        words += ["--control", str(self.home / f"{name}.sock"), "--die-with-parent"]
        return self._start(name, [*words, *options], board_environ(self.environ))

    def join(self, client: Client, *options: str) -> dict[str, list[str]]:
        """Start `count` boards that are paired by a secret, with a flash; the options of each for its next start."""
        boards: dict[str, list[str]] = {}
        for name in (f"board-{number}" for number in range(1, self.count + 1)):
            made = client.post("/v1/devices/provision", {"name": name, "board": BOARD})
            write_private(self.home / f"{name}.secret", made["secret"].encode("ascii"))
            url = f"wss://{made['host']}:{made['port']}/link"
            boards[name] = ["--link", url, "--link-ca-sha256", made["ca_sha256"], *options]
            boards[name] += ["--flash", str(self.home / "boards" / name)]
            self.start_board(name, *boards[name], "--link-secret-file", str(self.home / f"{name}.secret"))
            if len(boards) % 16 == 0 or len(boards) == self.count:  # so many start at once
                for one in list(boards)[-16:]:
                    self.children[one].wait_ready()
        return boards

    def board(self, name: str) -> BoardControl:
        """Its control socket, until the demo ends."""
        return self.running.enter_context(BoardControl(self.home / f"{name}.sock"))

    def until(self, look: Callable[[], T], why: str) -> T:
        """The first answer of `look` that is true; DemoFailed with the reason when patience ends."""
        give_up = time.monotonic() + max(120, 2 * self.count)
        while not (found := look()):
            if time.monotonic() > give_up:
                raise DemoFailed(why)
            time.sleep(0.02)  # a download is short
        return found

    def transports(self, name: str) -> list[str]:
        facts, _ = self.children[name].wait_ready()
        if facts["serial"]:
            serial = [f"serial:tcp://127.0.0.1:{facts['serial']}"]
        else:
            serial = []
        return [f"wasmachine://127.0.0.1:{facts['wasmachine']}", *serial, f"virtual:{facts['control']}"]

    def watch_pin(self, board: BoardControl, cursor: int, plus: str = "") -> tuple[list[Edge], int]:
        """Draw the pin until it had EDGES edges since `cursor`, or patience ends; where the next look begins."""
        seen: list[Edge] = []
        start_ms = board.edges(cursor).now_ms
        give_up = time.monotonic() + 20
        final = False
        while not final:
            time.sleep(0.1)
            page = board.edges(cursor)
            cursor = page.cursor
            seen += [row for row in page.edges if row.pin == PIN and row.t_ms >= start_ms]
            enough = len(seen) >= EDGES and page.now_ms >= seen[EDGES - 1].t_ms + 350  # the last level is shown, too
            final = enough or time.monotonic() >= give_up
            if len(seen) > 1:
                period = f"period {rhythms(seen)[0].period_s:.3f} s, "
            else:
                period = ""
            self.terminal.track(
                PIN, seen, start_ms=start_ms, end_ms=page.now_ms, window_ms=max(4200, page.now_ms - start_ms),
                level=1 - seen[0].level if seen else 0, note=f"{period}{plus}{len(seen)} edges", final=final,
            )  # fmt: skip
        return seen, cursor

    def stop(self) -> None:
        for child in self.children.values():
            child.ask_to_end()
        for child in self.children.values():
            child.stop()

    def _start(self, name: str, words: list[str], environ: dict[str, str]) -> Child:
        self.children[name] = Child(name, words, log=self.home / f"{name}.stderr", environ=environ)
        return self.children[name]


def run_demo(form: Callable[[Stage], Rows], terminal: Terminal, count: int) -> None:
    """Show each row as it comes; everything that was started is stopped on every way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # they end it as Ctrl-C does
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="microclaw-demo-"))
    try:
        with ExitStack() as running:
            for stage, text, *right in form(Stage(home, terminal, running, count)):
                if stage == "passed" or not (stage or text):
                    terminal.line(text and f"demo passed: {text}")
                else:
                    terminal.row(stage, text, right="".join(right))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def blink(stage: Stage, *, once: bool) -> Rows:
    """Ask, watch, stop the host, count what the board does alone, start the host again."""
    ready, took_s = stage.start_host()
    yield "host", f"ready in {took_s:.1f} s            api {ready['http']}{link_text(ready['link'])}"
    facts, took_s = (process := stage.start_board(DEVICE, "--serial", "0")).wait_ready()
    profile = load_board(BOARD)
    text = f"{facts['name']} ({profile.chip}, {profile.flash_mb} MB flash, own process {process.pid})"
    yield "board", f"{text} ready in {took_s:.1f} s"
    client = stage.client()
    board = stage.board(DEVICE)
    client.call(add_device, name=DEVICE, board=BOARD, transports=stage.transports(DEVICE))
    status = client.call(read_status)
    yield "model", status.model
    if status.model_hint:
        yield "", status.model_hint
    yield "", ""

    before = board.edges(0)
    yield "you", SENTENCE
    conversation = Conversation(client, stage.terminal, "demo")
    answer = conversation.listen(SENTENCE)
    if answer.error_code:
        raise DemoFailed(answer.text, next_step=answer.next_step)
    page = board.edges(before.cursor)
    first = next((row for row in page.edges if row.pin == PIN), None)
    if first is None:
        raise DemoFailed(f"pin {PIN} did not move: {answer.text}", next_step="microclaw logs")
    yield "", f"sentence to first edge: {(first.t_ms - before.now_ms) / 1000:.2f} s"
    yield "", ""
    stage.watch_pin(board, page.cursor)

    (host := stage.children["host"]).stop()
    cursor = board.edges(0).cursor  # from here on there is no host
    yield "host", f"stopping... gone (pid {host.pid}). Is the board still working?"
    alone, cursor = stage.watch_pin(board, cursor, "+")
    if len(alone) < 6 or abs(median(rhythms(alone)[0].gaps_ms) - 500) > 100:
        raise DemoFailed(f"{len(alone)} edges without a host: 6 or more were due, with a period of 1 s +/- 20 %")
    yield "", "yes: counted by the board, with no host running"
    _, took_s = stage.start_host()
    gone = ("missing", "unreachable", "dead", "trapped")
    names = ", ".join(app.name for app in client.call(list_apps, device=DEVICE).apps if app.condition not in gone)
    if not names:
        raise DemoFailed(f"{DEVICE} lists no program after the host came back", next_step="microclaw doctor")
    rise = len(alone) + sum(row.pin == PIN for row in board.edges(cursor).edges)
    yield "host", f"back in {took_s:.1f} s: {DEVICE} still lists {names}; its edge count rose by {rise}"
    if once:
        found = rhythms(alone)[0]
        yield "passed", f"{found.count} edges, period {found.period_s:.3f} s +/- {found.spread * 100:.1f} %"
        return
    yield "", ""
    yield "", "That was a virtual board."
    yield "", "Try:  set pin 4 on | what is the temperature | fade pin 5 | stop blink | exit"
    conversation.converse(history=None)
    yield "host", "stopping, and the board with it: the demo leaves nothing behind"
