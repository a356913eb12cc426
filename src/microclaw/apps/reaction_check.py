"""Compares `when pin 4 falls: pin 2 rises within 50 ms` with what was recorded. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from microclaw.apps.expectations import (
    Check,
    Duty,
    EdgeAt,
    EdgeCount,
    LedEffect,
    Level,
    LogCount,
    LogEffect,
    LogEvery,
    Period,
    PhaseLength,
    PinEffect,
    PwmEffect,
    Reaction,
    StayEffect,
    Window,
)
from microclaw.apps.light_check import is_lit, shown
from microclaw.apps.observation import JITTER_MS, Finding, Observation
from microclaw.text import time_text

Burst = tuple[float, float]
_JUST_BEFORE_MS = 500.0
_PRINT_LESS = "print less: a board tells a program's lines up to so many a second, and no more of them"


def check_reaction(asked: Reaction, seen: Observation, program: Sequence[Check]) -> Finding:
    """Each trigger has its effect, and that comes at no other time. `program`: all checks; their effects count."""
    found = _check_reaction(asked, seen, program)
    triggers = _triggers(asked, seen)
    if not triggers or not isinstance(asked.effect, LogEffect):
        return found
    return unsure_of_lines(found, Window(triggers[0][0]), seen)


def unsure_of_lines(found: Finding, window: Window, seen: Observation) -> Finding:
    """A finding about printed lines where some of them are missing: what would be met is untried."""
    count = seen.left_out(window)
    if not count or found.state == "untried":
        return found
    missing = "1 line was left out" if count == 1 else f"{count} lines were left out"
    return Finding("untried", f"{missing}: print less; {found.text}", _PRINT_LESS)


def _check_reaction(asked: Reaction, seen: Observation, program: Sequence[Check]) -> Finding:
    triggers = _triggers(asked, seen)
    name = f"pin {asked.trigger.pin} {'rises' if asked.trigger.level else 'falls'}"
    if not triggers:
        return Finding("untried", f"the trial has no moment when {name}")
    effects = 0
    for first, last in triggers:
        problem, happened = _effect(asked, seen, first, last)
        if problem:
            return Finding("not met", f"{problem} (when {name} at {time_text(first)})")
        effects += happened
    if not effects:
        return Finding("not met", f"no effect in {len(triggers)} tries: it was so before")
    if isinstance(asked.effect, StayEffect) and not seen.moved:
        return Finding("untried", "nothing moved")
    stray = _stray(asked, seen, program)
    if stray is not None:
        text = f"{_effect_text(asked)} at {time_text(stray)} too, without a reason{_input_before(stray, seen)}"
        return Finding("not met", text)
    return Finding("met", f"{len(triggers)} times")


def _triggers(asked: Reaction, seen: Observation) -> list[Burst]:
    """First and last moment of each trigger whose time for the effect is over before the end."""
    trigger, condition = asked.trigger, asked.condition
    if trigger.pin in seen.bursts:
        found = [(first, last) for first, last, level in seen.bursts[trigger.pin] if level == trigger.level]
    else:
        found = [(t, t) for t in seen.track(trigger.pin).to_level(trigger.level, 0, seen.end_ms)]
    return [
        (first, last)
        for first, last in found
        if last + asked.within_ms <= seen.end_ms and (condition is None or _holds(condition, seen, first))
    ]


def _holds(condition: Level, seen: Observation, t_ms: float) -> bool:
    return seen.track(condition.pin).level_at(t_ms) == condition.level


def _effect(asked: Reaction, seen: Observation, first: float, last: float) -> tuple[str | None, bool]:
    """The problem with one trigger's effect, else None; and whether anything happened (it may have been so before)."""
    until = last + asked.within_ms
    match asked.effect:
        case PinEffect(pin=pin, level=level):
            if level is not None:
                return _goes(asked, seen, pin, level, first, last)
            edges = len([t for t, _ in seen.track(pin).changes if first <= t <= until])
            return (None if edges == 1 else f"pin {pin} changes {edges} times"), True
        case StayEffect(pin=pin):
            moved = next((t for t, _ in seen.track(pin).changes if first <= t <= until), None)
            return (None if moved is None else f"pin {pin} moves at {time_text(moved)}"), True
        case LogEffect(pattern=pattern):
            found = len(seen.matching(pattern, Window(first, until)))
            return (None if found == 1 else f"{found} matching lines"), True
        case PwmEffect(pin=pin, percent=percent, points=points):
            duties = [duty for t, duty in seen.duties(pin) if t <= until]
            changed = any(first <= t <= until for t, _ in seen.duties(pin))
            now = duties[-1] if duties else 0.0
            return (None if abs(now - percent) <= points else f"pin {pin} has {now:.3g} %"), changed
        case LedEffect(pin=pin, index=index, color=color):
            colors = seen.colors_at(pin, until)
            changed = any(first <= c.t_ms <= until for c in seen.leds if c.pin == pin)
            return (
                None if is_lit(color, index, colors) else f"the LED on pin {pin} is {shown(colors, index)}"
            ), changed
        case _:
            assert_never(asked.effect)


