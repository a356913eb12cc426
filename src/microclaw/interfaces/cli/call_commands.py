"""`microclaw exec` and `logs`: call a device's methods and show its lines, through the host or at an address."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from microclaw.devices.registry.call_text import arguments_from_words, call_from, result_value
from microclaw.devices.registry.calls import AppList, Call, ConsoleRead, GpioSet, LogsRead, PwmSet
from microclaw.errors import AppNotFound, ConfigError, DeviceUnreachable
from microclaw.hardware.boards import load_board
from microclaw.host.operations.operation import Permission
from microclaw.interfaces.cli.operation_commands import perform, run_act, show
from microclaw.interfaces.cli.options import GlobalOptions, Texts, command
from microclaw.interfaces.cli.sign_in_commands import MAX_TAIL
from microclaw.interfaces.cli.targets import confirm_many, is_address
from microclaw.programs.changes.device_calls import CallAnswer, Logs, call_device, call_permission, read_logs
from microclaw.programs.changes.operations import list_apps
from microclaw.programs.changes.pin_cautions import pin_caution, refuse_caution
from microclaw.text import one_line, since_ms

if TYPE_CHECKING:
    from microclaw.devices.registry.device import Device

CALL_TIMEOUT_S: Final = 15.0
FOLLOW_S: Final = 0.2
LISTEN_MS: Final = 1_500
"""Without --follow the command listens for this time to a console that was just opened."""


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
@click.option("--force", is_flag=True, help="Also on a pin that a program has, or that needs care.")
def execute(options: GlobalOptions, words: Texts, board: str, **how: Any) -> None:
    """Call one method of a device, or of several."""
    has_device = options.chooses_many or options.device is not None
    target = ""
    if not has_device:
        target = words[0]
        words = words[1:]
    if not words:
        raise click.BadParameter("name the METHOD; microclaw device show NAME lists them")
    method, *texts = words
    values: dict[str, Any] = {"method": method, "arguments": arguments_from_words(method, texts), **how}
    if options.chooses_many:
        if call_permission(method) is not Permission.READ:
            confirm_many(options, options.host(), f"Call {method} on")
        perform(options, call_device, values)
        return
    target = options.device or target
    if is_address(target):
        _call_directly(options, target, board, values)
    else:
        show(options, call_device, run_act(options, options.host(), call_device, values | {"device": target}))


def _call_directly(options: GlobalOptions, target: str, board_id: str, values: dict[str, Any]) -> None:
    """Call the board at an address, without a host, and show the result. Raises PinCaution; nothing records a yes."""
    options.only_here(f"a call of {target}")
    method = values["method"]
    call = call_from(method, values["arguments"])

    async def ask() -> Any:
        async with board_at(target, call, board_id) as device:
            if isinstance(call, GpioSet | PwmSet) and not (values["force"] or options.yes):
                caution = pin_caution(device, call.pin)
                if caution is not None:
                    refuse_caution(device, call.pin, caution, f"say yes: microclaw exec --force {target} {method} ...")
            return await device.call(call, CALL_TIMEOUT_S, wait=False)

    result = result_value(asyncio.run(ask()))
    show(options, call_device, CallAnswer(method=method, result=result))


@asynccontextmanager
async def board_at(target: str, call: Call[Any], board_id: str = "virtual") -> AsyncIterator[Device]:
    """Give the board at an address as a device, without a host. Raises NotSupported if it does not take the call."""
    from microclaw.devices.registry.device import Device
    from microclaw.devices.transports.open import open_transport
    from microclaw.host.store.devices import DeviceRow
    from microclaw.programs.wasm.pin_program import build_pin_program

    board = load_board(board_id)
    transport = open_transport(target, board, build_pin_program=build_pin_program)
    device = Device(DeviceRow("d-direct", target, board_id), board, [transport])
    try:
        # The transport's own error, because the device's would advise to add a transport by the device's name.
        if not device.supports(call.method):
            raise device.transports[0].not_offered(call)
        yield device
    finally:
        await device.close()


@command()
@click.argument("target", required=False, metavar="[DEVICE[/APP]]")
@click.option("-f", "--follow", is_flag=True, help="Show new lines as they come, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0, MAX_TAIL), metavar="N", help="Only the newest N lines.")
@click.option("--since", "from_ms", type=since_ms, metavar="WHEN", help="Only lines since: 30s, 10m, 7d, 2026-11-20.")
@click.option("--console", is_flag=True, help="Its serial console instead, with the firmware's own lines.")
def logs(
    options: GlobalOptions,
    *,
    target: str | None,
    follow: bool,
    tail: int | None,
    from_ms: int | None,
    console: bool,
) -> None:
    """Show what a device's programs print."""
    target = target or options.device
    if target is None:
        raise click.BadParameter("name the DEVICE")
    device = target
    app = ""
    if not is_address(target):
        device, _, app = target.partition("/")
    if options.device not in (None, device):
        raise ConfigError(f"two devices are named: {options.device} and {device}", next_step=f"microclaw logs {target}")
    with _log_source(options, device, console) as source:
        viewer = _LogViewer(options, source, device, app, from_ms)
        if follow:
            viewer.follow(tail)
        else:
            viewer.show(tail)


