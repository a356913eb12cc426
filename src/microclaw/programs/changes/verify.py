"""Watches a board after an installation for evidence that the program works: counted, reported or only accepted."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from msgspec import Struct, structs

from microclaw.devices.registry.calls import (
    NEWEST,
    AppState,
    AppStates,
    Call,
    EdgeLog,
    EdgesRead,
    GpioGet,
    LogLine,
    LogsRead,
    PwmChange,
    PwmRead,
)
from microclaw.devices.registry.device import Device
from microclaw.errors import DeviceError, DeviceSilent, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge, Evidence
from microclaw.programs.changes.program_state import app_states, names_after_change
from microclaw.programs.proof.edge_comparison import (
    STEADY_GAPS,
    STEADY_MS,
    Verification,
    compare,
    compare_edges,
    compare_pwm,
    counted,
    pwm_states,
    span_ms,
)
from microclaw.programs.proof.traps import trap_words
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.verdict import dead_on_load, end_of, seconds
from microclaw.text import format_duration, plural

PATIENCE_MS = 3_000.0
"""What the trial had by then is waited for on the board, too."""
LATE_MS = 6_000.0
"""How much later than in the trial the first edge, line or change of PWM may come, from when the board lists the
program: a small board reads it in for seconds. One that is busy is asked for its lines again after 5 s
(devices/transports/program_logs.py)."""
SETTLING_MS = 10_000.0
"""How long after its first edge a pin may be uneven, beside twice the time of the steady edges that excuse it."""
LONGEST_MS = 30_000.0
"""How long to watch at most for a pin to settle."""
_ASKS = 3
"""How often to ask a board that does not answer in time: it may compute, collect garbage, or write its flash."""
_AWAY = "check its power and network; when it is back, the host redeploys what it lost: microclaw app list"
_UNLISTED = "restart the board, then deploy it again; what it lists: microclaw app list"
_CRASHED = "let it use only what the board's firmware has: --firmware (docs/firmware.md)"
_AFTER_LINE_MS = 1_000.0
"""How long to watch for the end after a line, if only the program's lines tell of it."""
_POLL_MS = 50.0
_RESTS = 4.0
"""How many times as long as its answer took a board is left alone then: answering holds up its programs."""
_LONGEST_REST_MS = 1_000.0
_SLOWEST_CLOCK = 0.25
"""How fast a board's own time passes at least, against the host's: that of an emulated board is slow."""
_ROUNDING_MS = 1.0
_OPENING_MS = 1.0
_EXPECTED_PWM_CHANGES = 4
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

E = TypeVar("E", Edge, PwmChange)
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

    async def newest(reading: type[EdgesRead | LogsRead | PwmRead]) -> Any:
        if device.supports(reading.method):
            return await device.call(reading(cursor=NEWEST))
        return None

    edges = await newest(EdgesRead)
    logs = await newest(LogsRead)
    changes = await newest(PwmRead)
    edge, pwm, log = (None if page is None else page.cursor for page in (edges, changes, logs))
    return Baseline(edge, pwm, log, 0.0 if edges is None else edges.now_ms)


def _reported(text: str, dead: tuple[str, str] | None = None, next_step: str = _UNLISTED) -> Verification:
    return Verification(Evidence("reported", text), False, dead, None if dead else next_step)


