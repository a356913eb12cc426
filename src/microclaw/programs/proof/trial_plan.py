"""The plan of a trial: for how long, and what comes from outside, as given and as expectations ask for. No IO."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from microclaw.errors import ConfigError
from microclaw.events import Edge
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.proof.expectations import MAX_ADC_V, Expectations, LevelState
from microclaw.programs.proof.reaction import Reaction
from microclaw.programs.proof.stimuli import AdcStimulus, NetworkStimulus, PartSetting, PinStimulus, Stimulus
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
_ODD_REST_MS = 37.0
_GAPS = (3, 1, 4, 2, 6)
_PATTERNS: Final[tuple[tuple[int, ...] | None, ...]] = (None, (0, 7, 8, 10, 18), (0, 5, 9, 11, 16))
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
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"{text!r} is not an input",
            next_step="write PIN=LEVEL@TIME, as 14=1@2s: pin 14 goes high after 2 s; or volts for an ADC: 1=2.5V@2s",
        )
    pin, level, adc_pin, volts, time_text = match.groups()
    at_ms = 0.0
    if time_text:
        at_ms = parse_time_ms(time_text, MAX_TRIAL_MS)
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
    """Return the edges of all pin stimuli; a pin that bounces chatters from its present level to the other one."""
    levels: dict[int, int] = {}
    edges: list[Edge] = []
    bursts: dict[int, list[tuple[float, float, int]]] = {}
    for stimulus in sorted(_pin_stimuli(stimuli), key=lambda stimulus: stimulus.at_ms):
        pin = stimulus.pin
        is_first = pin not in levels
        before = levels.get(pin, _level_before(stimulus))
        level = stimulus.level
        if level is None:
            level = 1 - before
        levels[pin] = level
        new_edges = _edges_of(stimulus, level)
        edges += new_edges
        changes = bursts.setdefault(pin, [])
        is_at_start = is_first and stimulus.at_ms <= 0
        if level != before and not is_at_start:
            changes.append((new_edges[0].t_ms, new_edges[-1].t_ms, level))
    edges.sort(key=lambda edge: edge.t_ms)
    return Levels(tuple(edges), {pin: tuple(changes) for pin, changes in bursts.items()})


def seen_levels(edges: Iterable[Edge], bounces_ms: Mapping[int, float]) -> Levels:
    """Return the levels of pins that parts moved, by the board's edges.

    Edges of a pin that are no further apart than its bounce are one change; one that comes back is none.
    """
    changes: dict[int, list[list[Edge]]] = {pin: [] for pin in bounces_ms}
    kept: list[Edge] = []
    for edge in edges:
        if edge.pin not in changes:
            continue
        kept.append(edge)
        bursts = changes[edge.pin]
        if bursts and edge.t_ms - bursts[-1][-1].t_ms <= bounces_ms[edge.pin]:
            bursts[-1].append(edge)
        else:
            bursts.append([edge])
    table: dict[int, tuple[tuple[float, float, int], ...]] = {}
    for pin, bursts in changes.items():
        moved = [burst for burst in bursts if len(burst) % 2]
        table[pin] = tuple((burst[0].t_ms, burst[-1].t_ms, burst[-1].level) for burst in moved)
    return Levels(tuple(kept), table)


def _pin_stimuli(stimuli: Iterable[Stimulus]) -> list[PinStimulus]:
    return [stimulus for stimulus in stimuli if isinstance(stimulus, PinStimulus)]


def _level_before(stimulus: PinStimulus) -> int:
    """Return the level before a pin's first stimulus: the other one; high before a bounce, as at a button."""
    if stimulus.level is None:
        return 1
    return 1 - stimulus.level


def _edges_of(stimulus: PinStimulus, level: int) -> list[Edge]:
    """Return the edges of a stimulus, which ends at this level; each second one goes back for a moment."""
    flip_count = 0
    if stimulus.bounce_ms:
        flip_count = 2 * max(1, round(stimulus.bounce_ms / _BOUNCE_EDGE_MS / 2))
    edges = []
    for number, share in enumerate(_shares(flip_count, stimulus.pattern)):
        t_ms = stimulus.at_ms + stimulus.bounce_ms * share
        if number % 2 == 0:
            edges.append(Edge(t_ms, stimulus.pin, level))
        else:
            edges.append(Edge(t_ms, stimulus.pin, 1 - level))
    return edges


def _shares(flip_count: int, pattern: int) -> list[float]:
    """Return the flips of a bounce, as shares of it: unevenly, so that no polling period always misses them."""
    if not flip_count:
        return [0.0]
    moments = _PATTERNS[pattern] or _uneven_moments(flip_count)
    return [moment / moments[-1] for moment in moments]


def _uneven_moments(count: int) -> tuple[int, ...]:
    moments = [0]
    for number in range(count):
        gap = _GAPS[number % len(_GAPS)]
        moments.append(moments[-1] + gap)
    return tuple(moments)


