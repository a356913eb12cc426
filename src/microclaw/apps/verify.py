"""Watches a board after an installation for evidence that the program works: counted, reported or only accepted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec import structs

from microclaw.apps.edge_comparison import (
    EXPECTED_EDGES,
    MOMENT_MS,
    Verification,
    compare_edges,
    compare_pwm,
    compare_settled,
    counted,
    edges_to_settle,
)
from microclaw.apps.listing import names_after_change
from microclaw.apps.traps import trap_words
from microclaw.apps.trial import Trial
from microclaw.apps.verdict import dead_on_load, describe, seconds
from microclaw.devices.calls import (
    AppState,
    AppStates,
    EdgeLog,
    EdgesRead,
    GpioGet,
    LogLine,
    LogsRead,
    PwmChange,
    PwmRead,
)
from microclaw.devices.device import Device
from microclaw.errors import DeviceError, DeviceLied, DeviceSilent, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge, Evidence
from microclaw.text import format_duration, plural

PATIENCE_MS = 3_000.0
"""How long to watch after the first edge, or after the installation when no edge is due soon."""
LONGEST_MS = 12_000.0
"""How long to watch in all, where the first edge comes late: a slow board reads in a program for seconds."""
LATE_EDGES = 4
"""Two periods of a pin: what a later look waits for."""
LATEST_MS = 21_600_000.0
"""What is due later after the installation is not looked at again."""
_AWAY = "check its power and network; when it is back, the host redeploys what it lost: microclaw app list"
_UNLISTED = "restart the board, then deploy it again; what it lists: microclaw app list"
_LATE_MS = 400.0
_POLL_MS = 20.0
_ROUNDING_MS = 1.0
_OPENING_MS = 1.0
_EXPECTED_PWM_CHANGES = 4
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NEWEST = 2**53 - 1
"""Above every cursor: reading from here gives no entries, and the present cursor."""

NO_READ_BACK = "accepted only: the board lists it, but has no read-back of its work, so nobody has seen it work"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The cursors of the board's records before the installation; None: it keeps no such record."""

    edge_cursor: int | None = None
    pwm_cursor: int | None = None
    log_cursor: int | None = None
    now_ms: float = 0.0


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
    sha256: str | None = None,
    told: Callable[[str], str] = str,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Verification:
    """Watch the board until each pin had the edges that are due, or the program's first line came, or the time is over.

    Waits at most PATIENCE_MS after the first edge that the trial had within that time. Edges that are counted are
    compared pin by pin; without any the answer is "accepted only", unless the program is one that only prints.
    `sha256` is of the bytes that were sent: a board that lists others runs something else. `told` puts a board's error
    text into the source's lines.
    """
    try:
        dead = await _dead(device, name, trial, before, told)
        if dead is not None:
            return Verification(Evidence("reported", dead[0]), False, dead)
        found = await _watch(device, name, trial, before, sleep)
        dead = await _dead(device, name, trial, before, told)  # it may have trapped in its first timer
        state = await _state(device, name)
        if not dead and state is not None and sha256 is not None and state.sha256 not in (None, sha256):
            text = f"{device.name} lists {name} with other bytes than were sent"
            return Verification(Evidence("reported", text), False, next_step=_UNLISTED)
        if found.agrees and not dead and name not in await names_after_change(device, name, there=True, sleep=sleep):
            text = f"{device.name} answered that it took {name}, but does not list it"
            return Verification(Evidence("reported", text), False, next_step=_UNLISTED)
    except (DeviceUnreachable, DeviceTimeout) as exc:
        text = f"accepted, but the board could not be reached afterwards, so nobody has seen it work: {exc.message}"
        step = exc.next_step if isinstance(exc, DeviceSilent) else _AWAY
        return Verification(Evidence("accepted", text), False, next_step=step)
    except DeviceError as exc:
        text = f"accepted, but the board could not be read back: {exc.message}"
        return Verification(Evidence("accepted", text), False)
    return found if dead is None else Verification(Evidence("reported", dead[0]), False, dead)


