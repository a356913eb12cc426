"""Compares expectations with what was recorded: a trial, or the edges that a board counted. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from microclaw.apps.expectations import (
    Check,
    Duty,
    EdgeAt,
    EdgeCount,
    Hold,
    LedAt,
    LedPhase,
    LedWithin,
    LevelAt,
    LogCount,
    LogEvery,
    Period,
    PhaseLength,
    PinEffect,
    PwmAt,
    PwmFrequency,
    PwmPeriod,
    PwmRamp,
    Reaction,
    ServoAt,
    StayEffect,
    Window,
)
from microclaw.apps.light_check import check_led, check_servo_at, lit_spans, missing_leds
from microclaw.apps.observation import JITTER_MS, Finding, Observation
from microclaw.apps.reaction_check import check_reaction, unsure_of_lines
from microclaw.text import time_text

START_MS: Final = 2_000.0
"""A program may take so long before its first period or line, beyond the period itself."""
MIN_CYCLES: Final = 2
_SHORT_MS: Final = 0.1


def check(asked: Check, seen: Observation, explained: Iterable[Check] = ()) -> Finding:
    """The finding for one check. `explained`: all checks of the program, whose effects count as wanted."""
    unknown = _unknown_level(asked, seen)
    if unknown is not None:
        return Finding("not met", unknown)
    if _until_ms(asked) > seen.end_ms:
        return Finding("untried", f"the trial ends at {time_text(seen.end_ms)}")
    if isinstance(asked, Reaction):
        return check_reaction(asked, seen, tuple(explained))
    return _CHECKS[type(asked)](asked, seen)


def _until_ms(asked: Check) -> float:
    """The moment that a check is about; one that comes after the trial's end is untried."""
    match asked:
        case LevelAt(at_ms=ms) | PwmAt(at_ms=ms) | LedAt(at_ms=ms) | ServoAt(at_ms=ms) | LedWithin(within_ms=ms):
            return ms
        case EdgeAt(at_ms=ms, slack_ms=slack_ms):
            return ms + slack_ms
        case LogCount(window=Window(until_ms=ms)):
            return ms or 0.0
        case _:
            return 0.0


def _unknown_level(asked: Check, seen: Observation) -> str | None:
    """Why nothing is known of a level that the check is about: on a chip, a pin that nobody opened floats."""
    for pin in _pins_of(asked):
        if seen.opened_ms(pin) is None:
            return f"the program never opens pin {pin}: nothing is known of its level"
    match asked:
        case LevelAt(pin=pin, at_ms=at_ms):
            return _opened_late(pin, at_ms, seen)
        case Hold(condition=None, pin=pin, window=window) | EdgeCount(count=0, pin=pin, window=window):
            return _opened_late(pin, window.from_ms or START_MS, seen)
        case _:
            return None


def _pins_of(asked: Check) -> tuple[int, ...]:
    """The pins whose levels a check is about. PWM and LEDs have records of their own."""
    match asked:
        case Period() | Duty() | PhaseLength() | EdgeCount() | EdgeAt() | LevelAt():
            return (asked.pin,)
        case Hold(pin=pin, condition=condition):
            return (pin,) if condition is None else (pin, condition.pin)
        case Reaction(trigger=trigger, condition=condition, effect=effect):
            inputs = (trigger.pin,) if condition is None else (trigger.pin, condition.pin)
            return (*inputs, effect.pin) if isinstance(effect, PinEffect | StayEffect) else inputs
        case _:
            return ()


def _opened_late(pin: int, from_ms: float, seen: Observation) -> str | None:
    opened_ms = seen.opened_ms(pin)
    if opened_ms is None or opened_ms <= from_ms + JITTER_MS:
        return None
    return f"the program opens pin {pin} at {time_text(opened_ms)}: nothing is known of its level before"


def _period(asked: Period, seen: Observation) -> Finding:
    rises = seen.track(asked.pin).to_level(1, asked.window.from_ms, seen.until(asked.window))
    return _regular(rises, asked.period_ms, asked.tolerance, asked.window, seen, f"rises of pin {asked.pin}", "period")


