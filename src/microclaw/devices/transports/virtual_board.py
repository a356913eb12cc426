"""The virtual board's transport over its control socket: counted edges, logs, app states, and its Python programs.

The protocol is wire/board_control.py (docs/protocols/virtual.md). This file starts no board. Calls for WebAssembly
programs are refused as not offered: they go by the board's WASMachine port, as on stock firmware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from msgspec.structs import replace

from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import (
    AppInstall,
    AppList,
    AppPage,
    AppState,
    AppStates,
    AppUninstall,
    Call,
    ConsoleLines,
    DeviceFacts,
    DeviceInfo,
    DeviceStatusRead,
    EdgeLog,
    EdgesRead,
    GpioGet,
    LogLine,
    LogsRead,
    PartsRead,
    PinLevel,
    PwmChange,
    PwmLog,
    PwmRead,
)
from microclaw.devices.registry.transport import Transport
from microclaw.devices.transports.address import close_stream
from microclaw.devices.transports.virtual_programs import VirtualPrograms
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable, ProtocolError
from microclaw.events import Edge, EvidenceKind, ProgramKind
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies

R = TypeVar("R")
T = TypeVar("T")
P = TypeVar(
    "P",
    replies.EdgePage,
    replies.LogPage,
    replies.PwmPage,
    replies.LedPage,
    replies.ShownPage,
    replies.ScreenPage,
    replies.TrafficPage,
)

SCHEME: Final = "virtual:"
# Three times the board's own ring of edges.
MAX_PAGES: Final = 132
_ANSWER_S: Final = 5.0
_GONE: Final = "start it again: microclaw up --virtual 1, or microclaw virtual"


class VirtualBoardTransport(Transport):
    """One connection to a virtual board's control socket; requests queue up."""

    capabilities: Final = frozenset({
        "edges.read", "pwm.read", "parts.read", "logs.read", "gpio.get", "device.info", "device.status",
        "apps.states", "apps.list", "apps.install", "apps.remove", "apps.page",
    })  # fmt: skip
    kinds: Final[tuple[ProgramKind, ...]] = ("py",)
    evidence: Final[EvidenceKind] = "counted"

    def __init__(self, address: str | Path) -> None:
        self.path = Path(str(address).removeprefix(SCHEME))
        self.endpoint = f"{SCHEME}{self.path}"
        self._queue = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last_id = 0
        self.is_closed = False
        self._programs = VirtualPrograms(self.request, self.endpoint)

    async def call(self, call: Call[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s):
                if call.method.startswith("apps."):
                    return cast("R", await self._do_with_programs(call, timeout_s))
                return cast("R", await self._do(call))
        except TimeoutError as exc:
            text = f"{self.endpoint} did not answer within {timeout_s:g} s when asked to {act_words(call.method)}"
            raise DeviceTimeout(text, next_step=_GONE) from exc

    async def request(self, request: wire.Request[T], timeout_s: float = _ANSWER_S) -> T:
        """Send one op of the control protocol, and return its answer. Raises CallRejected with the board's reason."""
        async with self._queue:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._exchange(request)
            except TimeoutError as exc:
                text = f"{self.endpoint} did not answer {request.op} within {timeout_s:g} s"
                raise DeviceTimeout(text, next_step=_GONE) from exc
            except (OSError, EOFError) as exc:
                reason = exc if isinstance(exc, OSError) else "it closed the control socket"
                raise DeviceUnreachable(f"{self.endpoint} went away: {reason}", next_step=_GONE) from exc
            except ProtocolError as exc:
                text = f"{self.endpoint} answered {request.op} with something unreadable: {exc.message}"
                raise ProtocolError(text, next_step="is it a microclaw virtual board of this version?") from exc

    async def pages(self, ask: Callable[[int], wire.Request[P]], since: int = 0) -> P:
        """Return every row from `since` on, all pages as one page."""
        rows: list[Any] = []
        dropped_count = 0
        for _ in range(MAX_PAGES):
            page = await self.request(ask(since))
            rows += page.rows
            dropped_count += page.dropped
            is_stuck = page.next <= since
            since = page.next
            if is_stuck or not page.more:
                break
        return replace(page, rows=tuple(rows), dropped=dropped_count)

    async def edges(self, since: int = 0) -> EdgeLog:
        """Return every edge from `since` on, those of earlier boots too."""
        return _edge_log(await self.pages(wire.Edges, since))

    async def _edges_of_this_boot(self, since: int) -> EdgeLog:
        """Leave out the edges of earlier boots, which the board also keeps: its clock begins at 0 with each boot."""
        page = await self.pages(wire.Edges, since)
        first_number = page.next - len(page.rows)
        earlier_count = max(page.boot_edge - first_number, 0)
        return _edge_log(replace(page, rows=page.rows[earlier_count:]))

    async def log(self, since: int = 0) -> ConsoleLines:
        page = await self.pages(wire.ReadLog, since)
        return ConsoleLines(tuple(LogLine(*row) for row in page.rows), page.next, page.dropped)

    async def part_states(self, since: int) -> replies.PartPage:
        """Return the states of parts and pins that changed from `since` on, all pages as one.

        A pin that changed between two pages comes again: its last row counts.
        """
        parts: list[replies.PartStateRow] = []
        pins: list[replies.PinRow] = []
        for _ in range(MAX_PAGES):
            page = await self.request(wire.Parts(since))
            parts += page.parts
            pins += page.pins
            since = page.next
            if not page.more:
                break
        return replace(page, parts=tuple(parts), pins=tuple(pins))

    async def close(self) -> None:
        """End the connection for good: hands and recordings may still ask, and nobody would close what that opens."""
        self.is_closed = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        streams = self._streams
        self._streams = None
        if streams is not None:
            await close_stream(streams[1])

    async def _do(self, call: Call[Any]) -> Any:
        match call:
            case EdgesRead(cursor=cursor):
                return await self._edges_of_this_boot(cursor)
            case PwmRead(cursor=cursor):
                page = await self.pages(wire.Pwm, cursor)
                return PwmLog(tuple(PwmChange(*row) for row in page.rows), page.next)
            case PartsRead(cursor=cursor):
                return await self.part_states(cursor)
            case LogsRead(cursor=cursor):
                return await self.log(cursor)
            case GpioGet(pin=pin):
                pins = await self.request(wire.Pins())
                levels = {row.pin: row.level for row in pins.pins}
                if pin not in levels:
                    raise CallRejected(f"the board has no pin {pin}", next_step="microclaw device show")
                return PinLevel(pin, levels[pin])
            case DeviceInfo():
                return _facts(await self.request(wire.Info()))
            case DeviceStatusRead():
                return await self._status()
            case _:
                raise self.not_offered(call)

    async def _do_with_programs(self, call: Call[Any], timeout_s: float) -> Any:
        """Do a call for the board's programs, or raise NotSupported for one of another kind than Python."""
        programs = self._programs
        match call:
            case AppStates():
                apps = await self.request(wire.Apps())
                return tuple(map(_app_state, apps.apps))
            case AppList():
                return await programs.list(timeout_s)
            case AppInstall(kind="py"):
                return await programs.install(call, timeout_s)
            case AppUninstall(name=name) if await programs.has(name, timeout_s):
                return await programs.remove(name, timeout_s)
            case AppPage(name=name) if await programs.has(name, timeout_s):
                return await programs.page(call, timeout_s)
            case _:
                raise self.not_offered(call)

    async def _status(self) -> DeviceFacts:
        info = await self.request(wire.Info())
        pins = (await self.request(wire.Pins())).pins
        apps = (await self.request(wire.Apps())).apps
        used_pins = {f"gpio{row.pin}": _pin_text(row) for row in pins if row.role != "idle"}
        app_states = {f"app {row.name}": row.state for row in apps}
        uptime_s = round(info.now_ms / 1000, 3)
        return DeviceFacts({"powered": info.powered, "uptime_s": uptime_s, **app_states, **used_pins})

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = self._streams
        if streams is not None and not streams[1].is_closing():
            return streams
        self._check_open()
        try:
            streams = await asyncio.open_unix_connection(self.path, limit=wire.MAX_REPLY_BYTES)
        except OSError as exc:
            reason = exc.strerror or str(exc) or "no answer"
            raise DeviceUnreachable(f"no virtual board at {self.path}: {reason}", next_step=_GONE) from exc
        # `close` may have been called while it connected.
        if self.is_closed:
            await close_stream(streams[1])
        self._check_open()
        self._streams = streams
        return streams

    def _check_open(self) -> None:
        if self.is_closed:
            raise DeviceUnreachable(f"{self.endpoint} is not in use any more", next_step="microclaw device list")

    async def _exchange(self, request: wire.Request[T]) -> T:
        reader, writer = await self._connect()
        self._last_id += 1
        try:
            writer.write(wire.encode_request(self._last_id, request))
            await writer.drain()
            while True:
                line = await reader.readuntil(b"\n")
                reply = wire.read_reply(line, self._last_id, request)
                if reply is not None:
                    return reply
        except CallRejected:
            raise
        except BaseException as exc:
            # The answer of a cancelled request would be taken for the answer of the next one.
            await self._disconnect()
            if isinstance(exc, asyncio.LimitOverrunError):
                raise ProtocolError(f"a control line over {wire.MAX_REPLY_BYTES} bytes") from exc
            raise


def _edge_log(page: replies.EdgePage) -> EdgeLog:
    return EdgeLog(tuple(Edge(*row) for row in page.rows), page.next, page.dropped, page.now_ms)


def _app_state(row: replies.AppRow) -> AppState:
    return AppState(
        row.name,
        row.state,
        row.error,
        row.heap_bytes,
        row.peak_heap_bytes,
        row.peak_stack_bytes,
        row.pins,
    )


def _facts(info: replies.BoardInfo) -> DeviceFacts:
    values: dict[str, str | int | float | bool | None] = {
        "device": info.name,
        "board": info.board,
        "chip": info.chip,
        "firmware": "ESP-WASMachine",
        "virtual": True,
        "clock": info.clock,
        "boot": info.boot,
        "powered": info.powered,
        "uptime_ms": int(info.now_ms),
        "wasmachine_port": info.wasmachine,
        "serial_port": info.serial,
        "pty": info.pty,
        "pid": info.pid,
    }
    return DeviceFacts({key: value for key, value in values.items() if value is not None})


def _pin_text(row: replies.PinRow) -> str:
    if row.role == "pwm":
        level = f"pwm duty {row.duty} at {row.frequency_hz} Hz"
    else:
        level = f"{row.role} {row.level}"
    if row.app:
        return f"{level} ({row.app})"
    return level
