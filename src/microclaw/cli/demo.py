"""`microclaw demo`: the whole path with a private home, a host and a virtual board as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microclaw.boards import load_board
from microclaw.cli.board_control import BoardControl
from microclaw.cli.chat_commands import Conversation
from microclaw.cli.child import Child
from microclaw.cli.host_commands import link_text
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.client import Client
from microclaw.config.load import load_settings
from microclaw.errors import MicroclawError
from microclaw.events import Answer, Edge
from microclaw.pin_track import Rhythm, rhythms
from microclaw.terminal.page import Terminal
from microclaw.virtual_boards.process import board_environ
from microclaw.wire import board_replies as replies

if TYPE_CHECKING:
    from microclaw.client import answers

SENTENCE = "blink the LED on pin 2 every half second"
PIN = 2
DEVICE = "virtual-1"
BOARD = "virtual"
EDGES = 8
NEEDED_EDGES = 6
HALF_PERIOD_S = 0.5
TOLERANCE = 0.10
PATIENCE_S = 8.0
CHAT_ID = "demo"
MIN_FLEET = 4  # of fewer no three stages are made
SUGGESTIONS = "Try:  set pin 4 on | what is the temperature | fade pin 5 | stop blink"
LOOK_EVERY_S = 0.1
WINDOW_MS = 4200.0  # what a full track shows: 8 edges at half a second
TAIL_MS = 350.0  # the last level is shown, too


def demo(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="No questions; the exit code says whether it worked.")] = False,
    voice: Annotated[bool, typer.Option("--voice", help="Say the sentence into the board's microphone.")] = False,
    fleet: Annotated[bool, typer.Option("--fleet", help="Update many virtual boards in stages instead.")] = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Kill one of three hosts while they install.")] = False,
    boards: Annotated[
        int, typer.Option("--boards", min=MIN_FLEET, max=300, help="So many, with --fleet and --cluster.")
    ] = 20,
) -> None:
    """See it work on a virtual board. One sentence becomes a program that goes on without the host."""
    raise typer.Exit(
        run_demo(
            global_options(ctx), once=once, voice=voice, fleet=boards if fleet else 0, cluster=boards if cluster else 0
        )
    )


class DemoFailed(MicroclawError):
    """The demonstration did not show what it promises; the message is the reason."""

    code = "demo_failed"

    def __init__(self, reason: str, *, next_step: str | None = None) -> None:
        super().__init__(f"demo failed: {reason}", next_step=next_step)


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo works with: its own home, a page, and how a host is started. `running` stops what is started."""

    home: Path
    terminal: Terminal
    environ: dict[str, str]

    def start_host(self, running: ExitStack, *options: str) -> Child:
        words = [
            "microclaw.cli",
            "--json",
            "--home",
            str(self.home),
            "up",
            "--port",
            "0",
            "--die-with-parent",
            *options,
        ]
        with uninterrupted():
            return running.enter_context(Child("host", words, log=self.home / "host.stderr", environ=self.environ))

    def start_board(self, running: ExitStack, *options: str) -> Child:
        words = ["microclaw.virtual", "--name", DEVICE, "--board", BOARD, "--wasmachine", "0", "--serial", "0"]
        words += ["--control", str(self.home / "board.sock"), "--die-with-parent", *options]
        environ = board_environ(self.environ)
        with uninterrupted():
            return running.enter_context(Child("board", words, log=self.home / "board.stderr", environ=environ))

    def client(self) -> Client:
        return Client(load_settings(self.environ, home=self.home).control_socket)


