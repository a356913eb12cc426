"""The checks that expectations consist of: each compares what was expected with the record of a run. Runs nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from microclaw.programs.proof.expectations import (
    EdgeMoments,
    Events,
    LedColor,
    LevelState,
    Lines,
    PwmDuty,
    PwmMoments,
    State,
)
from microclaw.programs.proof.record import WHOLE, Record, TrialWindow
from microclaw.programs.proof.time_spans import overlap
from microclaw.text import count_text, time_text

Answer: TypeAlias = Literal["met", "not met", "untried"]
JITTER_MS: Final = 2.0
"""A board's tick: what two times may differ by, however short they are."""
START_MS: Final = 2_000.0
"""A program may take so long before its first period or line, beyond the period itself."""
MIN_CYCLES: Final = 2
_SHORT_MS: Final = 0.1
_MOMENT: Final = "change the order of the writes; or allow a moment, if harmless: ... for 1 ms"
_PRINT_LESS: Final = "print less: a board tells a program's lines up to so many a second, and no more of them"


class CheckResult(Struct, frozen=True):
    """The answer for one check, and what was seen, in words."""

    state: Answer
    text: str
    next_step: str | None = None


class Check(Struct, frozen=True):
    """An expectation of one thing. `condition`: where that holds, or always."""

    subject: State | Events

    @property
    def moment_ms(self) -> float:
        """The moment that it is about; one that comes after the trial's end is untried."""
        return 0.0

    @property
    def needed_ms(self) -> float:
        """The board time that it speaks of, with what is needed to see it."""
        if self.moment_ms:
            return self.moment_ms + 500.0
        return 0.0

    @property
    def level_from_ms(self) -> float | None:
        """The time from which it needs a known level; None: whenever the pin is opened."""
        return None

    @property
    def is_never(self) -> bool:
        """True if a right program may do nothing at all, whatever comes from outside."""
        return False

    def judge(self, seen: Record, _program: Sequence[Check]) -> CheckResult:
        """The finding; `_program` are all of the program's checks."""
        fault = self._unknown_level(seen)
        if fault is not None:
            return CheckResult("not met", fault)
        if self.moment_ms > seen.board_ms:
            return CheckResult("untried", f"the trial ends at {time_text(seen.board_ms)}")
        is_of_state = isinstance(self.subject, State) and not isinstance(self.subject, LevelState)
        if is_of_state and isinstance(self, At | Within | Phase) and (fault := self.subject.missing(seen)) is not None:
            return CheckResult("not met", fault)
        found = self.compare(seen)
        is_tried = seen.moved or (self.is_never and seen.was_stimulated)
        if found.state == "met" and not is_tried:
            return CheckResult("untried", "nothing moved and nothing was printed")
        return found

    def compare(self, seen: Record) -> CheckResult:
        raise NotImplementedError

    def _unknown_level(self, seen: Record) -> str | None:
        """Why nothing is known of a level that it is about: on a chip, a pin that nobody opened floats."""
        pins = [
            one.pin for one in structs.astuple(self) if isinstance(one, LevelState | EdgeMoments)
        ]  # others have own records
        for pin in pins:
            if seen.opened_ms(pin) is None:
                return f"the program never opens pin {pin}: nothing is known of its level"
        if pins:
            opened_ms = seen.opened_ms(pins[0]) or 0.0
        else:
            opened_ms = 0.0
        if self.level_from_ms is None or opened_ms <= self.level_from_ms + JITTER_MS:
            return None
        return f"the program opens pin {pins[0]} at {time_text(opened_ms)}: nothing is known of its level before"

    def unsure_of_lines(self, found: CheckResult, window: TrialWindow, seen: Record) -> CheckResult:
        """A finding about printed lines where some of them are missing: what would be met is untried."""
        count = seen.left_out(window)
        if not count or found.state == "untried" or not isinstance(self.subject, Lines):
            return found
        missing = f"{count_text(count, 'line')} {'was' if count == 1 else 'were'} left out"
        return CheckResult("untried", f"{missing}: print less; {found.text}", _PRINT_LESS)


class At(Check, frozen=True):
    """The state at a time."""

    subject: State
    moment_ms: float

    @property
    def level_from_ms(self) -> float | None:
        return self.moment_ms

    def compare(self, seen: Record) -> CheckResult:
        value = self.subject.value_at(seen, self.moment_ms)
        text = f"{self.subject.describe(value)} then"
        return met_if(self.subject.matches(value), text, self.subject.tolerance_text)


