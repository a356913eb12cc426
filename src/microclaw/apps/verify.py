"""Watches a board after an installation for evidence that the program works. Changes nothing on the device.

The evidence is counted on the board, reported by it, or only that it accepted the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from microclaw.apps.trial import Trial
from microclaw.apps.verdict import ConsoleLine, compare, dead_on_load, describe, next_step_for_trap, seconds
from microclaw.devices.calls import AppState, AppStates, EdgesRead, LogLine, LogsRead, PwmChange, PwmRead
from microclaw.devices.device import Device
from microclaw.errors import DeviceError, DeviceSilent, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge, Evidence
from microclaw.text import format_duration

PATIENCE_MS = 3_000.0
"""How long to watch after the first edge, or after the installation when no edge is due soon."""
_AWAY = "check its power and network; when it is back, the host puts back what it lost: microclaw app list"
_LATE_MS = 400.0
_POLL_MS = 20.0
_OPENING_MS = 1.0
_EXPECTED_EDGES = 2
_EXPECTED_PWM_CHANGES = 4
_NEWEST = 2**53 - 1
"""Above every cursor: reading from here gives no entries, and the present cursor."""

NO_READ_BACK = "accepted only: this firmware has no read-back, so nobody has seen it work"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The cursors of the board's records before the installation; None where it keeps no such record."""

    edge_cursor: int | None = None
    pwm_cursor: int | None = None
    log_cursor: int | None = None
    now_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """`dead` says why the program does nothing although the firmware took it, with the next step; else None.

    `agrees` is False when the board's records differ from the trial, or could not be read; `next_step` says what to do.
    """

    evidence: Evidence
    agrees: bool
    dead: tuple[str, str] | None = None
    next_step: str | None = None


async def take_baseline(device: Device) -> Baseline:
    """Read the present cursors of the board's records."""
    edge_cursor = pwm_cursor = log_cursor = None
    now_ms = 0.0
    if device.supports(EdgesRead.method):
        log = await device.call(EdgesRead(cursor=_NEWEST))
        edge_cursor, now_ms = log.cursor, log.now_ms
    if device.supports(LogsRead.method):
        log_cursor = (await device.call(LogsRead(cursor=_NEWEST))).cursor
    if device.supports(PwmRead.method):
        pwm_cursor = (await device.call(PwmRead(cursor=_NEWEST))).cursor
    return Baseline(edge_cursor, pwm_cursor, log_cursor, now_ms)