def _regular(
    times: Sequence[float], want_ms: float, share: float, window: Window, seen: Observation, what: str, name: str
) -> Finding:
    """Times that come evenly, from the window's start to its end."""
    until, slack = seen.until(window), max(share * want_ms, JITTER_MS)
    if until - window.from_ms < (MIN_CYCLES + 1) * want_ms:
        return Finding("untried", f"the trial is too short for {MIN_CYCLES + 1} periods of {time_text(want_ms)}")
    if len(times) <= MIN_CYCLES:
        return Finding("not met", f"{what}: {len(times)} in {time_text(until - window.from_ms)}")
    for before, after in pairwise(times):
        if abs(after - before - want_ms) > slack:
            return Finding("not met", f"{name} {time_text(after - before)} at {time_text(before)}")
    if times[0] - window.from_ms > want_ms + slack + START_MS:
        return Finding("not met", f"{what}: the first at {time_text(times[0])}")
    if until - times[-1] > want_ms + slack:
        return Finding("not met", f"{what}: the last at {time_text(times[-1])}, then none until {time_text(until)}")
    mean = (times[-1] - times[0]) / (len(times) - 1)
    if abs(mean - want_ms) > _mean_slack(share, want_ms, len(times) - 1):
        return Finding("not met", f"{name} {time_text(mean)} on average, {len(times) - 1} times")
    return Finding("met", f"{name} {time_text(mean)}, {len(times) - 1} times")


def _mean_slack(share: float, want_ms: float, count: int) -> float:
    """How far the mean of `count` times may be off: a tick is much of a short time, but not of many of them."""
    return max(share * want_ms, JITTER_MS / count)


def _duty(asked: Duty, seen: Observation) -> Finding:
    track, until = seen.track(asked.pin), seen.until(asked.window)
    rises = track.to_level(1, asked.window.from_ms, until)
    if len(rises) <= 1:
        changes = seen.duties(asked.pin)
        if changes and len({duty for _, duty in changes}) == 1:
            found = changes[0][1]
            return Finding(
                "met" if abs(found - asked.percent) <= asked.points else "not met", f"PWM duty {found:.0f} %"
            )
        return Finding("not met", f"pin {asked.pin} has no whole period")
    worst = asked.percent
    for start, end in pairwise(rises):
        fall = next((t for t in track.to_level(0, start, end)), end)
        share = (fall - start) / (end - start) * 100
        if abs(share - asked.percent) > abs(worst - asked.percent):
            worst = share
    slack = max(asked.points, JITTER_MS / (rises[1] - rises[0]) * 100)
    return Finding("met" if abs(worst - asked.percent) <= slack else "not met", f"duty {worst:.0f} %")


def _phase_length(asked: PhaseLength, seen: Observation) -> Finding:
    spans = seen.track(asked.pin).spans(asked.level, seen.until(asked.window))
    name = "high" if asked.level else "low"
    return _phases(asked, spans, name, f"pin {asked.pin} was never {name} and back", seen)


def _led_phase(asked: LedPhase, seen: Observation) -> Finding:
    fault, name = missing_leds(asked, seen), asked.color.text
    if fault is not None:
        return Finding("not met", fault)
    spans = lit_spans(asked, seen)
    return _phases(asked, spans, name, f"LED never {name} and then another color", seen)


def _phases(
    asked: PhaseLength | LedPhase, spans: Iterable[tuple[float, float]], name: str, never: str, seen: Observation
) -> Finding:
    """Whole phases within the window."""
    until = seen.until(asked.window)
    lengths = [
        (start, end - start) for start, end in spans if start > 0 and end < until and start >= asked.window.from_ms
    ]
    if not lengths:
        return Finding("not met", never)
    for start, length_ms in lengths:
        if abs(length_ms - asked.length_ms) > max(asked.tolerance * asked.length_ms, JITTER_MS):
            return Finding("not met", f"{name} for {time_text(length_ms)} at {time_text(start)}")
    mean = sum(length_ms for _, length_ms in lengths) / len(lengths)
    if abs(mean - asked.length_ms) > _mean_slack(asked.tolerance, asked.length_ms, len(lengths)):
        return Finding("not met", f"{name} for {time_text(mean)} on average, {len(lengths)} times")
    return Finding("met", f"{name} for {time_text(lengths[0][1])}, {len(lengths)} times")


