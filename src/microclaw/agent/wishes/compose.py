"""Writes what was read of a wish as a sentence of the grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.events import Event


class Condition(Struct, frozen=True):
    """What begins acts ("trigger"), or must hold ("while") or not hold ("unless") meanwhile, or ends them ("until")."""

    events: tuple[Event, ...]
    role: Literal["trigger", "while", "unless", "until"]
    is_any: bool = False


class Time(Struct, frozen=True):
    """Words for a time: which days, a time of day, from when to when, or in how long."""

    kind: Literal["days", "clock", "window", "delay"]
    words: str


class Pace(Struct, frozen=True):
    """How often: every so often, or at most so often (`is_gap`)."""

    ms: str
    is_gap: bool = False


Item: TypeAlias = Act | Condition | Time | Pace


class _Rule(Struct):
    """Items that belong together."""

    triggers: list[Condition] = field(default_factory=list)
    gates: list[Condition] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)


_OPPOSITE: Final = {"on": "off", "off": "on"}


def sentences(items: Sequence[Item]) -> list[str]:
    """Return the sentences that may say it, the likeliest first; nothing if nothing is to be done."""
    if any(isinstance(item, Time) for item in items):
        return _timed(items)
    rules = _rules(items)
    if not rules:
        return []
    if len(rules) == 1:
        return _of_one(rules[0])
    one = _as_toggle(rules) or _as_lasting(rules)
    if one is not None:
        return _of_one(one)
    limits = _as_two_limits(rules)
    before = " and ".join(_sentence(rule, trigger_first=True) for rule in rules)
    after = " and ".join(_sentence(rule, trigger_first=False) for rule in rules)
    return [*limits, after, before]


def _rules(items: Sequence[Item]) -> list[_Rule]:
    """Return the items in rules: each has its acts after or before what begins them. Nothing if one has no act."""
    rules = [_Rule()]
    is_act_first = False
    for index, item in enumerate(items):
        rule = rules[-1]
        if isinstance(item, Act):
            rule.acts.append(item)
        elif isinstance(item, Pace):
            _add_pace(rule, item)
        elif isinstance(item, Condition) and item.role == "until":
            act = _ending(rule)
            if act is None:
                return []
            rules.append(_Rule([Condition(item.events, "trigger", item.is_any)], acts=[act]))
        elif isinstance(item, Condition) and item.role != "trigger":
            rule.gates.append(item)
        elif isinstance(item, Condition):
            if rule.triggers and rule.acts:
                has_act_after = any(isinstance(later, Act) for later in items[index + 1 :])
                takes_last = len(rule.acts) > 1 and (is_act_first or not has_act_after)
                acts = [rule.acts.pop()] if takes_last else []
                rule = _Rule(acts=acts)
                rules.append(rule)
            is_act_first = bool(rule.acts)
            if item not in rule.triggers:
                rule.triggers.append(item)
    if not all(rule.acts for rule in rules):
        return []
    return rules


def _add_pace(rule: _Rule, pace: Pace) -> None:
    """Add how often; it says how fast a light blinks if nothing begins that."""
    last = rule.acts[-1] if rule.acts else None
    if last is not None and last.verb == "blink" and not pace.is_gap and not last.count:
        rule.acts[-1] = replace(last, period=pace.ms)
    else:
        rule.paces.append(pace)


def _ending(rule: _Rule) -> Act | None:
    """Return the act that ends the rule's only act, which is on or off without a time."""
    if len(rule.acts) != 1 or not rule.triggers:
        return None
    act = rule.acts[0]
    if act.verb not in _OPPOSITE or act.span:
        return None
    return Act(act.end, _OPPOSITE[act.verb], act.out)


def _as_toggle(rules: list[_Rule]) -> _Rule | None:
    """Return "on when it is pressed, off when it is pressed again" as one rule that toggles."""
    acts = [act for rule in rules for act in rule.acts]
    triggers = {rule.triggers[0].events[0].trigger for rule in rules if rule.triggers}
    if len(rules) != 2 or len(acts) != 2 or len(triggers) != 1:
        return None
    if {act.verb for act in acts} != {"on", "off"} or acts[0].out != acts[1].out or acts[0].span or acts[1].span:
        return None
    return _Rule(rules[0].triggers, rules[0].gates, [Act(0, "toggle", acts[0].out)], rules[0].paces)


def _as_lasting(rules: list[_Rule]) -> _Rule | None:
    """Return "on while it is held, off when it is let go" as the first of these rules, which says both."""
    if len(rules) != 2 or not _is_lasting(rules[0]) or len(rules[0].acts) != 1 or len(rules[1].acts) != 1:
        return None
    on, off = (rule.acts[0] for rule in rules)
    ends = [event.state for trigger in rules[1].triggers for event in trigger.events]
    opposites = [event.opposite for trigger in rules[0].triggers for event in trigger.events]
    if on.verb == "on" and off.verb == "off" and on.out == off.out and ends == opposites:
        return rules[0]
    return None


