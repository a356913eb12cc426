"""A device: one board with its transports. It is asked one call at a time; no protocol is spoken here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from microclaw.boards.firmware import with_micropython
from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile
from microclaw.devices.answer_check import check_answer
from microclaw.devices.call_text import what_offers
from microclaw.devices.calls import (
    MAX_DUTY,
    AdcRead,
    AppInstall,
    Call,
    ConsoleRead,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatus,
    EdgesRead,
    GpioGet,
    GpioSet,
    LogPage,
    PwmRead,
    PwmSet,
)
from microclaw.devices.device_text import note_answer, note_error
from microclaw.devices.request_queue import RequestQueue
from microclaw.devices.transport import LINK_SCHEME, HeldAs, Transport
from microclaw.errors import CallRejected, DeviceMoved, DeviceTimeout, DeviceUnreachable, MicroclawError, NotSupported
from microclaw.events import EvidenceKind, ProgramKind
from microclaw.store.devices import DeviceRow
from microclaw.text import one_line

R = TypeVar("R")


ExplainSilence: TypeAlias = Callable[["Device", Call[Any], MicroclawError], Awaitable[MicroclawError]]
"""Makes a better informed error of a device's DeviceTimeout or DeviceUnreachable."""

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
"""A small board looks for memory at each step, reads in modules, and watches the program's start before it answers."""
RESTART_S = 45.0  # a board's start, its Wi-Fi and its link
FURTHER_FACTS_S = 3.0
# A real board takes a large image at some 100 KB/s over a poor Wi-Fi; the answer comes after it was loaded.
_INSTALL_BYTES_A_SECOND = 50_000
_OF_BOARDS = frozenset({"apps", "logs", "edges", "gpio", "pwm", "adc", "i2c"})
_COUNTED = frozenset({GpioGet.method, EdgesRead.method, PwmRead.method})
_TOLD = frozenset({"gpio", "pwm", "i2c", "logs"})  # what programs on a board with stock firmware say themselves
_BEST_EVIDENCE_FIRST: tuple[EvidenceKind, ...] = ("counted", "reported", "accepted")


