"""Compares `when pin 4 falls: pin 2 rises within 50 ms` with what was recorded. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.apps.expectations import (
    Check,
    Count,
    Duty,
    EdgeAt,
    Edges,
    Hold,
    Level,
    Lines,
    Period,
    Phase,
    Reaction,
    Window,
)
from microclaw.apps.observation import JITTER_MS, Finding, Observation
from microclaw.text import count_text, time_text

_JUST_BEFORE_MS = 500.0
_PRINT_LESS = "print less: a board tells a program's lines up to so many a second, and no more of them"


def levels_of(asked: Check) -> list[int]:
    """The pins whose levels a check is about. PWM and LEDs have records of their own."""
    inputs = [asked.trigger, asked.condition] if isinstance(asked, Reaction) else []
    inputs += [asked.condition] if isinstance(asked, Hold) else []
    return [one.pin for one in (*inputs, asked.subject) if isinstance(one, Level | Edges)]


def unsure_of_lines(found: Finding, asked: Check, window: Window, seen: Observation) -> Finding:
    """A finding about printed lines where some of them are missing: what would be met is untried."""
    count = seen.left_out(window)
    if not count or found.state == "untried" or not isinstance(asked.subject, Lines):
        return found
    missing = f"{count_text(count, 'line')} {'was' if count == 1 else 'were'} left out"
    return Finding("untried", f"{missing}: print less; {found.text}", _PRINT_LESS)


def check_reaction(asked: Reaction, seen: Observation, program: Sequence[Check]) -> Finding:
    """Each trigger has its effect, and that comes at no other time. `program`: all checks; their effects count."""
    triggers = _triggers(asked, seen, asked.within_ms)
    name = f"pin {asked.trigger.pin} {'rises' if asked.trigger.level else 'falls'}"
    if not triggers:
        return Finding("untried", f"the trial has no moment when {name}")
    return unsure_of_lines(_reactions(asked, seen, program, triggers, name), asked, Window(triggers[0][0]), seen)


def _reactions(
    asked: Reaction, seen: Observation, program: Sequence[Check], triggers: Sequence[tuple[float, float]], name: str
) -> Finding:
    effects = 0
    for first, last in triggers:
        problem, happened = _effect(asked, seen, first, last)
        if problem:
            return Finding("not met", f"{problem} (when {name} at {time_text(first)})")
        effects += happened
    if not effects:
        return Finding("not met", f"no effect in {len(triggers)} tries: it was so before")
    stray = _stray(asked, seen, program, triggers[0][0])
    if stray is not None:
        noun, t_ms = stray
        text = f"{noun} at {time_text(t_ms)} too, without a reason{_input_before(t_ms, seen)}"
        return Finding("not met", text)
    return Finding("met", f"{len(triggers)} times")


def _triggers(asked: Reaction, seen: Observation, rest_ms: float = 0.0) -> list[tuple[float, float]]:
    """First and last moment of each trigger after which the trial goes on for `rest_ms`."""
    trigger, condition = asked.trigger, asked.condition
    found = [(first, last) for first, last, level in seen.bursts.get(trigger.pin, ()) if level == trigger.level]
    if trigger.pin not in seen.bursts:
        found = [(t, t) for t in seen.times(Edges(trigger.pin, trigger.level))]
    return [
        (first, last)
        for first, last in found
        if last + rest_ms <= seen.end_ms and (condition is None or seen.holds(condition, first))
    ]


def _effect(asked: Reaction, seen: Observation, first: float, last: float) -> tuple[str | None, bool]:
    """The problem with one trigger's effect, else None; and whether anything happened (it may have been so before)."""
    effect, until = asked.subject, last + asked.within_ms
    if isinstance(effect, Level):
        return _goes(asked, effect, seen, first, last)
    if isinstance(effect, Edges | Lines):
        times = seen.times(effect, Window(first, until))
        on = "" if effect.pin is None else f" on pin {effect.pin}"
        at = f", the first at {time_text(times[0])}" if times else ""
        return (None if len(times) == asked.count else f"{count_text(len(times), effect.noun)}{on}{at}"), True
    value = seen.value_at(effect, until)
    changed = any(first <= t <= until for t, _ in seen.values(effect)[1:])
    return (None if effect.matches(value) else effect.describe(value)), changed


def _goes(asked: Reaction, effect: Level, seen: Observation, first: float, last: float) -> tuple[str | None, bool]:
    """The pin goes to the level, once; where it has that level already, it keeps it."""
    pin, until = effect.pin, last + asked.within_ms
    times = seen.times(Edges(pin, effect.level), Window(first, until))
    verb = "rise" if effect.level else "fall"
    if not times:
        if seen.holds(effect, first) and seen.holds(effect, until):
            return None, False
        return f"pin {pin} does not {verb} within {time_text(asked.within_ms)}", False
    if first == last and len(times) > 1:
        return f"pin {pin} {verb}s {len(times)} times", True
    if asked.for_ms is not None:
        slack = max(asked.tolerance * asked.for_ms, JITTER_MS)
        back = next(iter(seen.times(Edges(pin, 1 - effect.level), Window(times[-1]))), None)
        length = (seen.end_ms if back is None else back) - times[-1]
        if length > asked.for_ms + slack or (back is not None and length < asked.for_ms - slack):
            return f"pin {pin} stays {effect.text} for {time_text(length)}", True
    return None, True


def _stray(asked: Reaction, seen: Observation, program: Sequence[Check], begin: float) -> tuple[str, float] | None:
    """The first reaction without a trigger, and its time; None where another check speaks of it."""
    match asked.subject:
        case Level(pin=pin, level=level):
            effect: Edges | Lines = Edges(pin, level)
        case Edges() | Lines() if asked.count:
            effect = asked.subject
        case _:
            return None
    wanted: list[tuple[float, float]] = []
    slack_ms = 0.0 if isinstance(effect, Lines) else JITTER_MS
    for one in program:
        is_on_pin = isinstance(one.subject, Level | Edges) and one.subject.pin == effect.pin
        if not (is_on_pin or one.subject == effect):
            continue
        match one:
            case Period() | Duty() | Count() | Phase():
                return None
            case EdgeAt():
                wanted.append((one.at_ms - one.slack_ms, one.at_ms + one.slack_ms))
            case Reaction() if one.count:
                rest_ms = one.within_ms + (one.for_ms or 0) * (1 + one.tolerance) + slack_ms
                wanted += [(first, last + rest_ms) for first, last in _triggers(one, seen)]
    times = seen.times(effect, Window(begin))
    return next(((effect.noun, t) for t in times if not any(start <= t <= end for start, end in wanted)), None)


def _input_before(t_ms: float, seen: Observation) -> str:
    """The input just before: "; 12 ms after pin 6 fell, which bounced for 18 ms"."""
    inputs = [(first, last, pin, level) for pin, found in seen.bursts.items() for first, last, level in found]
    near = max((one for one in inputs if 0 <= t_ms - one[0] <= _JUST_BEFORE_MS), default=None)
    if near is None:
        return ""
    first, last, pin, level = near
    bounced = f", which bounced for {time_text(last - first)}" if last > first else ""
    return f"; {time_text(t_ms - first)} after pin {pin} {'rose' if level else 'fell'}{bounced}"