def _edge_count(asked: EdgeCount, seen: Observation) -> Finding:
    track, until = seen.track(asked.pin), seen.until(asked.window)
    levels = (1,) if asked.rises_only else (0, 1)
    found = sum(len(track.to_level(level, asked.window.from_ms, until)) for level in levels)
    name = "pulses" if asked.rises_only else "edges"
    if asked.count == 0 and not seen.moved:
        return Finding("untried", "nothing moved")
    return Finding("met" if found == asked.count else "not met", f"{found} {name}")


def _edge_at(asked: EdgeAt, seen: Observation) -> Finding:
    name = "rise" if asked.level else "fall"
    times = seen.track(asked.pin).to_level(asked.level, 0, seen.end_ms)
    near = min(times, key=lambda t: abs(t - asked.at_ms), default=None)
    if near is None:
        return Finding("not met", f"pin {asked.pin} has no {name}")
    return Finding("met" if abs(near - asked.at_ms) <= asked.slack_ms else "not met", f"{name} at {time_text(near)}")


def _level_at(asked: LevelAt, seen: Observation) -> Finding:
    level = seen.track(asked.pin).level_at(asked.at_ms)
    if asked.level == level and not seen.moved:
        return Finding("untried", "nothing moved")
    name = "high" if level else "low"
    return Finding("met" if level == asked.level else "not met", f"pin {asked.pin} is {name} then")


def _hold(asked: Hold, seen: Observation) -> Finding:
    """The level that must not be, against the condition and the window; also for less than a time stamp."""
    until = seen.until(asked.window)
    name = "high" if asked.level else "low"
    track = seen.track(asked.pin)
    wrong = track.spans(1 - asked.level, until)
    if asked.condition is None:
        bad = _overlap(wrong, [(asked.window.from_ms, until)])
    else:
        condition = asked.condition
        holding = _overlap(seen.track(condition.pin).spans(condition.level, until), [(asked.window.from_ms, until)])
        bad = _overlap(wrong, holding)
        there = f"pin {condition.pin} was never {'high' if condition.level else 'low'}"
        if not holding:
            return Finding("untried", there)
        if not bad and not wrong:
            return Finding("untried", f"pin {asked.pin} was never {'low' if asked.level else 'high'} at all")
    bad = sorted((*bad, *_instants(asked, seen)))
    if bad:
        start, end = bad[0]
        length = f"for {time_text(end - start)}" if end - start >= _SHORT_MS else "for less than 0.1 ms"
        both = "both " if asked.condition is not None and asked.condition.level != asked.level else ""
        return Finding("not met", f"{both}{'low' if asked.level else 'high'} at {time_text(start)}, {length}")
    if not seen.moved:
        return Finding("untried", "nothing moved")
    return Finding("met", f"{name} throughout" if asked.condition is None else f"{name} whenever it matters")


def _instants(asked: Hold, seen: Observation) -> list[tuple[float, float]]:
    """Where the program itself brought about what must not be, and ended it within the same time stamp.

    A bridge of transistors is short-circuited by that. The order is that of the record.
    """
    condition = asked.condition
    pins = (asked.pin,) if condition is None else (asked.pin, condition.pin)
    wrong = (1 - asked.level,) if condition is None else (1 - asked.level, condition.level)
    return [
        (state.t_ms, state.t_ms)
        for state, after in pairwise(seen.own_states(pins))
        if state.levels == wrong
        and state.is_own
        and after.is_own
        and after.t_ms == state.t_ms
        and asked.window.from_ms <= state.t_ms < seen.until(asked.window)
    ]


