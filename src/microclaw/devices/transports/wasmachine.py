"""The WASMachine transport: installs, removes, lists and calls apps over TCP. It compiles and checks nothing.

After an interrupted install the firmware's parser waits for the rest of the image, from any client. The transport
repairs that first: it sends padding, removes the app that the padding may have completed, and lists the apps. During an
install there is a mark beside the address lock. A process that finds the mark of a process that died asks the board
first, because all bytes may have arrived, and repairs the parser only if it gets no answer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from microclaw.clock import find_zone, machine_zone
from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import (
    AppEntry,
    AppInstall,
    AppList,
    AppPage,
    AppReply,
    AppRequest,
    AppUninstall,
    Call,
    ConsoleLines,
    LogsRead,
    silent_page_error,
)
from microclaw.devices.registry.transport import HeldAs, Transport
from microclaw.devices.transports.address import AddressLock, parse_host_port
from microclaw.devices.transports.installs import InstallMark, InterruptedInstall, check_sendable, raise_install_error
from microclaw.devices.transports.pin_calls import HELD_URL, PIN_PROGRAM, BuildPinProgram, PinCalls
from microclaw.devices.transports.program_logs import ProgramLogs
from microclaw.devices.transports.wasmachine_connection import NoAnswer, Timeouts, WasmachineConnection
from microclaw.errors import (
    AppNotFound,
    DeviceSilent,
    DeviceTimeout,
    DeviceUnreachable,
    InstallInterrupted,
    ProtocolError,
)
from microclaw.events import ProgramKind
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.wire.wasmachine.answers import raise_for_status, read_applets
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.clock_stamp import stamp_clock
from microclaw.wire.wasmachine.frame import HEADER, MessageType, encode_frame
from microclaw.wire.wasmachine.program_log import ProgramLog, log_request, read_log
from microclaw.wire.wasmachine.request import (
    PAGE_URL,
    Response,
    WasmachineRequest,
    app_request,
    install_request,
    page_request,
    query_request,
    uninstall_request,
)

_APPS: Final = frozenset({"apps.install", "apps.remove", "apps.list", "apps.page", "apps.request", "logs.read"})
MAX_CURSOR: Final = 2**32
"""No cursor of a log is above it: a caller with a higher one asks for the number of the next line."""


R = TypeVar("R")

SCHEME: Final = "wasmachine://"
# The default port of WASMACHINE_TCP_SERVER in esp-wasmachine.
DEFAULT_PORT: Final = 8080
# Zeros once aborted the firmware's heap.
_PAD: Final = b"\xff"
_RECOVERY_ANSWER_S: Final = 5.0
_ONE_CLIENT: Final = "firmware serves one client at a time: close others (host_tool, a second host), else restart it"
_WRONG_PEER: Final = "is that address a WASMachine? check host and port: microclaw device list"
_RESTART: Final = "power the board off and on, then deploy again"


_SILENT: Final = (
    "firmware serves one client at a time: close others (host_tool, a second host); if it stays silent, its app "
    "manager hangs: reset it, or switch it off and on"
)


class WasmachineTransport(Transport):
    """The transport to one application manager at host:port. Calls queue up: there is one exchange at a time.

    Only the programs' answers to requests for pages are awaited beside it.
    """

    kinds: Final[tuple[ProgramKind, ...]] = ("wasm",)
    pin_program: Final = PIN_PROGRAM

    def __init__(
        self,
        address: str,
        board: BoardProfile,
        *,
        lock_folder: Path,
        timeouts: Timeouts | None = None,
        first_mid: int | None = None,
        zone: tzinfo | None = None,
        build_pin_program: BuildPinProgram | None = None,
    ) -> None:
        host_port = parse_host_port(address.removeprefix(SCHEME), DEFAULT_PORT)
        self.endpoint = f"{SCHEME}{host_port}"
        self.timeouts = timeouts or Timeouts()
        self._zone = zone or find_zone(machine_zone()) or UTC
        lock = AddressLock(lock_folder, self.endpoint)
        self._connection = WasmachineConnection(host_port, lock, self.timeouts)
        self._mark = InstallMark(lock)
        self._queue = asyncio.Lock()
        self._logs = ProgramLogs()
        self._pins = PinCalls(self._install, self._uninstall, self._ask_pins, build_pin_program)
        self.describe(board)
        # Answers to an earlier process's requests can still come. A random start makes equal mids improbable.
        self._mid = secrets.randbits(31) if first_mid is None else first_mid
        self._interrupted: InterruptedInstall | None = None
        # The last exchange had no answer.
        self._is_silent = False

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        return self._pins.held

    @property
    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    def describe(self, board: BoardProfile) -> None:
        self.board = board
        self._capabilities = _APPS | self._pins.methods(board)

    async def call(self, call: Call[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s):
                if isinstance(call, AppPage):
                    return cast("R", await self._page(call))
                async with self._queue:
                    return cast("R", await self._do(call))
        except TimeoutError as exc:
            raise self._call_timeout(call, timeout_s) from exc
        except ProtocolError as exc:
            await self._connection.close()
            text = f"{self._connection.address} answered {call.method} with something unreadable: {exc.message}"
            raise ProtocolError(text, next_step=_WRONG_PEER) from exc

    async def close(self) -> None:
        await self._connection.close()

    def _call_timeout(self, call: Call[Any], timeout_s: float) -> InstallInterrupted | DeviceTimeout:
        if isinstance(call, AppInstall) and self._interrupted is not None:
            return InstallInterrupted(
                f"installing {call.name} on {self._connection.address} took over {timeout_s:g} s; outcome unknown",
                outcome="unknown",
                next_step="see whether it is there: microclaw app list",
            )
        unknown = "" if call.idempotent else "; outcome unknown"
        text = f"{self._connection.address} did not {act_words(call.method)} within {timeout_s:g} s{unknown}"
        if self._is_silent and not isinstance(call, AppPage | AppRequest):
            return DeviceSilent(text, next_step=_SILENT)
        return DeviceTimeout(text, next_step=self._next_step())

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
            case LogsRead(cursor=cursor):
                return await self._log_page(cursor)
            case _ if call.method in self._pins.methods(self.board):
                names = tuple(app.name for app in await self._list())
                return await self._pins.act(call, self.board, names)
            case _:
                raise self.not_offered(call)

    async def _install(self, call: AppInstall) -> None:
        """Install a program whose name is free: after an interruption, an app of this name is removed."""
        check_sendable(call.code, self.board)
        await self._mend()
        wasm = stamp_clock(call.code, time.time(), self._zone)
        mid = self._next_mid()
        request = install_request(
            mid, call.name, wasm, heap_bytes=call.heap_bytes, timers=call.timers, watchdog_ms=call.watchdog_ms
        )
        frame = encode_frame(MessageType.INSTALL, request.encode())
        await self._connection.open()
        self._interrupted = InterruptedInstall(call.name, len(frame))
        self._mark.write(self._interrupted)
        try:
            response = await self._connection.exchange(frame, mid, self.timeouts.install_s(len(frame)))
        except DeviceUnreachable:
            self._settle()
            raise
        except NoAnswer as exc:
            self._interrupted = InterruptedInstall(call.name, len(frame), exc.delivered)
            raise await self._interruption(call.name, exc) from exc
        self._settle()
        raise_install_error(response, call.name)
        self._logs.installed(call.name, call.code)

    async def _interruption(self, name: str, cause: NoAnswer) -> InstallInterrupted:
        """Repair the parser at once, and return an error with the state of the app."""
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
        if name in names:
            text = f"{text}; the device does list {name} now"
            return InstallInterrupted(text, outcome="listed", next_step="check that it works, or remove it")
        text = f"{text}; it is not on the device"
        return InstallInterrupted(text, outcome="not_installed", next_step="deploy it again")

    async def _mend(self) -> frozenset[str]:
        """Repair the firmware's parser after an interrupted install. Returns the names of the apps, if there was one.

        More padding than the parser waits for is harmless: it skips bytes that do not start a frame. A cut inside the
        frame's length makes it wait for up to 64 KiB; a longer length fails its malloc, which ends the wait.
        """
        if self._interrupted is None and self._mark.is_there:
            # This waits for another process that is sending just now, which then removes its mark.
            await self._connection.open()
            self._interrupted = self._mark.read() if self._mark.is_there else None
        interrupted = self._interrupted
        if interrupted is None:
            return frozenset()
        try:
            return await self._repair(interrupted)
        except NoAnswer as exc:
            error_class = DeviceSilent if exc.silent else DeviceUnreachable
            raise error_class(
                f"{self._connection.address} has not answered since the install of {interrupted.name} broke off: "
                f"{exc.reason}",
                next_step=_RESTART,
            ) from exc

    async def _repair(self, interrupted: InterruptedInstall) -> frozenset[str]:
        if interrupted.is_old:
            with suppress(NoAnswer):
                response = await self._exchange(query_request, self.timeouts.first_query_s)
                self._settle()
                return frozenset(app.name for app in read_applets(response))
        if not interrupted.delivered:
            try:
                await self._pad_and_remove(interrupted)
            except NoAnswer:
                # A board that has just started can lose the first bytes, as with every request.
                await self._pad_and_remove(interrupted)
        names = frozenset(entry.name for entry in await self._list_now())
        self._settle()
        return names

    async def _pad_and_remove(self, interrupted: InterruptedInstall) -> None:
        """Send padding, and remove the app that it may have completed. The answer does not matter: a list follows."""
        await self._pad(interrupted.frame_bytes)
        await self._exchange(lambda mid: uninstall_request(mid, interrupted.name), _RECOVERY_ANSWER_S)

    async def _pad(self, frame_bytes: int) -> None:
        padding = _PAD * ((frame_bytes | 0xFFFF) + HEADER.size)
        await self._connection.send_only(padding, self.timeouts.install_s(len(padding)))

    def _settle(self) -> None:
        """Note that the firmware's parser is in step, and that no install is open."""
        self._interrupted = None
        self._mark.clear()

    async def _uninstall(self, name: str) -> None:
        await self._mend()
        try:
            response = await self._exchange(lambda mid: uninstall_request(mid, name), self.timeouts.answer_s)
        except NoAnswer as exc:
            await self._uninstall_again(name, exc)
            return
        raise_for_status(response, name)

    async def _uninstall_again(self, name: str, first: NoAnswer) -> None:
        # If the first request removed the app, only its answer was lost.
        with suppress(AppNotFound):
            try:
                response = await self._exchange(lambda mid: uninstall_request(mid, name), _RECOVERY_ANSWER_S)
                raise_for_status(response, name)
            except (NoAnswer, DeviceUnreachable) as exc:
                is_silent = isinstance(exc, NoAnswer) and exc.silent
                raise self._timeout(f"removing {name}", first, unknown=True, is_silent=is_silent) from exc

    async def _list(self) -> tuple[AppEntry, ...]:
        await self._mend()
        try:
            apps = await self._list_now()
        except NoAnswer as exc:
            raise self._timeout("listing its apps", exc, is_silent=exc.silent) from exc
        names = await self._pins.tidy(tuple(app.name for app in apps))
        return tuple(app for app in apps if app.name in names)

    async def _list_now(self) -> tuple[AppEntry, ...]:
        """List the apps, with a second request on a fresh connection if the first gets no answer.

        A silent board may wait for the rest of another client's frame, which padding ends.
        """
        try:
            response = await self._exchange(query_request, self.timeouts.first_query_s)
        except NoAnswer as exc:
            if exc.silent:
                await self._pad(0)
            response = await self._exchange(query_request, self.timeouts.answer_s - self.timeouts.first_query_s)
        return tuple(AppEntry(app.name, app.heap_bytes) for app in read_applets(response))

    async def _log_page(self, cursor: int) -> ConsoleLines:
        """Read the lines of all programs, one by one: firmware itself only has a console (headers/glue/printed.c)."""
        if cursor > MAX_CURSOR:
            return self._logs.ring.end()
        if self._logs.is_due:
            names = tuple(entry.name for entry in await self._list())
            await self._logs.refresh(names, self._ask_log)
        return self._logs.ring.page(cursor)

    async def _ask_log(self, name: str, first: int) -> ProgramLog | None:
        try:
            response = await self._exchange(partial(log_request, name=name, first=first), self.timeouts.log_s)
        except NoAnswer:
            return None
        return read_log(response)

    async def _ask_pins(self, name: str, url: str) -> bytes | None:
        try:
            limit_s = self.timeouts.log_s if url == HELD_URL else self.timeouts.answer_s
            response = await self._exchange(partial(app_request, name=name, url=url), limit_s)
        except NoAnswer:
            return None
        raise_for_status(response, name)
        return response.body

    async def _request(self, call: AppRequest) -> AppReply:
        await self._mend()
        generation = Generation(self.board.firmware.attribute_generation)
        body = b""
        if call.values:
            body = AttributeContainer.of("", call.values).encode(generation)
        build = partial(app_request, name=call.name, url=call.url, body=body)
        try:
            response = await self._exchange(build, self.timeouts.answer_s)
        except NoAnswer as exc:
            raise _no_answer(call.name, call.url, exc) from exc
        raise_for_status(response, call.name)
        if not response.body:
            return AppReply(response.status, {})
        return AppReply(response.status, AttributeContainer.decode(response.body).as_mapping())

    async def _page(self, call: AppPage) -> bytes:
        """Ask a program for a page. Other calls have their turn while the program makes it."""
        try:
            async with self._queue:
                await self._mend()
                mid = self._next_mid()
                request = page_request(mid, call.name, call.request)
                frame = encode_frame(MessageType.REQUEST, request.encode())
                answer = await self._connection.begin(frame, mid, self.timeouts.answer_s)
            response = await self._connection.finish(answer, mid, self.timeouts.answer_s)
        except NoAnswer as exc:
            if exc.silent:
                raise silent_page_error(call.name) from exc
            raise _no_answer(call.name, PAGE_URL, exc) from exc
        raise_for_status(response, call.name)
        return response.body

    async def _exchange(self, build: Callable[[int], WasmachineRequest], timeout_s: float) -> Response:
        mid = self._next_mid()
        frame = encode_frame(MessageType.REQUEST, build(mid).encode())
        try:
            response = await self._connection.exchange(frame, mid, timeout_s)
        except (NoAnswer, DeviceUnreachable) as exc:
            self._is_silent = isinstance(exc, NoAnswer) and exc.silent
            raise
        self._is_silent = False
        return response

    def _next_mid(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF_FFFF
        return self._mid

    def _next_step(self) -> str:
        return _WRONG_PEER if self._connection.garbled else _ONE_CLIENT

    def _timeout(self, action: str, cause: NoAnswer, *, is_silent: bool, unknown: bool = False) -> DeviceTimeout:
        text = f"{action} on {self._connection.address}: {cause.reason}"
        if unknown:
            text += "; outcome unknown"
        if is_silent:
            return DeviceSilent(text, next_step=_SILENT)
        return DeviceTimeout(text, next_step=self._next_step())


def _no_answer(name: str, url: str, cause: NoAnswer) -> DeviceTimeout:
    """Return the error of a program that gave no answer: the firmware is silent for a url that no app registered."""
    return DeviceTimeout(
        f"{name} gave no answer to /{url.lstrip('/')}: {cause.reason}",
        next_step=f"does {name} register that url and run? microclaw app list",
    )