def run_demo(options: GlobalOptions, *, once: bool, voice: bool = False, fleet: int = 0, cluster: int = 0) -> int:
    """Run it and return the exit code; everything it started is stopped on every way out.

    `fleet`, `cluster`: of so many boards.
    """
    terminal = options.terminal()
    with _private_home() as home, _terminable():
        stage = Stage(home, terminal, {**os.environ, "MICROCLAW_HOME": str(home)})
        if fleet:
            from microclaw.cli.demo_fleet import run_fleet_demo  # it uses what is here

            return run_fleet_demo(stage, fleet)
        if cluster:
            from microclaw.cli.demo_cluster import run_cluster_demo  # it uses what is here

            return run_cluster_demo(stage, cluster)
        if voice:
            from microclaw.cli.demo_voice import run_voice_demo  # it uses what is here

            return run_voice_demo(stage)
        return _run(stage, once=once)


def _run(stage: Stage, *, once: bool) -> int:
    terminal = stage.terminal
    with ExitStack() as running:
        host = stage.start_host(running)
        board_process = stage.start_board(running)
        client = stage.client()
        _welcome(stage, host, board_process, client)
        board = running.enter_context(BoardControl(stage.home / "board.sock"))
        conversation = Conversation(client, terminal, CHAT_ID)
        cursor = _ask(terminal, conversation, board)
        watch_pin(board, terminal, PIN, cursor=cursor, edges=EDGES, patience_s=PATIENCE_S)
        alone = _without_host(terminal, host, board)
        host = stage.start_host(running)
        _back_again(terminal, host, client, board, alone)
        found = _judge(alone)
        if once:
            spread = found.spread * 100
            terminal.line(f"demo passed: {found.count} edges, period {found.period_s:.3f} s +/- {spread:.1f} %")
            return 0
        terminal.line()
        terminal.row("", "That was a virtual board.")
        terminal.row("", SUGGESTIONS)
        conversation.converse(terminal, history=None)
        terminal.row("host", "stopping, and the board with it: the demo leaves nothing behind")
    return 0


def _welcome(stage: Stage, host: Child, board: Child, client: Client) -> None:
    """Both run: print it, and add the board to the host."""
    terminal = stage.terminal
    ready, took_s = host.wait_ready()
    terminal.row("host", f"ready in {took_s:.1f} s            api {ready['http']}{link_text(ready['link'])}")
    facts, took_s = board.wait_ready()
    profile = load_board(BOARD)
    text = f"{facts['name']} ({profile.chip}, {profile.flash_mb} MB flash, own process {board.pid})"
    terminal.row("board", f"{text} ready in {took_s:.1f} s")
    transports = [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"virtual:{facts['control']}"]
    if facts["serial"]:
        transports.insert(1, f"serial:tcp://127.0.0.1:{facts['serial']}")
    client.devices.add(DEVICE, BOARD, transports)
    status = client.status()
    terminal.row("model", status["model"])
    if status["model_hint"]:
        terminal.row("", status["model_hint"])
    terminal.line()


def _ask(terminal: Terminal, conversation: Conversation, board: BoardControl) -> int:
    """Send the sentence; return the cursor after the program's first edge."""
    before = board.edges(0)
    terminal.row("you", SENTENCE)
    answer = conversation.listen(SENTENCE)
    if answer.error_code:
        raise DemoFailed(answer.text, next_step=answer.next_step)
    _time_to_first_edge(terminal, board, before, answer)
    terminal.line()
    return board.edges(before.next).next


def _time_to_first_edge(terminal: Terminal, board: BoardControl, before: replies.EdgePage, answer: Answer) -> None:
    """By the board's own clock: from the sentence to the first edge of the pin."""
    first = next((row for row in board.edges(before.next).edges if row.pin == PIN), None)
    if first is None:
        raise DemoFailed(
            f"pin {PIN} did not move, although the answer was: {answer.text}",
            next_step="ask again, or see what the program prints: microclaw logs",
        )
    terminal.row("", f"sentence to first edge: {(first.t_ms - before.now_ms) / 1000:.2f} s")


def _without_host(terminal: Terminal, host: Child, board: BoardControl) -> PinRecord:
    """Stop the host and count what the board does alone."""
    host.stop()
    cursor = board.edges(0).next  # from here on there is no host
    terminal.row("host", f"stopping... gone (pid {host.pid}). Is the board still working?")
    alone = watch_pin(board, terminal, PIN, cursor=cursor, edges=EDGES, patience_s=PATIENCE_S, plus="+")
    if len(alone.edges) >= NEEDED_EDGES:
        terminal.row("", "yes: counted by the board, with no host running")
    return alone


