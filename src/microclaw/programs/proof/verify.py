"""Watches a board after an installation for evidence that the program works: counted, reported or only accepted."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from msgspec import Struct, structs

from microclaw.devices.registry.calls import (
    NEWEST,
    AppState,
    AppStates,
    Call,
    ConsoleLines,
    EdgeLog,
    EdgesRead,
    GpioGet,
    LogLine,
    LogsRead,
    PwmChange,
    PwmLog,
    PwmRead,
)
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceError, DeviceSilent, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge, Evidence
from microclaw.programs.board_list import ask_states, find_by_name, names_after_change
from microclaw.programs.proof.edge_comparison import Verification, compare_edges, compare_pwm, counted, pwm_states
from microclaw.programs.proof.edge_record import LATE_MS, PATIENCE_MS, EdgeRecord
from microclaw.programs.proof.expectation_result import is_about_display, seen_on_board
from microclaw.programs.proof.record import by_pin
from microclaw.programs.proof.traps import trap_words
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.verdict import dead_on_load, end_of, seconds
from microclaw.text import format_duration, plural

_ASKS = 3
"""How often to ask a board that does not answer in time: it may compute, collect garbage, or write its flash."""
_AWAY = "check its power and network; when it is back, the host redeploys what it lost: microclaw app list"
_UNLISTED = "restart the board, then deploy it again; what it lists: microclaw app list"
_CRASHED = "let it use only what the board's firmware has: --firmware (docs/firmware.md)"
_EXITED = "leave the exit out, or look at what the board has that the trial had not"
_AFTER_LINE_MS = 1_000.0
"""How long to watch for the end after a line, if only the program's lines tell of it."""
_POLL_MS = 50.0
_LONGEST_PAUSE_MS = 500.0
"""How long to wait at most for an edge that is due, before the board is asked again."""
_AFTER_EDGE_MS = 10.0
"""How long after an edge is due the board is asked for it: its clock and the trial's are not the same."""
_RESTS = 4.0
"""How many times as long as its answer took a board is left alone then: answering holds up its programs."""
_LONGEST_REST_MS = 1_000.0
_SLOWEST_CLOCK = 0.25
"""How fast a board's own time passes at least, against the host's: that of an emulated board is slow."""
_EXPECTED_PWM_CHANGES = 4
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

R = TypeVar("R")
NO_READ_BACK = "accepted only: the board lists it, but has no read-back of its work, so nobody has seen it work"


class Baseline(Struct, frozen=True):
    """The cursors of the board's records before the installation; None: it keeps no such record."""

    edge_cursor: int | None = None
    pwm_cursor: int | None = None
    log_cursor: int | None = None
    now_ms: float = 0.0


async def take_baseline(device: Device) -> Baseline:
    """Read the present cursors of the board's records."""
    edges = await _newest(device, EdgesRead(cursor=NEWEST))
    logs = await _newest(device, LogsRead(cursor=NEWEST))
    changes = await _newest(device, PwmRead(cursor=NEWEST))
    return Baseline(
        edge_cursor=_cursor(edges),
        pwm_cursor=_cursor(changes),
        log_cursor=_cursor(logs),
        now_ms=0.0 if edges is None else edges.now_ms,
    )


def _cursor(page: EdgeLog | PwmLog | ConsoleLines | None) -> int | None:
    return None if page is None else page.cursor


async def _newest(device: Device, reading: Call[R]) -> R | None:
    if not device.supports(reading.method):
        return None
    return await device.call(reading)


def _reported(text: str, dead: tuple[str, str] | None = None, next_step: str = _UNLISTED) -> Verification:
    if dead is None:
        return Verification(Evidence("reported", text), agrees=False, next_step=next_step)
    return Verification(Evidence("reported", text), agrees=False, dead=dead)