class Within(Check, frozen=True):
    """An LED has the color for the first time by then."""

    subject: LedColor
    moment_ms: float

    def compare(self, seen: Record) -> CheckResult:
        name = self.subject.text
        first = next((start for start, _ in self.subject.spans(seen, seen.board_ms)), None)
        if first is None:
            return CheckResult("not met", f"LED never {name}")
        return met_if(first <= self.moment_ms, f"{name} at {time_text(first)}")


class EdgeAt(Check, frozen=True):
    """An edge at a time."""

    subject: EdgeMoments
    at_ms: float
    slack_ms: float

    @property
    def moment_ms(self) -> float:
        return self.at_ms + self.slack_ms

    def compare(self, seen: Record) -> CheckResult:
        near = min(self.subject.times(seen), key=lambda t: abs(t - self.at_ms), default=None)
        if near is None:
            return CheckResult("not met", f"pin {self.subject.pin} has no {self.subject.noun}")
        text = f"{self.subject.noun} at {time_text(near)}"
        return met_if(abs(near - self.at_ms) <= self.slack_ms, text, f"± {time_text(self.slack_ms)}")


class Frequency(Check, frozen=True):
    """The frequency of PWM, throughout."""

    subject: PwmMoments
    frequency_hz: float
    tolerance: float

    def compare(self, seen: Record) -> CheckResult:
        found = {change.frequency_hz for change in seen.pwm if change.pin == self.subject.pin}
        if not found:
            return CheckResult("not met", f"pin {self.subject.pin} has no PWM")
        slack_hz = self.tolerance * self.frequency_hz
        right = all(abs(hz - self.frequency_hz) <= slack_hz for hz in found)
        return met_if(right, f"{', '.join(map(str, sorted(found)))} Hz", f"± {slack_hz:.3g} Hz")


class Windowed(Check, frozen=True, kw_only=True):
    """A check of a part of the trial."""

    window: TrialWindow = WHOLE

    @property
    def seen_after_ms(self) -> float:
        return 1_000.0

    @property
    def needed_ms(self) -> float:
        return max(self.window.from_ms + self.seen_after_ms, (self.window.until_ms or 0.0) + 500.0)


class Phase(Windowed, frozen=True):
    """The time that the state lasts each time, within the window."""

    subject: LevelState | LedColor
    length_ms: float
    tolerance: float

    @property
    def seen_after_ms(self) -> float:
        return 3 * self.length_ms + 2_000.0

    def compare(self, seen: Record) -> CheckResult:
        until_ms = seen.until(self.window)
        name = self.subject.text
        want_ms = self.length_ms
        spans = self.subject.spans(seen, until_ms)
        inside = [one for one in spans if one[0] > 0 and one[0] >= self.window.from_ms and one[1] < until_ms]
        whole = [(start, end - start) for start, end in inside]
        if not whole:
            return CheckResult("not met", f"never {name} and then something else")
        fault = _uneven(whole, want_ms, self.tolerance, f"{name} for")
        return fault or CheckResult("met", f"{name} for {time_text(whole[0][1])}, {len(whole)} times")


class Period(Windowed, frozen=True):
    """The time from each event to the next, or to the `count`th after it, all through the window."""

    subject: Events
    period_ms: float
    tolerance: float
    count: int = 1

    @property
    def seen_after_ms(self) -> float:
        return 5 * self.period_ms + 2_000.0

    def compare(self, seen: Record) -> CheckResult:
        return self.unsure_of_lines(self._regular(seen), self.window, seen)

    def _regular(self, seen: Record) -> CheckResult:
        want_ms = self.period_ms
        from_ms = self.window.from_ms
        until_ms = seen.until(self.window)
        if until_ms - from_ms < (MIN_CYCLES + 1) * want_ms:
            return CheckResult(
                "untried", f"the trial is too short for {MIN_CYCLES + 1} periods of {time_text(want_ms)}"
            )
        times = self.subject.times(seen, self.window)
        noun = self.subject.noun
        if len(times) <= MIN_CYCLES * self.count:
            return CheckResult("not met", f"{count_text(len(times), noun)} in {time_text(until_ms - from_ms)}")
        if self.count == 1:
            what = "period"
        else:
            what = f"{self.count} pulses within"
        periods = [(before, after - before) for before, after in zip(times, times[self.count :], strict=False)]
        fault = _uneven(periods, want_ms, self.tolerance, what)
        if fault is not None:
            return fault
        latest_ms = want_ms + max(self.tolerance * want_ms, JITTER_MS)
        if times[0] - from_ms > latest_ms + START_MS:
            return CheckResult("not met", f"the first {noun} at {time_text(times[0])}")
        if until_ms - times[-1] > latest_ms:
            text = f"the last {noun} at {time_text(times[-1])}, then none until {time_text(until_ms)}"
            return CheckResult("not met", text)
        mean_ms = fmean(period_ms for _, period_ms in periods)
        return CheckResult("met", f"{what} {time_text(mean_ms)}, {len(periods)} times")


