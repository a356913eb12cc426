"""Compares expectations with what was recorded of a program. Runs nothing; reaction_check.py has the reactions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from microclaw.apps.expectations import (
    At,
    Check,
    Count,
    Duty,
    EdgeAt,
    Edges,
    Frequency,
    Hold,
    LedColor,
    Level,
    Lines,
    Period,
    Phase,
    Ramp,
    Reaction,
    State,
    Within,
)
from microclaw.apps.observation import JITTER_MS, Finding, Observation
from microclaw.apps.reaction_check import check_reaction, levels_of, unsure_of_lines
from microclaw.text import count_text, time_text

START_MS: Final = 2_000.0
"""A program may take so long before its first period or line, beyond the period itself."""
MIN_CYCLES: Final = 2
_SHORT_MS: Final = 0.1


def check(asked: Check, seen: Observation, program: Sequence[Check] = ()) -> Finding:
    """The finding for one check. `program`: all its checks, whose effects count as wanted."""
    fault = _unknown_level(asked, seen)
    if fault is not None:
        return Finding("not met", fault)
    if _moment_ms(asked) > seen.end_ms:
        return Finding("untried", f"the trial ends at {time_text(seen.end_ms)}")
    if isinstance(asked, At | Within | Phase) and (fault := _missing(asked.subject, seen)) is not None:
        return Finding("not met", fault)
    found = check_reaction(asked, seen, program) if isinstance(asked, Reaction) else _CHECKS[type(asked)](asked, seen)
    return found if seen.moved or found.state != "met" else Finding("untried", "nothing moved and nothing was printed")


def _moment_ms(asked: Check) -> float:
    """The moment that a check is about; one that comes after the trial's end is untried."""
    match asked:
        case At(at_ms=ms) | Within(within_ms=ms):
            return ms
        case EdgeAt(at_ms=ms, slack_ms=slack_ms):
            return ms + slack_ms
        case Count(subject=Lines(), window=window):
            return window.until_ms or 0.0
        case _:
            return 0.0


def _unknown_level(asked: Check, seen: Observation) -> str | None:
    """Why nothing is known of a level that the check is about: on a chip, a pin that nobody opened floats."""
    for pin in levels_of(asked):
        if seen.opened_ms(pin) is None:
            return f"the program never opens pin {pin}: nothing is known of its level"
    match asked:
        case At(subject=Level(pin=pin), at_ms=from_ms):
            pass
        case Hold(condition=None, subject=Level(pin=pin)) | Count(count=0, subject=Edges(pin=pin)):
            from_ms = asked.window.from_ms or START_MS
        case _:
            return None
    opened_ms = seen.opened_ms(pin) or 0.0
    if opened_ms <= from_ms + JITTER_MS:
        return None
    return f"the program opens pin {pin} at {time_text(opened_ms)}: nothing is known of its level before"


def _missing(state: State, seen: Observation) -> str | None:
    """Why a state has no values: there is no PWM, or no such LED."""
    if isinstance(state, Level):
        return None
    changes = seen.values(state)[1:]
    if not changes:
        return f"pin {state.pin} has no {'LEDs that were sent anything' if isinstance(state, LedColor) else 'PWM'}"
    if isinstance(state, LedColor) and (state.index or 0) >= (longest := max(len(chain) for _, chain in changes)):
        return f"the chain on pin {state.pin} has {count_text(longest, 'LED')}, from 0"
    return None


def _at(asked: At, seen: Observation) -> Finding:
    value = seen.value_at(asked.subject, asked.at_ms)
    return Finding("met" if asked.subject.matches(value) else "not met", f"{asked.subject.describe(value)} then")


def _within(asked: Within, seen: Observation) -> Finding:
    name = asked.subject.text
    first = next((start for start, _ in seen.spans(asked.subject, seen.end_ms)), None)
    if first is None:
        return Finding("not met", f"LED never {name}")
    return Finding("met" if first <= asked.within_ms else "not met", f"{name} at {time_text(first)}")


def _edge_at(asked: EdgeAt, seen: Observation) -> Finding:
    near = min(seen.times(asked.subject), key=lambda t: abs(t - asked.at_ms), default=None)
    noun = asked.subject.noun
    if near is None:
        return Finding("not met", f"pin {asked.subject.pin} has no {noun}")
    return Finding("met" if abs(near - asked.at_ms) <= asked.slack_ms else "not met", f"{noun} at {time_text(near)}")