def _goes(
    asked: Reaction, seen: Observation, pin: int, level: int, first: float, last: float
) -> tuple[str | None, bool]:
    """The pin goes to `level`, once; where it has that level already, it keeps it."""
    track, until = seen.track(pin), last + asked.within_ms
    times = track.to_level(level, first, until)
    verb, name = ("rise", "high") if level else ("fall", "low")
    if not times:
        if track.level_at(first) == level and track.level_at(until) == level:
            return None, False
        return f"pin {pin} does not {verb} within {time_text(asked.within_ms)}", False
    if first == last and len(times) > 1:
        return f"pin {pin} {verb}s {len(times)} times", True
    if asked.for_ms is not None:
        slack = max(asked.tolerance * asked.for_ms, JITTER_MS)
        back = next((t for t in track.to_level(1 - level, times[-1], seen.end_ms)), None)
        length = (seen.end_ms if back is None else back) - times[-1]
        if length > asked.for_ms + slack or (back is not None and length < asked.for_ms - slack):
            return f"pin {pin} stays {name} for {time_text(length)}", True
    return None, True


def _stray(asked: Reaction, seen: Observation, program: Sequence[Check]) -> float | None:
    """When the effect came without a trigger, after the first trigger; None where another check speaks of it."""
    effect = asked.effect
    if isinstance(effect, StayEffect | PwmEffect | LedEffect):
        return None
    begin = _triggers(asked, seen)[0][0]
    wanted: list[Burst] = []
    if isinstance(effect, LogEffect):
        if any(isinstance(one, LogEvery | LogCount) and one.pattern == effect.pattern for one in program):
            return None
        times = seen.matching(effect.pattern, Window(begin))
        for one in program:
            if isinstance(one, Reaction) and one.effect == effect:
                wanted += [(first, last + one.within_ms) for first, last in _all_triggers(one, seen)]
        return _outside(times, wanted)
    if any(isinstance(one, Period | Duty | EdgeCount | PhaseLength) and one.pin == effect.pin for one in program):
        return None
    levels = (0, 1) if effect.level is None else (effect.level,)
    track = seen.track(effect.pin)
    times = [t for level in levels for t in track.to_level(level, begin, seen.end_ms)]
    for one in program:
        if isinstance(one, EdgeAt) and one.pin == effect.pin:
            wanted.append((one.at_ms - one.slack_ms, one.at_ms + one.slack_ms))
        if isinstance(one, Reaction) and isinstance(one.effect, PinEffect) and one.effect.pin == effect.pin:
            wanted += [
                (first, last + one.within_ms + (one.for_ms or 0) * (1 + one.tolerance) + JITTER_MS)
                for first, last in _all_triggers(one, seen)
            ]
    return _outside(times, wanted)


def _all_triggers(asked: Reaction, seen: Observation) -> list[Burst]:
    """Also those so near to the end that their effect is not waited for."""
    later = Observation(seen.end_ms + asked.within_ms, seen.edges, levels=seen.levels, bursts=seen.bursts)
    return _triggers(asked, later)


def _outside(times: Sequence[float], wanted: Sequence[Burst]) -> float | None:
    return next((t for t in sorted(times) if not any(start <= t <= end for start, end in wanted)), None)


def _input_before(t_ms: float, seen: Observation) -> str:
    """What the outside did just before: "; 12 ms after pin 6 fell, which bounced for 18 ms"."""
    inputs = [(first, last, pin, level) for pin, found in seen.bursts.items() for first, last, level in found]
    near = max((one for one in inputs if 0 <= t_ms - one[0] <= _JUST_BEFORE_MS), default=None)
    if near is None:
        return ""
    first, last, pin, level = near
    bounced = f", which bounced for {time_text(last - first)}" if last > first else ""
    return f"; {time_text(t_ms - first)} after pin {pin} {'rose' if level else 'fell'}{bounced}"


def _effect_text(asked: Reaction) -> str:
    match asked.effect:
        case PinEffect(pin=pin, level=level):
            return f"pin {pin} {'changes' if level is None else 'rises' if level else 'falls'}"
        case LogEffect():
            return "the line is printed"
        case _:
            return "it happens"
