"""Writes a wish in the normal form of its numbers, without greetings and reasons. "¦" is where a clause ends."""

from __future__ import annotations

import re
from typing import Final

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.times import DAYS, hour_of_day, write_spoken_times
from microclaw.tables import read_table
from microclaw.text import plural

END: Final = "¦"
_TABLE: Final = read_table(__package__, "wish_words")
_SHORT: Final[dict[str, str]] = _TABLE["short"]
_NOT_AFTER_A_NUMBER: Final = frozenset({"n", "y", "u", "hi"})
# "Lamp 4" and "button on 4" mean a pin; "lamp 4 times" does not.
_PINNED: Final = (
    "button|btn|lamp|light|fan|pump|relay|buzzer|pir|valve|heater|servo|strip|alarm|motor|siren|plug|sensor|detector"
    "|contact|door|window|probe"
)
_UNIT: Final = "am|pm|ms|s|sec|seconds?|min|minutes?|h|hours?|hz|khz|times?|x|percent|degrees?|°"
_BARE_PIN: Final = re.compile(
    rf"\b({_PINNED}) (?:on )?(?=\d{{1,2}}\b)(?!\d{{1,2}}(?:[:.%]\d*|st|nd|rd|th| ?(?:{_UNIT})\b))"
)
_ENDS: Final = (
    (re.compile(r"(?<=[a-z)])[.;!?:]+(?=\s|$)|(?<=\d)[.;!?](?=\s|$)"), f" {END} "),
    (re.compile(r"(?<=[a-z)]),(?=\s)|(?<=\d),(?=\s(?![\d]))"), f" {END} "),
    (re.compile(r"\s[-–—]+>?\s(?=[a-z])"), f" {END} "),
)
_PHRASES: Final = tuple((re.compile(words), meaning) for words, meaning in _TABLE["phrases"]["rows"])
_POLITE: Final = re.compile(rf"\b(?:{'|'.join(_TABLE['polite']['words'])})\b")
_REASON: Final = re.compile(
    rf"(?<={END} )like (?:a|an|the) [^{END}]*|(?:^|(?<= ))(?:{'|'.join(_TABLE['polite']['reasons'])})[^{END}]*"
)
_DUTY: Final = re.compile(r"\b(?P<on>\d+) ms (?:on|lit|bright)(?: ¦)?(?: and)? (?P<off>\d+) ms (?:off|dark|out)\b")
"""On for a time and off for a time, again and again."""
_PART_AT: Final = re.compile(
    r"\b(?P<day>every|this|tomorrow|(?:on )?[a-z]+days?) (?P<part>morning|afternoon|evening|night)s?"
    r" at (?P<hour>\d{1,2})(?:000 milli)?(?![:\d]| ms| milli| degrees| percent| in the)"
)
_PIN_RANGE: Final = re.compile(r"\b(?:pins|gpios) (\d{1,2}) ?(?:to|through|until|-|–) ?(\d{1,2})\b")
_MOST_PINS: Final = 8
_DAY: Final = "|".join(DAYS)
_DAY_RANGE: Final = re.compile(
    rf"(?<!on )\b(?:from |every |each )*(?P<first>{_DAY})s? ?(?:to|till|until|through|-|–) ?(?P<last>{_DAY})s?\b"
)
_PM_RANGE: Final = re.compile(
    r"\b(?P<joint>from|between) (?P<first>\d{1,2}) (?P<to>to|and|until|till|-) (?P<last>\d{1,2}) ?"
    r"(?:p\.?m\b\.?|in the (?:evening|afternoon))"
)
_SAID_TWICE: Final = re.compile(r"\bwater (?=(?:sensor|pump|valve|tap|level|detector)\b)")
_IN_BRACKETS: Final = re.compile(
    r"\((?:high|low|(?:(?:pull-?up|pull-?down|(?:\d+ ?ms )?debounced?)(?:, )?)+)\)", re.IGNORECASE
)
# It says more than a reason.
_IN_REASON: Final = re.compile(r"\b(?:when|if|while|until|unless|every|at clock|for \d|pin \d)")
_FIRST: Final = re.compile(rf"(^|{END} )first ")
_ALSO_THEN: Final = re.compile(rf"(?<={END}) also on holidays\b")
_SAY: Final = re.compile(rf"{END} say (?=from|at|between|every)")
_TURN_OF: Final = re.compile(r"\b(turn|switch) of (?=(?:the|my|our|pin)\b)")
_ONE: Final = re.compile(r"\bthe (?:other )?one (?:in the [a-z]+ |over the [a-z]+ )?(?=(?:on|at) )")
_OF_DAY: Final = re.compile(
    r"\b(?P<hour>\d{1,2})(?:000 milli)? (?P<part>in the (?:morning|evening|afternoon)|at night)\b"
)


