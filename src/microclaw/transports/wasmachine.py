"""The WASMachine transport: apps are installed, removed, listed and asked over TCP. It compiles and checks nothing.

After an interrupted install the firmware's parser waits for the rest of the image, whoever connects next. The transport
repairs that first: pad, remove what the padding may have completed, list what is there. While it sends an install, a
mark beside the address lock says so: a process that finds the mark of one that died asks the board first, as all of it
may have arrived, and repairs the parser only when nothing comes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from msgspec import DecodeError, Struct, structs
from msgspec.json import decode, encode

from microclaw.boards.profile import BoardProfile
from microclaw.clock import find_zone, machine_zone
from microclaw.devices.calls import AppEntry, AppInstall, AppList, AppReply, AppRequest, AppUninstall, Call
from microclaw.devices.device import not_offered
from microclaw.durable import replace_file
from microclaw.errors import (
    AppNotFound,
    DeviceSilent,
    DeviceTimeout,
    DeviceUnreachable,
    ImageTooLarge,
    InstallInterrupted,
    InvalidModule,
    ProtocolError,
)
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.transports.address import AddressLock, parse_host_port
from microclaw.transports.wasmachine_connection import NoAnswer, Timeouts, WasmachineConnection
from microclaw.wire.wasm_binary import HEADER as MODULE_HEADER
from microclaw.wire.wasm_binary import ModuleError, Reader
from microclaw.wire.wasmachine.answers import error_text, raise_for_status, read_applets
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.clock_stamp import stamp_clock
from microclaw.wire.wasmachine.frame import HEADER, FrameType, encode_frame
from microclaw.wire.wasmachine.request import (
    Request,
    Response,
    Status,
    app_request,
    install_request,
    query_request,
    uninstall_request,
)

_REBUILD: Final = "build it again from its source: microclaw app build"


def check_sendable(wasm: bytes, board: BoardProfile) -> None:
    """Refuse images that firmware never answers and that wedge its parser: empty ones, and cut sections."""
    limit = board.firmware.max_module_bytes
    if len(wasm) > limit:
        raise ImageTooLarge(
            f"the image has {len(wasm)} bytes, {board.title} takes {limit}",
            next_step="make the program smaller: less static data, optimization Os",
        )
    if wasm[: len(MODULE_HEADER)] != MODULE_HEADER:
        raise InvalidModule(f"not a WebAssembly 1.0 module, it starts with {wasm[:8].hex(' ')!r}", next_step=_REBUILD)
    if len(wasm) == len(MODULE_HEADER):
        raise InvalidModule("an empty module: no firmware answers one", next_step=_REBUILD)
    reader = Reader(wasm, len(MODULE_HEADER))
    while not reader.at_end:
        section = reader.byte()
        try:
            size = reader.u32()
        except ModuleError as exc:
            text = f"the image has a broken section length at byte {reader.position}"
            raise InvalidModule(text, next_step=_REBUILD) from exc
        if size > reader.left:
            text = f"the image ends inside section {section}, {size - reader.left} bytes are missing"
            raise InvalidModule(text, next_step=_REBUILD)
        reader.take(size)


def raise_install_error(response: Response, name: str) -> None:
    """Each refusal of an install as its exception; the loader's own texts come without the manager's prefix."""
    if response.status < Status.BAD_REQUEST:
        return
    text = error_text(response) or ""
    if "allocate" in text or "memory" in text:
        raise ImageTooLarge(
            f"the device has no room for {name}: {text}",
            next_step="remove another app, ask for less heap, or use less static data",
            foreign=True,
        )
    if any(part in text for part in ("load failed", "load WASM file failed", "instantiate failed")):
        raise InvalidModule(f"the device could not load {name}: {text}", next_step=_REBUILD, foreign=True)
    raise_for_status(response, name)


R = TypeVar("R")

SCHEME: Final = "wasmachine://"
DEFAULT_PORT: Final = 8080  # WASMACHINE_TCP_SERVER's default port in esp-wasmachine
_PAD: Final = b"\xff"  # zeros once aborted the firmware's heap
_RECOVERY_ANSWER_S: Final = 5.0
_ONE_CLIENT: Final = "firmware serves one client at a time: close others (host_tool, a second host), else restart it"
_WRONG_PEER: Final = "is that address a WASMachine? check host and port: microclaw device list"
_RESTART: Final = "power the board off and on, then deploy again"


_SILENT: Final = (
    "firmware serves one client at a time: close others (host_tool, a second host); if it stays silent, its app "
    "manager hangs: reset it, or switch it off and on"
)


class _Interrupted(Struct, frozen=True):
    """An install whose end the device may never have seen. `is_old`: a process before this one began it."""

    name: str
    frame_bytes: int
    delivered: bool = False
    is_old: bool = False


class _InstallMark:
    """The file that says which install is under way at an address. Written and removed under the address lock."""

    def __init__(self, lock: AddressLock) -> None:
        self._path = lock.path.with_suffix(".install")

    @property
    def is_there(self) -> bool:
        return self._path.exists()

    def write(self, sent: _Interrupted) -> None:
        with suppress(OSError):  # a full disk must not keep a program from its board
            replace_file(self._path, encode(sent), sync=False)

    def read(self) -> _Interrupted | None:
        """The install of a process that died; None when there is none, or the file is not one of ours."""
        try:
            return structs.replace(decode(self._path.read_bytes(), type=_Interrupted), is_old=True, delivered=False)
        except (OSError, DecodeError):
            self.clear()
            return None

    def clear(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class WasmachineTransport:
    """One application manager at host:port; calls queue up, one exchange at a time."""

    capabilities: Final = frozenset({"apps.install", "apps.remove", "apps.list", "apps.request"})
    kinds: Final[tuple[ProgramKind, ...]] = ("wasm",)
    evidence: Final[EvidenceKind] = "accepted"

    def __init__(
        self,
        address: str,
        board: BoardProfile,
        *,
        lock_folder: Path,
        timeouts: Timeouts | None = None,
        first_mid: int | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        host_port = parse_host_port(address.removeprefix(SCHEME), DEFAULT_PORT)
        self.endpoint = f"{SCHEME}{host_port}"
        self.timeouts = timeouts or Timeouts()
        self.board = board
        self._zone = zone or find_zone(machine_zone()) or UTC
        lock = AddressLock(lock_folder, self.endpoint)
        self._connection = WasmachineConnection(host_port, lock, self.timeouts)
        self._mark = _InstallMark(lock)
        self._queue = asyncio.Lock()
        # Answers to an earlier process's requests can still come: a random start keeps their mids from being ours.
        self._mid = secrets.randbits(31) if first_mid is None else first_mid
        self._interrupted: _Interrupted | None = None
        self._is_silent = False  # the last exchange had no answer

    @property
    def other_answers(self) -> int:
        """Answers that belonged to none of our requests."""
        return self._connection.other_answers

    async def call(self, call: Call[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s), self._queue:
                return cast("R", await self._do(call))
        except TimeoutError as exc:
            if isinstance(call, AppInstall) and self._interrupted is not None:
                raise InstallInterrupted(
                    f"installing {call.name} on {self._connection.address} took over {timeout_s:g} s; outcome unknown",
                    outcome="unknown",
                    next_step="see whether it is there: microclaw app list",
                ) from exc
            unknown = "" if call.idempotent else "; outcome unknown"
            text = f"{self._connection.address} did not answer {call.method} within {timeout_s:g} s{unknown}"
            if self._is_silent and not isinstance(call, AppRequest):
                raise DeviceSilent(text, next_step=_SILENT) from exc
            raise DeviceTimeout(text, next_step=self._way_out()) from exc
        except ProtocolError as exc:
            await self._connection.close()
            raise ProtocolError(
                f"{self._connection.address} answered {call.method} with something unreadable: {exc.message}",
                next_step=_WRONG_PEER,
            ) from exc

    async def close(self) -> None:
        await self._connection.close()

    async def _do(self, call: Call[Any]) -> Any:
        match call:
            case AppInstall():
                return await self._install(call)
            case AppUninstall(name=name):
                return await self._uninstall(name)
            case AppList():
                return await self._list()
            case AppRequest():
                return await self._request(call)
            case _:
                raise not_offered(self.endpoint, call, self.capabilities)

    async def _install(self, call: AppInstall) -> None:
        """The name must be free: after an interruption whatever has it is removed."""
        check_sendable(call.code, self.board)
        await self._mend()
        wasm = stamp_clock(call.code, time.time(), self._zone)
        mid = self._next_mid()
        request = install_request(
            mid, call.name, wasm, heap_bytes=call.heap_bytes, timers=call.timers, watchdog_ms=call.watchdog_ms
        )
        frame = encode_frame(FrameType.INSTALL, request.encode())
        await self._connection.open()
        self._interrupted = _Interrupted(call.name, len(frame))
        self._mark.write(self._interrupted)
        try:
            response = await self._connection.exchange(frame, mid, self.timeouts.install_s(len(frame)))
        except DeviceUnreachable:
            self._settle()
            raise
        except NoAnswer as exc:
            self._interrupted = _Interrupted(call.name, len(frame), exc.delivered)
            raise await self._interruption(call.name, exc) from exc
        self._settle()
        raise_install_error(response, call.name)

    async def _interruption(self, name: str, cause: NoAnswer) -> InstallInterrupted:
        """Mend the parser at once and say what is true of the app."""
        text = f"installing {name} on {self._connection.address} broke off: {cause.reason}"
        try:
            names = await self._mend()
        except (DeviceUnreachable, DeviceSilent) as exc:
            return InstallInterrupted(
                f"{text}; outcome unknown: {exc.message}",
                outcome="unknown",
                next_step=f"when the device is back, see whether it has {name}: microclaw app list",
                silent=isinstance(exc, DeviceSilent),
            )
        outcome: Literal["not_installed", "listed"] = "listed" if name in names else "not_installed"
        if outcome == "listed":
            return InstallInterrupted(
                f"{text}; the device does list {name} now",
                outcome=outcome,
                next_step="check that it works, or remove it",
            )
        return InstallInterrupted(f"{text}; it is not on the device", outcome=outcome, next_step="deploy it again")

    async def _mend(self) -> frozenset[str]:
        """Bring the firmware's parser back in step after an interrupted install; the names that it then lists.

        More padding than the parser waits for is harmless: it skips what does not start a frame. A cut inside the
        frame's length makes it wait for up to 64 KiB; a longer claim fails its malloc, which ends the wait.
        """
        if self._interrupted is None and self._mark.is_there:
            await self._connection.open()  # waits for a process that is sending just now; its mark is gone then
            self._interrupted = self._mark.read() if self._mark.is_there else None
        interrupted = self._interrupted
        if interrupted is None:
            return frozenset()
        try:
            if interrupted.is_old:
                with suppress(NoAnswer):
                    response = await self._exchange(query_request, self.timeouts.first_query_s)
                    self._settle()
                    return frozenset(app.name for app in read_applets(response))
            if not interrupted.delivered:
                try:
                    await self._pad_and_remove(interrupted)
                except NoAnswer:  # a board that has just started loses what comes first, as with every request
                    await self._pad_and_remove(interrupted)
            names = frozenset(entry.name for entry in await self._list_now())
        except NoAnswer as exc:
            kind = DeviceSilent if exc.silent else DeviceUnreachable
            raise kind(
                f"{self._connection.address} has not answered since the install of {interrupted.name} broke off: "
                f"{exc.reason}",
                next_step=_RESTART,
            ) from exc
        self._settle()
        return names

    async def _pad_and_remove(self, interrupted: _Interrupted) -> None:
        """Whatever it answers: nothing to remove is the usual case, and the truth is asked next."""
        padding = _PAD * ((interrupted.frame_bytes | 0xFFFF) + HEADER.size)
        await self._connection.send_only(padding, self.timeouts.install_s(len(padding)))
        await self._exchange(lambda mid: uninstall_request(mid, interrupted.name), _RECOVERY_ANSWER_S)

    def _settle(self) -> None:
        """The firmware's parser is in step: no install is open any more."""
        self._interrupted = None
        self._mark.clear()

    async def _uninstall(self, name: str) -> None:
        await self._mend()
        try:
            response = await self._exchange(lambda mid: uninstall_request(mid, name), self.timeouts.answer_s)
        except NoAnswer as first:
            try:
                response = await self._exchange(lambda mid: uninstall_request(mid, name), _RECOVERY_ANSWER_S)
                raise_for_status(response, name)
            except AppNotFound:
                return  # the first one did it, only its answer was lost
            except (NoAnswer, DeviceUnreachable) as exc:
                is_silent = isinstance(exc, NoAnswer) and exc.silent
                raise self._timed_out(f"removing {name}", first, unknown=True, is_silent=is_silent) from exc
            return
        raise_for_status(response, name)

    async def _list(self) -> tuple[AppEntry, ...]:
        await self._mend()
        try:
            return await self._list_now()
        except NoAnswer as exc:
            raise self._timed_out("listing its apps", exc, is_silent=exc.silent) from exc

    async def _list_now(self) -> tuple[AppEntry, ...]:
        """Asked once more on a fresh connection when the first request got no answer."""
        try:
            response = await self._exchange(query_request, self.timeouts.first_query_s)
        except NoAnswer:
            response = await self._exchange(query_request, self.timeouts.answer_s - self.timeouts.first_query_s)
        return tuple(AppEntry(app.name, app.heap_bytes) for app in read_applets(response))

    async def _request(self, call: AppRequest) -> AppReply:
        await self._mend()
        generation = Generation(self.board.firmware.attribute_generation)
        body = AttributeContainer.of("", call.values).encode(generation) if call.values else b""
        try:
            ask = partial(app_request, name=call.name, url=call.url, body=body)
            response = await self._exchange(ask, self.timeouts.answer_s)
        except NoAnswer as exc:
            # The firmware is silent for a url that no app registered (protocols/wasmachine, habits).
            raise DeviceTimeout(
                f"{call.name} gave no answer to /{call.url.lstrip('/')}: {exc.reason}",
                next_step=f"does {call.name} register that url and run? microclaw app list",
            ) from exc
        raise_for_status(response, call.name)
        values = AttributeContainer.decode(response.body).as_mapping() if response.body else {}
        return AppReply(response.status, values)

    async def _exchange(self, build: Callable[[int], Request], timeout_s: float) -> Response:
        mid = self._next_mid()
        frame = encode_frame(FrameType.REQUEST, build(mid).encode())
        try:
            response = await self._connection.exchange(frame, mid, timeout_s)
        except NoAnswer as exc:
            self._is_silent = exc.silent
            raise
        except DeviceUnreachable:
            self._is_silent = False
            raise
        self._is_silent = False
        return response

    def _next_mid(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF_FFFF
        return self._mid

    def _way_out(self) -> str:
        return _WRONG_PEER if self._connection.garbled else _ONE_CLIENT

    def _timed_out(self, doing: str, cause: NoAnswer, *, is_silent: bool, unknown: bool = False) -> DeviceTimeout:
        text = f"{doing} on {self._connection.address}: {cause.reason}{'; outcome unknown' if unknown else ''}"
        if is_silent:
            return DeviceSilent(text, next_step=_SILENT)
        return DeviceTimeout(text, next_step=self._way_out())