class TrialOptions(Struct, frozen=True):
    """The way to try a program: board time, inputs from outside, and how it is installed.

    With `expectations` the time is what they need, or `for_ms` where that is not None in them, and then a soak; with
    `times` it is a run's. `host_s` limits the CPU time that the virtual board may use. `wiring` has the parts of
    the program's own wiring file, `record` those that are recorded for the device; None without one (trial_wiring.py).
    `stated` are those of them that somebody wired, once the trial's wiring is chosen.
    """

    for_ms: float = 10_000
    inputs: tuple[PinStimulus | AdcStimulus, ...] = ()
    expectations: Expectations | None = None
    heap_bytes: int = DEFAULT_HEAP_BYTES
    timers: int = DEFAULT_TIMERS
    host_s: float = 60.0
    times: RunTimes | None = None
    wiring: Wiring | None = None
    record: Wiring | None = None
    stated: Wiring = Wiring()


class Run(TrialOptions, frozen=True, kw_only=True):
    """The run that the options come to: `for_ms` with `stimuli`, then up to `soak_ms` more, then `late` for `late_ms`.

    `uptime_ms`: how long the board is up before the installation. With `times` there is no soak.
    """

    stimuli: tuple[Stimulus, ...] = ()
    uptime_ms: float = 0.0
    soak_ms: float = 0.0
    late: tuple[PinStimulus, ...] = ()
    late_ms: float = 0.0


def plan(options: TrialOptions, uptime_ms: float = 0.0, driven: Collection[int] = ()) -> Run:
    """Return the run that the options ask for, with everything that comes from outside.

    Expectations add their stimuli, presses of each trigger pin that has none, with and without bounces, and a soak
    after the time that they need. Pins that the program drives, `driven`, are not pressed.
    """
    expectations = options.expectations
    times = options.times
    run = Run(**structs.asdict(options), stimuli=options.inputs, uptime_ms=uptime_ms)
    if expectations is None:
        if times is None:
            return run
        return structs.replace(run, for_ms=first_run_ms(times, options.for_ms))
    buttons = _Buttons.of(expectations, driven)
    presses, end_ms = _timed_presses(expectations, buttons)
    stimuli = [*options.inputs, *_ordered(expectations.stimuli, buttons, presses)]
    needed_ms = _needed_ms(expectations, end_ms)
    run = structs.replace(run, stimuli=tuple(stimuli), for_ms=max(needed_ms, options.for_ms))
    if times is not None:
        longest_ms = first_run_ms(times, run.for_ms)
        wanted_ms = expectations.for_ms or longest_ms
        return structs.replace(run, for_ms=min(wanted_ms, longest_ms))
    if expectations.for_ms is not None:
        return structs.replace(run, for_ms=expectations.for_ms)
    soak_ms = expectations.soak_ms
    if soak_ms is None:
        soak_ms = SOAK_MS
    if not soak_ms:
        return run
    late, late_ms = _presses(buttons, BOUNCES[:2])
    return structs.replace(run, soak_ms=soak_ms, late=tuple(late), late_ms=late_ms)


class _Buttons(Struct, frozen=True):
    """The pins that are pressed although the text has no stimulus for them.

    `idle_levels` has the level of each pin while nobody presses it, `rest_ms` the time that a press lasts and the time
    after it. `conditions` are levels of other pins on which the reactions depend.
    """

    idle_levels: Mapping[int, int]
    rest_ms: float
    conditions: Sequence[LevelState]

    @classmethod
    def of(cls, expectations: Expectations, driven: Collection[int]) -> _Buttons:
        """Return the buttons of all reactions. The program itself moves `driven`, and what its checks are about."""
        given = _given_pins(expectations)
        moved = {check.subject.pin for check in expectations.checks}.union(given, driven)
        idle_levels: dict[int, int] = {}
        conditions: dict[LevelState, None] = {}
        rest_ms = HOLD_MS
        for check in expectations.checks:
            if not isinstance(check, Reaction) or check.trigger.pin in given:
                continue
            trigger = check.trigger
            if trigger.pin not in moved:
                idle_levels.setdefault(trigger.pin, 1 - trigger.level)
            condition = check.condition
            if condition is not None and condition.pin not in moved:
                conditions[condition] = None
            rest_ms = max(rest_ms, 1.5 * check.length_ms + 60)
        return cls(idle_levels, rest_ms, list(conditions))


def _given_pins(expectations: Expectations) -> set[int]:
    """Return the pins for which the text has a stimulus, also one of a part on them."""
    pins = {stimulus.pin for stimulus in _pin_stimuli(expectations.stimuli)}
    for stimulus in expectations.stimuli:
        if isinstance(stimulus, PartSetting):
            pins.update(stimulus.pins)
    return pins


