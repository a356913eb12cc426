"""Reads a sentence with two clauses as rules. Each word must be understood: any other sentence is None.

The sentence is in its normal form (language/quantities.py). Clauses follow each other: a trigger, acts that are joined
by "and" or "then", and conditions. The trigger stands before the acts or after them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import BEGINS
from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.rules.possible_rules import LEAST_HALF_MS, POLICE_MS, has_good_acts, is_possible
from microclaw.agent.offline.rules.repeat_reader import BLINK_MS, cut_end, ends_state, read_repeat
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
    Police,
    Rule,
    Together,
    Trigger,
    Turn,
    Wait,
    Warn,
    act_length_ms,
)
from microclaw.agent.offline.rules.several_rules import read_several
from microclaw.agent.offline.rules.trigger_reader import (
    THE,
    Groups,
    cut_held,
    cut_nth,
    cut_until,
    match_all,
    read_states,
    read_trigger,
)
from microclaw.hardware.parts.reader import i2c_quantities

RULE_EXAMPLES: Final = (
    "when the door contact on pin 15 opens blink pin 13 3 times",
    "when pin 10 goes low turn on pin 9 for 5 s at most every 1 h",
    "turn on pin 4 then wait 10 s then turn on pin 5",
    "blink pin 2 twice a second and pin 4 once a second",
)
_MAX_JOINTS: Final = 12
_MAX_NUMBER: Final = 604_800_000
"""A week in milliseconds."""
_BEEP_MS: Final = 200
_TIMES: Final = {"once": 1, "twice": 2, "thrice": 3}
_THING: Final = (
    r"(?:led|lights?|lamp|relay|pump|fan|heater|valve|motor|siren|buzzer|bulb|output|horn|bell|alarm|sprinkler)"
)
_PLACE: Final = rf"(?:{THE}(?:(?P<thing>{_THING}) )?(?:(?:on|at|of) )?pin (?P<pin>\d+)|{THE}(?P<led>(?:onboard )?led))"
_COUNT: Final = r"(?:(?P<times>[1-9]\d?) times|(?P<times_word>once|twice|thrice))"
_PERIOD: Final = r"(?:(?:at |with )?(?:a )?period (?:of )?(?P<period>[1-9]\d*) ms)"
_WHEN: Final = f"{BEGINS} "
_TO_ON: Final = r"(?:(?:turn|switch|power) on|open|start|run|activate|enable|light up|light)"
_TO_OFF: Final = r"(?:(?:turn|switch|power) off|close|stop|deactivate|disable)"
_FOR: Final = r"(?: for (?P<for>[1-9]\d*) ms)?"


def _on(groups: Groups) -> Act:
    return Turn(_pin(groups), "on", int(groups["for"] or 0))


def _off(groups: Groups) -> Act:
    return Turn(_pin(groups), "off", int(groups["for"] or 0))


def _toggle(groups: Groups) -> Act:
    return Turn(_pin(groups), "toggle")


def _pulse(groups: Groups) -> Act:
    return Turn(_pin(groups), "on", int(groups["ms"] or 0))


def _blink(groups: Groups) -> Act:
    return Blink(_pin(groups), _times(groups), int(groups["period"] or 2 * BLINK_MS) // 2)


def _blink_for(groups: Groups) -> Act:
    """Return a blink that lasts as long as is said: its whole periods are counted."""
    half_ms = int(groups["half"] or BLINK_MS)
    times = int(groups["for"] or 0) // (2 * half_ms)
    return Blink(_pin(groups), times, half_ms)


def _beep(groups: Groups) -> Act:
    if not groups["times"] and not groups["times_word"]:
        return Turn(_pin(groups), "on", _BEEP_MS)
    return Blink(_pin(groups), _times(groups), _BEEP_MS)


def _highest(groups: Groups) -> Act:
    return Highest(groups["quantity"] or "", groups["most"] in ("highest", "maximum", "max", "warmest"))


def _pin(groups: Groups) -> int | None:
    if groups["pin"] is None:
        return None
    return int(groups["pin"])


def _times(groups: Groups) -> int:
    word = groups["times_word"]
    if word is not None:
        return _TIMES[word]
    return int(groups["times"] or 1)


_ACTS: Final[tuple[tuple[str, Callable[[Groups], Act]], ...]] = (
    (rf"{_TO_ON} {_PLACE}{_FOR}", _on),
    (rf"(?:turn|switch|set|put) {_PLACE} (?:on|high){_FOR}", _on),
    (rf"set {_PLACE} to (?:on|high|1){_FOR}", _on),
    (rf"{_TO_OFF} {_PLACE}{_FOR}", _off),
    (rf"(?:turn|switch|set|put) {_PLACE} (?:off|low){_FOR}", _off),
    (rf"set {_PLACE} to (?:off|low|0){_FOR}", _off),
    (rf"(?:toggle|flip) {_PLACE}", _toggle),
    (rf"(?:pulse|beep|buzz) (?:(?:on|with) )?{_PLACE} for (?P<ms>[1-9]\d*) ms", _pulse),
    (rf"(?:beep|buzz) (?:(?:on|with) )?{_PLACE}(?: {_COUNT})?", _beep),
    (rf"(?:beep|buzz) {_COUNT} (?:on|with) {_PLACE}", _beep),
    (rf"(?:blink|flash) {_PLACE} {_COUNT}(?: {_PERIOD})?", _blink),
    (rf"(?:blink|flash) {_PLACE}(?: every (?P<half>[1-9]\d*) ms)? for (?P<for>[1-9]\d*) ms", _blink_for),
    (rf"(?:blink|flash) {_COUNT} (?:on|with) {_PLACE}", _blink),
    (rf"(?:blink|flash|send|signal) (?:an )?sos (?:on|with) {_PLACE}", lambda groups: Morse(_pin(groups))),
    (
        rf"fade {_PLACE} in (?:over|within|in|for) (?P<ms>[1-9]\d*) ms",
        lambda groups: Fade(_pin(groups), int(groups["ms"] or 0)),
    ),
    (r"wait (?:for )?(?P<ms>[1-9]\d*) ms", lambda groups: Wait(int(groups["ms"] or 0))),
    (r"(?:warn|alert|tell) me|print (?:a|the) warning", lambda _: Warn()),
    (r"count it", lambda _: Count()),
    (
        r"(?:turn on|light) pin (?P<pin>\d+) (?:and|also) pin (?P<pin_2>\d+) in turn",
        lambda groups: Police(int(groups["pin"] or 0), int(groups["pin_2"] or 0)),
    ),
    (
        rf"(?:make|run|show|start) {THE}police lights? (?:with|on) pin (?P<pin>\d+) (?:and|also) pin (?P<pin_2>\d+)",
        lambda groups: Police(int(groups["pin"] or 0), int(groups["pin_2"] or 0)),
    ),
)
_MEASURED: Final = (
    r"(?:read|measure|log) (?:the )?(?P<quantity>[a-z]+(?: [a-z]+)?)( every (?P<every>[1-9]\d*) ms)?"
    r" and print (?:the |its )?(?P<most>highest|maximum|max|warmest|lowest|minimum|min|coldest)"
    r"(?: value| one)? of the day( every (?P<pace>[1-9]\d*) ms)?"
)
_SEVERAL: Final = (
    r"(?:read|measure|log|print|record) (?P<names>(?:the )?[a-z]+(?:(?: and| also) (?:the )?[a-z]+){1,2})"
    r"(?: and (?:print|log) (?:them|it|both))? every (?P<every>[1-9]\d*) ms(?: and (?:print|log) (?:them|it|both))?"
)
_LEAST_EVERY_MS: Final = 100
_WHILE: Final = r"(?:while|as long as) (?P<while>.+)"
_GAP: Final = (
    r"(?:but )?(?:at most|no more than|not more than|not more often than|never more than)"
    r" (?:once |(?P<gap_times>[1-9]\d?) times (?=per ))?(?:every|in|per|period) (?P<gap>[1-9]\d*) ms"
)
_JOINT: Final = re.compile(r" (?:and then|then|and|also) | (?=wait )")
_RATE: Final = rf"(?:blink |flash |toggle )?{_PLACE} (?:period (?P<period>[1-9]\d*) ms|every (?P<half>[1-9]\d*) ms)"


def parse_rule(normal: str, may_begin_later: bool) -> Parse | None:
    """Return the parse of a sentence in its normal form, or None if it is no rule.

    A rule with a trigger begins by itself, so it has no time of day: with `may_begin_later` False it is None.
    """
    rules = read_rules(normal)
    if rules is None or not (may_begin_later or rules[0].trigger is None):
        return None
    return Parse("rule", {"rule": normal})


@lru_cache(64)
def read_rules(normal: str) -> tuple[Rule, ...] | None:
    """Return the rules of a sentence in its normal form, or None if it has a word that is not understood."""
    text = re.sub(r"[,;]", "", normal).strip().replace("an sos", "sos")
    # "Tell me if it is warm" is a question.
    if "tell me if " in text:
        return None
    if len(text) > 300 or any(int(digits) > _MAX_NUMBER for digits in re.findall(r"\d+", text)):
        return None
    rules = _read_rates(text) or _read_measured(text)
    if rules is None:
        rule = _read_rule(text)
        if rule is None or not has_good_acts(rule) or not is_possible(rule):
            return read_several(text, _read_good)
        rules = (rule,)
    return rules


def switched_pins(normal: str) -> list[int]:
    """Return the pins that the rules of a sentence switch, each once; nothing if one switches the board's LED."""
    pins = list[int]()
    for rule in read_rules(normal) or ():
        for act in rule.acts:
            if isinstance(act, Turn | Blink | Morse | Fade):
                if act.pin is None:
                    return []
                pins.append(act.pin)
    return list(dict.fromkeys(pins))