async def verify_later(device: Device, trial: Trial, before: Baseline) -> Verification:
    """Compare all edges that the board counted since the installation with those of the trial that are due by now.

    Raises DeviceError. `before` has an edge cursor.
    """
    assert before.edge_cursor is not None
    page = await device.call(EdgesRead(cursor=before.edge_cursor))
    if page.now_ms < before.now_ms:
        return counted("the board restarted meanwhile", agrees=False)
    if page.dropped:
        return Verification(Evidence("accepted", "the board counted more edges than it keeps"), True)
    waited_ms = page.now_ms - before.now_ms
    due = [edge for edge in trial.free_edges() if edge.t_ms <= waited_ms]
    on_pin = {pin: [edge for edge in due if edge.pin == pin] for pin in dict.fromkeys(edge.pin for edge in due)}
    edges = edges_since(page, before)
    seen = {pin: _without_opening([e for e in edges if e.pin == pin], wanted) for pin, wanted in on_pin.items()}
    found = compare_edges(on_pin, seen, waited_ms, await _levels(device, seen))
    missing = next((pin for pin, wanted in on_pin.items() if len(seen[pin]) < min(len(wanted) - 1, LATE_EDGES)), None)
    if found.agrees and missing is not None:
        count = len(seen[missing])
        text = f"{count} of the {len(on_pin[missing])} edges that were due on pin {missing}"
        return counted(text, found.evidence.edges, agrees=False)
    return found


def late_due_ms(trial: Trial, seen_pins: Collection[int]) -> float | None:
    """The time when two periods of each pin not among `seen_pins` are over, after installing; None without any."""
    times: list[float] = []
    edges = trial.free_edges()
    for pin in dict.fromkeys(edge.pin for edge in edges if edge.pin not in seen_pins):
        on_pin = [edge.t_ms for edge in edges if edge.pin == pin and edge.t_ms <= LATEST_MS][:LATE_EDGES]
        times += on_pin[-1:]
    due_ms = max(times, default=0.0)
    return due_ms if due_ms > PATIENCE_MS else None


async def _watch(
    device: Device, name: str, trial: Trial, before: Baseline, sleep: Callable[[float], Awaitable[None]]
) -> Verification:
    expected = trial.free_edges()
    due_soon = bool(expected) and expected[0].t_ms <= PATIENCE_MS
    edges = pwm = None
    if before.edge_cursor is not None and due_soon:
        edges = await _count_edges(device, expected, before, before.edge_cursor, sleep)
    changes = trial.free_pwm()
    if before.pwm_cursor is not None and changes and (edges is None or edges.agrees):
        by_pin = {change.pin: [one for one in changes if one.pin == change.pin] for change in changes}
        for pin_changes in by_pin.values():
            if pwm is None or pwm.agrees:
                pwm = await _count_pwm(device, pin_changes, before.pwm_cursor, sleep)
    if edges is not None and pwm is not None:
        if edges.agrees != pwm.agrees:
            return pwm if edges.agrees else edges
        both = structs.replace(edges.evidence, text=f"{edges.evidence.text}; {pwm.evidence.text}")
        return structs.replace(edges, evidence=both)
    return edges or pwm or await _read_lines(device, name, trial, before, sleep)