class LogSource(Struct, frozen=True):
    """The lines of a device: `read` returns a page from a cursor on, `app_names` the names of its programs."""

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


class _LogViewer:
    """Prints the lines of a device, or of one of its programs if `app` is not empty."""

    def __init__(self, options: GlobalOptions, source: LogSource, device: str, app: str, from_ms: int | None) -> None:
        self._options = options
        self._source = source
        self._device = device
        self._app = app
        self._from_ms = from_ms
        self._cursor = 0
        self._problem: str | None = None

    def show(self, tail: int | None) -> None:
        """Print the stored lines, only the newest `tail` of them. Raises DeviceUnreachable if the console is closed."""
        page = self._show_stored(tail, follows=False)
        if page.problem:
            raise DeviceUnreachable(page.problem, next_step="is the cable in and the board powered? -f waits for it")
        if page.console and not page.cursor:
            self._options.say(f"{self._device}'s console was silent for {LISTEN_MS / 1000:g} s; listen longer with -f")

    def follow(self, tail: int | None) -> None:
        """Print the stored lines, then new ones until Ctrl-C."""
        page = self._show_stored(tail, follows=True)
        is_still = True
        while True:
            self._say_problem(page)
            if is_still:
                time.sleep(FOLLOW_S)
            page, is_still = self._read_page()
            self._say_dropped(page)
            self._print_lines(page, self._own_lines(page))

    def _show_stored(self, tail: int | None, *, follows: bool) -> Logs:
        """Print the stored lines. Return the last page. Raises AppNotFound for an unknown program without lines."""
        newest: deque[dict[str, Any]] = deque(maxlen=tail)
        has_lines = False
        while True:
            page, is_still = self._read_page()
            # Lines that are not shown anyway need not be missed.
            if tail is None and self._from_ms is None:
                self._say_dropped(page)
            lines = self._own_lines(page)
            has_lines = has_lines or bool(lines)
            newest.extend(line for line in lines if self._is_recent(line))
            is_end = is_still and (follows or not _is_just_opened(page))
            if tail is None or is_end:
                self._print_lines(page, newest)
                newest.clear()
            if is_end:
                break
            if follows:
                self._say_problem(page)
            if is_still:
                time.sleep(FOLLOW_S)
        if self._app and not has_lines and self._app not in self._source.app_names():
            text = f"no app {self._app!r} on {self._device}"
            raise AppNotFound(text, next_step=f"microclaw app list -d {self._device}")
        return page

    def _read_page(self) -> tuple[Logs, bool]:
        """Return the next page, and True if there was nothing new. Raises ConfigError for a program on a console."""
        page = self._source.read(self._cursor)
        if page.console and self._app:
            text = f"the lines of {self._device}'s console do not say which program printed them"
            raise ConfigError(text, next_step=f"leave the program out: microclaw logs {self._device} --console")
        is_still = page.cursor == self._cursor
        self._cursor = page.cursor
        return page, is_still

    def _own_lines(self, page: Logs) -> list[dict[str, Any]]:
        return [line for line in page.lines if not self._app or line["app"] == self._app]

    def _is_recent(self, line: dict[str, Any]) -> bool:
        """Return True if a line is not older than --since. Raises ConfigError if its time is not known."""
        if self._from_ms is None:
            return True
        if isinstance(line["at_ms"], int):
            return line["at_ms"] >= self._from_ms
        text = f"the lines of {self._device} have only the board's own time, which has no date"
        step = f"leave --since out; the newest lines: microclaw logs {self._device} --tail 20"
        raise ConfigError(text, next_step=step)

    def _say_dropped(self, page: Logs) -> None:
        if page.dropped:
            self._options.say(f"({page.dropped:,} lines were lost)")

    def _say_problem(self, page: Logs) -> None:
        """Print that the console has closed or is back, once for each change."""
        if page.problem == self._problem:
            return
        self._problem = page.problem
        self._options.say(f"{page.problem}; waiting for it" if page.problem else "the console is back")

    def _print_lines(self, page: Logs, lines: Iterable[dict[str, Any]]) -> None:
        for line in lines:
            _print_line(self._options, line, is_console=page.console)


def _is_just_opened(page: Logs) -> bool:
    """Return True if a console was opened so recently that its first lines may still come."""
    return page.console and not page.problem and (page.open_ms or 0) < LISTEN_MS


def _print_line(options: GlobalOptions, line: dict[str, Any], *, is_console: bool) -> None:
    document = line
    if is_console:
        document = {"source": "console", "evidence": "reported", **line}
    if options.wrote_json("log", document):
        return
    if is_console:
        time_ms = line["at_ms"]
        clock = datetime.fromtimestamp(time_ms / 1000).astimezone()
        options.line(one_line(f"{clock:%H:%M:%S}.{time_ms % 1000:03d}  {'console':<10} {line['text']}"))
        return
    app = line["app"] or "board"
    options.line(one_line(f"{line['t_ms'] / 1000:10.3f}  {app:<12} {line['text'].rstrip()}"))