class Count(Windowed, frozen=True):
    """Exactly so many events, or at least one (None)."""

    subject: EdgeMoments | Lines
    count: int | None

    @property
    def moment_ms(self) -> float:
        if isinstance(self.subject, Lines):
            return self.window.until_ms or 0.0
        return 0.0

    @property
    def level_from_ms(self) -> float | None:
        if self.count == 0 and isinstance(self.subject, EdgeMoments):
            return self.window.from_ms or START_MS
        return None

    @property
    def is_never(self) -> bool:
        return self.count == 0

    def compare(self, seen: Record) -> CheckResult:
        found = len(self.subject.times(seen, self.window))
        if self.count is None:
            right = found > 0
        else:
            right = found == self.count
        finding = met_if(right, count_text(found, self.subject.noun))
        is_sure = found > (self.count or 0)
        if is_sure:
            return finding
        return self.unsure_of_lines(finding, self.window, seen)


class Duty(Windowed, frozen=True):
    """The share of each period that the pin has the level; `points` is the tolerance in percentage points."""

    subject: LevelState
    percent: float
    points: float

    def compare(self, seen: Record) -> CheckResult:
        pin = self.subject.pin
        rises = sorted(set(EdgeMoments(pin, 1).times(seen, self.window)))  # two within one time stamp are one
        if len(rises) <= 1:
            duties = {duty for _, duty in seen.duties(pin)}
            if len(duties) != 1:
                return CheckResult("not met", f"pin {pin} has no whole period")
            worst = duties.pop()
            slack = self.points
        else:
            falls = [*EdgeMoments(pin, 0).times(seen, self.window), seen.board_ms]
            pairs = [(start, end, falls[bisect_left(falls, start)]) for start, end in pairwise(rises)]
            shares = [(min(fall, end) - start) / (end - start) * 100 for start, end, fall in pairs]
            worst = max(shares, key=lambda share: abs(share - self.percent))
            slack = max(self.points, JITTER_MS / (rises[1] - rises[0]) * 100)
        return met_if(abs(worst - self.percent) <= slack, f"duty {worst:.0f} %", f"± {slack:.3g} points")


class Hold(Windowed, frozen=True):
    """The state all through the window, where `condition` holds.

    Another state counts from `least_ms` on; with 0 also for less than a time stamp.
    """

    subject: LevelState
    condition: LevelState | None = None
    least_ms: float = 0.0

    @property
    def level_from_ms(self) -> float | None:
        if self.condition is None:
            return self.window.from_ms or START_MS
        return None

    @property
    def is_never(self) -> bool:
        return self.condition is None

    def compare(self, seen: Record) -> CheckResult:
        until_ms = seen.until(self.window)
        level = self.subject
        condition = self.condition
        unwanted = LevelState(level.pin, 1 - level.level)
        wrong = unwanted.spans(seen, until_ms)
        bad = [(self.window.from_ms, until_ms)]
        if condition is not None:
            bad = overlap(condition.spans(seen, until_ms), bad)
            if not bad:
                return CheckResult("untried", f"pin {condition.pin} was never {condition.text}")
            if not wrong:
                return CheckResult("untried", f"pin {level.pin} was never {unwanted.text} at all")
        bad = [*overlap(wrong, bad), *self._instants((unwanted, condition or unwanted), seen)]
        bad = sorted(span for span in bad if span[1] - span[0] >= self.least_ms)
        if bad:
            start, end = bad[0]
            if end - start >= _SHORT_MS:
                length = f"for {time_text(end - start)}"
            else:
                length = "for less than 0.1 ms"
            both = "both " if condition is not None and condition.level == unwanted.level else ""
            step = _MOMENT if end - start < 1.0 else None
            return CheckResult("not met", f"{both}{unwanted.text} at {time_text(start)}, {length}", step)
        return CheckResult(
            "met", f"{level.text} throughout" if condition is None else f"{level.text} whenever it matters"
        )

    def _instants(self, levels: Sequence[LevelState], seen: Record) -> list[tuple[float, float]]:
        """The times at which the program itself brought about all the levels, and ended that within one time stamp.

        A bridge of transistors is short-circuited by that. The order is that of the record; a change from outside comes
        at no known place among those of one moment.
        """
        now = {level.pin: seen.track(level.pin)[0][1] for level in levels}
        found: list[tuple[float, float]] = []
        since_ms: float | None = None
        for edge in seen.all_edges:
            if edge.pin not in now:
                continue
            is_own = edge.pin not in seen.bursts
            t_ms = edge.t_ms
            if is_own and since_ms == t_ms and self.window.from_ms <= t_ms < seen.until(self.window):
                found.append((t_ms, t_ms))
            now[edge.pin] = edge.level
            since_ms = t_ms if is_own and all(now[level.pin] == level.level for level in levels) else None
        return found