async def state_of(device: Device, name: str) -> AppState | None:
    """The program as the board has it; None where it is not there, or the board does not tell."""
    return next((app for app in await app_states(device) if app.name == name), None)


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
        device = self.device
        name = self.name
        sha256 = self.sha256
        try:
            dead = await self._dead()
            if dead:
                return _reported(dead[0], dead)
            found = await self._evidence()
            if dead := await self._dead():  # it may have trapped in its first timer
                return _reported(dead[0], dead)
            state = await self._state()
            if state is not None and sha256 is not None and state.sha256 not in (None, sha256):
                return _reported(f"{device.name} lists {name} with other bytes than were sent")
            listing = partial(names_after_change, device, name, there=True, sleep=self.sleep)
            if found.agrees and name not in await self._ask(listing):
                return _reported(f"{device.name} answered that it took {name}, but does not list it")
        except (DeviceUnreachable, DeviceTimeout) as exc:
            text = f"accepted, but the board could not be reached afterwards, so nobody has seen it work: {exc.message}"
            step = exc.next_step if isinstance(exc, DeviceSilent) else _AWAY
            return Verification(Evidence("accepted", text), False, next_step=step)
        except DeviceError as exc:
            text = f"accepted, but the board could not be read back: {exc.message}"
            return Verification(Evidence("accepted", text), False)
        return found

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
        return await self._ask(partial(state_of, self.device, self.name))

    async def _dead(self) -> tuple[str, str] | None:
        """Why it does nothing although the firmware took it, and the next step."""
        state = await self._state()
        if state is None:
            return await self._dead_by_lines()
        if state.has_failed:
            error, step = trap_words(self.told(state.error or "no text"))
            return f"on the board {error}", step
        if state.state == "exited" and self.trial.ended != "exited":  # else that is how it is meant
            step = "leave the exit out, or look at what the board has that the trial had not"
            return f"it ended itself on the board: {state.error or 'exit'}", step
        if state.state == "loaded":
            return dead_on_load([line.text for line in await self._lines() if line.app in (self.name, None)])
        return None

    async def _dead_by_lines(self) -> tuple[str, str] | None:
        """Return the reason and the next step if the program's lines, the only witness, say that it crashed."""
        for line in await self._own_lines():
            if end_of([line]) == "trapped":
                return f"on the board it crashed: {line.strip()}", _CRASHED
        return None

    async def _own_lines(self) -> list[str]:
        return [line.text for line in await self._lines() if line.app == self.name]

    async def _lines(self) -> tuple[LogLine, ...]:
        if self.before.log_cursor is None:
            return ()
        return (await self._read(LogsRead(cursor=self.before.log_cursor))).lines

    async def _evidence(self) -> Verification:
        """The edges and the PWM that the board counted, else the program's line, its state, or nothing."""
        expected = self.trial.free(self.trial.edges)
        edges = pwm = None
        if self.before.edge_cursor is not None and expected and expected[0].t_ms <= PATIENCE_MS:
            edges = await self._count_edges(expected, self.before.edge_cursor)
        if self.before.pwm_cursor is not None and (edges is None or edges.agrees):
            for changes in _by_pin(self.trial.free(self.trial.pwm)).values():
                if changes[0].t_ms <= PATIENCE_MS and (pwm is None or pwm.agrees):
                    pwm = await self._count_pwm(changes, self.before.pwm_cursor)
        if edges is not None and pwm is not None:
            if edges.agrees != pwm.agrees:
                return pwm if edges.agrees else edges
            both = structs.replace(edges.evidence, text=f"{edges.evidence.text}; {pwm.evidence.text}")
            return structs.replace(edges, evidence=both)
        return edges or pwm or await self._read_lines()

    async def _count_edges(self, expected: Sequence[Edge], cursor: int) -> Verification:
        """Wait until each pin of the trial has shown its rhythm, or the time for that is over."""
        on_pin = {pin: edges for pin, edges in _by_pin(expected).items() if edges[0].t_ms <= PATIENCE_MS}
        due_ms = max(edges[0].t_ms for edges in on_pin.values())
        now_s = asyncio.get_running_loop().time
        raw: list[Edge] = []
        slept_ms = 0.0  # ends the watch when the board's own time stands still or starts again
        installed_ms: float | None = None  # at the first look: a small board takes seconds for an installation
        while True:
            asked_s = now_s()
            page = await self._read(EdgesRead(cursor=cursor))
            rest_ms = min(max(_POLL_MS, 1000 * _RESTS * (now_s() - asked_s)), _LONGEST_REST_MS)
            cursor = page.cursor
            waited_ms = page.now_ms - self.before.now_ms
            if waited_ms < 0:
                return counted("the board restarted while it was watched", agrees=False)
            installed_ms = waited_ms if installed_ms is None else installed_ms
            raw += [edge for edge in _edges_since(page, self.before) if edge.pin in on_pin]
            by_pin = _by_pin(raw)
            seen = {pin: _without_opening(by_pin.get(pin, []), edges) for pin, edges in on_pin.items()}
            unsettled = {pin: edges for pin, edges in on_pin.items() if not _is_shown(edges, seen[pin])}
            end_ms = max(installed_ms + due_ms + LATE_MS, _settled_ms(unsettled or on_pin, seen))
            is_proved = not unsettled and compare_edges(on_pin, seen, waited_ms, before={}).agrees
            if is_proved or max(waited_ms, slept_ms) >= end_ms:
                break
            await self.sleep(rest_ms / 1000)
            slept_ms += rest_ms * _SLOWEST_CLOCK
        if not any(seen.values()) and waited_ms == 0:
            return Verification(Evidence("accepted", "accepted only: the board's clock stands still"), False)
        # where reading a pin does not turn off what drives it
        if self.device.evidence_of(GpioGet.method) == "counted":
            silent = [pin for pin in seen if not seen[pin]]
        else:
            silent = []
        levels = {pin: (await self._read(GpioGet(pin))).level for pin in silent}
        return compare_edges(on_pin, seen, waited_ms, levels)

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
            seen = pwm_states([*seen, *(change for change in page.changes if change.pin == pin)])
            if len(seen) < len(wanted):
                await self.sleep(_POLL_MS / 1000)
                waited_ms += _POLL_MS
        if not seen:
            waited = format_duration(waited_ms, decimals=2)
            text = f"no PWM on pin {pin} in {waited}; the trial had some after {seconds(wanted[0].t_ms)}"
            return counted(text, agrees=False)
        return compare_pwm(wanted, seen)

    async def _read_lines(self) -> Verification:
        """Return the evidence of a program without edges to wait for: its lines, else its state, else no evidence."""
        free_lines = self.trial.free(self.trial.lines)
        first_ms = next((line.t_ms for line in free_lines if line.app is not None), math.inf)
        if not self.keeps_lines or self.before.log_cursor is None or first_ms > PATIENCE_MS:
            return await self._accepted()
        lines = await self._await_lines(first_ms)
        if not lines:
            text = f"no line of it came; in the trial the first one was there after {seconds(first_ms)}"
            return _reported(text, next_step=_CRASHED)
        line = lines[-1].strip()
        end = end_of(lines)
        if end not in (None, self.trial.ended):
            text = f"it {end} on the board, and in the trial it was {self.trial.ended}: {line}"
            return _reported(text, next_step=_CRASHED)
        forms = {_form(text.text) for text in self.trial.lines}
        new = "" if _form(line) in forms else " (the trial had no line of that form)"
        return Verification(Evidence("reported", f"the program reports: {line}{new}"), True)

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

    async def _accepted(self) -> Verification:
        """Return that nobody saw it work, with its state if the board reports that."""
        trial = self.trial
        state = await self._state()
        if state is None:
            return Verification(Evidence("accepted", NO_READ_BACK), True)
        parts = [f"the board reports it {state.state}"]
        if state.pins:
            parts.append(f"with {plural('pin', state.pins)} open")
        has_moved = any((trial.free(trial.edges), trial.free(trial.pwm), trial.free(trial.leds)))  # before an input did
        if trial.inputs and not has_moved:
            parts.append(f"and it waits for an input on {plural('pin', trial.inputs)}")
        elif trial.edges:
            parts.append(f"(in the trial its first edge came after {seconds(trial.edges[0].t_ms)})")
        return Verification(Evidence("accepted", f"accepted only: {' '.join(parts)}"), True)


