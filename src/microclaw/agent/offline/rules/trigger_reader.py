"""Reads what begins a rule or must hold: a pin that comes to a level or has it, a measured value, several states."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from microclaw.agent.language.quantities import BEGINS
from microclaw.agent.offline.rules.rule import Condition, PinTrigger, Together, ValueTrigger
from microclaw.hardware.parts.reader import i2c_quantities

THE: Final = r"(?:(?:the|my|a|an) )?"
_BUTTON: Final = rf"{THE}(?:button|push button|pushbutton|switch|key)"
_DOOR: Final = rf"{THE}(?:(?:door|window|reed)(?: contact| sensor| switch)?|contact)"
_MOTION: Final = rf"{THE}(?:motion|movement|pir|presence)(?: sensor| detector)?"
_AT: Final = r"(?: (?:on|at))? pin (?P<in>\d+)"
_PRESSED: Final = r"(?: is| gets)?(?: pressed| pushed| clicked)"
_RELEASED: Final = r"(?: is| gets)? (?:released|let go)"
_SOMETHING: Final = r"(?: somebody| someone| something| a person| motion| movement)?"
_WARMER: Final = r"(?:warmer|hotter|colder|cooler)"
_ABOVE: Final = frozenset(
    {"above", "over", "warmer than", "hotter than", "more than", "higher than", "warmer", "hotter"}
)
_SIDE: Final = rf"(?P<side>above|over|below|under|(?:{_WARMER}|more|less|higher|lower) than)"
_LIMIT: Final = rf"{_SIDE} (?P<milli>-?\d+) milli(?: (?P<unit>degrees|percent))?"

_TRIGGERS: Final[tuple[tuple[str, str, int], ...]] = (
    (rf"{_BUTTON}{_AT}{_PRESSED}", "button", 0),
    (rf"(?:i|someone|somebody) (?:press|presses|push|pushes) {_BUTTON}{_AT}", "button", 0),
    (rf"{_BUTTON}{_AT}{_RELEASED}", "button", 1),
    (rf"{_DOOR}{_AT} (?:opens|is opened|gets opened)", "door", 1),
    (rf"{_DOOR}{_AT} (?:closes|is closed|gets closed)", "door", 0),
    (rf"{_MOTION}{_AT}(?: sees| detects| notices){_SOMETHING}", "motion", 1),
    (r"pin (?P<in>\d+) (?:falls|(?:goes|gets|becomes|turns) low)", "pin", 0),
    (r"pin (?P<in>\d+) (?:rises|(?:goes|gets|becomes|turns) high)", "pin", 1),
)
_GETS: Final = r"(?:is|gets|goes|rises|climbs|falls|drops)"
_STATES: Final[tuple[tuple[str, str, int], ...]] = (
    (rf"{_BUTTON}{_AT} (?:is )?(?:down|held|held down)", "button", 0),
    (rf"{_BUTTON}{_AT} is up", "button", 1),
    (rf"{_DOOR}{_AT} (?:is )?open", "door", 1),
    (rf"{_DOOR}{_AT} (?:is )?(?:closed|shut)", "door", 0),
    (rf"{_MOTION}{_AT} sees no{_SOMETHING}", "motion", 0),
    (rf"{_MOTION}{_AT} (?:sees|detects|notices){_SOMETHING}", "motion", 1),
    (r"pin (?P<in>\d+) (?:is )?(?:low|off)", "pin", 0),
    (r"pin (?P<in>\d+) (?:is )?(?:high|on)", "pin", 1),
)
_VALUE: Final = (
    rf"(?:(?:the )?(?!it )(?P<quantity>[a-z]+(?: (?!{_GETS} )[a-z]+)?)"
    rf"(?: {_GETS}(?: to be)?)? {_LIMIT}"
    rf"|(?:it is|it gets|it becomes|it's) {_LIMIT.replace('?P<', '?P<it_')})"
)
_STAYS: Final = re.compile(
    r"\b(?:(?:stays|remains|has been) (?P<state>[a-z]+(?: than)?(?: -?\d+ milli(?: [a-z]+)?)?)"
    r"|(?P<quiet>sees no motion))"
    r" for (?:longer than |more than |at least |over )?(?P<held>[1-9]\d*) ms\b"
)
_ORDINALS: Final = {"third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}
_NTH: Final = re.compile(
    rf"\b(?:(?:on|at|with) )?(?:every|each) (?:(?P<number>\d{{1,2}})(?:nd|rd|th)|(?P<word>{'|'.join(_ORDINALS)})) "
    rf"(?:time|press of (?P<button>{_BUTTON}(?: (?:on|at))? pin \d+)) "
)
_UNTIL: Final = re.compile(rf"(?P<rest>.+?)(?: or)? until (?P<state>.+?)(?P<clause> {BEGINS} .+)?")
_MAX_NTH: Final = 20
_JOINED: Final = re.compile(r" (and|or)(?: (?:if|when))? ")
_MAX_CONDITIONS: Final = 3
Groups = dict[str, str | None]


def cut_held(text: str) -> tuple[str, int]:
    """Write "stays low for 5 s" as "is low", and return how long that is."""
    match = _STAYS.search(text)
    if match is None:
        return text, 0
    state = match["quiet"] or f"is {match['state']}"
    return f"{text[: match.start()]}{state}{text[match.end() :]}", int(match["held"])


def cut_nth(text: str) -> tuple[str, int]:
    """Write "every 5th time" as "when", and return the 5."""
    match = _NTH.search(f"{text} ")
    if match is None:
        return text, 1
    clause = "when "
    if match["button"] is not None:
        clause = f"when {match['button']} is pressed "
    number = int(match["number"] or _ORDINALS.get(match["word"], 0))
    if not 2 <= number <= _MAX_NTH:
        return text, 1
    return f"{text[: match.start()]}{clause}{text[match.end() :]}".strip(), number


def cut_until(text: str) -> tuple[str, Condition | None]:
    """Cut "until pin 8 is high" off: from the end of the sentence, or from before its trigger."""
    match = _UNTIL.fullmatch(text)
    if match is None:
        return text, None
    until = read_states(match["state"]) or read_trigger(match["state"], is_state=False)
    if until is None or isinstance(until, Together):
        return text, None
    return match["rest"] + (match["clause"] or ""), until


def read_trigger(clause: str, *, is_state: bool) -> Condition | Together | None:
    """Read what begins a rule: a pin that comes to a level, a value, or several states.

    With `is_state` it is one state.
    """
    if is_state:
        return _read_pin(clause, _STATES) or _read_value(clause)
    trigger = _read_pin(clause, _TRIGGERS) or _read_value(clause)
    if trigger is not None:
        return trigger
    states = read_states(clause)
    # Of one state nobody knows whether it is what begins it or how long it lasts.
    if isinstance(states, Together):
        return states
    return None


def _read_pin(clause: str, patterns: tuple[tuple[str, str, int], ...]) -> PinTrigger | None:
    for pattern, part, level in patterns:
        match = match_all(pattern, clause)
        if match is not None:
            return PinTrigger(int(match["in"] or 0), level, part)
    return None


def read_states(clause: str) -> Condition | Together | None:
    """Read states that are all joined by "and", or all by "or"."""
    parts = _JOINED.split(clause)
    conditions = []
    for part in parts[::2]:
        condition = _read_pin(part, _STATES) or _read_value(part)
        if condition is None:
            return None
        conditions.append(condition)
    joints = set(parts[1::2])
    if len(joints) > 1 or len(conditions) > _MAX_CONDITIONS:
        return None
    if not joints:
        return conditions[0]
    if len({_signal_of(condition) for condition in conditions}) < len(conditions):
        return None
    return Together(tuple(conditions), is_any="or" in joints)


def _signal_of(condition: Condition) -> int | str:
    if isinstance(condition, PinTrigger):
        return condition.pin
    return condition.quantity


def _read_value(clause: str) -> ValueTrigger | None:
    match = match_all(_VALUE, clause)
    if match is None:
        return None
    quantity = (match["quantity"] or "temperature").replace(" ", "_")
    side = match["side"] or match["it_side"] or ""
    milli = match["milli"] or match["it_milli"] or "0"
    unit = match["unit"] or match["it_unit"]
    is_of_unit = {"temperature": "degrees", "humidity": "percent"}.get(quantity)
    if quantity not in i2c_quantities() or unit not in (None, is_of_unit):
        return None
    if quantity != "temperature" and re.match(_WARMER, side):
        return None
    return ValueTrigger(quantity, side in _ABOVE, int(milli))


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def match_all(pattern: str, text: str) -> Groups | None:
    match = _compiled(pattern).fullmatch(text)
    if match is None:
        return None
    return dict.fromkeys(("pin", "for", "ms", "period", "half", "times", "times_word")) | match.groupdict()