async def _dead(
    device: Device, name: str, trial: Trial, before: Baseline, told: Callable[[str], str]
) -> tuple[str, str] | None:
    state = await _state(device, name)
    if state is None:
        return None
    if state.has_failed:
        error, step = trap_words(told(state.error or "no text"))
        return f"on the board {error}", step
    if state.state == "exited" and trial.ended != "exited":  # else that is how it is meant
        step = "leave the exit out, or look at what the board has that the trial had not"
        return f"it ended itself on the board: {state.error or 'exit'}", step
    if state.state == "loaded":
        return dead_on_load([line.text for line in await _lines(device, before) if line.app in (name, None)])
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
    """Wait for the edges that are due on each pin of the trial; the latest of them ends the watch."""
    pins = list(dict.fromkeys(edge.pin for edge in expected if edge.t_ms <= PATIENCE_MS))
    on_pin = {pin: [edge for edge in expected if edge.pin == pin] for pin in pins}
    patience_ms = PATIENCE_MS + expected[0].t_ms
    wanted = {pin: _wanted(edges, patience_ms) for pin, edges in on_pin.items()}
    raw: dict[int, list[Edge]] = {pin: [] for pin in pins}
    seen: dict[int, list[Edge]] = {}
    slept_ms = 0.0  # ends the watch when the board's own time stands still or starts again
    installed_ms: float | None = None  # at the first look: a small board takes seconds for an installation
    while True:
        page = await device.call(EdgesRead(cursor=cursor))
        cursor = page.cursor
        waited_ms = page.now_ms - before.now_ms
        if waited_ms < 0:
            return counted("the board restarted while it was watched", agrees=False)
        installed_ms = waited_ms if installed_ms is None else installed_ms
        for edge in edges_since(page, before):
            if edge.pin in raw:
                raw[edge.pin].append(edge)
        seen = {pin: _without_opening(raw[pin], on_pin[pin]) for pin in pins}
        late = [pin for pin in pins if len(seen[pin]) < wanted[pin] or _is_uneven(on_pin[pin], seen[pin])]
        first_ms = min((found[0].t_ms for found in seen.values() if found), default=0.0)
        rest_ms = max([PATIENCE_MS, *(_settling_ms(on_pin[pin]) for pin in late if seen[pin])])
        end_ms = max(installed_ms + patience_ms, min(first_ms + rest_ms, LONGEST_MS))
        if not late or max(waited_ms, slept_ms) >= end_ms:
            break
        due_ms = min(_due(on_pin[pin], seen[pin], end_ms) for pin in late)
        pause_ms = min(max(due_ms - waited_ms, _POLL_MS), end_ms - waited_ms + _POLL_MS)
        await sleep(pause_ms / 1000)
        slept_ms += pause_ms
    if not any(seen.values()) and waited_ms == 0:
        return Verification(Evidence("accepted", "accepted only: the board's clock stands still"), False)
    return compare_edges(on_pin, seen, waited_ms, await _levels(device, seen))


def edges_since(page: EdgeLog, before: Baseline) -> list[Edge]:
    """The edges since the installation, in ms after it. Raises DeviceLied for one that is not over yet."""
    late = next((edge for edge in page.edges if edge.t_ms > page.now_ms + _ROUNDING_MS), None)
    if late is not None:
        raise DeviceLied(f"an edge on pin {late.pin} at {late.t_ms:.0f} ms, and its clock is at {page.now_ms:.0f} ms")
    began_ms = before.now_ms
    return [structs.replace(e, t_ms=e.t_ms - began_ms) for e in page.edges if e.t_ms >= began_ms - _ROUNDING_MS]


def _without_opening(seen: list[Edge], expected: Sequence[Edge]) -> list[Edge]:
    """Without the edge that opening a pin makes: its output still holds the level that a former program left there."""
    quick = any(after.t_ms - edge.t_ms <= _OPENING_MS for edge, after in pairwise(expected))
    return seen[1:] if len(seen) > 1 and seen[1].t_ms - seen[0].t_ms <= _OPENING_MS and not quick else seen


async def _levels(device: Device, seen: Mapping[int, Sequence[Edge]]) -> dict[int, int]:
    """The levels of the pins without an edge, where reading a pin does not turn off what drives it."""
    silent = [pin for pin in seen if not seen[pin]] if device.evidence_of(GpioGet.method) == "counted" else []
    return {pin: (await device.call(GpioGet(pin))).level for pin in silent}


