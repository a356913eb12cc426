"""The checks that expectations consist of: each compares what was expected with the record of a run. Runs nothing.

pwm_checks.py has those of PWM.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar, Final

from microclaw.programs.proof.expectations import (
    JITTER_MS,
    Check,
    CheckResult,
    EdgeMoments,
    Events,
    LedColor,
    LevelState,
    Lines,
    PwmMoments,
    State,
)
from microclaw.programs.proof.network_events import Sent
from microclaw.programs.proof.record import WHOLE, Record, TrialWindow
from microclaw.text import count_text, time_text

START_MS: Final = 2_000.0
"""A program may take so long before its first period or line, beyond the period itself."""
MIN_CYCLES: Final = 2
_SHORT_MS: Final = 0.1
_MOMENT: Final = "change the order of the writes; or allow a moment, if harmless: ... for 1 ms"


class At(Check, frozen=True):
    """The state at a time."""

    needs_values: ClassVar[bool] = True
    subject: State
    moment_ms: float

    @property
    def level_from_ms(self) -> float | None:
        return self.moment_ms

    def compare(self, seen: Record) -> CheckResult:
        value = self.subject.value_at(seen, self.moment_ms)
        if value is None:
            first_ms = self.subject.values(seen)[0][0]
            return CheckResult("not met", f"there is no value before {time_text(first_ms)}")
        text = f"{self.subject.describe(value)} then"
        return met_if(self.subject.matches(value), text, self.subject.tolerance_text, at_ms=self.moment_ms)


class Within(Check, frozen=True):
    """An LED has the color for the first time by then."""

    needs_values: ClassVar[bool] = True
    subject: LedColor
    moment_ms: float

    def compare(self, seen: Record) -> CheckResult:
        name = self.subject.text
        spans = self.subject.spans(seen, seen.board_ms)
        if not spans:
            return CheckResult("not met", f"LED never {name}")
        first_ms = spans[0][0]
        return met_if(first_ms <= self.moment_ms, f"{name} at {time_text(first_ms)}", at_ms=first_ms)


class EdgeAt(Check, frozen=True):
    """An edge at a time."""

    subject: EdgeMoments
    at_ms: float
    slack_ms: float

    @property
    def moment_ms(self) -> float:
        return self.at_ms + self.slack_ms

    def compare(self, seen: Record) -> CheckResult:
        nearest_ms = min(self.subject.times(seen), key=lambda t_ms: abs(t_ms - self.at_ms), default=None)
        if nearest_ms is None:
            return CheckResult("not met", f"pin {self.subject.pin} has no {self.subject.noun}")
        text = f"{self.subject.noun} at {time_text(nearest_ms)}"
        is_near = abs(nearest_ms - self.at_ms) <= self.slack_ms
        return met_if(is_near, text, f"± {time_text(self.slack_ms)}", at_ms=nearest_ms)


class Windowed(Check, frozen=True, kw_only=True):
    """A check of a part of the trial."""

    window: TrialWindow = WHOLE

    @property
    def seen_after_ms(self) -> float:
        return 1_000.0

    @property
    def needed_ms(self) -> float:
        until_ms = self.window.until_ms or 0.0
        return max(self.window.from_ms + self.seen_after_ms, until_ms + 500.0)


class Phase(Windowed, frozen=True):
    """The time that the state lasts each time, within the window."""

    needs_values: ClassVar[bool] = True
    subject: LevelState | LedColor
    length_ms: float
    tolerance: float

    @property
    def seen_after_ms(self) -> float:
        return 3 * self.length_ms + 2_000.0

    def compare(self, seen: Record) -> CheckResult:
        until_ms = seen.until(self.window)
        name = self.subject.text
        phases = []
        for start_ms, end_ms in self.subject.spans(seen, until_ms):
            # The phases at the start and at the end are cut off, so their length is not known.
            has_begun = start_ms > 0 and start_ms >= self.window.from_ms
            if has_begun and end_ms < until_ms:
                phases.append((start_ms, end_ms - start_ms))
        if not phases:
            return CheckResult("not met", f"never {name} and then something else")
        fault = _uneven(phases, self.length_ms, self.tolerance, f"{name} for")
        if fault is not None:
            return fault
        return CheckResult("met", f"{name} for {time_text(phases[0][1])}, {len(phases)} times")


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
        length_ms = seen.until(self.window) - self.window.from_ms
        if length_ms < (MIN_CYCLES + 1) * want_ms:
            return too_short(self.window, seen, f"{MIN_CYCLES + 1} periods of {time_text(want_ms)}")
        times = self.subject.times(seen, self.window)
        if len(times) <= MIN_CYCLES * self.count:
            text = f"{count_text(len(times), self.subject.noun)} in {time_text(length_ms)}"
            return CheckResult("not met", text)
        if self.count == 1:
            what = _cycle_words(self.subject)
        else:
            what = f"{self.count} pulses within"
        periods = [(before, after - before) for before, after in zip(times, times[self.count :], strict=False)]
        fault = _uneven(periods, want_ms, self.tolerance, what) or self._late_begin_or_early_end(times, seen)
        if fault is not None:
            return fault
        mean_ms = fmean(period_ms for _, period_ms in periods)
        return CheckResult("met", f"{what} {time_text(mean_ms)}, {len(periods)} times")

    def _late_begin_or_early_end(self, times: Sequence[float], seen: Record) -> CheckResult | None:
        """Return the finding if the events begin too late in the window, or end too early; else None."""
        until_ms = seen.until(self.window)
        noun = self.subject.noun
        latest_ms = self.period_ms + max(self.tolerance * self.period_ms, JITTER_MS)
        if times[0] - self.window.from_ms > latest_ms + START_MS:
            return CheckResult("not met", f"the first {noun} at {time_text(times[0])}", at_ms=times[0])
        if until_ms - times[-1] > latest_ms:
            text = f"the last {noun} at {time_text(times[-1])}, then none until {time_text(until_ms)}"
            return CheckResult("not met", text, at_ms=times[-1])
        return None


def _cycle_words(subject: Events) -> str:
    """Return what the time from one event to the next is called in answers."""
    if isinstance(subject, EdgeMoments):
        return "period (on and off)"
    if isinstance(subject, PwmMoments):
        return "period (lowest to lowest)"
    return "every"


class Count(Windowed, frozen=True):
    """Exactly so many events, or at least one (None)."""

    subject: EdgeMoments | Lines | Sent
    count: int | None

    @property
    def moment_ms(self) -> float:
        if isinstance(self.subject, EdgeMoments):
            return 0.0
        return self.window.until_ms or 0.0

    @property
    def level_from_ms(self) -> float | None:
        if self.count == 0 and isinstance(self.subject, EdgeMoments):
            return self.window.from_ms or START_MS
        return None

    @property
    def is_never(self) -> bool:
        return self.count == 0

    def compare(self, seen: Record) -> CheckResult:
        count = len(self.subject.times(seen, self.window))
        if self.count is None:
            is_right = count > 0
        else:
            is_right = count == self.count
        finding = met_if(is_right, count_text(count, self.subject.noun))
        wanted_count = self.count or 0
        if count > wanted_count:
            # Lines that are missing would only make it more.
            return finding
        return self.unsure_of_lines(finding, self.window, seen)


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
        wrong = self._unwanted.spans(seen, seen.until(self.window))
        spans = self._judged_spans(seen)
        condition = self.condition
        if condition is not None and not spans:
            return CheckResult("untried", f"pin {condition.pin} was never {condition.text}")
        if condition is not None and not wrong:
            return CheckResult("untried", f"pin {self.subject.pin} was never {self._unwanted.text} at all")
        faults = [*_overlap(wrong, spans), *self._instants(seen)]
        faults = sorted((start, end) for start, end in faults if end - start >= self.least_ms)
        if faults:
            return self._fault(*faults[0])
        if condition is None:
            return CheckResult("met", f"{self.subject.text} throughout")
        return CheckResult("met", f"{self.subject.text} whenever it matters")

    @property
    def _unwanted(self) -> LevelState:
        return LevelState(self.subject.pin, 1 - self.subject.level)

    def _judged_spans(self, seen: Record) -> list[tuple[float, float]]:
        """Return the times at which the condition holds within the window."""
        until_ms = seen.until(self.window)
        window = [(self.window.from_ms, until_ms)]
        if self.condition is None:
            return window
        return _overlap(self.condition.spans(seen, until_ms), window)

    def _fault(self, start_ms: float, end_ms: float) -> CheckResult:
        length_ms = end_ms - start_ms
        if length_ms >= _SHORT_MS:
            length = f"for {time_text(length_ms)}"
        else:
            length = "for less than 0.1 ms"
        text = f"{self._unwanted.text} at {time_text(start_ms)}, {length}"
        if self.condition is not None and self.condition.level == self._unwanted.level:
            text = f"both {text}"
        if length_ms < 1.0:
            return CheckResult("not met", text, _MOMENT, at_ms=start_ms)
        return CheckResult("not met", text, at_ms=start_ms)

    def _instants(self, seen: Record) -> list[tuple[float, float]]:
        """Return when the program itself brought about the unwanted level, and ended it within one time stamp.

        With a condition, both levels. A bridge of transistors is short-circuited by that. The order is the record's;
        a change from outside has no certain place among the changes of one moment.
        """
        unwanted = self._unwanted
        condition = self.condition or unwanted
        levels = {unwanted.pin: seen.track(unwanted.pin)[0][1], condition.pin: seen.track(condition.pin)[0][1]}
        instants: list[tuple[float, float]] = []
        since_ms: float | None = None
        for edge in seen.all_edges:
            if edge.pin not in levels:
                continue
            is_own = edge.pin not in seen.bursts
            t_ms = edge.t_ms
            is_inside = self.window.from_ms <= t_ms < seen.until(self.window)
            if is_own and is_inside and since_ms == t_ms:
                instants.append((t_ms, t_ms))
            levels[edge.pin] = edge.level
            has_both = levels[unwanted.pin] == unwanted.level and levels[condition.pin] == condition.level
            if is_own and has_both:
                since_ms = t_ms
            else:
                since_ms = None
        return instants


def too_short(window: TrialWindow, seen: Record, needed: str) -> CheckResult:
    """Return the finding of a line whose time has no room for `needed`: its own window's, or the trial's."""
    if window.until_ms is None or window.until_ms > seen.board_ms:
        return CheckResult("untried", f"the trial is too short for {needed}")
    text = f"the line's own time of {time_text(window.until_ms - window.from_ms)} is too short for {needed}"
    return CheckResult("untried", text, "give the line more time: a later until, or none")


def met_if(right: bool, text: str, tolerance: str = "", *, at_ms: float | None = None) -> CheckResult:
    """Return the finding; one that is not met says which `tolerance` it had."""
    if right:
        return CheckResult("met", text, at_ms=at_ms)
    if tolerance:
        text = f"{text} ({tolerance} allowed)"
    return CheckResult("not met", text, at_ms=at_ms)


def _uneven(phases: Sequence[tuple[float, float]], want_ms: float, share: float, what: str) -> CheckResult | None:
    """Return the first (start, length) that is off, or their mean: a tick is much of one short time, not of many."""
    slack_ms = max(share * want_ms, JITTER_MS)
    for start_ms, length_ms in phases:
        if abs(length_ms - want_ms) > slack_ms:
            text = f"{what} {time_text(length_ms)} at {time_text(start_ms)}"
            return met_if(right=False, text=text, tolerance=f"± {time_text(slack_ms)}", at_ms=start_ms)
    mean_ms = fmean(length_ms for _, length_ms in phases)
    mean_slack_ms = max(share * want_ms, JITTER_MS / len(phases))
    if abs(mean_ms - want_ms) > mean_slack_ms:
        text = f"{what} {time_text(mean_ms)} on average, {len(phases)} times"
        return met_if(right=False, text=text, tolerance=f"± {time_text(mean_slack_ms)}")
    return None


def _overlap(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the times that are in both; each list is in order, without overlaps of its own."""
    both: list[tuple[float, float]] = []
    i = 0
    j = 0
    while i < len(a) and j < len(b):
        start = max(a[i][0], b[j][0])
        end = min(a[i][1], b[j][1])
        if end > start:
            both.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return both