class Watch(Struct, frozen=True):
    """A program on a board that is watched after its installation.

    `sha256` is of the bytes that were sent: a board that lists others runs something else. `told` puts a board's error
    text into the source's lines. `keeps_lines`: what it prints reaches the host, so that no line is evidence too.
    """

    device: Device
    name: str
    trial: Trial
    before: Baseline
    sha256: str | None = None
    told: Callable[[str], str] = str
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    keeps_lines: bool = True

    async def verify(self) -> Verification:
        """Watch until each pin had the edges that are due, or the program's first line came, or the time is over.

        Edges that are counted are compared pin by pin; without any the answer is "accepted only", unless the program is
        one that only prints.
        """
        verification = await self._verify_reachable()
        printed = await self._lines_of_displays()
        expected = seen_on_board(self.trial.expected, verification.evidence, verification.pins, printed)
        return structs.replace(verification, expected=expected)

    async def _lines_of_displays(self) -> list[str]:
        """Return what the program printed, if it may be what a display is to show, too."""
        if not self.keeps_lines or not any(map(is_about_display, self.trial.expected)):
            return []
        try:
            return await self._own_lines()
        except DeviceError:
            # The evidence says already that the board does not answer.
            return []

    async def _verify_reachable(self) -> Verification:
        """Return that nobody has seen it work if the board does not answer, or answers with an error."""
        try:
            return await self._verify()
        except (DeviceUnreachable, DeviceTimeout) as exc:
            text = f"accepted, but the board could not be reached afterwards, so nobody has seen it work: {exc.message}"
            step = exc.next_step if isinstance(exc, DeviceSilent) else _AWAY
            return Verification(Evidence("accepted", text), agrees=False, next_step=step)
        except DeviceError as exc:
            text = f"accepted, but the board could not be read back: {exc.message}"
            return Verification(Evidence("accepted", text), agrees=False)

    async def _verify(self) -> Verification:
        """Look at the program at once, as it may trap when it is loaded, and at the end, as it may trap later."""
        dead = await self._dead(await self._state())
        if dead is not None:
            return _reported(dead[0], dead)
        seen = await self._evidence()
        state = await self._state()
        dead = await self._dead(state)
        if dead is not None:
            return _reported(dead[0], dead)
        device = self.device
        name = self.name
        if state is not None and self.sha256 is not None and state.sha256 not in (None, self.sha256):
            return _reported(f"{device.name} lists {name} with other bytes than were sent")
        may_agree = seen is None or seen.agrees
        # A board that reports the program's state has it.
        if state is None and may_agree:
            listing = partial(names_after_change, device, name, there=True, sleep=self.sleep)
            if name not in await self._ask(listing):
                return _reported(f"{device.name} answered that it took {name}, but does not list it")
        if seen is None:
            return self._accepted(state)
        return seen

    async def _ask(self, question: Callable[[], Awaitable[R]]) -> R:
        """Ask again if the board did not answer in time, and raise the last DeviceTimeout."""
        for _ in range(_ASKS - 1):
            try:
                return await question()
            except DeviceSilent:
                raise
            except DeviceTimeout:
                continue
        return await question()

    async def _read(self, call: Call[R]) -> R:
        return await self._ask(partial(self.device.call, call))

    async def _state(self) -> AppState | None:
        """Ask for the program's state. None if the board does not report it."""
        states = await self._ask(partial(ask_states, self.device, wait=True))
        return find_by_name(states or (), self.name)

    async def _dead(self, state: AppState | None) -> tuple[str, str] | None:
        """Return why it does nothing although the firmware took it, and the next step; None if it does something."""
        if state is None:
            return await self._dead_by_lines()
        if state.has_failed:
            error, step = trap_words(self.told(state.error or "no text"))
            return f"on the board {error}", step
        if state.last_end == "exited" and self._must_not_exit:
            return f"it ended itself on the board: {state.error or 'exit'}", _EXITED
        if state.state == "loaded":
            return dead_on_load([line.text for line in await self._lines() if line.app in (self.name, None)])
        return None

    async def _dead_by_lines(self) -> tuple[str, str] | None:
        """Return the reason and the next step if its lines, the only witness, say that it crashed or ended itself."""
        for line in await self._own_lines():
            end = end_of([line])
            if end == "trapped":
                return f"on the board it crashed: {line.strip()}", _CRASHED
            if end == "exited" and self._must_not_exit:
                return f"it ended itself on the board: {line.strip()}", _EXITED
        return None

    @property
    def _must_not_exit(self) -> bool:
        """Whether the trial did not exit: a program that exited there too is meant to."""
        return self.trial.ended != "exited"

    async def _own_lines(self) -> list[str]:
        return [line.text for line in await self._lines() if line.app == self.name]

    async def _lines(self) -> tuple[LogLine, ...]:
        if self.before.log_cursor is None:
            return ()
        return (await self._read(LogsRead(cursor=self.before.log_cursor))).lines

    async def _evidence(self) -> Verification | None:
        """Return what the edges and the PWM that the board counted prove, else the program's lines; None if nothing."""
        edges = await self._edge_evidence()
        pwm = None
        if edges is None or edges.agrees:
            pwm = await self._pwm_evidence()
        if edges is None and pwm is None:
            return await self._read_lines()
        if edges is None or pwm is None:
            return edges or pwm
        if edges.agrees and pwm.agrees:
            both = structs.replace(edges.evidence, text=f"{pwm.evidence.text}; the edges: {edges.evidence.text}")
            return structs.replace(edges, evidence=both)
        return pwm

    async def _edge_evidence(self) -> Verification | None:
        """Count the edges if the board keeps them, and the trial had some that are worth waiting for."""
        expected = _comparable(self.trial)
        if self.before.edge_cursor is None or not expected or expected[0].t_ms > PATIENCE_MS:
            return None
        return await self._count_edges(expected, self.before.edge_cursor)

    async def _pwm_evidence(self) -> Verification | None:
        """Count the PWM pin by pin, up to the first pin that differs."""
        if self.before.pwm_cursor is None:
            return None
        evidence: Verification | None = None
        texts: list[str] = []
        for changes in by_pin(self.trial.free(self.trial.pwm)).values():
            if changes[0].t_ms > PATIENCE_MS:
                continue
            evidence = await self._count_pwm(changes, self.before.pwm_cursor)
            if not evidence.agrees:
                return evidence
            texts.append(evidence.evidence.text)
        if evidence is None:
            return None
        return structs.replace(evidence, evidence=structs.replace(evidence.evidence, text="; ".join(texts)))

    async def _count_edges(self, expected: Sequence[Edge], cursor: int) -> Verification:
        """Wait until each pin of the trial has shown its rhythm, or the time for that is over."""
        record = EdgeRecord(expected, self.before.now_ms)
        now_s = asyncio.get_running_loop().time
        # Ends the watch when the board's own time stands still or starts again.
        slept_ms = 0.0
        while True:
            asked_s = now_s()
            page = await self._read(EdgesRead(cursor=cursor))
            answer_ms = 1000 * (now_s() - asked_s)
            cursor = page.cursor
            if page.now_ms < self.before.now_ms:
                return counted("the board restarted while it was watched", agrees=False)
            record.add(page)
            if record.is_proved() or max(record.waited_ms, slept_ms) >= record.end_ms():
                break
            rest_ms = min(max(_POLL_MS, _RESTS * answer_ms), _LONGEST_REST_MS)
            pause_ms = max(rest_ms, min(record.until_edge_ms() + _AFTER_EDGE_MS, _LONGEST_PAUSE_MS))
            await self.sleep(pause_ms / 1000)
            slept_ms += pause_ms * _SLOWEST_CLOCK
        if not record.has_edges() and record.waited_ms == 0:
            return Verification(Evidence("accepted", "accepted only: the board's clock stands still"), agrees=False)
        return compare_edges(record.expected, record.seen, record.waited_ms, await self._silent_levels(record))

    async def _silent_levels(self, record: EdgeRecord) -> dict[int, int]:
        """Read the levels of the pins without an edge, if reading a pin does not turn off its driver."""
        levels: dict[int, int] = {}
        if self.device.evidence_of(GpioGet.method) != "counted":
            return levels
        for pin, edges in record.seen.items():
            if not edges:
                levels[pin] = (await self._read(GpioGet(pin))).level
        return levels

    async def _count_pwm(self, expected: Sequence[PwmChange], cursor: int) -> Verification:
        """Wait for the trial's first changes on a pin; their speed is shown, not judged."""
        pin = expected[0].pin
        changes = pwm_states(expected)[:_EXPECTED_PWM_CHANGES]
        wanted = [change for change in changes if change.t_ms <= PATIENCE_MS]
        patience_ms = wanted[-1].t_ms + LATE_MS
        waited_ms = 0.0
        seen: list[PwmChange] = []
        while len(seen) < len(wanted) and waited_ms <= patience_ms:
            page = await self._read(PwmRead(cursor=cursor))
            cursor = page.cursor
            seen = pwm_states([*seen, *by_pin(page.changes).get(pin, [])])
            if len(seen) < len(wanted):
                await self.sleep(_POLL_MS / 1000)
                waited_ms += _POLL_MS
        if not seen:
            waited = format_duration(waited_ms, decimals=2)
            text = f"no PWM on pin {pin} in {waited}; the trial had some after {seconds(wanted[0].t_ms)}"
            return counted(text, agrees=False)
        return compare_pwm(wanted, seen)

    async def _read_lines(self) -> Verification | None:
        """Return what the lines of a program without edges to wait for prove. None if it has none to wait for."""
        first_ms = _first_line_ms(self.trial)
        if not self.keeps_lines or self.before.log_cursor is None or first_ms > PATIENCE_MS:
            return None
        lines = await self._await_lines(first_ms)
        if not lines:
            text = f"no line of it came; in the trial the first one was there after {seconds(first_ms)}"
            return _reported(text, next_step=_CRASHED)
        line = lines[-1].strip()
        end = end_of(lines)
        if end not in (None, self.trial.ended):
            text = f"it {end} on the board, and in the trial it was {self.trial.ended}: {line}"
            return _reported(text, next_step=_CRASHED)
        text = f"the program reports: {line}"
        if _form(line) not in {_form(tried.text) for tried in self.trial.lines}:
            text += " (the trial had no line of that form)"
        return Verification(Evidence("reported", text), agrees=True)

    async def _await_lines(self, first_ms: float) -> list[str]:
        """Wait for the program's lines, and for its end if nothing else on the board tells of that."""
        tells_states = self.device.supports(AppStates.method)
        patience_ms = first_ms + self.trial.longest_main_ms + LATE_MS
        waited_ms = 0.0
        lines = await self._own_lines()
        while waited_ms <= patience_ms and end_of(lines) is None:
            if lines:
                patience_ms = min(patience_ms, waited_ms + _AFTER_LINE_MS)
                if tells_states:
                    break
            await self.sleep(_POLL_MS / 1000)
            waited_ms += _POLL_MS
            lines = await self._own_lines()
        return lines

    def _accepted(self, state: AppState | None) -> Verification:
        """Return that nobody saw it work, with its state if the board reports that."""
        trial = self.trial
        if state is None:
            return Verification(Evidence("accepted", NO_READ_BACK), agrees=True)
        parts = [f"the board reports it {state.state}"]
        if state.pins:
            parts.append(f"with {plural('pin', state.pins)} open")
        # Before an input changed.
        has_moved = any((trial.free(trial.edges), trial.free(trial.pwm), trial.free(trial.leds)))
        if trial.inputs and not has_moved:
            parts.append(f"and it waits for an input on {plural('pin', trial.inputs)}")
        elif trial.edges:
            parts.append(f"(in the trial its first edge came after {seconds(trial.edges[0].t_ms)})")
        return Verification(Evidence("accepted", f"accepted only: {' '.join(parts)}"), agrees=True)


def _comparable(trial: Trial) -> tuple[Edge, ...]:
    """Return the edges that a board repeats in their rhythm: not those of buses whose bits a display gets."""
    display_pins = set[int]()
    for part in trial.wiring.parts:
        if part.facts.kind == "display":
            display_pins.update(part.pins.values())
    return tuple(edge for edge in trial.free(trial.edges) if edge.pin not in display_pins)


def _first_line_ms(trial: Trial) -> float:
    """Return when the trial's program printed its first line; infinite if it printed none before an input."""
    for line in trial.free(trial.lines):
        if line.app is not None:
            return line.t_ms
    return math.inf


def _form(line: str) -> str:
    """Return a line without its numbers, which differ from board to board."""
    return _NUMBER.sub("0", line.strip())