def _wanted(edges: Sequence[Edge], patience_ms: float) -> int:
    """The number of edges of a pin to wait for: two, and so many more that they are not all of one moment."""
    due = [edge for edge in edges if edge.t_ms <= patience_ms]
    apart = next((i for i, edge in enumerate(due) if edge.t_ms - due[0].t_ms > MOMENT_MS), None)
    return len(due) if apart is None else max(EXPECTED_EDGES, apart + 1)


def _is_uneven(expected: Sequence[Edge], seen: Sequence[Edge]) -> bool:
    """True if more edges may still show that the board was only held up."""
    if len(seen) >= len(expected):
        return False
    agreement = compare_settled(expected, seen)
    return not (agreement.agrees and agreement.is_sure)


def _settling_ms(expected: Sequence[Edge]) -> float:
    """The time after its first edge when a pin that began unevenly has had the edges that tell its rhythm."""
    settled = expected[: edges_to_settle(expected) + 1]
    return settled[-1].t_ms - settled[0].t_ms + _LATE_MS


def _due(edges: Sequence[Edge], seen: Sequence[Edge], end_ms: float) -> float:
    """The time when the next edge of a pin is to be expected, which goes by its latest one."""
    if len(seen) >= len(edges):
        return end_ms
    before = len(seen) - 1
    return edges[0].t_ms if before < 0 else seen[-1].t_ms + edges[before + 1].t_ms - edges[before].t_ms


async def _count_pwm(
    device: Device, expected: Sequence[PwmChange], cursor: int, sleep: Callable[[float], Awaitable[None]]
) -> Verification:
    """Wait for the trial's first changes on a pin; their speed is shown, not judged."""
    pin = expected[0].pin
    wanted = expected[:_EXPECTED_PWM_CHANGES]
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
        return counted(text, agrees=False)
    return compare_pwm(wanted, seen)


async def _read_lines(
    device: Device, name: str, trial: Trial, before: Baseline, sleep: Callable[[float], Awaitable[None]]
) -> Verification:
    """For a program without edges to wait for: its first line, else its state, else only that it was accepted."""
    nothing_seen = NO_READ_BACK
    if before.log_cursor is not None and trial.first_line_ms is not None and trial.first_line_ms <= PATIENCE_MS:
        waited_ms = 0.0
        nothing_seen = (
            "accepted only: the board lists it, and no line of it came; in the trial the first one was there after "
            f"{seconds(trial.first_line_ms)}"
        )
        while waited_ms <= trial.first_line_ms + _LATE_MS:
            own = [line for line in await _lines(device, before) if line.app == name]
            if own:
                said = own[-1].text.strip()
                new = "" if _form(said) in map(_form, trial.log) else " (the trial had no line of that form)"
                return Verification(Evidence("reported", f"the program reports: {said}{new}"), True)
            await sleep(_POLL_MS / 1000)
            waited_ms += _POLL_MS
    state = await _state(device, name)
    if state is None:
        return Verification(Evidence("accepted", nothing_seen), True)
    parts = [f"the board reports it {state.state}"]
    if state.pins:
        parts.append(f"with {plural('pin', state.pins)} open")
    if trial.waits_for_input:
        parts.append(f"and it waits for an input{_on(trial.inputs)}")
    elif trial.edges:
        parts.append(f"(in the trial its first edge came after {seconds(trial.edges[0].t_ms)})")
    elif moved := describe((), trial.pwm, trial.leds):
        parts.append(f"(in the trial: {moved})")
    return Verification(Evidence("accepted", f"accepted only: {' '.join(parts)}"), True)


def _form(line: str) -> str:
    """A line without its numbers, which differ from board to board."""
    return _NUMBER.sub("0", line.strip())


def _on(pins: Sequence[int]) -> str:
    return f" on {plural('pin', pins)}" if pins else ""
