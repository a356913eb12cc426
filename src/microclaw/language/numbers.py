"""Finds the numbers of a sentence and their units. It knows no meaning beyond the unit."""

from __future__ import annotations

import re

from msgspec import Struct

from microclaw.language.quantities import normalize_quantities

_NUMBER = re.compile(
    r"(?P<pin>\bpin \d+(?![\w.]))"
    r"|(?P<clock>\bclock \d{4})"
    r"|(?P<swing>\bplusminus \d+ milli)"
    r"|(?P<period>\bperiod \d+ [mn]s\b)"
    r"|(?P<every>\b(?:every|each|once every|once each) \d+ ms\b)"
    r"|(?P<ms>(?<![\w.])\d+ ms\b)"
    r"|(?P<milli>(?<![\w.])-?\d+ milli\b(?: (?P<unit>degrees|percent|volts|amps|hpa|watts)\b)?)"
    r"|(?P<quarters>\b(?:[13]|a) quarters?\b)"
    r"|(?P<times>(?<![\w.])\d+ times?\b|\b(?:once|twice|thrice)\b)"
    r"|(?P<bare>(?<![\w.])-?\d+(?:\.\d+)?(?!\w|\.\d))"
)
_NAMES = re.compile(
    r"\b(?:i2c|esp32[\w-]*|bme280|ina219|co2|3v3|b4|mp3|h2o)(?![\w.])"
)  # no numbers, though with digits
_DIGIT = re.compile(r"\d")


class TaggedText(Struct, frozen=True):
    """A sentence in its normal form with each number's unit in capitals in its place, and the numbers in order.

    A unit is pin, clock, swing, period, every, ms, quarters, times, bare, milli, or the name of what is counted in
    thousandths (degrees, percent, ...). `stray`: it has digits that are neither a number nor a name ("4x4").
    """

    shape: str
    numbers: tuple[tuple[str, str], ...]
    stray: bool

    @property
    def units(self) -> list[str]:
        return sorted(unit for unit, _ in self.numbers)

    def with_numbers(self, other: TaggedText) -> str:
        """The sentence with the numbers of another; its own where that has none of the unit."""
        left, own = list(other.numbers), iter(self.numbers)

        def number(_: re.Match[str]) -> str:
            mine = next(own)
            found = next((one for one in left if one[0] == mine[0]), mine)
            if found in left:
                left.remove(found)
            return found[1]

        return re.sub("[A-Z]+", number, self.shape)


def tag_numbers(text: str) -> TaggedText:
    """The normal form of a typed sentence, with its numbers."""
    found: list[tuple[str, str]] = []

    def tagged(match: re.Match[str]) -> str:
        found.append(((match["unit"] or str(match.lastgroup)).upper(), match[0]))
        return found[-1][0]

    shape = _NUMBER.sub(tagged, normalize_quantities(text))
    return TaggedText(shape, tuple(found), _DIGIT.search(_NAMES.sub("", shape)) is not None)
