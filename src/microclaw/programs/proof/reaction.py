"""The check `when pin 4 falls: pin 2 rises within 50 ms`, against the record of a run. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from microclaw.programs.proof.checks import Count, EdgeAt, Period, Phase
from microclaw.programs.proof.expectations import (
    JITTER_MS,
    Check,
    CheckResult,
    EdgeMoments,
    LedColor,
    LevelState,
    Lines,
    PartTrigger,
    PwmDuty,
)
from microclaw.programs.proof.network_events import Sent
from microclaw.programs.proof.pwm_checks import Duty
from microclaw.programs.proof.record import Record, TrialWindow
from microclaw.text import count_text, time_text

_JUST_BEFORE_MS: Final = 500.0
_LONGER: Final = "let the program move it, or take a longer trial, as: for 60 s"


class Reaction(Check, frozen=True):
    """Each time `trigger.pin` goes to `trigger.level`, the effect follows within `within_ms`, and only then.

    The effect is the state, or `count` of the events. A trigger that bounces is one trigger, and its time counts from
    the last bounce. `for_ms`: the pin goes back after this time.
    """

    subject: LevelState | PwmDuty | LedColor | EdgeMoments | Lines | Sent
    trigger: LevelState
    condition: LevelState | None
    within_ms: float
    count: int = 1
    for_ms: float | None = None
    tolerance: float = 0.05

    @property
    def length_ms(self) -> float:
        """The time that one reaction takes."""
        return self.within_ms + (self.for_ms or 0.0) * 1.2

    @property
    def _name(self) -> str:
        verb = "rises" if self.trigger.level else "falls"
        return f"pin {self.trigger.pin} {verb}"

    def judge(self, seen: Record, program: Sequence[Check]) -> CheckResult:
        finding = super().judge(seen, program)
        if finding.state != "met":
            return finding
        return self._stray(seen, program) or finding

    def compare(self, seen: Record) -> CheckResult:
        triggers = self.triggers(seen, self.within_ms)
        if not triggers:
            return self._untried(seen)
        return self.unsure_of_lines(self._effects(seen, triggers), TrialWindow(triggers[0][0]), seen)

    def _untried(self, seen: Record) -> CheckResult:
        """Return the finding of a trial without a trigger. The trial does not press a pin that the program drives."""
        text = f"the trial has no moment when {self._name}"
        if self.trigger.pin in seen.driven:
            return CheckResult("untried", f"{text}, and the program itself drives that pin", _LONGER)
        return CheckResult("untried", text)

    def _stray(self, seen: Record, program: Sequence[Check]) -> CheckResult | None:
        """Return the finding for a reaction without a trigger, of which no other check of the program speaks."""
        effect = self._events
        if effect is None:
            return None
        slack_ms = JITTER_MS
        if isinstance(effect, Lines | Sent):
            slack_ms = 0.0
        wanted: list[tuple[float, float]] = []
        for check in program:
            if not _speaks_of(check, effect):
                continue
            match check:
                case Period() | Duty() | Count() | Phase():
                    return None
                case EdgeAt():
                    wanted.append((check.at_ms - check.slack_ms, check.at_ms + check.slack_ms))
                case Reaction() if check.count:
                    wanted += check._spans(seen, slack_ms)
        first_ms = self.triggers(seen, self.within_ms)[0][0]
        for t_ms in effect.times(seen, TrialWindow(first_ms)):
            if not any(start <= t_ms <= end for start, end in wanted):
                input_text = _input_before(t_ms, seen)
                text = f"{effect.noun} at {time_text(t_ms)} too, without a reason{input_text}"
                return CheckResult("not met", text, at_ms=t_ms)
        return None

    @property
    def _events(self) -> EdgeMoments | Lines | Sent | None:
        """The events that the effect consists of; None if it is none, or a value."""
        match self.subject:
            case LevelState(pin=pin, level=level):
                return EdgeMoments(pin, level)
            case EdgeMoments() | Lines() | Sent() if self.count:
                return self.subject
        return None

    def _spans(self, seen: Record, slack_ms: float) -> list[tuple[float, float]]:
        """Return the times in which it may have its effect, from each trigger on."""
        rest_ms = self.within_ms + (self.for_ms or 0) * (1 + self.tolerance) + slack_ms
        return [(first_ms, last_ms + rest_ms) for first_ms, last_ms in self.triggers(seen)]

    def triggers(self, seen: Record, rest_ms: float = 0.0) -> list[tuple[float, float]]:
        """Return first and last moment of each trigger after which the trial goes on for `rest_ms`."""
        triggers = []
        for first_ms, last_ms in self._all_triggers(seen):
            if last_ms + rest_ms > seen.board_ms:
                continue
            if self.condition is None or self.condition.holds(seen, first_ms):
                triggers.append((first_ms, last_ms))
        return triggers

    def _all_triggers(self, seen: Record) -> list[tuple[float, float]]:
        trigger = self.trigger
        if trigger.pin not in seen.bursts:
            return [(t_ms, t_ms) for t_ms in EdgeMoments(trigger.pin, trigger.level).times(seen)]
        bursts = seen.bursts[trigger.pin]
        return [(first_ms, last_ms) for first_ms, last_ms, level in bursts if level == trigger.level]

    def _effects(self, seen: Record, triggers: Sequence[tuple[float, float]]) -> CheckResult:
        has_effect = False
        for first_ms, last_ms in triggers:
            effect = self._effect(seen, first_ms, last_ms)
            if effect.problem:
                text = f"{effect.problem} (when {self._name} at {time_text(first_ms)})"
                return CheckResult("not met", text, at_ms=first_ms)
            has_effect = has_effect or effect.has_happened
        if not has_effect:
            return CheckResult("not met", f"no effect in {len(triggers)} tries: it was so before")
        return CheckResult("met", f"{len(triggers)} times", at_ms=triggers[0][0])

    def _effect(self, seen: Record, first_ms: float, last_ms: float) -> _Effect:
        subject = self.subject
        until_ms = last_ms + self.within_ms
        if isinstance(subject, LevelState):
            return self._level_effect(subject, seen, first_ms, last_ms)
        if isinstance(subject, EdgeMoments | Lines | Sent):
            times = subject.times(seen, TrialWindow(first_ms, until_ms))
            if len(times) == self.count:
                return _Effect()
            return _Effect(_count_problem(subject, times))
        value = subject.value_at(seen, until_ms)
        if not subject.matches(value):
            return _Effect(subject.describe(value))
        changes = subject.values(seen)[1:]
        return _Effect(has_happened=any(first_ms <= t_ms <= until_ms for t_ms, _ in changes))

    def _level_effect(self, state: LevelState, seen: Record, first_ms: float, last_ms: float) -> _Effect:
        """Return the effect of a pin that goes to the level, once; if it has that level already, it keeps it."""
        until_ms = last_ms + self.within_ms
        times = EdgeMoments(state.pin, state.level).times(seen, TrialWindow(first_ms, until_ms))
        verb = "rise" if state.level else "fall"
        if not times:
            if state.holds(seen, first_ms) and state.holds(seen, until_ms):
                return _Effect(has_happened=False)
            return _Effect(f"pin {state.pin} does not {verb} within {time_text(self.within_ms)}")
        if first_ms == last_ms and len(times) > 1:
            return _Effect(f"pin {state.pin} {verb}s {len(times)} times")
        return _Effect(self._length_problem(state, seen, times[-1]))

    def _length_problem(self, state: LevelState, seen: Record, from_ms: float) -> str | None:
        """Return what is wrong with how long the pin stays at the level from this moment on."""
        if self.for_ms is None:
            return None
        slack_ms = max(self.tolerance * self.for_ms, JITTER_MS)
        ends = EdgeMoments(state.pin, 1 - state.level).times(seen, TrialWindow(from_ms))
        length_ms = seen.board_ms - from_ms
        if ends:
            length_ms = ends[0] - from_ms
        is_too_short = bool(ends) and length_ms < self.for_ms - slack_ms
        if length_ms <= self.for_ms + slack_ms and not is_too_short:
            return None
        return f"pin {state.pin} stays {state.text} for {time_text(length_ms)} (± {time_text(slack_ms)} allowed)"


class PartReaction(Check, frozen=True):
    """A reaction to a wired part, as "when btn1 is pressed". part_stimuli.py makes a Reaction of it.

    `rest` are the values of the Reaction behind its time.
    """

    subject: LevelState | PwmDuty | LedColor | EdgeMoments | Lines | Sent
    trigger: PartTrigger
    condition: LevelState | None
    within_ms: float
    rest: tuple[Any, ...] = ()

    def on_pin(self, trigger: LevelState) -> Reaction:
        """Return the reaction to the pin of the part. Raises ValueError if the effect is on the same pin."""
        return reaction_to(trigger, self.condition, self.subject, self.within_ms, *self.rest)


def reaction_to(
    trigger: LevelState, condition: LevelState | None, subject: Any, within_ms: float, *rest: Any
) -> Reaction:
    """Return a reaction to a pin. Raises ValueError if the effect is on the same pin."""
    if isinstance(subject, LevelState | EdgeMoments) and subject.pin == trigger.pin:
        raise ValueError("a pin cannot answer itself")
    return Reaction(subject, trigger, condition, within_ms, *rest)


class _Effect(Struct, frozen=True):
    """What is wrong with the effect of one trigger, and if anything happened: it may have been so before."""

    problem: str | None = None
    has_happened: bool = True


def _speaks_of(check: Check, effect: EdgeMoments | Lines | Sent) -> bool:
    subject = check.subject
    if isinstance(subject, LevelState | EdgeMoments) and subject.pin == effect.pin:
        return True
    return subject == effect


def _count_problem(subject: EdgeMoments | Lines | Sent, times: Sequence[float]) -> str:
    text = count_text(len(times), subject.noun)
    if subject.pin is not None:
        text += f" on pin {subject.pin}"
    if times:
        text += f", the first at {time_text(times[0])}"
    return text


def _input_before(t_ms: float, seen: Record) -> str:
    """Return the input just before: "; 12 ms after pin 6 fell, which bounced for 18 ms"."""
    inputs = []
    for pin, bursts in seen.bursts.items():
        for first_ms, last_ms, level in bursts:
            if 0 <= t_ms - first_ms <= _JUST_BEFORE_MS:
                inputs.append((first_ms, last_ms, pin, level))
    if not inputs:
        return ""
    first_ms, last_ms, pin, level = max(inputs)
    verb = "rose" if level else "fell"
    text = f"; {time_text(t_ms - first_ms)} after pin {pin} {verb}"
    if last_ms > first_ms:
        text += f", which bounced for {time_text(last_ms - first_ms)}"
    return text