def _read_good(text: str) -> Rule | None:
    """Read one rule of several."""
    rule = _read_rule(text)
    if rule is None or not has_good_acts(rule):
        return None
    is_turned = len(rule.acts) == 1 and isinstance(rule.acts[0], Turn) and rule.measures
    if not is_turned and not is_possible(rule):
        return None
    return rule


def _read_rates(text: str) -> tuple[Rule, ...] | None:
    """Read "blink pin 2 twice a second and pin 4 once a second"."""
    parts = re.split(r" and (?:also )?", text)
    if len(parts) < 2 or not text.startswith(("blink ", "flash ", "toggle ")):
        return None
    rules = []
    for part in parts:
        match = match_all(_RATE, part)
        if match is None:
            return None
        half_ms = int(match["half"] or 0)
        if match["period"] is not None:
            half_ms = int(match["period"]) // 2
            if int(match["period"]) % 2:
                return None
        if half_ms < LEAST_HALF_MS:
            return None
        rules.append(Rule(EveryTrigger(half_ms), (Turn(_pin(match), "toggle"),)))
    pins = {rule.acts[0] for rule in rules}
    if len(pins) < len(rules) or len(rules) > 4:
        return None
    return tuple(rules)


def _read_measured(text: str) -> tuple[Rule, ...] | None:
    """Read "read the temperature every 5 minutes and print the highest of the day"."""
    match = match_all(_MEASURED, text)
    if match is None:
        return _read_several_quantities(text)
    quantity = (match["quantity"] or "").replace(" ", "_")
    every = match["every"] or match["pace"]
    if every is None or (match["every"] and match["pace"]):
        return None
    if quantity not in i2c_quantities() or int(every) < _LEAST_EVERY_MS:
        return None
    act = Highest(quantity, match["most"] in ("highest", "maximum", "max", "warmest"))
    return (Rule(EveryTrigger(int(every)), (act,)),)


