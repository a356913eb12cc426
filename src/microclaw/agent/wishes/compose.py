"""Writes acts and what begins them as a sentence of the grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.events import Event
from microclaw.agent.wishes.items import Condition, Item, Pace


class _Rule(Struct):
    """Items that belong together."""

    triggers: list[Condition] = field(default_factory=list)
    gates: list[Condition] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)
    ends: list[Condition] = field(default_factory=list)
    is_act_first: bool = False
    is_latched: bool = False
    """What ends its acts is an event of its own: they do not end with the state that began them."""

    @property
    def events(self) -> list[Event]:
        """What begins it, each once: "the button: each press ..." says it twice."""
        events: dict[str, Event] = {}
        for trigger in self.triggers:
            for event in trigger.events:
                events.setdefault(event.trigger or event.state, event)
        return list(events.values())

    @property
    def is_lasting(self) -> bool:
        """The words say how things are, and not what happens."""
        events = self.events
        return bool(events) and not self.is_latched and all(event.is_state for event in events)

    @property
    def only_act(self) -> Act | None:
        """The act of a rule that is one event and one act."""
        if len(self.acts) != 1 or len(self.events) != 1 or not self.is_bare:
            return None
        return self.acts[0]

    @property
    def is_bare(self) -> bool:
        """Nothing but events begins and ends its acts."""
        return not (self.gates or self.paces or self.ends or self.nth)

    @property
    def nth(self) -> str:
        for trigger in self.triggers:
            if trigger.nth:
                return trigger.nth
        return ""

    @property
    def joint(self) -> str:
        """The word between its events."""
        for trigger in self.triggers:
            if trigger.is_any:
                return " or "
        return " and "


_BEEPS: Final = Pace("1000 ms")
"""Beeps that go on until something happens."""
OPPOSITE: Final = {"on": "off", "off": "on"}


def untimed(items: Sequence[Item]) -> list[str]:
    """Return the sentences that may say acts and what begins them, the likeliest first; nothing without an act."""
    rules = _rules(items)
    if len(rules) == 2:
        one = _as_toggle(*rules) or _as_lasting(*rules)
        if one is not None:
            rules = [one]
    if len(rules) == 1:
        rules = _with_warning_apart(rules[0])
    if len(rules) == 1:
        return _of_one(rules[0])
    said = []
    if rules and rules[-1].paces and all(act.verb == "off" for act in rules[-1].acts):
        # How often it may be turned on is not how often it may be turned off.
        return []
    if len(rules) == 2:
        said += _as_two_limits(*rules)
    for trigger_first in (False, True):
        parts = []
        for rule in rules:
            parts.append(_sentence(rule, trigger_first=trigger_first))
        if parts:
            said.append(" and ".join(parts))
    return said


def _rules(items: Sequence[Item]) -> list[_Rule]:
    """Return the items in rules: each has its acts after or before what begins them. Nothing if one has no act."""
    rules = [_Rule()]
    for index, item in enumerate(items):
        rule = rules[-1]
        if isinstance(item, Act):
            _add_act(rules, item)
        elif isinstance(item, Pace):
            _add_pace(rule, item)
        elif isinstance(item, Condition) and item.role == "until":
            act = _ending(rule, item)
            if act is not None:
                rule.is_latched = True
                rules.append(_Rule([Condition(item.events, "trigger", item.is_any)], acts=[act]))
            else:
                rule.ends.append(item)
        elif isinstance(item, Condition) and item.role == "trigger":
            _add_trigger(rules, item, has_act_after=_has_act(items[index + 1 :]))
        elif isinstance(item, Condition):
            _add_gate(rules, item)
    if not all(rule.acts for rule in rules):
        return []
    return rules


def _add_act(rules: list[_Rule], act: Act) -> None:
    """Add an act to the last rule; "off" behind "on as long as ..." begins one of its own."""
    rule = rules[-1]
    is_whole = bool(rule.gates) and len(rule.acts) == 1 and not rule.triggers
    if is_whole and OPPOSITE.get(rule.acts[0].verb) == act.verb and rule.acts[0].out == act.out:
        rule.triggers = rule.gates
        rule.gates = []
        rules.append(_Rule(acts=[act], is_act_first=True))
        return
    is_said_twice = bool(rule.acts) and replace(act, end=rule.acts[-1].end) == rule.acts[-1]
    if is_said_twice and act.verb in OPPOSITE:
        # "... and leave it on until ..."
        return
    rule.acts.append(act)


def _add_gate(rules: list[_Rule], gate: Condition) -> None:
    """Add what must hold to the last rule; in "a while b and c while d" the last act is a rule of its own."""
    rule = rules[-1]
    if rule.gates and len(rule.acts) == 2 and not rule.triggers:
        rules.append(_Rule(acts=[rule.acts.pop()]))
    rules[-1].gates.append(gate)


def _with_warning_apart(rule: _Rule) -> list[_Rule]:
    """Return a rule that warns and does more as two rules of one event."""
    warnings = list[Act]()
    others = list[Act]()
    for act in rule.acts:
        if act.verb == "warn":
            warnings.append(act)
        else:
            others.append(act)
    is_begun = bool(rule.events) and rule.is_bare and not rule.is_act_first
    is_first = rule.acts[:1] == warnings or not any(act.span for act in others)
    if not warnings or not others:
        return [rule]
    if not is_begun or not is_first:
        return [rule]
    return [_Rule(rule.triggers, acts=warnings[:1]), _Rule(rule.triggers, acts=others)]


def _has_act(items: Sequence[Item]) -> bool:
    return any(isinstance(item, Act) for item in items)


def _add_trigger(rules: list[_Rule], trigger: Condition, *, has_act_after: bool) -> None:
    """Add what begins acts to the last rule, or begin a rule with it; the last act may be the new rule's."""
    rule = rules[-1]
    is_whole = bool(rule.gates and rule.acts) and not rule.triggers
    if is_whole and has_act_after:
        # "While I hold it the crane turns, when I let go it stops": each has its own act.
        rule.triggers = rule.gates
        rule.gates = []
    if rule.triggers and rule.acts:
        acts = []
        if len(rule.acts) > 1 and (rule.is_act_first or not has_act_after):
            acts = [rule.acts.pop()]
        rule = _Rule(acts=acts)
        rules.append(rule)
    rule.is_act_first = bool(rule.acts)
    if trigger not in rule.triggers:
        rule.triggers.append(trigger)