def _timed_presses(expectations: Expectations, buttons: _Buttons) -> tuple[Sequence[PinStimulus], float]:
    """Return the presses after the text's own stimuli, and the end of both."""
    end_ms = 0.0
    for stimulus in expectations.stimuli:
        end_ms = max(end_ms, stimulus.at_ms)
        if isinstance(stimulus, PinStimulus):
            end_ms = max(end_ms, stimulus.at_ms + stimulus.bounce_ms)
        elif isinstance(stimulus, NetworkStimulus):
            end_ms = max(end_ms, stimulus.end_ms)
    if not buttons.idle_levels:
        return (), end_ms
    presses, took_ms = _presses(buttons, BOUNCES)
    begin_ms = max(_FIRST_PRESS_MS, end_ms + buttons.rest_ms)
    return shifted(presses, begin_ms), begin_ms + took_ms


def _ordered(given: Sequence[Stimulus], buttons: _Buttons, presses: Sequence[PinStimulus]) -> list[Stimulus]:
    """Return all stimuli by time; of one moment, the levels from the start come first."""
    stimuli: list[Stimulus] = [*_levels_before(given), *given]
    for pin, level in buttons.idle_levels.items():
        stimuli.append(PinStimulus(pin, level, 0.0))
    stimuli += presses
    stimuli.sort(key=lambda stimulus: stimulus.at_ms)
    return stimuli


def _needed_ms(expectations: Expectations, end_ms: float) -> float:
    """Return the time that the checks need if the stimuli end at `end_ms`."""
    needed_ms = MIN_MS
    longest_ms = 0.0
    for check in expectations.checks:
        needed_ms = max(needed_ms, check.needed_ms)
        if isinstance(check, Reaction):
            longest_ms = max(longest_ms, check.length_ms)
    return max(needed_ms, end_ms + longest_ms + 500.0)


def _levels_before(given: Sequence[Stimulus]) -> list[PinStimulus]:
    """Return the levels from the start of pins whose first stimulus comes later."""
    first: dict[int, PinStimulus] = {}
    for stimulus in reversed(_pin_stimuli(given)):
        first[stimulus.pin] = stimulus
    levels = []
    for pin, stimulus in first.items():
        if stimulus.at_ms > 0:
            levels.append(PinStimulus(pin, _level_before(stimulus), 0.0))
    return levels


def _presses(buttons: _Buttons, bounces: Sequence[tuple[float, int]]) -> tuple[list[PinStimulus], float]:
    """Press each button in turn, once for each bounce; the others have the conditions' levels, then the opposite ones.

    Return the presses and how long they take.
    """
    presses: list[PinStimulus] = []
    levels = dict(buttons.idle_levels)
    t_ms = 0.0
    for wanted in _levels_of(buttons.conditions):
        for bounce_ms, pattern in bounces:
            for pin, idle_level in buttons.idle_levels.items():
                changed = _changed_levels(wanted, pin, idle_level, levels)
                for other_pin, level in changed.items():
                    presses.append(PinStimulus(other_pin, level, t_ms))
                if changed:
                    levels.update(changed)
                    t_ms += buttons.rest_ms
                presses.append(_press(pin, 1 - idle_level, t_ms, bounce_ms, pattern))
                t_ms += buttons.rest_ms
                presses.append(_press(pin, idle_level, t_ms, bounce_ms, pattern))
                # Not a whole multiple of a usual polling period: each press meets another moment of it.
                t_ms += buttons.rest_ms + _ODD_REST_MS
    for pin, level in buttons.idle_levels.items():
        if levels[pin] != level:
            presses.append(PinStimulus(pin, level, t_ms))
    return presses, t_ms


def _levels_of(conditions: Sequence[LevelState]) -> list[dict[int, int]]:
    """Return the levels with which the buttons are pressed: the conditions' ones, then the opposite ones."""
    if not conditions:
        return [{}]
    wanted = {}
    opposite = {}
    for condition in conditions:
        wanted[condition.pin] = condition.level
        opposite[condition.pin] = 1 - condition.level
    return [wanted, opposite]


def _changed_levels(wanted: Mapping[int, int], pin: int, idle_level: int, levels: Mapping[int, int]) -> dict[int, int]:
    """Return the levels that must change before the pin is pressed, which itself must be idle."""
    if not wanted:
        return {}
    needed = {**wanted, pin: idle_level}
    changed = {}
    for needed_pin, level in needed.items():
        if levels.get(needed_pin) != level:
            changed[needed_pin] = level
    return changed


def _press(pin: int, level: int, at_ms: float, bounce_ms: float, pattern: int) -> PinStimulus:
    if bounce_ms:
        return PinStimulus(pin, None, at_ms, bounce_ms, pattern)
    return PinStimulus(pin, level, at_ms, bounce_ms, pattern)


def shifted(presses: Iterable[PinStimulus], by_ms: float) -> tuple[PinStimulus, ...]:
    """Return the presses, moved to when they begin."""
    return tuple(structs.replace(press, at_ms=press.at_ms + by_ms) for press in presses)