def clauses(text: str) -> str:
    """Return the wish in lower case and normal form, with a mark at the end of each clause."""
    text = write_out(text)
    text = _PM_RANGE.sub(_pm_range, text)
    text = _ONE.sub("", text)
    text = _SAID_TWICE.sub("", text)
    text = _TURN_OF.sub(r"\1 off ", text)
    text = _PIN_RANGE.sub(_pin_range, text)
    text = _BARE_PIN.sub(r"\1 on pin ", text)
    text = _IN_BRACKETS.sub("", text).replace(" = ", f" {END} ")
    for pattern, mark in _ENDS:
        text = pattern.sub(mark, text)
    text = normalize_quantities(text)
    for phrase, meaning in _PHRASES:
        text = phrase.sub(meaning, text)
    text = _DAY_RANGE.sub(_day_range, text)
    text = _DUTY.sub(_duty, text)
    text = _PART_AT.sub(_part_at, text)
    text = write_spoken_times(text)
    text = _OF_DAY.sub(_of_day, text)
    text = _ALSO_THEN.sub("", _SAY.sub(f"{END} ", text))
    text = _REASON.sub(_without_reason, text)
    text = _FIRST.sub(r"\1", text)
    text = _POLITE.sub(" ", text)
    text = re.sub(rf"(?:\s*{END}\s*)+", f" {END} ", text)
    return re.sub(r"\s+", " ", text).strip(f" {END}")


def write_out(text: str) -> str:
    """Return the text in lower case, with whole words for those that are often written short."""
    text = re.sub(r"\s+", " ", text.lower().replace("’", "'")).strip(" .!?")
    words = []
    before = ""
    for word in text.split(" "):
        words.append(_long(word, before))
        before = word
    return " ".join(words).strip()


def _long(word: str, before: str) -> str:
    """Return a word that is often written short as a whole one."""
    if word in _NOT_AFTER_A_NUMBER and before[-1:].isdigit():
        return word
    bare = word.rstrip(",.;:!?")
    return _SHORT.get(bare, bare) + word[len(bare) :]


def _without_reason(match: re.Match[str]) -> str:
    if _IN_REASON.search(match[0]):
        return match[0]
    return " "


def _duty(match: re.Match[str]) -> str:
    """Write "10 s on, 50 s off" as "on for 10 s every 60 s"."""
    on_ms = int(match["on"])
    off_ms = int(match["off"])
    return f"on for {on_ms} ms every {on_ms + off_ms} ms"


def _part_at(match: re.Match[str]) -> str:
    """Write "every evening at 8" as "every day at 8 in the evening"."""
    day = {"every": "every day", "this": "today"}.get(match["day"], match["day"])
    part = f"in the {match['part']}"
    if match["part"] == "night":
        part = "at night"
    return f"{day} at {match['hour']} {part}"


def _pin_range(match: re.Match[str]) -> str:
    """Write "pins 4 to 6" as "pins 4, 5 and 6"."""
    pins = range(int(match[1]), int(match[2]) + 1)
    if not 1 < len(pins) <= _MOST_PINS:
        return match[0]
    return plural("pin", pins)


def _pm_range(match: re.Match[str]) -> str:
    """Write "8 to 9 pm" as "8 pm to 9 pm", and leave "10 to 2 pm"."""
    first = int(match["first"])
    if first >= int(match["last"]) or first > 11:
        return match[0]
    return f"{match['joint']} {first} pm {match['to']} {match['last']} pm"


def _day_range(match: re.Match[str]) -> str:
    """Write "monday to wednesday" as "every monday and tuesday and wednesday"."""
    first = DAYS.index(match["first"])
    count = (DAYS.index(match["last"]) - first) % len(DAYS) + 1
    days = (*DAYS, *DAYS)[first : first + count]
    return f"every {' and '.join(days)}"


def _of_day(match: re.Match[str]) -> str:
    """Write "7 in the evening" as "clock 1900"."""
    hour = hour_of_day(int(match["hour"]), match["part"])
    if hour is None:
        return match[0]
    return f"clock {hour:02d}00"
