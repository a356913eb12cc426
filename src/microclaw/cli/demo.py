"""`microclaw demo`: one sentence becomes a program on a virtual board, which goes on without the host.

It runs in a home of its own, and nothing of it is left behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from microclaw.api.operations import read_status
from microclaw.apps.device_operations import add_device
from microclaw.apps.operations import list_apps
from microclaw.boards import load_board
from microclaw.cli.board_control import BoardControl
from microclaw.cli.chat_commands import Conversation
from microclaw.cli.child import Child
from microclaw.cli.host_commands import link_text
from microclaw.cli.options import GlobalOptions
from microclaw.config.load import load_settings
from microclaw.errors import MicroclawError
from microclaw.events import Edge
from microclaw.operations.client import Client
from microclaw.pin_track import rhythms
from microclaw.terminal.page import Terminal
from microclaw.virtual_boards.process import board_environ

SENTENCE = "blink the LED on pin 2 every half second"
DEVICE = "virtual-1"
BOARD = "virtual"
PIN = 2
EDGES = 8


@click.command()
@click.option("--once", is_flag=True, help="No questions; the exit code says whether it worked.")
@click.pass_obj
def demo(options: GlobalOptions, once: bool) -> None:
    """See it work on a virtual board. One sentence becomes a program that goes on without the host."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # they end it as Ctrl-C does
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="microclaw-demo-"))
    try:
        with ExitStack() as running:
            _show(Stage(home, options.terminal(), running), once=once)
    finally:
        shutil.rmtree(home, ignore_errors=True)


class DemoFailed(MicroclawError):
    """The demonstration did not show what it promises; the message is the reason."""

    code = "demo_failed"


class Stage:
    """The demo's home, and what runs there until `running` ends."""

    def __init__(self, home: Path, terminal: Terminal, running: ExitStack) -> None:
        self.home, self.terminal, self.running = home, terminal, running
        self.environ = {**os.environ, "TMPDIR": str(home)}  # what a killed host leaves goes with the home

    def start_host(self) -> tuple[Child, dict[str, Any], float]:
        """The host, its ready line, and the seconds that it took."""
        words = ["microclaw", "--json", "--home", str(self.home), "up", "--port", "0", "--die-with-parent"]
        return self._start("host", words, self.environ)

    def start_board(self) -> tuple[Child, dict[str, Any], float]:
        words = ["microclaw.virtual", "--name", DEVICE, "--board", BOARD, "--wasmachine", "0", "--serial", "0"]
        words += ["--control", str(self.home / f"{DEVICE}.sock"), "--die-with-parent"]
        return self._start(DEVICE, words, board_environ(self.environ))

    def watch_pin(self, board: BoardControl, cursor: int, plus: str = "") -> tuple[list[Edge], int]:
        """Draw the pin until it had EDGES edges since `cursor`, or patience ends; where the next look begins."""
        seen: list[Edge] = []
        start_ms, give_up, final = board.edges(cursor).now_ms, time.monotonic() + 8, False
        while not final:
            time.sleep(0.1)
            page = board.edges(cursor)
            cursor = page.cursor
            seen += [row for row in page.edges if row.pin == PIN and row.t_ms >= start_ms]
            enough = len(seen) >= EDGES and page.now_ms >= seen[EDGES - 1].t_ms + 350  # the last level is shown, too
            final = enough or time.monotonic() >= give_up
            period = f"period {rhythms(seen)[0].period_s:.3f} s, " if len(seen) > 1 else ""
            self.terminal.track(
                PIN, seen, start_ms=start_ms, end_ms=page.now_ms, window_ms=max(4200, page.now_ms - start_ms),
                level=1 - seen[0].level if seen else 0, note=f"{period}{plus}{len(seen)} edges", final=final,
            )  # fmt: skip
        return seen, cursor

    def _start(self, name: str, words: list[str], environ: dict[str, str]) -> tuple[Child, dict[str, Any], float]:
        child = self.running.enter_context(Child(name, words, log=self.home / f"{name}.stderr", environ=environ))
        return child, *child.wait_ready()


def _show(stage: Stage, *, once: bool) -> None:
    """Ask, watch, stop the host, count what the board does alone, start the host again."""
    terminal = stage.terminal
    host, ready, took_s = stage.start_host()
    terminal.row("host", f"ready in {took_s:.1f} s            api {ready['http']}{link_text(ready['link'])}")
    process, facts, took_s = stage.start_board()
    profile = load_board(BOARD)
    text = f"{facts['name']} ({profile.chip}, {profile.flash_mb} MB flash, own process {process.pid})"
    terminal.row("board", f"{text} ready in {took_s:.1f} s")
    client = Client(load_settings(stage.environ, home=stage.home).control_socket)
    board = stage.running.enter_context(BoardControl(Path(facts["control"])))
    transports = [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"serial:tcp://127.0.0.1:{facts['serial']}"]
    client.call(add_device, name=DEVICE, board=BOARD, transports=[*transports, f"virtual:{facts['control']}"])
    status = client.call(read_status)
    terminal.row("model", status.model)
    if status.model_hint:
        terminal.row("", status.model_hint)
    terminal.line()

    before = board.edges(0)
    terminal.row("you", SENTENCE)
    conversation = Conversation(client, terminal, "demo")
    answer = conversation.listen(SENTENCE)
    if answer.error_code:
        raise DemoFailed(answer.text, next_step=answer.next_step)
    page = board.edges(before.cursor)
    first = next((row for row in page.edges if row.pin == PIN), None)
    if first is None:
        raise DemoFailed(f"pin {PIN} did not move: {answer.text}", next_step="microclaw logs")
    terminal.row("", f"sentence to first edge: {(first.t_ms - before.now_ms) / 1000:.2f} s")
    terminal.line()
    stage.watch_pin(board, page.cursor)

    host.stop()
    cursor = board.edges(0).cursor  # from here on there is no host
    terminal.row("host", f"stopping... gone (pid {host.pid}). Is the board still working?")
    alone, cursor = stage.watch_pin(board, cursor, "+")
    if len(alone) < 6 or abs(rhythms(alone)[0].period_s - 1) > 0.2:
        raise DemoFailed(f"{len(alone)} edges without a host: 6 or more were due, with a period of 1 s +/- 20 %")
    terminal.row("", "yes: counted by the board, with no host running")
    _, _, took_s = stage.start_host()
    gone = ("missing", "unreachable", "dead", "trapped")
    names = ", ".join(app.name for app in client.call(list_apps, device=DEVICE).apps if app.condition not in gone)
    if not names:
        raise DemoFailed(f"{DEVICE} lists no program after the host came back", next_step="microclaw doctor")
    rise = len(alone) + sum(row.pin == PIN for row in board.edges(cursor).edges)
    terminal.row("host", f"back in {took_s:.1f} s: {DEVICE} still lists {names}; its edge count rose by {rise}")
    if once:
        found = rhythms(alone)[0]
        period = f"period {found.period_s:.3f} s +/- {found.spread * 100:.1f} %"
        terminal.line(f"demo passed: {found.count} edges, {period}")
        return
    terminal.line()
    terminal.row("", "That was a virtual board.")
    terminal.row("", "Try:  set pin 4 on | what is the temperature | fade pin 5 | stop blink")
    conversation.converse(terminal, history=None)
    terminal.row("host", "stopping, and the board with it: the demo leaves nothing behind")
