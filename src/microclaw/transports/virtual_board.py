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
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
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
                    await self._connect()
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
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            await close_stream(writer)

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
                return tuple(_app_state(row) for row in await self.app_rows())
            case GpioGet(pin=pin):
                return await self._level(pin)
            case DeviceInfo():
                return _facts(await self.info())
            case DeviceStatus():
                return await self._status()
            case _:
                raise self.not_offered(call)

    async def _level(self, pin: int) -> PinLevel:
        row = next((row for row in await self.pins() if row.pin == pin), None)
        if row is None:
            raise CallRejected(f"the board has no pin {pin}", next_step="microclaw device show")
        return PinLevel(pin, row.level)

    async def _status(self) -> DeviceFacts:
        info = await self.info()
        used = {f"gpio{row.pin}": _pin_text(row) for row in await self.pins() if row.role != "idle"}
        apps = {f"app {row.name}": row.state for row in await self.app_rows()}
        return DeviceFacts({"powered": info.powered, "uptime_s": round(info.now_ms / 1000, 3), **apps, **used})

    async def _connect(self) -> None:
        if self._writer is not None and not self._writer.is_closing():
            return
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(self.path, limit=2 * wire.MAX_LINE_BYTES)
        except OSError as exc:
            raise self._unreachable(exc) from exc

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
        assert self._reader is not None
        assert self._writer is not None
        self._last_id += 1
        self._writer.write(wire.encode_request(self._last_id, request))
        await self._writer.drain()
        while (reply := wire.read_reply(await _line(self._reader), self._last_id, request)) is None:
            pass
        return reply

    def _unreachable(self, exc: OSError | TimeoutError) -> DeviceUnreachable:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or "no answer"
        return DeviceUnreachable(f"no virtual board at {self.path}: {why}", next_step=_GONE)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as exc:
        raise EOFError("it closed the control socket") from exc
    except asyncio.LimitOverrunError as exc:
        raise ProtocolError(f"a control line over {2 * wire.MAX_LINE_BYTES} bytes") from exc


def _app_state(row: replies.AppRow) -> AppState:
    state = "returned" if row.state == "running" and row.kind_of_end == "returned" else row.state
    return AppState(
        row.name,
        state,
        row.error,
        row.heap_bytes,
        row.peak_heap_bytes,
        row.peak_stack_bytes,
        tuple(row.pins),
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
    level = f"pwm duty {row.duty} at {row.frequency_hz} Hz" if row.role == "pwm" else f"{row.role} {row.level}"
    return f"{level} ({row.app})" if row.app else level
