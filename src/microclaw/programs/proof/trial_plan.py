"""The plan of a trial: for how long, and what comes from outside, as given and as expectations ask for. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, structs

from microclaw.errors import ConfigError
from microclaw.events import Edge
from microclaw.programs.proof.expectations import (
    MAX_ADC_V,
    AdcStimulus,
    Expectations,
    LevelState,
    PinStimulus,
    Stimulus,
)
from microclaw.programs.proof.reaction import Reaction
from microclaw.programs.run_times import RunTimes, first_run_ms, parse_time_ms
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

MIN_MS = 10_000.0
HOLD_MS = 600.0
"""How long a derived press lasts at least, and the rest after it."""
BOUNCES: Final = ((0.0, 0), (9.0, 0), (0.0, 0), (15.0, 0), (18.0, 1), (16.0, 2), (18.0, 0), (18.0, 1))
"""The presses that are derived for each pin: for how many ms they bounce, and the pattern; 0 ms is a clean one.

Contacts of buttons bounce for 1 to 20 ms. 18 ms is the longest here, so that a debounce of 20 ms is always right.
"""
MAX_TRIAL_MS: Final = 24 * 3_600_000.0
SOAK_MS: Final = 150_000.0
"""How much longer than needed a program with expectations runs, so that one that blocks after a minute is seen."""
_INPUT: Final = re.compile(r"(?:(\d{1,3})=([01])|(?:ADC +)?(\d{1,3})=(\d{1,2}(?:\.\d+)?) ?[vV])(?:@(.+))?", re.I)
_FIRST_PRESS_MS = 1_300.0
_BOUNCE_EDGE_MS = 3.0
_GAPS = (3, 1, 4, 2, 6)
_PATTERNS: Final = (None, (0, 7, 8, 10, 18), (0, 5, 9, 11, 16))
"""Moments of the flips. The two last come back to the old level for so long that a poll each 10 ms, or 5 to 7 ms, sees
it in between, at nearly every phase; the first, None, flips evenly at all rates."""


def parse_duration_ms(text: str) -> float:
    """Read a duration above 0, up to a day. Raises ConfigError."""
    ms = parse_time_ms(text, MAX_TRIAL_MS)
    if ms <= 0:
        raise ConfigError(f"{text!r} is not longer than 0", next_step="write it as 500ms, 30s, 10m, 1h or 1d")
    return ms


def parse_input(text: str) -> PinStimulus | AdcStimulus:
    """Read "14=1@2s": pin 14 goes high 2 s after the start; "1=2.5V@2s" or "ADC 1=2.5V@2s" for an ADC.

    Without @ it comes from the start. Raises ConfigError.
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{text!r} is not an input",
            next_step="write PIN=LEVEL@TIME, as 14=1@2s: pin 14 goes high after 2 s; or volts for an ADC: 1=2.5V@2s",
        )
    pin, level, adc_pin, volts, time_text = found.groups()
    if time_text:
        at_ms = parse_time_ms(time_text, MAX_TRIAL_MS)
    else:
        at_ms = 0.0
    if volts is None:
        return PinStimulus(int(pin), int(level), at_ms)
    if float(volts) > MAX_ADC_V:
        raise ConfigError(f"{text!r}: an ADC pin takes no {volts} V", next_step=f"give 0 to {MAX_ADC_V} V")
    return AdcStimulus(int(adc_pin), float(volts), at_ms)


class Levels(Struct, frozen=True):
    """Pin levels from outside. `bursts`: for each pin, first and last moment and new level of each change."""

    edges: tuple[Edge, ...]
    bursts: dict[int, tuple[tuple[float, float, int], ...]]


def levels_over_time(stimuli: Iterable[Stimulus]) -> Levels:
    """The edges of all pin stimuli; a pin that bounces chatters from its present level to the other one."""
    now: dict[int, int] = {}
    edges: list[Edge] = []
    bursts: dict[int, list[tuple[float, float, int]]] = {}
    for given in sorted((one for one in stimuli if isinstance(one, PinStimulus)), key=lambda one: one.at_ms):
        pin = given.pin
        first = pin not in now
        old = now.get(pin, 1 if given.level is None else 1 - given.level)
        if given.level is None:
            level = 1 - old
        else:
            level = given.level
        now[pin] = level
        if given.bounce_ms:
            flips = 2 * max(1, round(given.bounce_ms / _BOUNCE_EDGE_MS / 2))
        else:
            flips = 0
        times = [given.at_ms + given.bounce_ms * share for share in _shares(flips, given.pattern)]
        edges += [Edge(t_ms, pin, level if i % 2 == 0 else 1 - level) for i, t_ms in enumerate(times)]
        found = bursts.setdefault(pin, [])
        if level != old and not (first and given.at_ms <= 0):
            found.append((times[0], times[-1], level))
    edges.sort(key=lambda edge: edge.t_ms)
    return Levels(tuple(edges), {pin: tuple(changes) for pin, changes in bursts.items()})


def _shares(flips: int, pattern: int) -> list[float]:
    """The flips of a bounce, as shares of it: unevenly, so that no polling period always misses them."""
    if flips:
        moments = _PATTERNS[pattern]
    else:
        moments = None
    if moments is not None:
        return [moment / moments[-1] for moment in moments]
    gaps = [_GAPS[i % len(_GAPS)] for i in range(flips)]
    return [sum(gaps[:i]) / max(sum(gaps), 1) for i in range(flips + 1)]


class TrialOptions(Struct, frozen=True):
    """The way to try a program: board time, inputs from outside, and how it is installed.

    With `expectations` the time is what they need, or `for_ms` where that is not None in them, and then a soak; with
    `times` it is a run's. `host_s` limits the CPU time that the virtual board may use.
    """

    for_ms: float = 10_000
    inputs: tuple[PinStimulus | AdcStimulus, ...] = ()
    expectations: Expectations | None = None
    heap_bytes: int = DEFAULT_HEAP_BYTES
    timers: int = DEFAULT_TIMERS
    host_s: float = 60.0
    times: RunTimes | None = None


