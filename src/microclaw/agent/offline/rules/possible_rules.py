"""Which rules one program can follow: acts that go together, that end, and that do not take too long."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

from microclaw.agent.offline.rules.rule import (
    Act,
    Blink,
    Condition,
    Count,
    EveryTrigger,
    Fade,
    Highest,
    Measure,
    Morse,
    PinTrigger,
    Police,
    Rule,
    Turn,
    ValueTrigger,
    Wait,
    Warn,
)

_MAX_TIMES: Final = 30
_LEAST_GAP_MS: Final = 60_000
_FADES_MS: Final = range(200, 600_001)
MOST_TIMERS: Final = 16
"""Those of a C program (glue/timers.c). Each start of a rule that is counted has one."""
_MAX_GAP_TIMES: Final = 12
POLICE_MS: Final = 500
"""A police light's two pins are lit in turn within this time."""
LEAST_HALF_MS: Final = 10
_ALONE: Final = frozenset({Fade, Police, Highest, Measure, Warn, Count})
"""Kinds of acts that a rule has no other one beside."""


def is_possible(rule: Rule) -> bool:
    """Return False for acts that no one program here does together, and for a sentence of one act without a rule."""
    kinds = {type(act) for act in rule.acts}
    is_alone = len(rule.acts) == 1
    if rule.again_ms or rule.until is not None:
        return rule.until is None or _may_end(rule, rule.until)
    if rule.holds:
        return rule.acts == (Turn(rule.turned_pin, "on"),)
    if rule.trigger is None:
        return _is_sequence(rule.acts) or Morse in kinds
    if not is_alone and (kinds & _ALONE or any(_to(act) == "toggle" for act in rule.acts)):
        return False
    if rule.delay_ms and not _may_be_late(rule):
        return False
    if rule.gap_times > 1 and not _may_be_counted(rule):
        return False
    if isinstance(rule.trigger, EveryTrigger):
        return _may_be_repeated(rule, rule.trigger)
    if kinds & {Warn, Count}:
        return bool(rule.conditions)
    if isinstance(rule.trigger, ValueTrigger) and rule.only_while is None and not rule.held_ms:
        # A pin that only one side of the limit switches has an own sentence (programs.toml).
        return kinds <= {Blink, Morse} or len(rule.acts) > 1 or rule.delay_ms > 0
    return Highest not in kinds


def _may_end(rule: Rule, until: Condition) -> bool:
    """Return True for one pin that an event turns on, or the start for some time, until something else holds."""
    if rule != Rule(rule.trigger, rule.acts, until=until) or len(rule.acts) > 1:
        return False
    act = rule.acts[0]
    if not isinstance(act, Turn) or act.to != "on":
        return False
    if rule.trigger is None:
        return act.for_ms > 0
    if isinstance(rule.trigger, PinTrigger) and isinstance(until, PinTrigger) and rule.trigger.pin == until.pin:
        # A press that ends what it began would end it at once.
        return False
    return isinstance(rule.trigger, PinTrigger | ValueTrigger)


def _may_be_late(rule: Rule) -> bool:
    """Return False if the acts cannot begin some time after their trigger."""
    is_short = all(isinstance(act, Turn | Blink | Wait) for act in rule.acts)
    return is_short and rule.nth == 1 and not rule.held_ms


def _may_be_counted(rule: Rule) -> bool:
    """Return False if its starts cannot be counted: each of the last ones has a timer."""
    is_plain = not rule.delay_ms and not rule.held_ms and rule.nth == 1
    return is_plain and rule.gap_times <= _MAX_GAP_TIMES and rule.gap_ms >= _LEAST_GAP_MS


def _may_be_repeated(rule: Rule, trigger: EveryTrigger) -> bool:
    """Return True for acts that end, and that nothing else begins or hinders."""
    kinds = {type(act) for act in rule.acts}
    if Police in kinds and trigger.ms != POLICE_MS:
        return False
    has_end = kinds <= {Morse, Police} or any(_lasts(act) for act in rule.acts)
    has_condition = rule.gap_ms > 0 or rule.only_while is not None
    return has_end and not has_condition and not kinds & (_ALONE - {Police})


def _is_sequence(acts: tuple[Act, ...]) -> bool:
    """Return True for several acts of which one lasts. One act after a wait is none: it may be meant as a schedule."""
    if isinstance(acts[0], Wait):
        acts = acts[1:]
    return len(acts) > 1 and any(_lasts(act) for act in acts)


def has_good_acts(rule: Rule) -> bool:
    """Return False for a wait that no act surrounds, and for an act that takes too long.

    Acts that begin with the program may begin with a wait.
    """
    is_late = isinstance(rule.acts[0], Wait) and rule.trigger is not None
    if is_late or isinstance(rule.acts[-1], Wait) or _undoes_itself(rule.acts):
        return False
    return all(_is_short(act) for act in rule.acts)


def _undoes_itself(acts: tuple[Act, ...]) -> bool:
    """Return True if a pin is turned and at once turned again."""
    for act, following in pairwise(acts):
        if not isinstance(act, Turn) or not isinstance(following, Turn):
            continue
        if act.pin == following.pin and not act.for_ms:
            return True
    return False


def _is_short(act: Act) -> bool:
    if isinstance(act, Blink):
        return 1 <= act.times <= _MAX_TIMES and act.half_ms >= LEAST_HALF_MS
    return not isinstance(act, Fade) or act.ms in _FADES_MS


def _lasts(act: Act) -> bool:
    return isinstance(act, Blink | Wait) or (isinstance(act, Turn) and act.for_ms > 0)


def _to(act: Act) -> Literal["on", "off", "toggle"] | None:
    if isinstance(act, Turn):
        return act.to
    return None
