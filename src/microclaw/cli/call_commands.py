"""`microclaw exec` and `logs`: a device's methods, through the host or by an address without one; what it prints."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from microclaw.apps.device_calls import CallAnswer, Logs, call_device, call_permission, read_logs
from microclaw.apps.operations import list_apps
from microclaw.boards import load_board
from microclaw.cli.many_devices import ask_once, is_address
from microclaw.cli.operation_commands import perform, show
from microclaw.cli.options import GlobalOptions, Texts, command
from microclaw.cli.sign_in_commands import MAX_TAIL
from microclaw.devices.call_text import arguments_from_words, call_from, result_value
from microclaw.devices.calls import AppList, Call, ConsoleRead, LogsRead
from microclaw.errors import AppNotFound, ConfigError, DeviceUnreachable
from microclaw.operations.operation import Permission
from microclaw.text import one_line, since_ms

if TYPE_CHECKING:
    from microclaw.devices.device import Device

CALL_TIMEOUT_S: Final = 15.0


@command()
@click.argument(
    "words",
    required=True,
    nargs=-1,
    metavar="DEVICE METHOD [ARG]...",
    help="A device's name, or HOST:PORT without a host (with -d, -l or --all: none), gpio.set, gpio.get, adc.read, "
    "apps.list, ..., and pin=2 level=1, or 2 1.",
)
@click.option("--board", default="virtual", help="With an address: the board's profile.")
@click.option("--wait/--no-wait", default=True, help="For a device that is away, up to 15 s.")
@click.option("--force", is_flag=True, help="Also on a pin that a program has.")
def execute(options: GlobalOptions, words: Texts, board: str, **how: Any) -> None:
    """Call one method of a device, or of several."""
    is_named = options.chooses_many or options.device is not None
    if len(words) < 2 - is_named:
        raise click.BadParameter("name the METHOD; microclaw device show NAME lists them")
    method, *given = words if is_named else words[1:]
    values: dict[str, Any] = {"method": method, "arguments": arguments_from_words(method, given), **how}
    if options.chooses_many:
        if call_permission(method) is not Permission.READ:
            ask_once(options, options.host(), f"Call {method} on")
        perform(options, call_device, values)
    elif is_address(target := options.device or words[0]):
        options.only_here(f"a call of {target}")
        call = call_from(method, values["arguments"])

        async def answer() -> Any:
            async with board_at(target, call, board) as device:
                return await device.call(call, CALL_TIMEOUT_S, wait=False)

        show(options, call_device, CallAnswer(method=method, result=result_value(asyncio.run(answer()))))
    else:
        show(options, call_device, options.host().call(call_device, device=target, **values))


@asynccontextmanager
async def board_at(target: str, call: Call[Any], board_id: str = "virtual") -> AsyncIterator[Device]:
    """The board at an address as a device, without a host. NotSupported where it takes no such call."""
    from microclaw.devices.device import Device
    from microclaw.store.devices import DeviceRow
    from microclaw.transports.open import open_transport

    board = load_board(board_id)
    device = Device(DeviceRow("d-direct", target, board_id), board, [open_transport(target, board)])
    try:
        if not device.supports(call.method):  # no name to add a transport to
            raise device.transports[0].not_offered(call)
        yield device
    finally:
        await device.close()


FOLLOW_S: Final = 0.2
LISTEN_MS: Final = 1_500
"""Without --follow a console that has just been opened is listened to for so long."""


@command()
@click.argument("target", required=False, metavar="[DEVICE[/APP]]")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0, MAX_TAIL), metavar="N", help="Only the newest N lines.")
@click.option("--since", "from_ms", type=since_ms, metavar="WHEN", help="Only what came since: 30s, 10m, 7d, a day.")
@click.option("--console", is_flag=True, help="Its serial console instead, with the firmware's own lines.")
def logs(
    options: GlobalOptions, target: str | None, follow: bool, tail: int | None, from_ms: int | None, console: bool
) -> None:
    """Show what a device's programs print."""
    target = target or options.device
    if target is None:
        raise click.BadParameter("name the DEVICE")
    device, _, app = (target, "", "") if is_address(target) else target.partition("/")
    with _log_source(options, device, console) as source:
        _show_lines(options, source, device, app, follow=follow, tail=tail, from_ms=from_ms)


class LogSource(Struct, frozen=True):
    """A way to the lines of a device: a page from a cursor on, and the names of its programs."""

    read: Callable[[int], Logs]
    app_names: Callable[[], list[str]]


@contextmanager
def _log_source(options: GlobalOptions, device: str, console: bool) -> Iterator[LogSource]:
    """Give the lines of a device of the host, or of the board at an address."""
    if not is_address(device):
        host = options.host()
        yield LogSource(
            read=lambda cursor: host.call(read_logs, device=device, cursor=cursor, console=console),
            app_names=lambda: [app.name for app in host.call(list_apps, device=device).apps],
        )
        return
    options.only_here(f"the lines of {device}")
    kind = ConsoleRead if console else LogsRead
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        board = runner.run(stack.enter_async_context(board_at(device, kind())))
        try:
            yield LogSource(
                read=lambda cursor: Logs(console=console, **result_value(runner.run(board.call(kind(cursor=cursor))))),
                app_names=lambda: [app.name for app in runner.run(board.call(AppList()))],
            )
        finally:
            runner.run(stack.aclose())


def _show_lines(
    options: GlobalOptions,
    source: LogSource,
    device: str,
    app: str,
    *,
    follow: bool,
    tail: int | None,
    from_ms: int | None,
) -> None:
    cursor = 0
    problem = None
    kept: deque[dict[str, Any]] = deque(maxlen=tail)
    has_printed = is_new = False  # of what is there already the choice is made first
    while True:
        page = source.read(cursor)
        if page.console and app:
            text = f"the lines of {device}'s console do not say which program printed them"
            raise ConfigError(text, next_step=f"leave the program out: microclaw logs {device} --console")
        is_still = page.cursor == cursor
        cursor = page.cursor
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
            if app and not has_printed and app not in source.app_names():
                raise AppNotFound(f"no app {app!r} on {device}", next_step=f"microclaw app list -d {device}")
            if not follow:
                break
            kept = deque()
            is_new = True
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
