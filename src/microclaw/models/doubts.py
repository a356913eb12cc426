"""What forbids to act on a likely order: rules that no number of examples teaches. Reads no meaning.

A sentence to which one applies is asked back. Which numbers are no pins is here too: "step 3", "two leds".
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.models.numbers import Number, Said

_PASTED: Final = re.compile(  # a line of a log, a role of a chat, a comment, a note
    r"^\W*(?:error|err|warn|warning|info|debug|notice|fatal|trace|critical|user|system|assistant|human|bot|todo|fixme|"
    r"note|note to self|memo|reminder|echo|quote|re|fwd?|subject|changelog|commit)\s*[:>|=\]]"
    r"|^\s*(?://|/\*|#(?!\s*\d)|--|<!--|>|```|\$ )|^\W*\d{1,2}:\d\d(?::\d\d)?\W",
    re.I,
)
_BY_ONESELF: Final = re.compile(
    r"\bmy ?self\b|^\W*(?:i|we)(?:'ll| will| might| may| could|'m going to|'re going to| am going to) "
    r"(?:turn|switch|set|put|blink|flash|dim|fade|toggle|do|fix|wire|plug|pull|push|press|open|close|shut)\b",
    re.I,
)
_CORRECTED: Final = re.compile(
    r"\b(?:i mean(?:t)?|er+|erm+|correction|or rather|make that|strike that|scratch that|no wait|i should say)\b", re.I
)
_TAKEN_BACK: Final = re.compile(
    r"\b(?:kidding|joking|joke|pretend|imagine|suppose|supposing|hypothetically|in theory)\b|\b(?:maybe|perhaps)\W*$"
    r"|\bpin \d+ (?:to|through|thru|until|till|-) (?:pin )?\d+(?![\d.]|%| (?:milli|ms|percent)\b)",
    re.I,
)
_ELSEWHERE: Final = re.compile(r"\b(?:arduino|raspberry|nano|webcam|caps ?lock|phone|laptop)(?:'?s)?\b", re.I)
_YESTERDAY: Final = re.compile(r"\b(?:yesterday|ago|last (?:night|week|month|year|time|summer|winter))\b", re.I)
_STRANGE_UNIT: Final = re.compile(
    r"\d ?(?:psi|mmhg|inhg|torr|atm|ohms?|lux|lumens?|db|rpm|kg|grams?|litres?|liters?|ml|metres?|meters?|cm|mm|miles?|"
    r"km|inch(?:es)?|feet|kb|mb|gb|kwh|mah|kelvin|days?|weeks?|months?|years?)\b",
    re.I,
)
_NOT_A_PIN_BEFORE: Final = re.compile(
    r"\b(?:steps?|pages?|chapter|lesson|figures?|fig|case|floor|room|suite|flat|apartment|house|battery|tank|bus|line|"
    r"opens at|closes at|is at|it's|it is|grade|version|day|level|round|part|item|task|question|exercise|"
    r"age|aged|since|row|bay|zone|stage|table|shelf|rack) $"
)
_COUNTED: Final = re.compile(
    r" (?:(?:little|small|big|red|green|blue|white|yellow|other|more|of the|of my) )?"
    r"(?:leds|lights|lamps|pins|outputs|bulbs|relays|fans|pumps|motors|boards|lines|valves|heaters|people|kids|men|"
    r"women|eggs|minutes|hours|seconds|times|o'clock|am|pm)\b"
)
_LISTED: Final = re.compile(r"^\W*\d+ ?[.)] ")
_SAYS_LIGHT: Final = re.compile(r"\bleds?\b|\b(?:the|my|our|your|that|this|little|small|onboard|board's) lights?\b")
_LEADS_TO_A_PIN: Final = re.compile(r"\b(?:on|pin|pins|number|gpio|io|output|port|channel|also|and|to|of|by|up) $")


def is_doubtful(text: str, said: Said, label: str, words: frozenset[str], pins: int) -> bool:
    """Whether an order is better asked back. `words`: what its known words mean; `pins`: how many it names."""
    if any(found.search(text) for found in (_PASTED, _BY_ONESELF, _ELSEWHERE, _YESTERDAY)):
        return True
    if _TAKEN_BACK.search(said.text) or _STRANGE_UNIT.search(said.text):
        return True
    if _CORRECTED.search(text) and (pins > 1 or {"on", "off"} <= words):
        return True
    return label == "pulse" and "off" in words and not words & {"on", "pulse"}


def is_no_pin(said: Said, number: Number) -> bool:
    """Whether a number without "pin" before it cannot be one, by the words beside it."""
    before, after = said.text[: number.start], said.text[number.end :]
    if before.endswith("at ") or _NOT_A_PIN_BEFORE.search(before) or _COUNTED.match(after):
        return True  # "off at ten" is a time
    if _LISTED.match(said.text) and not before.strip():
        return True
    return _SAYS_LIGHT.search(said.text) is not None and bool(before) and not _LEADS_TO_A_PIN.search(before)