def _back_again(terminal: Terminal, host: Child, client: Client, board: BoardControl, alone: PinRecord) -> None:
    """A new host finds the program that the first one left."""
    _, took_s = host.wait_ready()
    apps = _apps(client)
    names = ", ".join(app["name"] for app in apps)
    if not names:
        raise DemoFailed(f"{DEVICE} lists no program after the host came back", next_step="microclaw doctor")
    more = [row for row in board.edges(alone.cursor).edges if row.pin == PIN]
    rise = len(alone.edges) + len(more)
    terminal.row("host", f"back in {took_s:.1f} s: {DEVICE} still lists {names}; its edge count rose by {rise}")


def _apps(client: Client) -> list[answers.AppFacts]:
    wanted = client.programs.list(DEVICE)
    return [app for app in wanted if app["condition"] not in ("missing", "unreachable", "dead", "trapped")]


def _judge(alone: PinRecord) -> Rhythm:
    """The promise: at least 6 edges at half a second, counted while no host ran."""
    found = alone.rhythm
    if found is None or found.count < NEEDED_EDGES:
        count = len(alone.edges)
        raise DemoFailed(
            f"the board counted {count} edges in {PATIENCE_S:.0f} s without a host, at least {NEEDED_EDGES} were due"
        )
    worst = max((gap_ms / 1000 for gap_ms in found.gaps_ms), key=lambda gap: abs(gap - HALF_PERIOD_S))
    if abs(worst - HALF_PERIOD_S) > HALF_PERIOD_S * TOLERANCE:
        raise DemoFailed(f"two edges were {worst:.3f} s apart, {HALF_PERIOD_S} s +/- {TOLERANCE:.0%} was due")
    return found


@contextmanager
def _private_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="microclaw-demo-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and the like count when the block is over: what it starts can be stopped from then on."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda each, _: caught.append(each)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo the way Ctrl-C does: with everything stopped."""
    ends = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class PinRecord:
    """The edges of one pin that the board counted in a while; `cursor` is where the next look begins."""

    edges: tuple[Edge, ...]
    cursor: int

    @property
    def rhythm(self) -> Rhythm | None:
        return next(iter(rhythms(self.edges)), None)


def watch_pin(
    board: BoardControl, terminal: Terminal, pin: int, *, cursor: int, edges: int, patience_s: float, plus: str = ""
) -> PinRecord:
    """Draw the pin until it had `edges` edges since `cursor`, or patience ends."""
    seen: list[Edge] = []
    start_ms = board.edges(cursor).now_ms
    give_up = time.monotonic() + patience_s
    while True:
        page = board.edges(cursor)
        cursor = page.next
        seen += [Edge(*row) for row in page.edges if row.pin == pin and row.t_ms >= start_ms]
        enough = len(seen) >= edges and page.now_ms >= seen[edges - 1].t_ms + TAIL_MS
        final = enough or time.monotonic() >= give_up
        _draw(terminal, pin, seen, start_ms, page.now_ms, plus, final=final)
        if final:
            return PinRecord(tuple(seen), cursor)
        time.sleep(LOOK_EVERY_S)


def _draw(
    terminal: Terminal, pin: int, seen: list[Edge], start_ms: float, now_ms: float, plus: str, *, final: bool
) -> None:
    period = f"period {rhythms(seen)[0].period_s:.3f} s, " if len(seen) > 1 else ""
    note = f"{period}{plus}{len(seen)} edges"
    level = 1 - seen[0].level if seen else 0
    window_ms = max(WINDOW_MS, now_ms - start_ms)
    terminal.track(
        pin, seen, start_ms=start_ms, end_ms=now_ms, window_ms=window_ms, level=level, note=note, final=final
    )
