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
_LEFT_OVER = re.compile(r"\d")


class Number(Struct, frozen=True):
    """The place of a number. `unit`: pin, clock, swing, period, every, ms, quarters, times, bare, milli, or the name of
    what is counted in thousandths (degrees, percent, ...).
    """

    unit: str
    start: int
    end: int


class TaggedText(Struct, frozen=True):
    """A sentence in its normal form. `stray`: it has digits that are neither a number nor a name ("4x4")."""

    text: str
    numbers: tuple[Number, ...]
    stray: bool

    @property
    def shape(self) -> str:
        """The text with each number's unit in capitals in its place."""
        parts: list[str] = []
        at = 0
        for number in self.numbers:
            parts += [self.text[at : number.start], number.unit.upper()]
            at = number.end
        return "".join([*parts, self.text[at:]])


def tag_numbers(text: str) -> TaggedText:
    """The normal form of a typed sentence, with its numbers."""
    said = normalize_quantities(text)
    numbers, stray = _numbers_of(said)
    return TaggedText(said, numbers, stray)


def _numbers_of(said: str) -> tuple[tuple[Number, ...], bool]:
    """All numbers of a sentence in order, and whether other digits are left."""
    found: list[Number] = []
    said = _NAMES.sub(lambda name: "-" * len(name[0]), said)
    rest = list(said)
    for match in _NUMBER.finditer(said):
        rest[match.start() : match.end()] = " " * (match.end() - match.start())
        found.append(Number(match["unit"] or str(match.lastgroup), match.start(), match.end()))
    return tuple(found), _LEFT_OVER.search("".join(rest)) is not None
