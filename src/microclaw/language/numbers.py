"""Finds the numbers of a sentence and their units. It knows no meaning beyond the unit."""

from __future__ import annotations

import re

from msgspec import Struct

from microclaw.language.quantities import normalize_quantities

_NUMBER = re.compile(
    r"\b(?:once|twice|thrice)\b|(?:\b(?P<before>pin|clock|plusminus|period|every|each) )?(?<![\w.])-?\d+(?:\.\d+)?"
    r"(?: (?P<after>ms|ns|milli(?: (?:degrees|percent|volts|amps|hpa|watts))?|times?|quarters?)\b)?(?!\w|\.\d)"
)
_NAMES = re.compile(r"\b(?:i2c|esp32[\w-]*|bme280|ina219|co2|3v3|mp3)(?![\w.])")  # no numbers, though with digits


class TaggedText(Struct, frozen=True):
    """A sentence in its normal form with each number's unit in capitals in its place, and the numbers in order.

    A unit is the word before or after the number: PIN, EVERY, MS, DEGREES; NUMBER where there is none.
    `stray`: it has digits that are neither a number nor a name ("4x4").
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
        unit = match["before"] or (match["after"] or ("number" if match[0][-1].isdigit() else "times")).split()[-1]
        found.append(({"each": "every", "time": "times"}.get(unit, unit).upper(), match[0]))
        return found[-1][0]

    shape = _NUMBER.sub(tagged, normalize_quantities(text))
    return TaggedText(shape, tuple(found), re.search(r"\d", _NAMES.sub("", shape)) is not None)