class Ramp(Windowed, frozen=True):
    """The duty goes from `start` percent to the state's, without turning back; `tolerance` None: within that time."""

    subject: PwmDuty
    start: float
    within_ms: float
    tolerance: float | None

    @property
    def seen_after_ms(self) -> float:
        return 2.5 * self.within_ms + 2_000.0

    def compare(self, seen: Record) -> CheckResult:
        """Find the first way from the start duty to the end duty; it need not come again."""
        until_ms = seen.until(self.window)
        from_ms = self.window.from_ms
        if until_ms - from_ms < self.within_ms:
            return CheckResult("untried", f"the trial is shorter than {time_text(self.within_ms)}")
        changes = [(t, duty) for t, duty in self.subject.values(seen) if from_ms <= t <= until_ms]
        start = self.start
        end = self.subject.percent
        slack = self.subject.points
        way = 1 if end > start else -1
        began = next((i for i, (_, duty) in enumerate(changes) if abs(duty - start) <= slack), None)
        if began is None:
            return CheckResult("not met", f"pin {self.subject.pin} never had {start:.0f} %")
        # The way starts at the last moment nearest to the start duty, and ends where the duty goes no further.
        reached = changes[began][1]
        ended = began
        for index in range(began + 1, len(changes)):
            duty = changes[index][1]
            if (duty - reached) * way > 0:
                reached = duty
                ended = index
            elif abs(reached - start) <= slack:
                began = index
                reached = duty
                ended = index
            elif duty != reached:
                break
        if (end - reached) * way > slack:
            return CheckResult("not met", f"from {start:.0f} % it came to {reached:.0f} %")
        took_ms = changes[ended][0] - changes[began][0]
        slack_ms = max((self.tolerance or 0.0) * self.within_ms, JITTER_MS)
        is_early = self.tolerance is not None and took_ms < self.within_ms - slack_ms
        right = took_ms <= self.within_ms + slack_ms and not is_early
        return met_if(right, f"{start:.0f} -> {end:.0f} % in {time_text(took_ms)}", f"± {time_text(slack_ms)}")


def met_if(right: bool, text: str, tolerance: str = "") -> CheckResult:
    """Return the finding; one that is not met says which `tolerance` it had."""
    if right:
        return CheckResult("met", text)
    if tolerance:
        text = f"{text} ({tolerance} allowed)"
    return CheckResult("not met", text)


def _uneven(found: Sequence[tuple[float, float]], want_ms: float, share: float, what: str) -> CheckResult | None:
    """The first of these (start, length) that is off, or their mean: a tick is much of one short time, not of many."""
    slack_ms = max(share * want_ms, JITTER_MS)
    for start, length_ms in found:
        if abs(length_ms - want_ms) > slack_ms:
            text = f"{what} {time_text(length_ms)} at {time_text(start)}"
            return met_if(False, text, f"± {time_text(slack_ms)}")
    mean_ms = fmean(length_ms for _, length_ms in found)
    mean_slack_ms = max(share * want_ms, JITTER_MS / len(found))
    if abs(mean_ms - want_ms) > mean_slack_ms:
        text = f"{what} {time_text(mean_ms)} on average, {len(found)} times"
        return met_if(False, text, f"± {time_text(mean_slack_ms)}")
    return None