def _read_several_quantities(text: str) -> tuple[Rule, ...] | None:
    """Read "log the temperature and the humidity every 10 minutes"."""
    match = match_all(_SEVERAL, text)
    if match is None:
        return None
    names = re.split(r" and | also ", (match["names"] or "").replace("the ", ""))
    quantities = tuple(dict.fromkeys(name.replace(" ", "_") for name in names))
    every_ms = int(match["every"] or 0)
    if len(quantities) < 2 or every_ms < _LEAST_EVERY_MS or not set(quantities) <= set(i2c_quantities()):
        return None
    return (Rule(EveryTrigger(every_ms), (Measure(quantities),)),)


def _read_rule(text: str) -> Rule | None:
    """Read the sentence with its trigger before the acts, after them, or without one."""
    loop = text.removesuffix(" over and over")
    if loop != text:
        return _read_loop(loop)
    repeating = _read_repeating(text)
    if repeating is not None:
        return repeating
    text, gap_ms, gap_times = _cut_gap(text)
    text, until = cut_until(text)
    text, only_while = _cut_while(text)
    text, held_ms = cut_held(text)
    text, nth = cut_nth(text)
    for trigger, rest in _splits(text, is_state=held_ms > 0):
        acts = _read_acts(rest)
        if acts is None:
            continue
        is_counted = held_ms > 0 or nth > 1
        if is_counted and not isinstance(trigger, Condition):
            return None
        if trigger is None and only_while is not None:
            if gap_ms or until or len(acts) > 1:
                return None
            return Rule(only_while, acts, holds=True)
        if trigger is None and isinstance(acts[0], Police):
            trigger = EveryTrigger(POLICE_MS)
        if isinstance(only_while, Together):
            return None
        rule = Rule(trigger, acts, only_while, gap_ms, gap_times, held_ms=held_ms, nth=nth, until=until)
        return _follow_states(_delayed(rule))
    return None


def _delayed(rule: Rule) -> Rule:
    """Return a rule whose acts begin with a wait as one that begins them so much later."""
    first = rule.acts[0]
    if not isinstance(first, Wait) or not rule.conditions or len(rule.acts) == 1:
        return rule
    return replace(rule, acts=rule.acts[1:], delay_ms=first.ms)


