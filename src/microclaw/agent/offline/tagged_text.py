"""A sentence with the units of its numbers in their place, to compare it with a known one and to give it its numbers.

The pin of a button or a sensor and the pin of what is switched have units of their own: "use the knob on pin 1 to dim
the lamp on pin 2" never becomes a lamp on pin 1. This module understands no sentence.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from msgspec import Struct

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.hardware.parts.reader import quantities

# A number with the word before or after it. {units} are the spoken units of what parts measure.
_NUMBER: Final = (
    r"\b(?:once|twice|thrice)\b|(?:\b(?P<before>pin|clock|plusminus|period|every|each) (?!-))?(?<![\w.])-?\d+(?:\.\d+)?"
    r"(?: (?P<after>ms|ns|milli(?: (?:{units}))?|times?|quarters?)\b)?(?!\w|\.\d)"
)
_UNITS: Final = {"each": "every", "time": "times"}
"""Units of numbers that are the same as another one."""
_INPUT: Final = re.compile(
    r"\b(?:button|pushbutton|doorbell|switch|key|contact|door|window|potentiometer|poti|pot|knob|dial|slider|joystick"
    r"|sensor|detector|pir|motion|movement|ldr|probe|thermometer|input)"
    r"(?: (?:contact|is|connected|wired|attached|hooked|up|on|at|of|to|the|adc|analog|digital|gpio|input))* $"
)
_PIN: Final = "PIN"


class _Number(Struct, frozen=True):
    unit: str
    digits: str
    of_input: bool = False
    """True for the pin of something that is pressed, turned or read."""


class TaggedText(Struct, frozen=True):
    """A sentence in its normal form with each number's unit in capitals in its place, and the numbers in order.

    A unit is the word before or after the number: PIN, EVERY, MS, DEGREES; NUMBER if there is none.
    """

    shape: str
    numbers: tuple[_Number, ...]

    @property
    def units(self) -> list[str]:
        return sorted(number.unit for number in self.numbers)

    def has_pins_of(self, other: TaggedText) -> bool:
        """Return False if a pin of the other text would become the pin of another thing in this one.

        One pin alone is that of what the sentence is about, also if its thing has another name.
        """
        other_pins = other.pins_of_inputs
        if len(other_pins) < 2 or len(self.pins_of_inputs) < 2:
            return True
        return sorted(self.pins_of_inputs) == sorted(other_pins)

    @property
    def pins_of_inputs(self) -> list[bool]:
        """For each pin in order if it is that of an input."""
        return [number.of_input for number in self.numbers if number.unit == _PIN]

    def with_numbers(self, other: TaggedText) -> str:
        """Return the sentence with the numbers of another, and with its own if the other has none of the unit."""
        unused = list(other.numbers)
        own_numbers = iter(self.numbers)

        def next_number(_: re.Match[str]) -> str:
            own = next(own_numbers)
            of_unit = [number for number in unused if number.unit == own.unit]
            # Of two pins each keeps its thing.
            of_unit.sort(key=lambda number: number.of_input != own.of_input)
            if not of_unit:
                return own.digits
            unused.remove(of_unit[0])
            return of_unit[0].digits

        return re.sub("[A-Z]+", next_number, self.shape)


def tag_numbers(text: str) -> TaggedText:
    """Return the normal form of a typed sentence, with its numbers."""
    numbers: list[_Number] = []

    def tag(match: re.Match[str]) -> str:
        unit = _unit_of(match)
        of_input = unit == _PIN and _INPUT.search(match.string[: match.start()]) is not None
        numbers.append(_Number(unit, match[0], of_input))
        return unit

    shape = _number_pattern().sub(tag, normalize_quantities(text))
    return TaggedText(shape, tuple(numbers))


@cache
def _number_pattern() -> re.Pattern[str]:
    units = {quantity.spoken_unit for quantity in quantities().values() if quantity.spoken_unit}
    return re.compile(_NUMBER.replace("{units}", "|".join(sorted(units))))


def _unit_of(match: re.Match[str]) -> str:
    """Return the unit of a number in capitals. "Twice" and "once" count times."""
    word = match["before"] or match["after"]
    if word is None:
        word = "number" if match[0][-1].isdigit() else "times"
    unit = word.split()[-1]
    return _UNITS.get(unit, unit).upper()


def readable(normal: str) -> str:
    """Write thousandths, periods and lists of pins of a normal form as people write them."""
    text = re.sub(r"(-?\d+) milli\b", lambda match: f"{int(match[1]) / 1000:g}", normal)
    text = text.replace(" also pin ", " and ")
    text = re.sub(r"period ([1-9]\d*) ([mn])s", _readable_rate, text)
    return text.replace(" percent", "%")


def _readable_rate(match: re.Match[str]) -> str:
    units_per_second = 1000 if match[2] == "m" else 1e9
    return f"{units_per_second / int(match[1]):g} Hz"