def _add_pace(rule: _Rule, pace: Pace) -> None:
    """Add how often; it says how fast a light blinks if nothing begins that."""
    if rule.acts and not pace.is_gap:
        last = rule.acts[-1]
        if last.verb == "blink" and not last.count:
            words = f"every {pace.ms}"
            if pace.is_period:
                words = f"with a period of {pace.ms}"
                if pace.ms.endswith("ns"):
                    words = f"at period {pace.ms}"
            rule.acts[-1] = replace(last, period=words)
            return
    rule.paces.append(pace)


def _ending(rule: _Rule, end: Condition) -> Act | None:
    """Return the act that ends the rule's only act; None if that is not on or off without a time.

    A level may be there already when the act begins: it ends the act also then, and is no event of its own.
    """
    if len(rule.acts) != 1 or not rule.triggers:
        return None
    about = rule.events[0].about
    if any(event.is_level and event.about != about for event in end.events):
        return None
    act = rule.acts[0]
    if act.verb not in OPPOSITE or act.span:
        return None
    return Act(act.end, OPPOSITE[act.verb], act.out)


def _as_toggle(first: _Rule, second: _Rule) -> _Rule | None:
    """Return "on when it is pressed, off when it is pressed again" as one rule that toggles."""
    act = _undone_act(first, second)
    if act is None or first.events[0].trigger != second.events[0].trigger:
        return None
    return _Rule(first.triggers, acts=[Act(0, "toggle", act.out)])


def _undone_act(first: _Rule, second: _Rule) -> Act | None:
    """Return the only act of a rule, on or off without a time, if the other rule's only act is its opposite."""
    act = first.only_act
    other = second.only_act
    if act is None or other is None:
        return None
    if act.span or other.span or act.out != other.out:
        return None
    if OPPOSITE.get(act.verb) != other.verb:
        return None
    return act


def _as_lasting(first: _Rule, second: _Rule) -> _Rule | None:
    """Return "on while it is held, off when it is let go" as the first of these rules, which says both."""
    act = _undone_act(first, second)
    if act is None or act.verb != "on" or not first.is_lasting:
        return None
    if first.events[0].opposite != second.events[0].state:
        return None
    return first


def _as_two_limits(first: _Rule, second: _Rule) -> list[str]:
    """Return "on below 12 and off above 15" in the grammar's words for two limits of one quantity."""
    act = _undone_act(first, second)
    if act is None or act.verb != "on":
        return []
    limit = first.events[0]
    back = second.events[0]
    if limit.about != back.about or "#" in limit.about:
        return []
    back_words = re.sub(r"^the \w+ is", "it is", back.trigger)
    return [f"{act.words} when {limit.trigger} and off again when {back_words}"]