def _read_repeating(text: str) -> Rule | None:
    """Read acts that are done again and again while states last, or from an event until the state after it ends."""
    body, states = _cut_while(text)
    if states is not None:
        repeat = read_repeat(body, _read_acts)
        if repeat is not None:
            return Rule(states, repeat.acts, holds=True, again_ms=repeat.again_ms)
    cut = cut_end(text)
    if cut is None:
        return None
    body, end = cut
    body, held_ms = cut_held(body)
    for trigger, rest in _splits(body, is_state=held_ms > 0):
        repeat = read_repeat(rest, _read_acts)
        if repeat is not None and isinstance(trigger, Condition) and ends_state(end, trigger):
            return Rule(trigger, repeat.acts, holds=True, held_ms=held_ms, again_ms=repeat.again_ms)
    return None


def _follow_states(rule: Rule) -> Rule:
    """Return the rule as one whose pin is on while its states last, if its only act is to turn on a pin."""
    if rule == Rule(rule.trigger, (Turn(rule.turned_pin, "on"),)) and isinstance(rule.trigger, Together):
        return replace(rule, holds=True)
    return rule


def _read_loop(text: str) -> Rule | None:
    """Read acts that are done again and again: each time when the last one has ended."""
    acts = _read_acts(text)
    if acts is None or not all(isinstance(act, Turn | Blink | Wait) for act in acts):
        return None
    period_ms = sum(act_length_ms(act) for act in acts)
    if isinstance(acts[-1], Wait):
        acts = acts[:-1]
    is_one_turn = len(acts) == 1 and isinstance(acts[0], Turn)
    if not acts or (is_one_turn and act_length_ms(acts[0]) == period_ms):
        return None
    return Rule(EveryTrigger(period_ms), acts)


def _cut_gap(text: str) -> tuple[str, int, int]:
    """Cut "at most every 2 h" off: from the end of the sentence, or from between the acts and their trigger."""
    match = re.fullmatch(rf"(?P<rest>.+?) {_GAP}(?P<clause> {_WHEN}.+)?", text)
    if match is None:
        return text, 0, 1
    return match["rest"] + (match["clause"] or ""), int(match["gap"]), int(match["gap_times"] or 1)


def _cut_while(text: str) -> tuple[str, Condition | Together | None]:
    """Cut "while pin 8 is high" off: from the end of the sentence, or from its begin."""
    match = re.fullmatch(rf"(?P<rest>.+?) (?:but only |only )?{_WHILE}", text)
    states = read_states(match["while"]) if match is not None else None
    if match is not None and states is not None:
        return match["rest"], states
    begin = re.match(r"(?:while|as long as) ", text)
    if begin is not None:
        words = text[begin.end() :].split(" ")
        for count in range(len(words) - 1, 2, -1):
            states = read_states(" ".join(words[:count]))
            if states is not None:
                return " ".join(words[count:]).removeprefix("then "), states
    return text, None


def _splits(text: str, *, is_state: bool) -> list[tuple[Trigger, str]]:
    """Return each reading of the sentence as a trigger and the rest of the words."""
    splits: list[tuple[Trigger, str]] = []
    every = re.fullmatch(r"(?P<rest>.+) every (?P<ms>[1-9]\d*) ms", text)
    if every is None:
        every = re.fullmatch(r"every (?P<ms>[1-9]\d*) ms (?P<rest>.+)", text)
    if every is not None:
        splits.append((EveryTrigger(int(every["ms"])), every["rest"]))
    after = re.fullmatch(rf"(?P<rest>.+?) {_WHEN}(?P<clause>.+)", text)
    if after is not None:
        trigger = read_trigger(after["clause"], is_state=is_state)
        if trigger is not None:
            splits.append((trigger, after["rest"]))
    before = re.match(_WHEN, text)
    if before is not None:
        words = text[before.end() :].split(" ")
        for count in range(3, len(words)):
            trigger = read_trigger(" ".join(words[:count]), is_state=is_state)
            if trigger is not None:
                rest = " ".join(words[count:]).removeprefix("then ")
                splits.append((trigger, rest))
    splits.append((None, text))
    return splits


@lru_cache(256)
def _read_acts(text: str) -> tuple[Act, ...] | None:
    """Read acts that are joined by "and" or "then". An act may have an "and" in it, so the longest reading is first."""
    act = _read_act(text)
    if act is not None:
        return (act,)
    joints = list(_JOINT.finditer(text))
    if len(joints) > _MAX_JOINTS:
        return None
    for joint in reversed(joints):
        act = _read_act(text[: joint.start()])
        if act is None:
            continue
        rest = _read_acts(text[joint.end() :])
        if rest is not None:
            return (act, *rest)
    return None


def _read_act(text: str) -> Act | None:
    for pattern, make in _ACTS:
        match = match_all(pattern, text)
        if match is not None:
            return make(match)
    return None