def _as_two_limits(rules: list[_Rule]) -> list[str]:
    """Return "on below 12 and off above 15" in the grammar's words for two limits of one quantity."""
    if len(rules) != 2 or not all(len(rule.acts) == 1 and len(rule.triggers) == 1 for rule in rules):
        return []
    on, off = rules
    first = on.triggers[0].events[0]
    second = off.triggers[0].events[0]
    is_one_quantity = first.about == second.about and "#" not in first.about
    if not is_one_quantity or on.acts[0].verb != "on" or off.acts[0].verb != "off":
        return []
    if off.acts[0].out != on.acts[0].out or on.acts[0].span:
        return []
    back = re.sub(r"^the \w+ is", "it is", second.trigger)
    return [f"{on.acts[0].words} when {first.trigger} and off again when {back}"]


def _of_one(rule: _Rule) -> list[str]:
    if not rule.triggers and not rule.gates and len(rule.acts) == 1:
        return [f"{rule.acts[0].words_together}{_pace_words(rule)}"]
    return [_sentence(rule, trigger_first=True), _sentence(rule, trigger_first=False)]


def _sentence(rule: _Rule, *, trigger_first: bool) -> str:
    acts = _act_words(rule.acts)
    gates = []
    for gate in rule.gates:
        gates += [_state(event, gate.role) for event in gate.events]
    clause = _trigger_words(rule)
    is_plain = len(rule.acts) == 1 and not rule.acts[0].span and not rule.acts[0].count
    lasts = _is_lasting(rule)
    if lasts and is_plain and rule.acts[0].verb == "on" and not gates:
        return f"{acts} while {clause}{_pace_words(rule)}"
    if not clause and len(gates) == 1:
        return f"{acts} while {gates[0]}{_pace_words(rule)}"
    if not clause:
        return f"{acts}{_gate_words(gates)}{_pace_words(rule)}"
    if trigger_first:
        return f"when {clause} {acts}{_gate_words(gates)}{_pace_words(rule)}"
    return f"{acts} when {clause}{_gate_words(gates)}{_pace_words(rule)}"


def _events(rule: _Rule) -> list[Event]:
    """Return what begins the rule, each once: "the button: each press ..." says it twice."""
    events: dict[str, Event] = {}
    for trigger in rule.triggers:
        for event in trigger.events:
            events.setdefault(event.trigger or event.state, event)
    return list(events.values())


def _is_lasting(rule: _Rule) -> bool:
    """Return True if the words say how things are, and not what happens."""
    events = _events(rule)
    return bool(events) and all(event.is_state for event in events)


def _trigger_words(rule: _Rule) -> str:
    events = _events(rule)
    if len(events) == 1 and not _is_lasting(rule):
        return events[0].trigger or events[0].state
    if len(events) == 1:
        is_on = len(rule.acts) == 1 and rule.acts[0].verb == "on" and not rule.acts[0].span
        return events[0].state if is_on else events[0].trigger or events[0].state
    joint = " and "
    if any(trigger.is_any for trigger in rule.triggers):
        joint = " or "
    return joint.join(event.state for event in events)


def _state(event: Event, role: str) -> str:
    if role == "unless":
        return event.opposite
    return event.state


def _gate_words(gates: Sequence[str]) -> str:
    return "".join(f" but only while {gate}" for gate in gates)


def _pace_words(rule: _Rule) -> str:
    words = ""
    for pace in rule.paces:
        words += f" at most every {pace.ms}" if pace.is_gap else f" every {pace.ms}"
    return words


def _act_words(acts: Sequence[Act]) -> str:
    return " then ".join(act.words for act in acts)


def _timed(items: Sequence[Item]) -> list[str]:
    """Return acts with their times; nothing if a condition is in it, which a schedule cannot have."""
    if any(isinstance(item, Condition) for item in items):
        return []
    days = ""
    acts: list[Act] = []
    times: list[list[str]] = [[]]
    paces = ""
    for item in items:
        if isinstance(item, Act):
            acts.append(item)
            if len(acts) > 1:
                times.append([])
        elif isinstance(item, Time) and item.kind == "days":
            days = f" {item.words}"
        elif isinstance(item, Time):
            times[-1].append(item.words)
        elif isinstance(item, Pace) and not item.is_gap:
            paces += f" every {item.ms}"
    if not acts or (len(acts) > 1 and not all(times)):
        if len(acts) > 1 and times[0] and not any(times[1:]):
            return [f"{_act_words(acts)}{days} {' and '.join(times[0])}"]
        return []
    if len(acts) == 1:
        return [f"{acts[0].words_together}{paces}{days} {' and '.join(times[0])}".strip()]
    parts = []
    for act, moments in zip(acts, times, strict=True):
        words = act.words_together
        if parts and act.verb in _OPPOSITE and act.out == acts[0].out and not act.span:
            words = act.verb
        parts.append(f"{words}{days if not parts else ''} {' and '.join(moments)}")
    return [" and ".join(parts)]
