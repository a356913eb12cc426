"""Writes a sentence about several pins as one act after another, as the grammar reads it. It understands nothing.

"Turn pin 4 also pin 5 on one after another with 500 ms between, then all off" becomes six acts.
"""

from __future__ import annotations

import re
from typing import Final

_PINS: Final = r"(?P<pins>pin \d+(?: also pin \d+){1,7})"
_TOGETHER: Final = re.compile(
    rf"(?P<verb>blink|flash|toggle) {_PINS}(?: together| at the same time| in sync)?"
    r" (?P<rate>every [1-9]\d* ms|period [1-9]\d* ms)"
)
_ON: Final = (
    rf"(?:(?:turn|switch) on {_PINS}|(?:turn|switch) {_PINS.replace('pins', 'pins_2')} on"
    rf"|light(?: up)? {_PINS.replace('pins', 'pins_3')})"
)
_BOTH: Final = r"(?:both|all|them all)(?: of them)?"
_IN_TURN: Final = re.compile(
    rf"{_ON} (?:1|one) after (?:another|the other) (?:with (?:a pause of )?|every )"
    r"(?P<ms>[1-9]\d* ms)(?: in)?(?: between)?(?: each| them)?"
    rf"(?P<off>,? (?:and )?then (?:turn |switch )?{_BOTH} off(?: again)?)?(?P<rest>| over and over)"
)
_ALL_OFF: Final = re.compile(
    r"(?P<before>.{1,200}?) (?:and then|then|and) (?:turn|switch) "
    rf"(?:(?P<word>{_BOTH}) off|off (?P<word_2>{_BOTH}))(?P<rest>| over and over)"
)
_WAITED: Final = re.compile(r"\b(wait (?:for )?[1-9]\d* ms),? (?!and |then |over )")
_TURNED_ON: Final = re.compile(r"\bpin \d+")
_COLOR: Final = r"(?:red|yellow|amber|orange|green)"
_LIGHT: Final = (
    rf"(?:the )?(?:{_COLOR}|{_COLOR} (?:light|led|lamp)|led|lamp|light) (?:on )?(pin \d+)(?: for)? ([1-9]\d*)( ms)?"
)
_THEN: Final = r"(?: and)?(?: then)?"
_TRAFFIC: Final = re.compile(
    rf"(?:make |run |show |build |be )?(?:a |the )?traffic lights? (?:with )?{_LIGHT}{_THEN} {_LIGHT}{_THEN} "
    rf"{_LIGHT}(?: over and over)?"
)
_AGAIN: Final = re.compile(
    r",? (?:over and over(?: again)?|again and again|in a loop|and (?:then )?repeat(?: that| it| this)?"
    r"|and (?:then )?start (?:over|again from the beginning))$"
)


def one_by_one(text: str) -> str:
    """Return the sentence with an act for each of its pins; as it is if it is of no such kind."""
    text = _AGAIN.sub(" over and over", text)
    if " clock " not in text:
        # "Wait 10 minutes, turn off pin 5 at 22:00" may mean that only the second act is at that time.
        text = _WAITED.sub(r"\1 then ", text)
    for pattern, write in ((_TOGETHER, _blink), (_IN_TURN, _in_turn), (_ALL_OFF, _all_off), (_TRAFFIC, _traffic)):
        match = pattern.fullmatch(text)
        if match is not None:
            return write(match)
    return text


def _blink(match: re.Match[str]) -> str:
    pins = match["pins"].replace(" also ", f" {match['rate']} and ")
    return f"{match['verb']} {pins} {match['rate']}"


def _in_turn(match: re.Match[str]) -> str:
    pins = (match["pins"] or match["pins_2"] or match["pins_3"]).split(" also ")
    is_miscounted = "both" in (match["off"] or "") and len(pins) > 2
    if len(set(pins)) < len(pins) or is_miscounted:
        return match[0]
    acts = f" then wait {match['ms']} then ".join(f"turn on {pin}" for pin in pins)
    if match["off"]:
        acts += f" then wait {match['ms']}" + _off(pins)
    return acts + match["rest"]


def _off(pins: list[str]) -> str:
    return "".join(f" then turn off {pin}" for pin in pins)


def _all_off(match: re.Match[str]) -> str:
    """Write "both" and "all" as the pins that were named before: two for "both", two at least for "all"."""
    pins = list(dict.fromkeys(_TURNED_ON.findall(match["before"])))
    word = match["word"] or match["word_2"]
    most = 2 if word.startswith("both") else 8
    if " off" in match["before"] or len(pins) not in range(2, most + 1):
        return match[0]
    return match["before"] + _off(pins) + match["rest"]


def _traffic(match: re.Match[str]) -> str:
    """Write a traffic light with its own times. A number without a unit has the seconds of the first one."""
    groups = match.groups()
    if len({groups[0], groups[3], groups[6]}) < 3:
        return match[0]
    acts = []
    for start in (0, 3, 6):
        pin, number, unit = groups[start : start + 3]
        ms = int(number)
        if unit is None:
            first_ms = int(groups[1])
            has_seconds = groups[2] is not None and first_ms % 1000 == 0
            if not has_seconds or first_ms % 60_000 == 0:
                return match[0]
            ms *= 1000
        acts.append(f"turn on {pin} for {ms} ms")
    return " then ".join(acts) + " over and over"