def _edges_since(page: EdgeLog, before: Baseline) -> list[Edge]:
    """Return the edges since the installation, in ms after it."""
    began_ms = before.now_ms
    return [structs.replace(e, t_ms=e.t_ms - began_ms) for e in page.edges if e.t_ms >= began_ms - _ROUNDING_MS]


def _without_opening(seen: list[Edge], expected: Sequence[Edge]) -> list[Edge]:
    """Without the edge that opening a pin makes: its output still holds the level that a former program left there."""
    quick = any(after.t_ms - edge.t_ms <= _OPENING_MS for edge, after in pairwise(expected))
    if len(seen) > 1 and seen[1].t_ms - seen[0].t_ms <= _OPENING_MS and not quick:
        return seen[1:]
    return seen


def _by_pin(changes: Iterable[E]) -> dict[int, list[E]]:
    found: dict[int, list[E]] = {}
    for one in changes:
        found.setdefault(one.pin, []).append(one)
    return found


def _is_shown(expected: Sequence[Edge], seen: Sequence[Edge]) -> bool:
    """True if further edges of a pin would tell nothing new."""
    due = [edge for edge in expected if edge.t_ms <= PATIENCE_MS + expected[0].t_ms]
    if not seen or (len(seen) < len(due) and span_ms(seen) < STEADY_MS):
        return False
    agreement = compare(expected, seen)
    return agreement.agrees and agreement.is_sure


def _settled_ms(unsettled: Mapping[int, Sequence[Edge]], seen: Mapping[int, Sequence[Edge]]) -> float:
    """Return by when each of these pins has had its time to settle, 0 if none moves."""
    ends = [0.0]
    for pin, edges in unsettled.items():
        if seen[pin]:
            settling_ms = SETTLING_MS + 2 * span_ms(edges[: STEADY_GAPS + 1])
            ends.append(seen[pin][0].t_ms + min(settling_ms, LONGEST_MS))
    return max(ends)


def _form(line: str) -> str:
    """A line without its numbers, which differ from board to board."""
    return _NUMBER.sub("0", line.strip())