class Run(TrialOptions, frozen=True, kw_only=True):
    """The run that the options come to: `for_ms` with `stimuli`, then up to `soak_ms` more, then `late` for `late_ms`.

    `uptime_ms`: how long the board is up before the installation. With `times` there is no soak.
    """

    stimuli: tuple[Stimulus, ...] = ()
    uptime_ms: float = 0.0
    soak_ms: float = 0.0
    late: tuple[PinStimulus, ...] = ()
    late_ms: float = 0.0


def plan(options: TrialOptions, uptime_ms: float = 0.0) -> Run:
    """The run that the options ask for, with all that comes from outside.

    Expectations add their stimuli, presses of each trigger pin that has none, with and without bounces, and a soak
    after the time that they need.
    """
    asked = options.expectations
    times = options.times
    for_ms = options.for_ms
    run = Run(**structs.asdict(options), stimuli=options.inputs, uptime_ms=uptime_ms)
    if asked is None:
        if times is None:
            return run
        return structs.replace(run, for_ms=first_run_ms(times, for_ms))
    given = {one.pin for one in asked.stimuli if isinstance(one, PinStimulus)}
    reactions = [check for check in asked.checks if isinstance(check, Reaction) and check.trigger.pin not in given]
    driven = {check.subject.pin for check in asked.checks}  # the program moves them itself
    pressed = list(dict.fromkeys(check.trigger.pin for check in reactions if check.trigger.pin not in driven))
    idle = {pin: next(1 - check.trigger.level for check in reactions if check.trigger.pin == pin) for pin in pressed}
    rest_ms = max([HOLD_MS, *(1.5 * check.length_ms + 60 for check in reactions)])
    conditions = list(
        dict.fromkeys(c.condition for c in reactions if c.condition and c.condition.pin not in given | driven)
    )
    stimuli = [*_levels_before(asked.stimuli), *asked.stimuli]
    stimuli += [PinStimulus(pin, level, 0.0) for pin, level in idle.items()]
    end_ms = max((one.at_ms + getattr(one, "bounce_ms", 0.0) for one in asked.stimuli), default=0.0)
    presses, took_ms = _presses(pressed, idle, rest_ms, conditions, BOUNCES)
    if pressed:
        begin_ms = max(_FIRST_PRESS_MS, end_ms + rest_ms)
        stimuli += shifted(presses, begin_ms)
        end_ms = begin_ms + took_ms
    longest_ms = max((check.length_ms for check in asked.checks if isinstance(check, Reaction)), default=0.0)
    needed_ms = max(MIN_MS, end_ms + longest_ms + 500.0, *(check.needed_ms for check in asked.checks))
    stimuli.sort(key=lambda one: one.at_ms)  # stable: what was there before comes first
    run = structs.replace(run, stimuli=(*options.inputs, *stimuli), for_ms=max(needed_ms, for_ms))
    if times is not None:
        most_ms = first_run_ms(times, run.for_ms)
        return structs.replace(run, for_ms=min(asked.for_ms or most_ms, most_ms))
    if asked.for_ms is not None:
        return structs.replace(run, for_ms=asked.for_ms)
    soak_ms = SOAK_MS if asked.soak_ms is None else asked.soak_ms
    late, late_ms = _presses(pressed, idle, rest_ms, conditions, BOUNCES[:2])
    if soak_ms:
        return structs.replace(run, soak_ms=soak_ms, late=tuple(late), late_ms=late_ms)
    return run


def _levels_before(given: Sequence[Stimulus]) -> list[PinStimulus]:
    """A pin has the other level before its first stimulus; one that begins with a bounce is high, as a button is."""
    first = {one.pin: one for one in reversed(given) if isinstance(one, PinStimulus)}
    return [
        PinStimulus(pin, 1 if one.level is None else 1 - one.level, 0.0) for pin, one in first.items() if one.at_ms > 0
    ]


def _presses(
    pins: list[int],
    idle: dict[int, int],
    rest_ms: float,
    conditions: list[LevelState],
    bounces: tuple[tuple[float, int], ...],
) -> tuple[list[PinStimulus], float]:
    """Press each pin in turn, once for each bounce; the others have the conditions' levels, then the opposite ones."""
    made: list[PinStimulus] = []
    levels = dict(idle)
    t_ms = 0.0
    for opposite in (0, 1) if conditions else (0,):
        wanted = {one.pin: one.level ^ opposite for one in conditions}
        for bounce_ms, pattern in bounces:
            for pin in pins:
                if conditions:
                    before = {**wanted, pin: idle[pin]}
                else:
                    before = {}
                changed = {other: level for other, level in before.items() if levels.get(other) != level}
                made += [PinStimulus(other, level, t_ms) for other, level in changed.items()]
                levels.update(changed)
                t_ms += rest_ms if changed else 0.0
                # Not a whole multiple of a usual polling period: each press meets another moment of it.
                for level, more_ms in ((1 - idle[pin], 0.0), (idle[pin], 37.0)):
                    made.append(PinStimulus(pin, None if bounce_ms else level, t_ms, bounce_ms, pattern))
                    t_ms += rest_ms + more_ms
    made += [PinStimulus(pin, level, t_ms) for pin, level in idle.items() if levels[pin] != level]
    return made, t_ms


def shifted(presses: Iterable[PinStimulus], by_ms: float) -> tuple[PinStimulus, ...]:
    """Presses, moved to when they begin."""
    return tuple(structs.replace(one, at_ms=one.at_ms + by_ms) for one in presses)
