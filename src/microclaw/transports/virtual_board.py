"""The virtual board's transport over its control socket: counted edges, logs, app states, and its inputs to set.

The protocol is wire/board_control.py (docs/protocols/virtual.md). This file starts no board.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from microclaw.devices.calls import (
    AppState,
    AppStates,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatus,
    EdgeLog,
    EdgesRead,
    GpioGet,
    LogLine,
    LogPage,
    LogsRead,
    PinLevel,
    PwmChange,
    PwmLog,
    PwmRead,
)
from microclaw.devices.transport import Transport
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable, ProtocolError
from microclaw.events import Edge, EvidenceKind
from microclaw.transports.address import close_stream
from microclaw.wire import board_control as wire
from microclaw.wire import board_replies as replies

R = TypeVar("R")
T = TypeVar("T")
P = TypeVar("P", replies.EdgePage, replies.LogPage, replies.PwmPage, replies.LedPage)

SCHEME: Final = "virtual:"
MAX_PAGES: Final = 132  # three times the board's own ring of edges
PY_PIECE_BYTES: Final = 4_096
_ANSWER_S: Final = 5.0
_GONE: Final = "start it again: microclaw up --virtual 1, or microclaw virtual"


class VirtualBoardTransport(Transport):
    """One connection to a virtual board's control socket; requests queue up."""

    capabilities: Final = frozenset(
        {"edges.read", "pwm.read", "logs.read", "apps.states", "gpio.get", "device.info", "device.status"}
    )
    evidence: Final[EvidenceKind] = "counted"

    def __init__(self, address: str | Path) -> None:
        self.path = Path(str(address).removeprefix(SCHEME))
        self.endpoint = f"{SCHEME}{self.path}"
        self._queue = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last_id = 0

    async def call(self, call: Call[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s):
                return cast("R", await self._do(call))
        except TimeoutError as exc:
            raise DeviceTimeout(
                f"{self.endpoint} did not answer {call.method} within {timeout_s:g} s", next_step=_GONE
            ) from exc

    async def request(self, request: wire.Request[T], timeout_s: float = _ANSWER_S) -> T:
        """One op of the control protocol; CallRejected carries the board's own reason."""
        async with self._queue:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._exchange(request)
            except TimeoutError as exc:
                await self.close()
                raise DeviceTimeout(
                    f"{self.endpoint} did not answer {request.op} within {timeout_s:g} s", next_step=_GONE
                ) from exc
            except (OSError, EOFError) as exc:
                await self.close()
                raise DeviceUnreachable(f"{self.endpoint} went away: {exc}", next_step=_GONE) from exc
            except (CallRejected, DeviceUnreachable):
                raise
            except ProtocolError as exc:
                await self.close()
                raise ProtocolError(
                    f"{self.endpoint} answered {request.op} with something unreadable: {exc.message}",
                    next_step="is it a microclaw virtual board of this version?",
                ) from exc
            except BaseException:
                await self.close()  # the answer of a cancelled request would be taken for the next one's
                raise

    async def info(self) -> replies.BoardInfo:
        return await self.request(wire.Info())

    async def pins(self) -> tuple[replies.PinRow, ...]:
        return (await self.request(wire.Pins())).pins

    async def edges(self, since: int = 0) -> EdgeLog:
        """Every edge from `since` on, all pages of it."""
        pages = await self._pages(wire.Edges, since)
        found = tuple(Edge(row.t_ms, row.pin, row.level) for page in pages for row in page.edges)
        return EdgeLog(found, pages[-1].next, sum(page.dropped for page in pages), pages[-1].now_ms)

    async def log(self, since: int = 0) -> LogPage:
        """Every console line from `since` on, all pages of it."""
        pages = await self._pages(wire.Log, since)
        lines = tuple(LogLine(row.t_ms, row.app, row.text) for page in pages for row in page.lines)
        return LogPage(lines, pages[-1].next, sum(page.dropped for page in pages))

    async def pwm_changes(self, since: int = 0) -> tuple[tuple[replies.PwmRow, ...], int]:
        """Every PWM change from `since` on, and the cursor for the next time."""
        pages = await self._pages(wire.Pwm, since)
        return tuple(row for page in pages for row in page.changes), pages[-1].next

    async def led_changes(self, since: int = 0) -> tuple[tuple[replies.LedRow, ...], int]:
        """The changes of addressable LEDs from `since` on, and the cursor for the next time."""
        pages = await self._pages(wire.Leds, since)
        return tuple(row for page in pages for row in page.changes), pages[-1].next

    async def install_py(
        self,
        name: str,
        image: bytes,
        heap_bytes: int,
        timeout_s: float = 30.0,
        times: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Install and start a `py` program; CallRejected with the runner's words when the board refuses it."""
        digest = hashlib.sha256(image).hexdigest()
        announced = {"name": name, "kind": "py", "size": len(image), "sha256": digest, "heap": heap_bytes}
        announced |= {"every_ms": times[0] or 0, "stop_after_ms": times[1] or 0}
        await self.request(wire.Py("begin", announced), timeout_s)
        for offset in range(0, len(image), PY_PIECE_BYTES):
            piece = b64encode(image[offset : offset + PY_PIECE_BYTES]).decode()
            await self.request(wire.Py("write", {"offset": offset, "data": piece}), timeout_s)
        await self.request(wire.Py("commit"), timeout_s)

    async def app_rows(self) -> tuple[replies.AppRow, ...]:
        """The apps with how each ended."""
        return (await self.request(wire.Apps())).apps

    async def set_input(self, pin: int, level: int, at_ms: float | None = None) -> None:
        """Drive a pin from outside, now or at a board time."""
        await self.request(wire.SetInput(pin, level, at_ms))

    async def set_adc(self, pin: int, volts: float, at_ms: float | None = None) -> None:
        await self.request(wire.SetAdc(pin, volts, at_ms))

    async def set_sensor(self, sensor: str, values: Mapping[str, float], at_ms: float | None = None) -> None:
        await self.request(wire.SetSensor(sensor, dict(values), at_ms))

    async def power(self, action: wire.PowerAction) -> None:
        await self.request(wire.Power(action))

    async def advance(self, ms: float, timeout_s: float = 30.0) -> replies.AdvanceResult:
        """Run a virtual clock forward; the time-out is real time."""
        return await self.request(wire.Advance(ms), timeout_s)

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            await close_stream(streams[1])

    async def _do(self, call: Call[Any]) -> Any:
        match call:
            case EdgesRead(cursor=cursor):
                return await self.edges(cursor)
            case PwmRead(cursor=cursor):
                changes, after = await self.pwm_changes(cursor)
                return PwmLog(tuple(PwmChange(*change) for change in changes), after)
            case LogsRead(cursor=cursor):
                return await self.log(cursor)
            case AppStates():
                return tuple(map(_app_state, await self.app_rows()))
            case GpioGet(pin=pin):
                levels = {row.pin: row.level for row in await self.pins()}
                if pin not in levels:
                    raise CallRejected(f"the board has no pin {pin}", next_step="microclaw device show")
                return PinLevel(pin, levels[pin])
            case DeviceInfo():
                return _facts(await self.info())
            case DeviceStatus():
                return await self._status()
            case _:
                raise self.not_offered(call)

    async def _status(self) -> DeviceFacts:
        info = await self.info()
        used = {f"gpio{row.pin}": _pin_text(row) for row in await self.pins() if row.role != "idle"}
        apps = {f"app {row.name}": row.state for row in await self.app_rows()}
        return DeviceFacts({"powered": info.powered, "uptime_s": round(info.now_ms / 1000, 3), **apps, **used})

    async def _pages(self, ask: Callable[[int], wire.Request[P]], since: int) -> list[P]:
        pages: list[P] = []
        while len(pages) < MAX_PAGES:
            page = await self.request(ask(since))
            pages.append(page)
            stuck, since = page.next <= since, page.next
            if not page.more or stuck:
                break
        return pages

    async def _exchange(self, request: wire.Request[T]) -> T:
        if self._streams is None or self._streams[1].is_closing():
            try:
                self._streams = await asyncio.open_unix_connection(self.path, limit=2 * wire.MAX_LINE_BYTES)
            except OSError as exc:
                why = exc.strerror or str(exc) or "no answer"
                raise DeviceUnreachable(f"no virtual board at {self.path}: {why}", next_step=_GONE) from exc
        reader, writer = self._streams
        self._last_id += 1
        writer.write(wire.encode_request(self._last_id, request))
        await writer.drain()
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as exc:
                raise EOFError("it closed the control socket") from exc
            except asyncio.LimitOverrunError as exc:
                raise ProtocolError(f"a control line over {2 * wire.MAX_LINE_BYTES} bytes") from exc
            if (reply := wire.read_reply(line, self._last_id, request)) is not None:
                return reply


def _app_state(row: replies.AppRow) -> AppState:
    state = "returned" if row.state == "running" and row.kind_of_end == "returned" else row.state
    peaks = row.peak_heap_bytes, row.peak_stack_bytes
    return AppState(row.name, state, row.error, row.heap_bytes, *peaks, row.pins)


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
    level = f"pwm duty {row.duty} at {row.frequency_hz} Hz" if row.role == "pwm" else f"{row.role} {row.level}"
    return f"{level} ({row.app})" if row.app else level