def _frequency(asked: Frequency, seen: Observation) -> Finding:
    found = {change.frequency_hz for change in seen.pwm if change.pin == asked.subject.pin}
    if not found:
        return Finding("not met", f"pin {asked.subject.pin} has no PWM")
    right = all(abs(hz - asked.frequency_hz) <= asked.tolerance * asked.frequency_hz for hz in found)
    return Finding("met" if right else "not met", f"{', '.join(map(str, sorted(found)))} Hz")


def _count(asked: Count, seen: Observation) -> Finding:
    found = len(seen.times(asked.subject, asked.window))
    right = found > 0 if asked.count is None else found == asked.count
    finding = Finding("met" if right else "not met", count_text(found, asked.subject.noun))
    is_sure = found > (asked.count or 0)
    return finding if is_sure else unsure_of_lines(finding, asked, asked.window, seen)


def _period(asked: Period, seen: Observation) -> Finding:
    return unsure_of_lines(_regular(asked, seen), asked, asked.window, seen)


def _regular(asked: Period, seen: Observation) -> Finding:
    """Events that come evenly, from the window's start to its end."""
    times, want_ms, from_ms = seen.times(asked.subject, asked.window), asked.period_ms, asked.window.from_ms
    until_ms, slack_ms = seen.until(asked.window), max(asked.tolerance * want_ms, JITTER_MS)
    if until_ms - from_ms < (MIN_CYCLES + 1) * want_ms:
        return Finding("untried", f"the trial is too short for {MIN_CYCLES + 1} periods of {time_text(want_ms)}")
    noun = asked.subject.noun
    if len(times) <= MIN_CYCLES:
        return Finding("not met", f"{count_text(len(times), noun)} in {time_text(until_ms - from_ms)}")
    for before, after in pairwise(times):
        if abs(after - before - want_ms) > slack_ms:
            return Finding("not met", f"period {time_text(after - before)} at {time_text(before)}")
    if times[0] - from_ms > want_ms + slack_ms + START_MS:
        return Finding("not met", f"the first {noun} at {time_text(times[0])}")
    if until_ms - times[-1] > want_ms + slack_ms:
        return Finding("not met", f"the last {noun} at {time_text(times[-1])}, then none until {time_text(until_ms)}")
    mean_ms, count = (times[-1] - times[0]) / (len(times) - 1), len(times) - 1
    if abs(mean_ms - want_ms) > _mean_slack(asked.tolerance, want_ms, count):
        return Finding("not met", f"period {time_text(mean_ms)} on average, {count} times")
    return Finding("met", f"period {time_text(mean_ms)}, {count} times")


def _mean_slack(share: float, want_ms: float, count: int) -> float:
    """The tolerance of the mean of `count` times: a tick is much of a short time, but not of many of them."""
    return max(share * want_ms, JITTER_MS / count)


def _phase(asked: Phase, seen: Observation) -> Finding:
    """Whole phases within the window."""
    until_ms, name, want_ms = seen.until(asked.window), asked.subject.text, asked.length_ms
    spans = seen.spans(asked.subject, until_ms)
    inside = [one for one in spans if one[0] > 0 and one[0] >= asked.window.from_ms and one[1] < until_ms]
    whole = [(start, end - start) for start, end in inside]
    if not whole:
        return Finding("not met", f"never {name} and then something else")
    for start, length_ms in whole:
        if abs(length_ms - want_ms) > max(asked.tolerance * want_ms, JITTER_MS):
            return Finding("not met", f"{name} for {time_text(length_ms)} at {time_text(start)}")
    mean_ms = sum(length_ms for _, length_ms in whole) / len(whole)
    if abs(mean_ms - want_ms) > _mean_slack(asked.tolerance, want_ms, len(whole)):
        return Finding("not met", f"{name} for {time_text(mean_ms)} on average, {len(whole)} times")
    return Finding("met", f"{name} for {time_text(whole[0][1])}, {len(whole)} times")


def _duty(asked: Duty, seen: Observation) -> Finding:
    pin = asked.subject.pin
    rises = sorted(set(seen.times(Edges(pin, 1), asked.window)))  # two within one time stamp are one
    if len(rises) <= 1:
        duties = {duty for _, duty in seen.duties(pin)}
        if len(duties) != 1:
            return Finding("not met", f"pin {pin} has no whole period")
        worst, slack = duties.pop(), asked.points
    else:
        falls = [*seen.times(Edges(pin, 0), asked.window), seen.end_ms]
        pairs = [(start, end, falls[bisect_left(falls, start)]) for start, end in pairwise(rises)]
        shares = [(min(fall, end) - start) / (end - start) * 100 for start, end, fall in pairs]
        worst = max(shares, key=lambda share: abs(share - asked.percent))
        slack = max(asked.points, JITTER_MS / (rises[1] - rises[0]) * 100)
    return Finding("met" if abs(worst - asked.percent) <= slack else "not met", f"duty {worst:.0f} %")