class Device:
    """One board. Its row and its transports change through the Registry alone."""

    def __init__(
        self,
        row: DeviceRow,
        board: BoardProfile,
        transports: Iterable[Transport],
        *,
        explain: ExplainSilence | None = None,
        note_reached: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`note_reached` is called at its first answer, where the row says that it was never reached."""
        self.become(row, board, transports)
        self._explain = explain
        self._reached = row.reached
        self._note_reached = note_reached
        self._queue = RequestQueue(row.device_id)
        self._console_queue = RequestQueue(f"{row.device_id}.console")  # read while the board does not answer
        self._answered: bool | None = None

    def __repr__(self) -> str:
        return f"<Device {self.name} ({self.board.title})>"

    def become(self, row: DeviceRow, board: BoardProfile, transports: Iterable[Transport]) -> None:
        """Take over its row, profile and transports; no other way changes them."""
        self.row, self._board, self._with_micropython = row, board, with_micropython(board)
        self.device_id = row.device_id
        self.name = row.name
        self.labels = row.labels
        self.host = row.host
        self.transports: tuple[Transport, ...] = tuple(transports)
        for transport in self.transports:
            transport.describe(board)

    @property
    def board(self) -> BoardProfile:
        """Its profile, with the firmware that it has: one that takes only Python programs is ours on MicroPython."""
        return self._with_micropython if self.kinds == ("py",) else self._board

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(transport.endpoint for transport in self.transports)

    @property
    def link_ids(self) -> tuple[str, ...]:
        """Of the links by which it connects itself: several where two devices were merged into it."""
        return tuple(one.removeprefix(LINK_SCHEME) for one in self.endpoints if one.startswith(LINK_SCHEME))

    @property
    def link_id(self) -> str | None:
        """Of the link that it is reached by."""
        return next(iter(self.link_ids), None)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset().union(*(transport.capabilities for transport in self.transports))

    @property
    def is_away(self) -> bool:
        """True if it is not connected, and comes back by itself alone."""
        return bool(self.transports) and not any(one.online for one in self.transports)

    @property
    def reachable(self) -> bool | None:
        """True if it is there: not away, and its last call had an answer. None when there was none, or when it has
        connected since.
        """
        if self.is_away:
            return False
        is_back = any(t.connects_itself and t.online for t in self.transports)
        return None if is_back and not self._answered else self._answered

    @property
    def never_reached(self) -> bool:
        """True if it was entered by its address and has not answered once since."""
        return not self._reached and not any(t.connects_itself for t in self.transports)

    def examined(self, *, reached: bool) -> None:
        """All its transports were asked: one that does not answer says nothing of the others."""
        self._answered = reached

    def supports(self, method: str) -> bool:
        return bool(self._transports_for(method))

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """The kinds of programs that it takes, the one it is made for first; none without `apps.install`."""
        transports = self._transports_for(AppInstall.method)
        if transports:
            return transports[0].kinds
        return ()

    def evidence_of(self, method: str) -> EvidenceKind | None:
        """The best evidence that an answer to this method is; None when nothing offers it. Only pins are counted."""
        transports = self._transports_for(method)
        if not transports:
            return None
        found = transports[0].evidence
        if found == "accepted" and method.partition(".")[0] in _TOLD:
            return "reported"
        return "reported" if found == "counted" and method not in _COUNTED else found

    def transport_for(self, method: str) -> Transport:
        """The transport that proves most; NotSupported names what there is."""
        transports = self._transports_for(method)
        if not transports:
            raise self._not_supported(method)
        return transports[0]

    def pin_program(self, method: str) -> str | None:
        """The program on the board that does this method; None where the firmware does it, or nothing."""
        return next((one.pin_program for one in self._transports_for(method)), None)

    @property
    def pin_programs(self) -> frozenset[str]:
        """The names of such programs: they come and go with this host's acts."""
        return frozenset(map(attrgetter("pin_program"), self.transports)) - {None}

    @property
    def held_pins(self) -> Mapping[int, HeldAs]:
        """The pins that such a program holds now, as far as this host asked."""
        return {pin: kind for transport in self.transports for pin, kind in transport.held_pins.items()}

    async def call(self, call: Call[R], timeout_s: float | None = None, *, wait: bool = True) -> R:
        """Queue the call and wait for its answer; the time-out covers both.

        A device that comes and goes by itself is waited for, too, unless `wait` is False: DeviceUnreachable then.
        """
        check_call(self.board, call)
        self.transport_for(call.method)
        if timeout_s is None:
            timeout_s = _usual_timeout_s(call)
        if not wait:
            self.check_present(call)  # not behind the calls that do wait
        try:
            answer: R = await self._request(call, timeout_s, wait=wait)
        except MicroclawError as exc:
            if self._explain is None or not isinstance(exc, DeviceTimeout | DeviceUnreachable):
                raise
            explained = await self._explain(self, call, exc)
            if explained is exc:
                raise
            raise explained from exc
        if isinstance(answer, LogPage):
            return cast("R", _single_lines(answer))
        return answer

    async def ask(self, endpoint: str, call: Call[R], timeout_s: float, *, here: bool = False) -> R:
        """As `call`, of one of its transports alone, and without waiting for a device that is away.

        `here`: for another host; DeviceMoved when the device is not connected to this one.
        """
        return cast("R", await self._request(call, timeout_s, wait=False, endpoint=endpoint, here=here))

    async def _request(
        self, call: Call[Any], limit_s: float, *, wait: bool, endpoint: str | None = None, here: bool = False
    ) -> Any:
        """With `endpoint` that transport alone is asked, and with `here` it asks no other host."""
        queue = self._console_queue if isinstance(call, ConsoleRead) else self._queue
        deadline = asyncio.get_running_loop().time() + limit_s
        try:  # the half second lets the transport's own, better informed time-out come before the queue's
            answer = await queue.run(partial(self._answer, call, deadline, wait, endpoint, here), limit_s + 0.5)
        except MicroclawError as exc:
            note_error(exc)
            raise
        note_answer(answer, self.board.i2c.sensors if self.board.i2c is not None else ())
        return answer

    async def _answer(self, call: Call[Any], deadline: float, wait: bool, endpoint: str | None, here: bool) -> Any:
        """Try the transports, best evidence first.

        A call that is not idempotent goes to one transport alone: a second try could do it twice. What a device says of
        itself is the words of all its transports.
        """
        transports = self._transports_for(call.method)
        if endpoint is not None:
            transports = [transport for transport in transports if transport.endpoint == endpoint]
        if not transports:
            raise self._not_supported(call.method)
        if here:
            transports = [each.here for each in transports]
            if not transports[0].online:
                text = f"{self.name} is not connected to this host; {call.method} was not sent"
                raise DeviceMoved(text, next_step=f"see where it is: microclaw device show {self.name}")
        if not wait:
            self.check_present(call, transports)
        if isinstance(call, ConsoleRead):  # an open port says nothing of whether the board is reached
            return await transports[0].call(call, deadline - asyncio.get_running_loop().time())
        if isinstance(call, DeviceInfo | DeviceStatus):
            return await self._facts(call, transports, deadline)
        return await self._first_answer(call, transports, deadline)

    async def close(self) -> None:
        """End the calls under way; nothing more is asked."""
        await self._queue.close()
        await self._console_queue.close()
        for transport in self.transports:
            await transport.close()

    async def _facts(self, call: Call[DeviceFacts], transports: Sequence[Transport], deadline: float) -> DeviceFacts:
        """Each transport has facts of its own; of a fact that two have, the one with better evidence counts.

        Once one has answered, another that does not is left out after FURTHER_FACTS_S.
        """
        values: dict[str, str | int | float | bool] = {}
        failures: list[MicroclawError] = []
        for asked, transport in enumerate(transports):
            answered = len(failures) < asked
            if answered:
                limit = min(deadline, asyncio.get_running_loop().time() + FURTHER_FACTS_S)
            else:
                limit = deadline
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
                text = f"{call.method} waited too long behind other calls to {self.name}; it was not sent"
                raise DeviceTimeout(text, next_step="try again when the device is less busy")
            last = position == len(transports) - 1
            try:
                answer = await transport.call(call, remaining_s)
                self._answered = True
                if not self._reached and self._note_reached is not None:
                    self._reached = True
                    await self._note_reached()
                check_answer(self.name, call, answer)
                return answer
            except NotSupported:
                if last:
                    raise
            except DeviceTimeout:
                self._answered = False
                raise
            except DeviceUnreachable:
                if last or not call.idempotent:
                    self._answered = False
                    raise
        raise AssertionError("the last transport either answers or raises")

    def _transports_for(self, method: str) -> list[Transport]:
        offering = [transport for transport in self.transports if method in transport.capabilities]
        return sorted(offering, key=lambda one: (not one.online, _BEST_EVIDENCE_FIRST.index(one.evidence)))

    def check_present(self, call: Call[Any], transports: Sequence[Transport] | None = None) -> None:
        """DeviceUnreachable when the device is not connected by these transports, or by those of the call."""
        if transports is None:
            transports = self._transports_for(call.method)
        else:
            transports = transports
        if transports and not transports[0].online:
            if transports[0].revoked:
                raise revoked_error(self.name)
            step = f"switch it on, or see when it was last here: microclaw device show {self.name}"
            raise DeviceUnreachable(f"{self.name} is not connected; {call.method} was not sent", next_step=step)

    def _not_supported(self, method: str) -> NotSupported:
        family = method.partition(".")[0]
        if not self.board.pins and not self.board.firmware.max_apps and family in _OF_BOARDS:
            lacks = "runs no programs" if family in ("apps", "logs") else "has no pins of its own"
            step = "name a board: microclaw device list"
            return NotSupported(f"{self.name} is a voice device: it {lacks}", next_step=step)
        there = ", ".join(self.endpoints) or "none"
        step = what_offers(method, self.name)
        if self.link_ids:  # a board's own firmware has all of it
            step = f"its firmware does not offer {method}: microclaw device show {self.name} lists what it offers"
        elif method == AdcRead.method and self.pin_programs:
            step = f"ESP-WASMachine has no function for the ADC; {step}"
        elif method.startswith("apps.") and self.board.firmware.no_stock_build is not None:
            step = f"{step} ({self.board.firmware.no_stock_build})"
        return NotSupported(f"{self.name} has no transport that offers {method} (transports: {there})", next_step=step)


def _single_lines(page: LogPage) -> LogPage:
    """The page with each line, and the name of who printed it, on one line."""
    lines = (
        replace(each, app=None if each.app is None else one_line(each.app), text=one_line(each.text))
        for each in page.lines
    )
    return replace(page, lines=tuple(lines))


def revoked_text(name: str) -> tuple[str, str]:
    """The message for a device whose credentials were revoked, and what to do."""
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
