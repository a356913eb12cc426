"""`microclaw exec` and `logs`: a device's methods, through the host or by an address without one; what it prints."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
from click.exceptions import Exit

from microclaw.apps.device_calls import CallAnswer, call_device, call_permission, read_logs
from microclaw.apps.device_operations import show_device
from microclaw.apps.operations import list_apps
from microclaw.boards import load_board
from microclaw.cli.many_devices import ask_once, endpoint_of, is_address
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.cli.sign_in_commands import MAX_TAIL
from microclaw.devices.call_text import CALLS, METHOD_HELP, arguments_from_words, call_from, method_form, result_value
from microclaw.devices.calls import Call
from microclaw.errors import AppNotFound, ConfigError, DeviceUnreachable, MicroclawError, NoHost
from microclaw.operations.operation import Permission
from microclaw.terminal.prompt import line_reader
from microclaw.text import one_line, since_ms

if TYPE_CHECKING:
    from microclaw.devices.device import Device

CALL_TIMEOUT_S: Final = 15.0


@click.command()
@click.argument(
    "words",
    required=True,
    nargs=-1,
    metavar="DEVICE [METHOD [ARG]...]",
    help="A device's name, or HOST:PORT without a host (with -d, -l or --all: none), gpio.set, gpio.get, "
    "adc.read, apps.list, ..., and pin=2 level=1, or 2 1; no method: they are typed line by line.",
)
@click.option("--board", default="virtual", help="With an address: the board's profile.")
@click.option("--wait/--no-wait", default=True, help="For a device that is away, up to 15 s.")
@click.option("--force", is_flag=True, help="Also on a pin that a program has.")
@click.pass_obj
def execute(options: GlobalOptions, words: tuple[str, ...], board: str, wait: bool, force: bool) -> None:
    """Call one method of a device, or of several."""
    how = {"wait": wait, "force": force}
    if options.chooses_many:
        if call_permission(words[0]) is not Permission.READ:
            ask_once(options, options.host(), f"Call {words[0]} on")
        perform(options, call_device, {**_values(words), **how})
        return
    target, *rest = words if options.device is None else (options.device, *words)
    if is_address(target):
        options.only_here(f"a call of {target}")
    if rest:
        _call(options, target, board, {**_values(rest), **how})
    else:
        _line_by_line(options, target, board)


@asynccontextmanager
async def board_at(target: str, board_id: str = "virtual") -> AsyncIterator[Device]:
    """The board at an address as a device, without a host."""
    from microclaw.devices.device import Device
    from microclaw.store.devices import DeviceRow
    from microclaw.transports.open import open_transport

    board = load_board(board_id)
    device = Device(DeviceRow("d-direct", target, board_id), board, [open_transport(endpoint_of(target), board)])
    try:
        yield device
    finally:
        await device.close()


def check_offered(device: Device, call: Call[Any]) -> None:
    """Raise NotSupported in words that help where there is no host, and no name to add a transport to."""
    if not device.supports(call.method):
        raise device.transports[0].not_offered(call)


def _values(words: Sequence[str]) -> dict[str, Any]:
    method, *given = words
    return {"method": method, "arguments": arguments_from_words(method, given)}


def _call(options: GlobalOptions, target: str, board: str, values: dict[str, Any]) -> None:
    if is_address(target):
        call = call_from(values["method"], values["arguments"])

        async def answer() -> Any:
            async with board_at(target, board) as device:
                check_offered(device, call)
                return await device.call(call, CALL_TIMEOUT_S, wait=False)

        made = CallAnswer(method=call.method, result=result_value(asyncio.run(answer())))
    else:
        made = options.host().call(call_device, device=target, **values)
    show(options, call_device, made)


def _line_by_line(options: GlobalOptions, target: str, board: str) -> None:
    """Call what is typed, a method a line; `help` lists those that the device has."""
    offered = CALLS if is_address(target) else options.host().call(show_device, device=target).capabilities
    home, failed = options.settings().home, False
    read_line = line_reader(home / "repl_history" if home.is_dir() else None, prompt=f"{target}> ")
    while (line := read_line()) is not None:
        try:
            words = shlex.split(line)
            if words == ["help"]:
                rows = [(method_form(one), METHOD_HELP[one]) for one in offered if one in CALLS]
                options.table(rows, head=("METHOD", "WHAT IT DOES"))
            elif words:
                _call(options, target, board, _values(words))
        except NoHost:
            raise
        except MicroclawError as exc:
            failed = True
            options.terminal().error(exc)
        except ValueError as exc:  # an open quotation mark
            failed = True
            options.line(f"{exc}: {line}")
    if failed and not sys.stdin.isatty():  # nobody has seen it
        raise Exit(FAILED)


FOLLOW_S: Final = 0.2
LISTEN_MS: Final = 1_500
"""Without --follow a console that has just been opened is listened to for so long."""


@click.command()
@click.argument("target", required=False, metavar="[DEVICE[/APP]]")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0, MAX_TAIL), metavar="N", help="Only the newest N lines.")
@click.option("--since", "from_ms", type=since_ms, metavar="WHEN", help="Only what came since: 30s, 10m, 7d, a day.")
@click.option("--console", is_flag=True, help="Its serial console instead, with the firmware's own lines.")
@click.pass_obj
def logs(
    options: GlobalOptions, target: str | None, follow: bool, tail: int | None, from_ms: int | None, console: bool
) -> None:
    """Show what a device's programs print."""
    if (target := target or options.device) is None:
        raise click.BadParameter("name the DEVICE")
    device, _, app = target.partition("/")
    host, cursor, problem = options.host(), 0, None
    kept: deque[dict[str, Any]] = deque(maxlen=tail)
    has_printed = is_new = False  # of what is there already the choice is made first
    while True:
        page = host.call(read_logs, device=device, cursor=cursor, console=console)
        if page.console and app:
            text = f"the lines of {device}'s console do not say which program printed them"
            raise ConfigError(text, next_step=f"leave the program out: microclaw logs {device} --console")
        is_still, cursor = page.cursor == cursor, page.cursor
        has_just_opened = page.console and not page.problem and (page.open_ms or 0) < LISTEN_MS
        if page.dropped and (is_new or (tail is None and from_ms is None)):
            options.say(f"({page.dropped:,} lines were lost)")
        own = [line for line in page.lines if not app or line["app"] == app]
        has_printed = has_printed or bool(own)
        kept.extend(line for line in own if is_new or from_ms is None or _came_ms(line, device) >= from_ms)
        is_end = is_still and (follow or not has_just_opened)
        if is_new or tail is None or is_end:
            for line in kept:
                _log_line(options, line, is_console=page.console)
            kept.clear()
        if is_end and not is_new:
            if app and not has_printed and all(one.name != app for one in host.call(list_apps, device=device).apps):
                raise AppNotFound(f"no app {app!r} on {device}", next_step=f"microclaw app list -d {device}")
            if not follow:
                break
            kept, is_new = deque(), True
        if follow and page.problem != problem:
            problem = page.problem
            options.say(f"{problem}; waiting for it" if problem else "the console is back")
        if is_still:
            time.sleep(FOLLOW_S)
    if page.problem:
        raise DeviceUnreachable(page.problem, next_step="is the cable in and the board powered? -f waits for it")
    if page.console and not page.cursor:
        options.say(f"{device}'s console was silent for {LISTEN_MS / 1000:g} s; go on listening with -f")


def _came_ms(line: dict[str, Any], device: str) -> int:
    """The time when a line reached the host. ConfigError where that is not known: its board's time has no date."""
    if isinstance(line["at_ms"], int):
        return line["at_ms"]
    text = f"when the lines of {device} came is not known: its way in tells the board's own time, which has no date"
    raise ConfigError(text, next_step=f"leave --since out; the newest lines: microclaw logs {device} --tail 20")


def _log_line(options: GlobalOptions, line: dict[str, Any], *, is_console: bool) -> None:
    if options.wrote_json("log", {"source": "console", "evidence": "reported", **line} if is_console else line):
        return
    if is_console:
        at = datetime.fromtimestamp(line["at_ms"] / 1000).astimezone()
        options.line(one_line(f"{at:%H:%M:%S}.{line['at_ms'] % 1000:03d}  {'console':<10} {line['text']}"))
        return
    app = line["app"] or "board"
    options.line(one_line(f"{line['t_ms'] / 1000:10.3f}  {app:<12} {line['text'].rstrip()}"))
