"""A device: one board with its transports. It answers one call at a time; transports speak the protocols.

Requests for a program's page and for the console do not hold up the other calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from microclaw.devices.registry.answer_check import check_answer
from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.call_text import required_transport
from microclaw.devices.registry.calls import (
    MAX_DUTY,
    AdcRead,
    AppInstall,
    AppList,
    AppPage,
    Call,
    ConsoleLines,
    ConsoleRead,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatusRead,
    EdgesRead,
    GpioGet,
    GpioSet,
    PartsRead,
    PwmRead,
    PwmSet,
)
from microclaw.devices.registry.device_entry import read_record
from microclaw.devices.registry.device_text import note_answer, note_error
from microclaw.devices.registry.program_lists import join_lists
from microclaw.devices.registry.request_queue import RequestQueue
from microclaw.devices.registry.transport import LINK_SCHEME, HeldAs, Transport
from microclaw.errors import CallRejected, DeviceMoved, DeviceTimeout, DeviceUnreachable, MicroclawError, NotSupported
from microclaw.events import PROGRAM_KINDS, EvidenceKind, ProgramKind
from microclaw.hardware.boards.firmware import with_micropython
from microclaw.hardware.boards.pins import check_pin
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring, wiring_of_board
from microclaw.host.store.devices import DeviceRow
from microclaw.text import one_line

R = TypeVar("R")


ExplainSilence: TypeAlias = Callable[["Device", Call[Any], MicroclawError], Awaitable[MicroclawError]]
"""Makes a more helpful error from a device's DeviceTimeout or DeviceUnreachable."""

TransportOpener: TypeAlias = Callable[[str, BoardProfile], Transport]


def check_call(board: BoardProfile, call: Call[Any]) -> None:
    """Raise PinRefused or CallRejected; firmware itself accepts even flash pins (protocols/jsonline, traps)."""
    match call:
        case GpioSet(pin=pin, level=level):
            check_pin(board, pin, "output")
            if level not in (0, 1):
                raise CallRejected(f"a pin's level is 0 or 1, not {level}", next_step="use 1 for on and 0 for off")
        case GpioGet(pin=pin):
            check_pin(board, pin, "input")
        case AdcRead(pin=pin):
            check_pin(board, pin, "adc")
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            check_pin(board, pin, "pwm")
            if not 0 <= duty <= MAX_DUTY:
                text = f"a PWM duty is 0 to {MAX_DUTY}, not {duty}"
                raise CallRejected(text, next_step="255 is always on, 128 is half")
            lowest_hz = board.pwm.lowest_hz
            highest_hz = board.pwm.highest_hz()
            if not lowest_hz <= frequency_hz <= highest_hz:
                text = f"a PWM frequency is {lowest_hz} to {highest_hz} Hz, not {frequency_hz}"
                raise CallRejected(text, next_step="5000 Hz suits an LED")


CALL_TIMEOUT_S = 15.0
INSTALL_S = 60.0
"""A small board frees memory at each step, loads modules, and watches the program's start before it answers."""
# The start of a board, its Wi-Fi and its link.
RESTART_S = 45.0
FURTHER_FACTS_S = 3.0
# Programs of one board that make a page at the same time.
PAGES_AT_ONCE = 4
# A real board takes a large image at some 100 KB/s over a poor Wi-Fi; the answer comes after it was loaded.
_INSTALL_BYTES_A_SECOND = 50_000
_OF_BOARDS = frozenset({"apps", "logs", "edges", "gpio", "pwm", "adc", "i2c"})
_COUNTED = frozenset({GpioGet.method, EdgesRead.method, PartsRead.method, PwmRead.method})
# On stock firmware a program answers these, so their answers are its own report.
_REPORTED = frozenset({"gpio", "pwm", "i2c", "logs"})
_BEST_EVIDENCE_FIRST: tuple[EvidenceKind, ...] = ("counted", "reported", "accepted")


