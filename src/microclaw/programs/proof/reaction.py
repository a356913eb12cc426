"""The check `when pin 4 falls: pin 2 rises within 50 ms`, against the record of a run. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from microclaw.programs.proof.checks import Count, Duty, EdgeAt, Period, Phase
from microclaw.programs.proof.expectations import (
    JITTER_MS,
    Check,
    CheckResult,
    EdgeMoments,
    LedColor,
    LevelState,
    Lines,
    PwmDuty,
)
from microclaw.programs.proof.record import Record, TrialWindow
from microclaw.text import count_text, time_text

_JUST_BEFORE_MS: Final = 500.0


class Reaction(Check, frozen=True):
    """Each time `trigger.pin` goes to `trigger.level`, the effect follows within `within_ms`, and only then.

    The effect is the state, or so many of the events. A trigger that bounces is one trigger, and its time counts from
    the last bounce. `for_ms`: the pin goes back so long after it.
    """

    subject: LevelState | PwmDuty | LedColor | EdgeMoments | Lines
    trigger: LevelState
    condition: LevelState | None
    within_ms: float
    count: int = 1
    for_ms: float | None = None
    tolerance: float = 0.05

    @property
    def length_ms(self) -> float:
        """The time that one takes."""
        return self.within_ms + (self.for_ms or 0.0) * 1.2

    @property
    def _name(self) -> str:
        return f"pin {self.trigger.pin} {'rises' if self.trigger.level else 'falls'}"

    def judge(self, seen: Record, program: Sequence[Check]) -> CheckResult:
        found = super().judge(seen, program)
        return (self._stray(seen, program) if found.state == "met" else None) or found

    def compare(self, seen: Record) -> CheckResult:
        triggers = self.triggers(seen, self.within_ms)
        if not triggers:
            return CheckResult("untried", f"the trial has no moment when {self._name}")
        return self.unsure_of_lines(self._effects(seen, triggers), TrialWindow(triggers[0][0]), seen)

    def _stray(self, seen: Record, program: Sequence[Check]) -> CheckResult | None:
        """A reaction without a trigger, which no other check of the program speaks of."""
        match self.subject:
            case LevelState(pin=pin, level=level):
                effect: EdgeMoments | Lines = EdgeMoments(pin, level)
            case EdgeMoments() | Lines() if self.count:
                effect = self.subject
            case _:
                return None
        wanted: list[tuple[float, float]] = []
        slack_ms = 0.0 if isinstance(effect, Lines) else JITTER_MS
        for one in program:
            is_on_pin = isinstance(one.subject, LevelState | EdgeMoments) and one.subject.pin == effect.pin
            if not (is_on_pin or one.subject == effect):
                continue
            match one:
                case Period() | Duty() | Count() | Phase():
                    return None
                case EdgeAt():
                    wanted.append((one.at_ms - one.slack_ms, one.at_ms + one.slack_ms))
                case Reaction() if one.count:
                    rest_ms = one.within_ms + (one.for_ms or 0) * (1 + one.tolerance) + slack_ms
                    wanted += [(first, last + rest_ms) for first, last in one.triggers(seen)]
        times = effect.times(seen, TrialWindow(self.triggers(seen, self.within_ms)[0][0]))
        stray = next((t for t in times if not any(start <= t <= end for start, end in wanted)), None)
        if stray is None:
            return None
        text = f"{effect.noun} at {time_text(stray)} too, without a reason{_input_before(stray, seen)}"
        return CheckResult("not met", text)

    def triggers(self, seen: Record, rest_ms: float = 0.0) -> list[tuple[float, float]]:
        """First and last moment of each trigger after which the trial goes on for `rest_ms`."""
        trigger = self.trigger
        condition = self.condition
        found = [(first, last) for first, last, level in seen.bursts.get(trigger.pin, ()) if level == trigger.level]
        if trigger.pin not in seen.bursts:
            found = [(t, t) for t in EdgeMoments(trigger.pin, trigger.level).times(seen)]
        return [
            (first, last)
            for first, last in found
            if last + rest_ms <= seen.board_ms and (condition is None or condition.holds(seen, first))
        ]

    def _effects(self, seen: Record, triggers: Sequence[tuple[float, float]]) -> CheckResult:
        effects = 0
        for first, last in triggers:
            problem, happened = self._effect(seen, first, last)
            if problem:
                return CheckResult("not met", f"{problem} (when {self._name} at {time_text(first)})")
            effects += happened
        if not effects:
            return CheckResult("not met", f"no effect in {len(triggers)} tries: it was so before")
        return CheckResult("met", f"{len(triggers)} times")

    def _effect(self, seen: Record, first: float, last: float) -> tuple[str | None, bool]:
        """The problem with one trigger's effect, else None; and if anything happened (it may have been so before)."""
        effect = self.subject
        until = last + self.within_ms
        if isinstance(effect, LevelState):
            return self._goes(effect, seen, first, last)
        if isinstance(effect, EdgeMoments | Lines):
            times = effect.times(seen, TrialWindow(first, until))
            if effect.pin is None:
                on = ""
            else:
                on = f" on pin {effect.pin}"
            if times:
                at = f", the first at {time_text(times[0])}"
            else:
                at = ""
            return (None if len(times) == self.count else f"{count_text(len(times), effect.noun)}{on}{at}"), True
        value = effect.value_at(seen, until)
        changed = any(first <= t <= until for t, _ in effect.values(seen)[1:])
        return (None if effect.matches(value) else effect.describe(value)), changed

    def _goes(self, effect: LevelState, seen: Record, first: float, last: float) -> tuple[str | None, bool]:
        """The pin goes to the level, once; where it has that level already, it keeps it."""
        pin = effect.pin
        until = last + self.within_ms
        times = EdgeMoments(pin, effect.level).times(seen, TrialWindow(first, until))
        verb = "rise" if effect.level else "fall"
        if not times:
            if effect.holds(seen, first) and effect.holds(seen, until):
                return None, False
            return f"pin {pin} does not {verb} within {time_text(self.within_ms)}", False
        if first == last and len(times) > 1:
            return f"pin {pin} {verb}s {len(times)} times", True
        if self.for_ms is not None:
            slack = max(self.tolerance * self.for_ms, JITTER_MS)
            back = next(iter(EdgeMoments(pin, 1 - effect.level).times(seen, TrialWindow(times[-1]))), None)
            length = (seen.board_ms if back is None else back) - times[-1]
            if length > self.for_ms + slack or (back is not None and length < self.for_ms - slack):
                return f"pin {pin} stays {effect.text} for {time_text(length)} (± {time_text(slack)} allowed)", True
        return None, True


def _input_before(t_ms: float, seen: Record) -> str:
    """The input just before: "; 12 ms after pin 6 fell, which bounced for 18 ms"."""
    inputs = [(first, last, pin, level) for pin, found in seen.bursts.items() for first, last, level in found]
    near = max((one for one in inputs if 0 <= t_ms - one[0] <= _JUST_BEFORE_MS), default=None)
    if near is None:
        return ""
    first, last, pin, level = near
    if last > first:
        bounced = f", which bounced for {time_text(last - first)}"
    else:
        bounced = ""
    return f"; {time_text(t_ms - first)} after pin {pin} {'rose' if level else 'fell'}{bounced}"