def _overlap(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    both = ((max(s, t), min(e, f)) for s, e in a for t, f in b)
    return [(start, end) for start, end in both if end > start]


_DUTY_SLACK = 2.5  # of a fade, percentage points: ten steps of 8 bits, where a loop ends at 250 of 255


def _ramp(asked: PwmRamp, seen: Observation) -> Finding:
    """The first way from the start duty to the end duty decides; it need not come again."""
    until = seen.until(asked.window)
    if until - asked.window.from_ms < asked.within_ms:
        return Finding("untried", f"the trial is shorter than {time_text(asked.within_ms)}")
    changes = [(t, d) for t, d in [(0.0, 0.0), *seen.duties(asked.pin)] if asked.window.from_ms <= t <= until]
    way = 1 if asked.end > asked.start else -1
    began = next((i for i, (_, duty) in enumerate(changes) if abs(duty - asked.start) <= _DUTY_SLACK), None)
    if began is None:
        return Finding("not met", f"pin {asked.pin} never had {asked.start:.0f} %")
    # The way starts at the last moment nearest to the start duty, and ends where the duty goes no further.
    reached, ended = changes[began][1], began
    for index in range(began + 1, len(changes)):
        duty = changes[index][1]
        if (duty - reached) * way > 0:
            reached, ended = duty, index
        elif abs(reached - asked.start) <= _DUTY_SLACK and (duty - reached) * way <= 0:
            began, reached, ended = index, duty, index
        elif (duty - reached) * way < 0:
            break
    if (asked.end - reached) * way > _DUTY_SLACK:
        return Finding("not met", f"from {asked.start:.0f} % it came to {reached:.0f} %")
    return _ramp_time(asked, changes[began][0], changes[ended][0])


def _ramp_time(asked: PwmRamp, began: float, ended: float) -> Finding:
    took = ended - began
    slack = JITTER_MS if asked.tolerance is None else max(asked.tolerance * asked.within_ms, JITTER_MS)
    late = took > asked.within_ms + slack
    early = asked.tolerance is not None and took < asked.within_ms - slack
    text = f"{asked.start:.0f} -> {asked.end:.0f} % in {time_text(took)}"
    return Finding("not met" if late or early else "met", text)


def _pwm_at(asked: PwmAt, seen: Observation) -> Finding:
    duties = seen.duties(asked.pin)
    if not duties:
        return Finding("not met", f"pin {asked.pin} has no PWM")
    now = next((duty for t, duty in reversed(duties) if t <= asked.at_ms), 0.0)
    return Finding("met" if abs(now - asked.percent) <= asked.points else "not met", f"{now:.3g} %")


def _pwm_period(asked: PwmPeriod, seen: Observation) -> Finding:
    """The times at which the duty arrives at its smallest value."""
    until = seen.until(asked.window)
    duties = [(t, d) for t, d in seen.duties(asked.pin) if asked.window.from_ms <= t <= until]
    least = min((duty for _, duty in duties), default=0.0) + _DUTY_SLACK
    arrivals = [t for (_, old), (t, new) in pairwise(duties) if new <= least < old]
    return _regular(arrivals, asked.period_ms, asked.tolerance, asked.window, seen, "smallest duties", "period")


def _pwm_frequency(asked: PwmFrequency, seen: Observation) -> Finding:
    found = {change.frequency_hz for change in seen.pwm if change.pin == asked.pin}
    if not found:
        return Finding("not met", f"pin {asked.pin} has no PWM")
    right = all(abs(hz - asked.frequency_hz) <= asked.tolerance * asked.frequency_hz for hz in found)
    return Finding("met" if right else "not met", f"{', '.join(map(str, sorted(found)))} Hz")


def _log_every(asked: LogEvery, seen: Observation) -> Finding:
    times = seen.matching(asked.pattern, asked.window)
    found = _regular(times, asked.every_ms, asked.tolerance, asked.window, seen, "matching lines", "each")
    return unsure_of_lines(found, asked.window, seen)


def _log_count(asked: LogCount, seen: Observation) -> Finding:
    found = len(seen.matching(asked.pattern, asked.window))
    right = found == asked.count if asked.count is not None else found > 0
    if right and not seen.moved:
        return Finding("untried", "nothing moved and nothing was printed")
    finding = Finding("met" if right else "not met", f"{found} matching line{'' if found == 1 else 's'}")
    is_sure = found > 0 if asked.count is None else found > asked.count
    return finding if is_sure else unsure_of_lines(finding, asked.window, seen)


_CHECKS: Final[dict[type, Callable[[Any, Observation], Finding]]] = {
    Period: _period,
    Duty: _duty,
    PhaseLength: _phase_length,
    EdgeCount: _edge_count,
    EdgeAt: _edge_at,
    LevelAt: _level_at,
    Hold: _hold,
    PwmRamp: _ramp,
    PwmAt: _pwm_at,
    PwmPeriod: _pwm_period,
    PwmFrequency: _pwm_frequency,
    LedAt: check_led,
    LedWithin: check_led,
    LedPhase: _led_phase,
    ServoAt: check_servo_at,
    LogEvery: _log_every,
    LogCount: _log_count,
}