class Device:
    """One board. Only the Registry changes its row and its transports."""

    def __init__(
        self,
        row: DeviceRow,
        board: BoardProfile,
        transports: Iterable[Transport],
        *,
        explain: ExplainSilence | None = None,
        note_reached: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Call `note_reached` at the first answer if the row says that the device was never reached."""
        self.replace_row(row, board, transports)
        self._explain = explain
        self._reached = row.reached
        self._note_reached = note_reached
        self._queue = RequestQueue(row.device_id)
        # A queue of its own, so that the console can be read while the board does not answer.
        self._console_queue = RequestQueue(f"{row.device_id}.console")
        # A program may take its time for a page, or never answer.
        self._page_queue = RequestQueue(f"{row.device_id}.pages", at_once=PAGES_AT_ONCE)
        self._answered: bool | None = None

    def __repr__(self) -> str:
        return f"<Device {self.name} ({self.board.title})>"

    def replace_row(self, row: DeviceRow, board: BoardProfile, transports: Iterable[Transport]) -> None:
        """Take over a row, a profile and transports; nothing else changes them."""
        self.row = row
        self._board = board
        self._with_micropython = with_micropython(board)
        self.device_id = row.device_id
        self.name = row.name
        self.labels = row.labels
        self.host = row.host
        self.record = read_record(row)
        self.transports: tuple[Transport, ...] = tuple(transports)
        for transport in self.transports:
            transport.describe(board)

    @property
    def board(self) -> BoardProfile:
        """Its profile, with the firmware it has: a board that takes only Python programs has ours on MicroPython."""
        return self._with_micropython if self.kinds == ("py",) else self._board

    @property
    def wiring(self) -> Wiring:
        """The parts that hang at it: those of its record, and those that the board has soldered on."""
        return wiring_of_board(self.record, self.board)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(transport.endpoint for transport in self.transports)

    @property
    def link_ids(self) -> tuple[str, ...]:
        """The ids of the links by which it connects itself: several if two devices were merged into it."""
        link_ids = []
        for endpoint in self.endpoints:
            if endpoint.startswith(LINK_SCHEME):
                link_ids.append(endpoint.removeprefix(LINK_SCHEME))
        return tuple(link_ids)

    @property
    def link_id(self) -> str | None:
        """The id of the link that reaches it, or None."""
        return next(iter(self.link_ids), None)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset().union(*(transport.capabilities for transport in self.transports))

    @property
    def is_away(self) -> bool:
        """Whether it is not connected, so that only the device itself can connect again."""
        return bool(self.transports) and not any(transport.online for transport in self.transports)

    @property
    def reachable(self) -> bool | None:
        """Whether it is not away and its last call had an answer.

        None if there was no call yet, or if it has connected again after a call without an answer.
        """
        if self.is_away:
            return False
        is_connected = any(transport.connects_itself and transport.online for transport in self.transports)
        if is_connected and not self._answered:
            return None
        return self._answered

    @property
    def never_reached(self) -> bool:
        """Whether it was entered by its address and has not answered since."""
        return not self._reached and not any(transport.connects_itself for transport in self.transports)

    def note_examination(self, *, reached: bool) -> None:
        """Note the result of asking all transports: a single one without an answer says nothing about the others."""
        self._answered = reached

    def supports(self, method: str) -> bool:
        return bool(self._transports_for(method))

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """The kinds of programs that it takes; the first is the kind it is made for. None without `apps.install`.

        Each transport may take another kind, as those of a virtual board do.
        """
        found = set[ProgramKind]()
        for transport in self._transports_for(AppInstall.method):
            found.update(transport.kinds)
        return tuple(kind for kind in PROGRAM_KINDS if kind in found)

    def evidence_of(self, method: str) -> EvidenceKind | None:
        """Return the best evidence that an answer to this method gives; None if no transport offers the method."""
        transports = self._transports_for(method)
        if not transports:
            return None
        evidence = transports[0].evidence
        if evidence == "accepted" and method.partition(".")[0] in _REPORTED:
            return "reported"
        # A board counts only what happens at its pins; everything else it reports.
        if evidence == "counted" and method not in _COUNTED:
            return "reported"
        return evidence

    def transport_for(self, method: str) -> Transport:
        """Return the transport with the best evidence; NotSupported names the transports that the device has."""
        transports = self._transports_for(method)
        if not transports:
            raise self._not_supported(method)
        return transports[0]

    def way_of(self, kind: ProgramKind) -> Transport:
        """Return the transport by which a program of this kind is installed; NotSupported if there is none."""
        for transport in self._transports_for(AppInstall.method):
            if kind in transport.kinds:
                return transport
        raise self._not_supported(AppInstall.method)

    def pin_program(self, method: str) -> str | None:
        """Return the program on the board that does this method; None if the firmware or nothing does it."""
        transports = self._transports_for(method)
        return transports[0].pin_program if transports else None

    @property
    def pin_programs(self) -> frozenset[str]:
        """The names of such programs: this host starts and stops them as it needs them."""
        return frozenset(map(attrgetter("pin_program"), self.transports)) - {None}

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        """The pins that such a program holds now, as far as this host asked."""
        held_pins: dict[int, HeldAs] = {}
        for transport in self.transports:
            held_pins.update(transport.held_pins)
        return held_pins

    async def call(self, call: Call[R], timeout_s: float | None = None, *, wait: bool = True) -> R:
        """Queue the call and return its answer; the time-out covers the waiting and the answer.

        A call to a device that connects itself also waits until it is back; without `wait` it raises DeviceUnreachable.
        """
        check_call(self.board, call)
        self.transport_for(call.method)
        if timeout_s is None:
            timeout_s = _usual_timeout_s(call)
        if not wait:
            # Before the queue, or it would stand behind the calls that do wait.
            self.check_present(call)
        try:
            answer: R = await self._request(call, timeout_s, wait=wait)
        except MicroclawError as exc:
            if self._explain is None or not isinstance(exc, DeviceTimeout | DeviceUnreachable):
                raise
            explained = await self._explain(self, call, exc)
            if explained is exc:
                raise
            raise explained from exc
        if isinstance(answer, ConsoleLines):
            return cast("R", _single_lines(answer))
        return answer

    async def ask(self, endpoint: str, call: Call[R], timeout_s: float, *, here: bool = False) -> R:
        """Call through only one of its transports, without waiting for a device that is away.

        `here`: the request comes from another host; DeviceMoved if the device is not connected to this one.
        """
        return cast("R", await self._request(call, timeout_s, wait=False, endpoint=endpoint, here=here))

    async def _request(
        self, call: Call[Any], limit_s: float, *, wait: bool, endpoint: str | None = None, here: bool = False
    ) -> Any:
        """Queue a call; `endpoint` limits it to that transport, and with `here` that asks no other host."""
        deadline = asyncio.get_running_loop().time() + limit_s
        work = partial(self._answer, call, deadline, wait=wait, endpoint=endpoint, here=here)
        try:
            # The half second lets the transport's time-out come first: it knows more than the queue's.
            answer = await self._queue_of(call).run(work, limit_s + 0.5)
        except MicroclawError as exc:
            note_error(exc)
            raise
        sensors: Collection[str] = ()
        if self.board.i2c is not None:
            sensors = self.board.i2c.sensors
        note_answer(answer, sensors)
        return answer

    def _queue_of(self, call: Call[Any]) -> RequestQueue:
        match call:
            case ConsoleRead():
                return self._console_queue
            case AppPage():
                return self._page_queue
            case _:
                return self._queue

    async def _answer(self, call: Call[Any], deadline: float, *, wait: bool, endpoint: str | None, here: bool) -> Any:
        """Try the transports, best evidence first.

        A call that is not idempotent goes to only one transport: a second try could do it twice. Facts about the device
        come from all its transports.
        """
        transports = self._transports_for(call.method)
        if endpoint is not None:
            transports = [transport for transport in transports if transport.endpoint == endpoint]
        if not transports:
            raise self._not_supported(call.method)
        if here:
            transports = [transport.here for transport in transports]
            if not transports[0].online:
                text = f"{self.name} is not connected to this host; it was not asked to {act_words(call.method)}"
                raise DeviceMoved(text, next_step=f"see where it is: microclaw device show {self.name}")
        if not wait:
            self.check_present(call, transports)
        # An open port does not show whether the board answers, so `_first_answer` must not note it.
        if isinstance(call, ConsoleRead):
            return await transports[0].call(call, deadline - asyncio.get_running_loop().time())
        if isinstance(call, DeviceInfo | DeviceStatusRead):
            return await self._facts(call, transports, deadline)
        if isinstance(call, AppList):
            return await join_lists(transports, lambda way: self._first_answer(call, (way,), deadline))
        return await self._first_answer(call, transports, deadline)

    async def close(self) -> None:
        """End the calls under way, refuse later ones, and close every transport."""
        for queue in (self._queue, self._console_queue, self._page_queue):
            await queue.close()
        for transport in self.transports:
            await transport.close()

    async def _facts(self, call: Call[DeviceFacts], transports: Sequence[Transport], deadline: float) -> DeviceFacts:
        """Join the facts of all transports; of a fact that two have, the better evidence counts.

        After the first answer, each further transport has only FURTHER_FACTS_S to answer.
        """
        values: dict[str, str | int | float | bool] = {}
        failures: list[MicroclawError] = []
        for position, transport in enumerate(transports):
            limit = deadline
            has_answer = len(failures) < position
            if has_answer:
                limit = min(deadline, asyncio.get_running_loop().time() + FURTHER_FACTS_S)
            try:
                facts = await self._first_answer(call, (transport,), limit)
            except MicroclawError as exc:
                failures.append(exc)
            else:
                values = {**facts.values, **values}
        if len(failures) == len(transports):
            raise failures[0]
        return DeviceFacts(values)

    async def _first_answer(self, call: Call[R], transports: Sequence[Transport], deadline: float) -> R:
        for position, transport in enumerate(transports):
            remaining_s = deadline - asyncio.get_running_loop().time()
            if remaining_s <= 0:
                text = f"{self.name} was busy with other calls; it was not asked to {act_words(call.method)}"
                raise DeviceTimeout(text, next_step="try again when the device is less busy")
            is_last = position == len(transports) - 1
            try:
                answer = await transport.call(call, remaining_s)
                await self._note_answered()
                check_answer(self.name, call, answer)
                return answer
            except NotSupported:
                if is_last:
                    raise
            except DeviceTimeout:
                # A program without an answer says nothing about its board.
                self._answered = self._answered and isinstance(call, AppPage)
                raise
            except DeviceUnreachable:
                if is_last or not call.idempotent:
                    self._answered = False
                    raise
        raise AssertionError("the last transport either answers or raises")

    async def _note_answered(self) -> None:
        self._answered = True
        if not self._reached and self._note_reached is not None:
            self._reached = True
            await self._note_reached()

    def _transports_for(self, method: str) -> list[Transport]:
        """Return the transports that offer a method: connected ones first, then by the evidence they give."""
        offering = [transport for transport in self.transports if method in transport.capabilities]
        return sorted(offering, key=lambda way: (not way.online, _BEST_EVIDENCE_FIRST.index(way.evidence)))

    def check_present(self, call: Call[Any], transports: Sequence[Transport] | None = None) -> None:
        """Raise DeviceUnreachable if the device is not connected by `transports`, by default the call's transports."""
        if transports is None:
            transports = self._transports_for(call.method)
        if not transports or transports[0].online:
            return
        if transports[0].revoked:
            raise revoked_error(self.name)
        step = f"switch it on, or see when it was last here: microclaw device show {self.name}"
        text = f"{self.name} is not connected; it was not asked to {act_words(call.method)}"
        raise DeviceUnreachable(text, next_step=step)

    def _not_supported(self, method: str) -> NotSupported:
        family = method.partition(".")[0]
        is_voice_device = not self.board.pins and not self.board.firmware.max_apps
        if is_voice_device and family in _OF_BOARDS:
            lacks = "runs no programs" if family in ("apps", "logs") else "has no pins of its own"
            step = "name a board: microclaw device list"
            return NotSupported(f"{self.name} is a voice device: it {lacks}", next_step=step)
        endpoints = ", ".join(self.endpoints) or "none"
        step = required_transport(method, self.name)
        if self.link_ids:
            # Our own firmware needs no other transport: if it does not offer a call, the board cannot do it.
            step = f"its firmware does not offer {method}: microclaw device show {self.name} lists its capabilities"
        elif method == AdcRead.method and self.pin_programs:
            step = f"ESP-WASMachine has no function for the ADC; {step}"
        elif method.startswith("apps.") and self.board.firmware.no_stock_build is not None:
            step = f"{step} ({self.board.firmware.no_stock_build})"
        return NotSupported(
            f"{self.name} has no transport that offers {method} (transports: {endpoints})", next_step=step
        )


def _single_lines(page: ConsoleLines) -> ConsoleLines:
    """Return the page with each text, and the name of the app that printed it, on one line."""
    lines = []
    for line in page.lines:
        app = line.app if line.app is None else one_line(line.app)
        lines.append(replace(line, app=app, text=one_line(line.text)))
    return replace(page, lines=tuple(lines))


def revoked_text(name: str) -> tuple[str, str]:
    """Return the message for a device whose credentials were revoked, and the next step."""
    step = f"pair it again: microclaw device pair CODE -d {name}, or by cable: microclaw flash"
    return f"{name} is revoked: nothing reaches it until it is paired again", step


def revoked_error(name: str) -> DeviceUnreachable:
    text, step = revoked_text(name)
    return DeviceUnreachable(text, next_step=step)


def _usual_timeout_s(call: Call[Any]) -> float:
    match call:
        case AppInstall(code=code):
            return INSTALL_S + len(code) / _INSTALL_BYTES_A_SECOND
        case DeviceRestart():
            return RESTART_S
        case _:
            return CALL_TIMEOUT_S