def _of_one(rule: _Rule) -> list[str]:
    is_act_only = not (rule.triggers or rule.gates or rule.ends)
    if is_act_only and len(rule.acts) == 1:
        return [f"{rule.acts[0].words_together}{pace_words(rule.paces)}"]
    return [
        _sentence(rule, trigger_first=True),
        _sentence(rule, trigger_first=False),
        *_again_while(rule),
        *_blinks_while(rule),
    ]


def _again_while(rule: _Rule) -> list[str]:
    """Return "every 10 min while it is below 40" for "at most every 10 min when it is below 40"."""
    is_one_act = len(rule.acts) == 1 and len(rule.paces) == 1 and not rule.ends
    if not is_one_act or not rule.acts[0].span or rule.paces[0].times:
        return []
    states = _gates(rule)
    for event in rule.events:
        if "#" not in event.about:
            states.append(event.state)
    if len(states) != 1 or len(rule.events) + len(rule.gates) != 1:
        return []
    return [f"{rule.acts[0].words} every {rule.paces[0].ms} while {states[0]}"]


def _blinks_while(rule: _Rule) -> list[str]:
    """Return "blink while the door is open" for "blink when it opens", of which no end is said."""
    act = rule.only_act
    if act is None or act.verb != "blink" or not rule.events[0].state:
        return []
    if rule.events[0].about.startswith("button#"):
        return []
    return [f"{act.words} while {rule.events[0].state}"]


def _sentence(rule: _Rule, *, trigger_first: bool) -> str:
    if rule.ends and not rule.paces and [act.verb for act in rule.acts] == ["beep"]:
        rule = replace(rule, paces=[_BEEPS])
    acts = act_words(rule.acts)
    paces = f"{pace_words(rule.paces)}{_end_words(rule)}"
    if _has_state_end(rule):
        joint = " or until" if rule.acts[0].span else " until"
        acts += f"{joint} {rule.ends[0].events[0].state}"
        paces = pace_words(rule.paces)
    gates = _gates(rule)
    clause = _trigger_words(rule)
    if rule.is_lasting and _is_plain_on(rule) and not gates:
        return f"{acts} while {clause}{paces}"
    if not clause and len(rule.gates) == 1 and gates:
        return f"{acts} while {_gate_joint(rule.gates[0]).join(gates)}{paces}"
    for gate in gates:
        paces = f" but only while {gate}{paces}"
    if not clause:
        return f"{acts}{paces}"
    begin = "when"
    if rule.nth:
        begin = f"every {rule.nth} time"
    if trigger_first:
        return f"{begin} {clause} {acts}{paces}"
    return f"{acts} {begin} {clause}{paces}"


def _has_state_end(rule: _Rule) -> bool:
    """Return True for one thing that is on until one state, for no longer than some time."""
    if len(rule.ends) != 1 or len(rule.ends[0].events) != 1:
        return False
    return [act.verb for act in rule.acts] == ["on"] and bool(rule.ends[0].events[0].state)


def _end_words(rule: _Rule) -> str:
    words = ""
    for end in rule.ends:
        for event in end.events:
            words += f" until {event.trigger or event.state}"
    return words


def _gates(rule: _Rule) -> list[str]:
    """Return the states that must hold."""
    states = []
    for gate in rule.gates:
        for event in gate.events:
            if gate.role == "unless":
                states.append(event.opposite)
            else:
                states.append(event.state)
    return states


def _gate_joint(gate: Condition) -> str:
    """Return the word between its states. "Unless it is a or b" is "while it is not a and not b"."""
    if gate.is_any == (gate.role == "unless"):
        return " and "
    return " or "


def _is_plain_on(rule: _Rule) -> bool:
    """Return True if all that it does is to turn something on, for no certain time."""
    return len(rule.acts) == 1 and rule.acts[0].verb == "on" and not rule.acts[0].span


def _trigger_words(rule: _Rule) -> str:
    events = rule.events
    if not events:
        return ""
    if len(events) > 1:
        return rule.joint.join(event.state for event in events)
    if rule.is_lasting and _is_plain_on(rule):
        return events[0].state
    return events[0].trigger or events[0].state


def pace_words(paces: Sequence[Pace]) -> str:
    words = ""
    for pace in paces:
        if pace.is_gap:
            words += " at most"
        if pace.times:
            words += f" {pace.times} times per {pace.ms}"
        else:
            words += f" every {pace.ms}"
    return words


def act_words(acts: Sequence[Act]) -> str:
    return " then ".join(act.words for act in acts)