def _hold(asked: Hold, seen: Observation) -> Finding:
    """The level that must not be, against the condition and the window; also for less than a time stamp."""
    until_ms, level, condition = seen.until(asked.window), asked.subject, asked.condition
    unwanted = Level(level.pin, 1 - level.level)
    wrong, bad = seen.spans(unwanted, until_ms), [(asked.window.from_ms, until_ms)]
    if condition is not None:
        bad = _overlap(seen.spans(condition, until_ms), bad)
        if not bad:
            return Finding("untried", f"pin {condition.pin} was never {condition.text}")
    bad = _overlap(wrong, bad)
    if condition is not None and not wrong:
        return Finding("untried", f"pin {level.pin} was never {unwanted.text} at all")
    bad = sorted((*bad, *_instants((unwanted, condition or unwanted), asked, seen)))
    if bad:
        start, end = bad[0]
        length = f"for {time_text(end - start)}" if end - start >= _SHORT_MS else "for less than 0.1 ms"
        both = "both " if condition is not None and condition.level == unwanted.level else ""
        return Finding("not met", f"{both}{unwanted.text} at {time_text(start)}, {length}")
    return Finding("met", f"{level.text} throughout" if condition is None else f"{level.text} whenever it matters")


def _overlap(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The times that are in both; each is in order, without overlaps of its own."""
    both: list[tuple[float, float]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if end > start:
            both.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return both


def _instants(levels: Sequence[Level], asked: Hold, seen: Observation) -> list[tuple[float, float]]:
    """The times at which the program itself brought about all the levels, and ended that within the same time stamp.

    A bridge of transistors is short-circuited by that. The order is that of the record; a change from outside comes at
    no known place among those of one moment.
    """
    now = {level.pin: seen.track(level.pin)[0][1] for level in levels}
    found: list[tuple[float, float]] = []
    since_ms: float | None = None
    for edge in seen.ordered_edges:
        if edge.pin not in now:
            continue
        is_own, t_ms = edge.pin not in seen.bursts, edge.t_ms
        if is_own and since_ms == t_ms and asked.window.from_ms <= t_ms < seen.until(asked.window):
            found.append((t_ms, t_ms))
        now[edge.pin] = edge.level
        since_ms = t_ms if is_own and all(now[level.pin] == level.level for level in levels) else None
    return found


def _ramp(asked: Ramp, seen: Observation) -> Finding:
    """The first way from the start duty to the end duty decides; it need not come again."""
    until_ms, from_ms = seen.until(asked.window), asked.window.from_ms
    if until_ms - from_ms < asked.within_ms:
        return Finding("untried", f"the trial is shorter than {time_text(asked.within_ms)}")
    changes = [(t, duty) for t, duty in seen.values(asked.subject) if from_ms <= t <= until_ms]
    start, end, slack = asked.start, asked.subject.percent, asked.subject.points
    way = 1 if end > start else -1
    began = next((i for i, (_, duty) in enumerate(changes) if abs(duty - start) <= slack), None)
    if began is None:
        return Finding("not met", f"pin {asked.subject.pin} never had {start:.0f} %")
    # The way starts at the last moment nearest to the start duty, and ends where the duty goes no further.
    reached, ended = changes[began][1], began
    for index in range(began + 1, len(changes)):
        duty = changes[index][1]
        if (duty - reached) * way > 0:
            reached, ended = duty, index
        elif abs(reached - start) <= slack:
            began, reached, ended = index, duty, index
        elif duty != reached:
            break
    if (end - reached) * way > slack:
        return Finding("not met", f"from {start:.0f} % it came to {reached:.0f} %")
    took_ms = changes[ended][0] - changes[began][0]
    slack_ms = max((asked.tolerance or 0.0) * asked.within_ms, JITTER_MS)
    is_early = asked.tolerance is not None and took_ms < asked.within_ms - slack_ms
    right = took_ms <= asked.within_ms + slack_ms and not is_early
    return Finding("met" if right else "not met", f"{start:.0f} -> {end:.0f} % in {time_text(took_ms)}")


_CHECKS: Final[dict[type, Callable[[Any, Observation], Finding]]] = {
    At: _at,
    Within: _within,
    EdgeAt: _edge_at,
    Frequency: _frequency,
    Count: _count,
    Period: _period,
    Phase: _phase,
    Duty: _duty,
    Hold: _hold,
    Ramp: _ramp,
}
