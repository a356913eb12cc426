"""`microclaw demo`: its engine and its first form, one sentence that becomes a program.

A form is a generator of the rows of its screen. It runs in a home of its own, which is removed at the end.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from statistics import median

import click

from microclaw.hardware.boards import load_board
from microclaw.host.operations.client import Client
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.cli.chat_commands import Conversation
from microclaw.interfaces.cli.child import BoardControl
from microclaw.interfaces.cli.demo_stage import BOARD, PIN, DemoFailed, Rows, Stage, run_demo
from microclaw.interfaces.cli.host_commands import link_text
from microclaw.interfaces.cli.options import GlobalOptions, command
from microclaw.programs.changes.device_operations import add_device
from microclaw.programs.changes.operations import list_apps
from microclaw.programs.proof.pin_track import rhythms

SENTENCE = "blink the LED on pin 2 every half second"
DEVICE = "virtual-1"
# Fewer boards cannot be updated in three stages.
MIN_FLEET = 4


@command()
@click.option("--once", is_flag=True, help="No questions; the exit code says whether it worked.")
@click.option("--voice", is_flag=True, help="Say the sentence into the board's microphone.")
@click.option("--fleet", is_flag=True, help="Update many virtual boards in stages instead.")
@click.option("--boards", default=20, type=click.IntRange(MIN_FLEET, 300), help="The number of boards, with --fleet.")
def demo(options: GlobalOptions, once: bool, voice: bool, fleet: bool, boards: int) -> None:
    """See it work on a virtual board. One sentence becomes a program that continues without the host."""
    terminal = options.terminal()
    if not voice and not fleet:
        run_demo(partial(blink, once=once), terminal, 1)
        return
    # Imported here, because voice and signing take a second to import.
    from microclaw.interfaces.cli import demo_voice_fleet as forms

    run_demo(forms.fleet_demo if fleet else forms.voice_demo, terminal, boards)


def blink(stage: Stage, *, once: bool) -> Rows:
    """Ask the agent, watch the pin, stop the host, count the board's edges without it, start the host again."""
    yield from _start_blink(stage)
    client = stage.client()
    board = stage.board(DEVICE)
    conversation = Conversation(client, stage.terminal, "demo")
    cursor = yield from _ask_to_blink(conversation, board)
    stage.watch_pin(board, cursor)

    host = stage.children["host"]
    host.stop()
    # All edges from this cursor on are counted without a host.
    cursor = board.edges(0).cursor
    yield "host", f"stopping... gone (pid {host.pid}). Is the board still working?"
    edges, cursor = stage.watch_pin(board, cursor, "+")
    if len(edges) < 6 or abs(median(rhythms(edges)[0].gaps_ms) - 500) > 100:
        raise DemoFailed(f"{len(edges)} edges without a host: 6 or more were due, with a period of 1 s +/- 20 %")
    yield "", "yes: counted by the board, with no host running"
    _, took_s = stage.start_host()
    names = _running_apps(client)
    rise = len(edges) + sum(edge.pin == PIN for edge in board.edges(cursor).edges)
    yield "host", f"back in {took_s:.1f} s: {DEVICE} still lists {names}; its edge count rose by {rise}"
    if once:
        rhythm = rhythms(edges)[0]
        yield "passed", f"{rhythm.count} edges, period {rhythm.period_s:.3f} s +/- {rhythm.spread * 100:.1f} %"
        return
    yield "", ""
    yield "", "That was a virtual board."
    yield "", "Try:  set pin 4 on | what is the temperature | fade pin 5 | stop blink | exit"
    conversation.converse(history=None)
    yield "host", "stopping, and the board with it: the demo leaves nothing behind"


def _start_blink(stage: Stage) -> Rows:
    """Start the host and the board, and add the board to the host."""
    ready, took_s = stage.start_host()
    yield "host", f"ready in {took_s:.1f} s            api {ready['http']}{link_text(ready['link'])}"
    process = stage.start_board(DEVICE, "--serial", "0")
    facts, took_s = process.wait_ready()
    profile = load_board(BOARD)
    text = f"{facts['name']} ({profile.chip}, {profile.flash_mb} MB flash, own process {process.pid})"
    yield "board", f"{text} ready in {took_s:.1f} s"
    client = stage.client()
    client.call(add_device, name=DEVICE, board=BOARD, transports=stage.transports(DEVICE))
    status = client.call(read_status)
    yield "model", status.model
    if status.model_hint:
        yield "", status.model_hint
    yield "", ""


def _ask_to_blink(conversation: Conversation, board: BoardControl) -> Generator[tuple[str, ...], None, int]:
    """Send the sentence, and check that the pin moves. Return the cursor of its edges."""
    before = board.edges(0)
    yield "you", SENTENCE
    answer = conversation.listen(SENTENCE)
    if answer.error_code:
        raise DemoFailed(answer.text, next_step=answer.next_step)
    page = board.edges(before.cursor)
    first = next((edge for edge in page.edges if edge.pin == PIN), None)
    if first is None:
        raise DemoFailed(f"pin {PIN} did not move: {answer.text}", next_step="microclaw logs")
    yield "", f"sentence to first edge: {(first.t_ms - before.now_ms) / 1000:.2f} s"
    yield "", ""
    return page.cursor


def _running_apps(client: Client) -> str:
    """Return the names of the board's programs that still work. Raises DemoFailed if there are none."""
    stopped = ("missing", "unreachable", "dead", "trapped")
    apps = client.call(list_apps, device=DEVICE).apps
    names = [app.name for app in apps if app.condition not in stopped]
    if not names:
        raise DemoFailed(f"{DEVICE} lists no program after the host came back", next_step="microclaw doctor")
    return ", ".join(names)
