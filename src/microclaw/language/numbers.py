"""A sentence with its numbers found, each with what its unit says of it. Knows no meaning beyond the unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from microclaw.language.quantities import normalize_quantities

_COUNTS = {"once": 1, "twice": 2, "thrice": 3}
_NUMBER = re.compile(
    r"(?P<pin>\bpin (?P<pin_n>\d+)(?![\w.]))"
    r"|(?P<clock>\bclock \d{4})"
    r"|(?P<swing>\bplusminus (?P<swing_n>\d+) milli)"
    r"|(?P<period>\bperiod (?P<period_n>\d+) ms\b)"
    r"|(?P<every>\b(?:every|each|once every|once each) (?P<every_n>\d+) ms\b)"
    r"|(?P<ms>(?<![\w.])(?P<ms_n>\d+) ms\b)"
    r"|(?P<milli>(?<![\w.])(?P<milli_n>-?\d+) milli\b(?: (?P<unit>degrees|percent|volts|amps|hpa|watts)\b)?)"
    r"|(?P<quarters>\b(?P<quarters_n>[13]|a) quarters?\b)"
    r"|(?P<times>(?<![\w.])(?P<times_n>\d+) times?\b|\b(?P<count>once|twice|thrice)\b)"
    r"|(?P<bare>(?<![\w.])-?\d+(?:\.\d+)?(?!\w|\.\d))"
)
_NAMES = re.compile(
    r"\b(?:i2c|esp32[\w-]*|bme280|ina219|co2|3v3|b4|mp3|h2o)(?![\w.])"
)  # no numbers, though with digits
_SOMEONE = re.compile(  # "the one on the left" is no number
    r"(?:(?<=\bthe )|(?<=\bthat )|(?<=\bthis )|(?<=\bother )|(?<=\bwhich )|(?<=\blittle )|(?<=\bsmall ))one(?![\w-])"
    r"|(?<!pin )(?<!pins )(?<!gpio )(?<!number )(?<![\w-])one(?![\w-])"
    r"(?! (?:second|sec|minute|min|hour|percent|degree|time|half|third|quarter|point|hundred|thousand|"
    r"flash|blink|pulse|beep|shot|and a half|volt|amp|watt|hertz|hz)|%)"
)
_LEFT_OVER = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Number:
    """A number and where it stands. `unit`: pin, clock, swing, period, every, ms, quarters, times, bare, milli, or
    the name of what is counted in thousandths (degrees, percent, ...); `value` is in thousandths for those.
    """

    value: float
    unit: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A sentence in its normal form. `stray`: it has digits that are neither a number nor a name ("4x4")."""

    text: str
    numbers: tuple[Number, ...]
    asks: bool  # it ends with a question mark
    stray: bool

    @property
    def shape(self) -> str:
        """The text with each number's unit in capitals in its place."""
        return shape_of(self.text, self.numbers)


def tag_numbers(text: str) -> TaggedText:
    """A sentence as it was typed, in its normal form."""
    said = normalize_quantities(_SOMEONE.sub("oone", text.lower()))
    numbers, stray = _numbers_of(said)
    return TaggedText(said, numbers, text.rstrip().endswith("?"), stray)


def shape_of(text: str, numbers: Sequence[Number]) -> str:
    parts: list[str] = []
    at = 0
    for number in numbers:
        parts += [text[at : number.start], number.unit.upper()]
        at = number.end
    return "".join([*parts, text[at:]])


def _numbers_of(said: str) -> tuple[tuple[Number, ...], bool]:
    """All numbers of a sentence in its order, and whether digits are left over."""
    found: list[Number] = []
    said = _NAMES.sub(lambda name: "-" * len(name[0]), said)
    rest = list(said)
    for match in _NUMBER.finditer(said):
        kind = next(name for name in _KINDS if match[name] is not None)
        rest[match.start() : match.end()] = " " * (match.end() - match.start())
        found.append(Number(_value(match, kind), match["unit"] or kind, match.start(), match.end()))
    return tuple(found), _LEFT_OVER.search("".join(rest)) is not None


_KINDS = ("pin", "clock", "swing", "period", "every", "ms", "milli", "quarters", "times", "bare")


def _value(match: re.Match[str], kind: str) -> float:
    match kind:
        case "clock":
            return float(match[0].split(" ")[1])
        case "bare":
            return float(match[0])
        case "times" if match["count"] is not None:
            return _COUNTS[match["count"]]
        case "quarters" if match["quarters_n"] == "a":
            return 1
        case _:
            return float(match[f"{kind}_n"])
