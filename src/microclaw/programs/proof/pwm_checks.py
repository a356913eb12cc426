"""The checks of PWM that expectations consist of: its frequency, its duty, and a duty that fades. Runs nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from microclaw.programs.proof.checks import Windowed, met_if
from microclaw.programs.proof.expectations import JITTER_MS, CheckResult, EdgeMoments, LevelState, PwmDuty, PwmMoments
from microclaw.programs.proof.record import Record
from microclaw.text import time_text


class Frequency(Windowed, frozen=True):
    """The frequency of PWM, all through the window."""

    subject: PwmMoments
    frequency_hz: float
    tolerance: float

    def compare(self, seen: Record) -> CheckResult:
        rates_hz = self._rates_hz(seen)
        if not rates_hz:
            return CheckResult("not met", f"pin {self.subject.pin} has no PWM")
        slack_hz = self.tolerance * self.frequency_hz
        is_right = all(abs(hz - self.frequency_hz) <= slack_hz for hz in rates_hz)
        rates_text = ", ".join(map(str, rates_hz))
        return met_if(is_right, f"{rates_text} Hz", f"± {slack_hz:.3g} Hz")

    def _rates_hz(self, seen: Record) -> list[int]:
        """Return the frequencies in the window, with the one that its start has."""
        before = set[int]()
        within = set[int]()
        for change in seen.pwm:
            if change.pin != self.subject.pin:
                continue
            if change.t_ms <= self.window.from_ms:
                before = {change.frequency_hz}
            elif change.t_ms <= seen.until(self.window):
                within.add(change.frequency_hz)
        return sorted(before | within)


class Duty(Windowed, frozen=True):
    """The share of each period that the pin has the level; `points` is the tolerance in percentage points."""

    subject: LevelState
    percent: float
    points: float

    def compare(self, seen: Record) -> CheckResult:
        pin = self.subject.pin
        # Two rises within one time stamp are one.
        rises = sorted(set(EdgeMoments(pin, 1).times(seen, self.window)))
        if len(rises) > 1:
            worst = self._worst_share(rises, seen)
            slack = max(self.points, JITTER_MS / (rises[1] - rises[0]) * 100)
        else:
            duties = {duty for _, duty in seen.duties(pin)}
            if len(duties) != 1:
                return CheckResult("not met", f"pin {pin} has no whole period (on and off)")
            worst = duties.pop()
            slack = self.points
        is_right = abs(worst - self.percent) <= slack
        return met_if(is_right, f"duty {worst:.0f} %", f"± {slack:.3g} points")

    def _worst_share(self, rises: Sequence[float], seen: Record) -> float:
        """Return the share of a period, in percent, that is farthest from the wanted one."""
        falls = EdgeMoments(self.subject.pin, 0).times(seen, self.window)
        falls.append(seen.board_ms)
        shares = []
        for start_ms, end_ms in pairwise(rises):
            fall_ms = falls[bisect_left(falls, start_ms)]
            high_ms = min(fall_ms, end_ms) - start_ms
            shares.append(high_ms / (end_ms - start_ms) * 100)
        return max(shares, key=lambda share: abs(share - self.percent))


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
        changes = [(t_ms, duty) for t_ms, duty in self.subject.values(seen) if from_ms <= t_ms <= until_ms]
        began = self._begin_of(changes)
        if began is None:
            return CheckResult("not met", f"pin {self.subject.pin} never had {self.start:.0f} %")
        began, ended = self._way_from(began, changes)
        reached = changes[ended][1]
        end = self.subject.percent
        if (end - reached) * self._direction > self.subject.points:
            return CheckResult("not met", f"from {self.start:.0f} % it came to {reached:.0f} %")
        took_ms = changes[ended][0] - changes[began][0]
        tolerance = self.tolerance or 0.0
        slack_ms = max(tolerance * self.within_ms, JITTER_MS)
        is_early = self.tolerance is not None and took_ms < self.within_ms - slack_ms
        is_right = took_ms <= self.within_ms + slack_ms and not is_early
        text = f"{self.start:.0f} -> {end:.0f} % in {time_text(took_ms)}"
        return met_if(is_right, text, f"± {time_text(slack_ms)}")

    @property
    def _direction(self) -> int:
        """1 for a duty that rises, -1 for a duty that falls."""
        if self.subject.percent > self.start:
            return 1
        return -1

    def _begin_of(self, changes: Sequence[tuple[float, float]]) -> int | None:
        """Return the number of the first change to the start duty, or None."""
        for index, (_, duty) in enumerate(changes):
            if self._is_start(duty):
                return index
        return None

    def _is_start(self, duty: float) -> bool:
        return abs(duty - self.start) <= self.subject.points

    def _way_from(self, began: int, changes: Sequence[tuple[float, float]]) -> tuple[int, int]:
        """Return the numbers of the way's first and last change.

        It starts at the last moment nearest to the start duty, and ends where the duty goes no further.
        """
        reached = changes[began][1]
        ended = began
        for index in range(began + 1, len(changes)):
            duty = changes[index][1]
            if (duty - reached) * self._direction > 0:
                reached = duty
                ended = index
            elif self._is_start(reached):
                began = index
                reached = duty
                ended = index
            elif duty != reached:
                break
        return began, ended
