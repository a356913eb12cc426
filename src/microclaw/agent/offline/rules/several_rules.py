"""Reads a sentence of several rules: each is read alone, with the words that it leaves to the rule before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import BEGINS
from microclaw.agent.offline.rules.possible_rules import MOST_TIMERS
from microclaw.agent.offline.rules.rule import (
    NOUNS,
    Blink,
    Count,
    EveryTrigger,
    Morse,
    PinTrigger,
    Rule,
    Turn,
    ValueTrigger,
    Warn,
    place_words,
)

_MAX_RULES: Final = 3
_JOINT: Final = re.compile(rf" (?:and|but)(?: also)? | (?={BEGINS} )")
_OR: Final = re.compile(rf"(?P<acts>.+?) (?P<when>{BEGINS}) (?P<first>.+) or (?:{BEGINS} )?(?P<second>.+)")
_IT_BEGINS: Final = re.compile(rf"\b({BEGINS}) it(?= |'s )")
_IS_VALUE: Final = re.compile(r"(?:'s| \w+) (?:above|over|below|under|\w+ than) ")
_ONLY_LIMIT: Final = re.compile(r"(?:above|over|below|under|\w+ than) ")
_ONLY_LEVEL: Final = re.compile(rf"(on|off)(?: again)?(?= {BEGINS} )")
_ONLY_PIN: Final = re.compile(rf"pin \d+(?= {BEGINS} )")
ReadRule = Callable[[str], Rule | None]


def read_several(text: str, read_rule: ReadRule) -> tuple[Rule, ...] | None:
    """Return the rules of a sentence, or None if it is not several that go together."""
    rules = _read_alternatives(text, read_rule) or _read_joined(text, read_rule, _MAX_RULES)
    if rules is None or len(rules) < 2:
        return None
    rules = tuple(_follow_value(rule, rules) for rule in rules)
    if not all(_is_possible(rule, rules) for rule in rules):
        return None
    return rules


def _read_alternatives(text: str, read_rule: ReadRule) -> tuple[Rule, ...] | None:
    """Read "toggle pin 6 when pin 14 goes high or pin 15 goes high"."""
    match = _OR.fullmatch(text)
    if match is None or " and " in text:
        return None
    first = read_rule(f"{match['acts']} {match['when']} {match['first']}")
    if first is None:
        return None
    clause = match["second"]
    if isinstance(first.trigger, ValueTrigger) and _ONLY_LIMIT.match(clause):
        clause = f"the {first.trigger.quantity.replace('_', ' ')} is {clause}"
    second = read_rule(f"{match['acts']} {match['when']} {clause}")
    if second is None or _signal(first) == _signal(second):
        return None
    return (first, second)


def _read_joined(text: str, read_rule: ReadRule, most: int) -> tuple[Rule, ...] | None:
    rule = read_rule(text)
    if rule is not None:
        return (rule,)
    if most < 2:
        return None
    for joint in _JOINT.finditer(text):
        first = read_rule(text[: joint.start()])
        if first is None or not first.conditions:
            continue
        rest = _with_words_of(first, text[joint.end() :])
        rules = _read_joined(rest, read_rule, most - 1)
        if rules is not None:
            return (first, *rules)
    return None


def _with_words_of(first: Rule, rest: str) -> str:
    """Return a clause with the pin, the verb and the quantity that it leaves to the rule before it."""
    trigger = first.trigger
    begin = _IT_BEGINS.search(rest)
    if begin is not None and isinstance(trigger, ValueTrigger):
        rest = _IT_BEGINS.sub(rf"\1 the {trigger.quantity.replace('_', ' ')}", rest).replace("'s ", " is ")
    elif begin is not None and isinstance(trigger, PinTrigger) and not _IS_VALUE.match(rest, begin.end()):
        rest = _IT_BEGINS.sub(rf"\1 {NOUNS[trigger.part]}pin {trigger.pin}", rest)
    act = first.acts[-1]
    if not isinstance(act, Turn):
        return rest
    place = place_words(act.pin)
    if _ONLY_PIN.match(rest) and act.to != "toggle":
        return f"turn {act.to} {rest}"
    if len(first.acts) > 1:
        return rest
    only_level = _ONLY_LEVEL.match(rest)
    if only_level is not None:
        return f"turn {only_level[1]} {place}{rest[only_level.end() :]}"
    rest = re.sub(r"\b(it o(?:n|ff)) again\b", r"\1", rest)
    # "It is dark" is no pin.
    return re.sub(r"\b(turn|switch|toggle|blink|flash|stop|start)( on| off)? it\b", rf"\1\2 {place}", rest)


def _signal(rule: Rule) -> object:
    if isinstance(rule.trigger, PinTrigger):
        return rule.trigger.pin
    return rule.trigger


def _pins(rule: Rule) -> set[int | None]:
    return {act.pin for act in rule.acts if isinstance(act, Turn | Blink | Morse)}


def _is_shared(rule: Rule, rules: tuple[Rule, ...]) -> bool:
    """Return True if another rule switches a pin of this one."""
    return any(other is not rule and _pins(other) & _pins(rule) for other in rules)


def _follow_value(rule: Rule, rules: tuple[Rule, ...]) -> Rule:
    """Return the rule as one whose pin is on while the value is beyond its limit, if only it switches the pin."""
    if rule == Rule(rule.trigger, (Turn(rule.turned_pin, "on"),)) and rule.measures and not _is_shared(rule, rules):
        return replace(rule, holds=True)
    return rule


def _is_possible(rule: Rule, rules: tuple[Rule, ...]) -> bool:
    """Return False for a rule that would not agree with the others."""
    if rule.trigger is None or isinstance(rule.trigger, EveryTrigger) or rule.until is not None:
        return False
    if not all(isinstance(act, Turn | Blink | Morse | Warn | Count) for act in rule.acts):
        return False
    if rule.gap_times > 1 and _timer_count(rules) > MOST_TIMERS:
        return False
    if _is_shared(rule, rules):
        return _shares_well(rule, rules)
    is_left_off = rule.measures and rule.acts == (Turn(rule.turned_pin, "off"),)
    return not is_left_off


def _timer_count(rules: tuple[Rule, ...]) -> int:
    """Return how many timers the rules need: one to look, one for the steps of the acts, and one for each start."""
    return sum(2 + rule.gap_times for rule in rules)


def _shares_well(rule: Rule, rules: tuple[Rule, ...]) -> bool:
    """Return True if the rules that switch one pin only turn it on, off or over, each at a pin of its own or level."""
    triggers = {other.trigger for other in rules}
    is_plain = len(rule.acts) == 1 and isinstance(rule.acts[0], Turn) and not rule.acts[0].for_ms
    if any(other.delay_ms for other in rules):
        # What ends it may come before it has begun.
        return False
    if rule.measures and not _is_latch(rule, rules):
        return False
    return is_plain and not rule.holds and len(triggers) == len(rules)


def _is_latch(rule: Rule, rules: tuple[Rule, ...]) -> bool:
    """Return True for a value that turns a pin on if presses turn it off. What is there already ends nothing."""
    for other in rules:
        is_press = isinstance(other.trigger, PinTrigger) and other.trigger.part == "button"
        if other is not rule and not is_press:
            return False
    return rule.acts == (Turn(rule.turned_pin, "on"),)