async def verify(
    device: Device,
    name: str,
    trial: Trial,
    before: Baseline,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Verification:
    """Watch the board until two expected edges or the program's first line came, or the time is over.

    Waits at most PATIENCE_MS after the first edge that the trial had within that time.
    """
    try:
        dead = await _dead(device, name, before)
        if dead is not None:
            return Verification(Evidence("reported", dead[0]), False, dead)
        expected = trial.free_edges()
        if before.edge_cursor is not None and expected and expected[0].t_ms <= PATIENCE_MS:
            found = await _count_edges(device, expected, before, before.edge_cursor, sleep)
        elif before.pwm_cursor is not None and trial.pwm and not expected:
            found = await _count_pwm(device, trial.pwm, before.pwm_cursor, sleep)
        else:
            found = await _read_lines(device, name, trial, before, sleep)
        dead = await _dead(device, name, before)  # it may have trapped in its first timer
    except (DeviceUnreachable, DeviceTimeout) as exc:
        text = f"accepted, but the board could not be reached afterwards, so nobody has seen it work: {exc.message}"
        step = exc.next_step if isinstance(exc, DeviceSilent) else _AWAY
        return Verification(Evidence("accepted", text), False, next_step=step)
    except DeviceError as exc:
        text = f"accepted, but the board could not be read back: {exc.message}"
        return Verification(Evidence("accepted", text), False)
    return found if dead is None else Verification(Evidence("reported", dead[0]), False, dead)


async def _dead(device: Device, name: str, before: Baseline) -> tuple[str, str] | None:
    state = await _state(device, name)
    if state is None:
        return None
    if state.state == "trapped":
        text = state.error or "no text"
        return f"it trapped on the board: {text}", next_step_for_trap(text)
    if state.state == "exited":
        return f"it ended itself on the board: {state.error or 'exit'}", "return from on_init instead of calling exit"
    if state.state == "loaded":
        lines = [line for line in await _lines(device, before) if line.app in (name, None)]
        return dead_on_load(tuple(ConsoleLine(line.t_ms, line.app, line.text) for line in lines))
    return None


async def _state(device: Device, name: str) -> AppState | None:
    if not device.supports(AppStates.method):
        return None
    return next((app for app in await device.call(AppStates()) if app.name == name), None)


async def _lines(device: Device, before: Baseline) -> tuple[LogLine, ...]:
    if before.log_cursor is None:
        return ()
    return (await device.call(LogsRead(cursor=before.log_cursor))).lines


async def _count_edges(
    device: Device,
    expected: Sequence[Edge],
    before: Baseline,
    cursor: int,
    sleep: Callable[[float], Awaitable[None]],
) -> Verification:
    pin = expected[0].pin
    on_pin = [edge for edge in expected if edge.pin == pin]
    due = [edge.t_ms for edge in on_pin[: _EXPECTED_EDGES + 1]]
    patience_ms = PATIENCE_MS + due[0]
    wanted = sum(1 for t_ms in due[:_EXPECTED_EDGES] if t_ms <= patience_ms)
    seen: list[Edge] = []
    slept_ms = 0.0  # ends the watch when the board's own time stands still or starts again
    while True:
        page = await device.call(EdgesRead(cursor=cursor))
        cursor = page.cursor
        waited_ms = page.now_ms - before.now_ms
        if waited_ms < 0:
            return _counted("the board restarted while it was watched", agrees=False)
        seen += [replace(e, t_ms=e.t_ms - before.now_ms) for e in page.edges if e.pin == pin]
        seen = _without_opening(seen, on_pin)
        if len(seen) >= wanted or max(waited_ms, slept_ms) >= patience_ms:
            break
        next_due_ms = due[len(seen)] if len(seen) < len(due) else patience_ms
        pause_ms = min(max(next_due_ms - waited_ms, _POLL_MS), patience_ms - waited_ms + _POLL_MS)
        await sleep(pause_ms / 1000)
        slept_ms += pause_ms
    if not seen and waited_ms == 0:
        return Verification(Evidence("accepted", "accepted only: the board's clock stands still"), False)
    return _compare_edges(on_pin, seen, waited_ms)


def _without_opening(seen: list[Edge], expected: Sequence[Edge]) -> list[Edge]:
    """Without the edge that opening a pin makes: its output still holds the level that a former program left there."""
    quick = any(after.t_ms - edge.t_ms <= _OPENING_MS for edge, after in pairwise(expected))
    return seen[1:] if len(seen) > 1 and seen[1].t_ms - seen[0].t_ms <= _OPENING_MS and not quick else seen


def _counted(text: str, edges: Sequence[Edge] = (), *, agrees: bool) -> Verification:
    return Verification(Evidence("counted", f"counted on the board: {text}", tuple(edges)), agrees)


def _compare_edges(expected: Sequence[Edge], seen: Sequence[Edge], waited_ms: float) -> Verification:
    pin = expected[0].pin
    if not seen:
        waited = format_duration(waited_ms, decimals=2)
        text = f"no edge on pin {pin} in {waited}; the trial had one after {seconds(expected[0].t_ms)}"
        return _counted(text, agrees=False)
    agreement = compare(expected, seen)
    text = f"first edge after {seen[0].t_ms / 1000:.2f} s"
    if len(seen) > 1:
        text += f", next {seconds(seen[1].t_ms - seen[0].t_ms)} later"
    elif len(expected) > 1:
        text += f", the next is due {seconds(expected[1].t_ms - expected[0].t_ms)} later"
    if not agreement.agrees:
        text += f" ({agreement.difference})"
    return _counted(text, seen, agrees=agreement.agrees)


async def _count_pwm(
    device: Device, expected: Sequence[PwmChange], cursor: int, sleep: Callable[[float], Awaitable[None]]
) -> Verification:
    """The first duties of the trial must come in the same order; their speed is shown, not judged."""
    pin = expected[0].pin
    wanted = [change for change in expected if change.pin == pin][:_EXPECTED_PWM_CHANGES]
    patience_ms = min(wanted[-1].t_ms, PATIENCE_MS) + _LATE_MS
    waited_ms = 0.0
    seen: list[PwmChange] = []
    while len(seen) < len(wanted) and waited_ms <= patience_ms:
        page = await device.call(PwmRead(cursor=cursor))
        cursor = page.cursor
        seen += [change for change in page.changes if change.pin == pin]
        if len(seen) < len(wanted):
            await sleep(_POLL_MS / 1000)
            waited_ms += _POLL_MS
    if not seen:
        waited = format_duration(waited_ms, decimals=2)
        text = f"no PWM on pin {pin} in {waited}; the trial had some after {seconds(wanted[0].t_ms)}"
        return _counted(text, agrees=False)
    # A pin that had the first duty already shows no change to it.
    start = next((i for i, change in enumerate(wanted) if change.duty == seen[0].duty), 0)
    duties = [change.duty for change in seen[: len(wanted) - start]]
    agrees = duties == [change.duty for change in wanted[start : start + len(duties)]]
    text = f"PWM on pin {pin} at {seen[0].frequency_hz:,} Hz, duty {', '.join(map(str, duties))} of 255"
    if len(seen) > 1:
        text += f" within {seconds(seen[len(duties) - 1].t_ms - seen[0].t_ms)}"
    if not agrees:
        text += f" (in the trial {', '.join(str(change.duty) for change in wanted)})"
    return _counted(text, agrees=agrees)


async def _read_lines(
    device: Device, name: str, trial: Trial, before: Baseline, sleep: Callable[[float], Awaitable[None]]
) -> Verification:
    """For a program without edges to wait for: its first line, else its state, else only that it was accepted."""
    if before.log_cursor is not None and trial.first_line_ms is not None and trial.first_line_ms <= PATIENCE_MS:
        waited_ms = 0.0
        while waited_ms <= trial.first_line_ms + _LATE_MS:
            own = [line for line in await _lines(device, before) if line.app == name]
            if own:
                return Verification(Evidence("reported", f"the program reports: {own[-1].text.strip()}"), True)
            await sleep(_POLL_MS / 1000)
            waited_ms += _POLL_MS
    state = await _state(device, name)
    if state is None:
        return Verification(Evidence("accepted", NO_READ_BACK), True)
    parts = [f"the board reports it {state.state}"]
    if state.pins:
        parts.append(f"with {plural('pin', state.pins)} open")
    if trial.edges:
        parts.append(f"(in the trial its first edge came after {seconds(trial.edges[0].t_ms)})")
    elif moved := describe((), trial.pwm):
        parts.append(f"(in the trial: {moved})")
    return Verification(Evidence("reported", " ".join(parts)), True)


def plural(noun: str, numbers: Sequence[int]) -> str:
    """ "pin 2", "pins 2 and 5", "pins 2, 4 and 5"."""
    if len(numbers) == 1:
        return f"{noun} {numbers[0]}"
    return f"{noun}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
