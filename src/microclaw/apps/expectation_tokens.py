"""The tokens of one line of expectations: numbers, times, shares, words; errors say where. Knows no checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from microclaw.errors import ConfigError

T = TypeVar("T")

MAX_MS: Final = 24 * 3_600_000.0
SHARE: Final = 0.05
"""The tolerance of a time when the text gives none; a duty's is as many percentage points."""
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)'
    r"|(?P<sign>\+-|±|->|→|[:,=~%.])|(?P<space>\s+)|(?P<comment>#.*)|(?P<other>.)"
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


EXAMPLES: Final = {
    "pin": "pin 2: period 1 s, duty 50 %",
    "when": "when pin 4 falls: pin 2 rises within 50 ms",
    "pwm": "pwm 5: 0 -> 100 % within 2 s",
    "led": "led 48: red within 100 ms, off at 5 s",
    "servo": "servo 5: 90 deg at 1 s",
    "log": 'log ~ "hello" within 1 s',
    "set": "set pin 4 = 0 at 2 s",
    "bounce": "bounce pin 6 at 4 s for 20 ms",
    "i2c": "i2c.bme280.temperature = 31 at 4 s",
    "adc": "adc 1 = 1.65 V at 2 s",
    "for": "for 30 s",
    "uptime": "uptime 49 d",
    "soak": "soak 5 min",
}
"""A whole line of each kind, by its first word."""


class TokenReader:
    """The tokens of one line, and what may stand there."""

    def __init__(self, number: int, row: str) -> None:
        self._row_number = number
        self._row = row
        self._tokens = list(_tokens(row))
        self._index = 0

    @property
    def at_end(self) -> bool:
        return self._index >= len(self._tokens)

    def error(self, problem: str, instead: str) -> ConfigError:
        column = len(self._row) + 1 if self.at_end else self._tokens[self._index].column
        return ConfigError(f"expectations, line {self._row_number}, column {column}: {problem}", next_step=instead)

    def _percent(self) -> float:
        value = self._number("a share in percent")
        self._take("%")
        if not 0 <= value <= 100:
            raise self.error(f"{value:g} % is not a share", "write 0 % to 100 %")
        return value

    def _share(self, default: float) -> float:
        """A tolerance behind a value: +- 5 %, as a share."""
        return self._percent() / 100 if self._try("+-") or self._try("±") else default

    def _duration(self, most_ms: float = MAX_MS, *, zero: bool = False) -> float:
        value = self._number("a time, as 500 ms or 2 s")
        ms = value * _UNITS_MS[self._one_of(*_UNITS_MS)]
        if ms > most_ms or ms < 0 or (ms == 0 and not zero):
            size, bound = ("long", f"at most {most_ms / 1000:g} s") if ms > 0 else ("short", "more than 0 s")
            raise self.error(f"{value:g} is too {size} a time", f"write a time of {bound}")
        return ms

    def _whole(self, what: str, most: int) -> int:
        value = self._number(what)
        if value != int(value) or not 0 <= value <= most:
            raise self.error(f"{value:g} is not {what}", f"write a whole number from 0 to {most}")
        return int(value)

    def _number(self, what: str) -> float:
        if self._kind() != "number":
            raise self._wrong(what)
        self._index += 1
        return float(self._tokens[self._index - 1].text)

    def _word(self, what: str) -> str:
        if self._kind() != "word":
            raise self._wrong(what)
        self._index += 1
        return self._tokens[self._index - 1].text

    def _one_of(self, *words: str) -> str:
        for word in words:
            if self._try(word):
                return word
        raise self._wrong(", ".join(words))

    def _try(self, text: str) -> bool:
        found = self._peek() == text
        self._index += found
        return found

    def _take(self, text: str) -> None:
        if not self._try(text):
            raise self._wrong(text)

    def _peek(self) -> str:
        return "" if self.at_end else self._tokens[self._index].text

    def _kind(self) -> str:
        return "" if self.at_end else self._tokens[self._index].kind

    def _end(self, value: T) -> T:
        if not self.at_end:
            raise self._wrong("nothing more here, or a comma and the next part")
        return value

    def _wrong(self, wanted: str) -> ConfigError:
        found = "the line ends too early" if self.at_end else f"{self._peek()!r} cannot be read here"
        first = self._tokens[0].text if self._tokens else ""
        return self.error(found, f"expected here: {wanted}   (a whole line: {EXAMPLES.get(first, EXAMPLES['pin'])})")


def _tokens(row: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(row):
        if found.lastgroup not in ("space", "comment"):
            yield _Token(str(found.lastgroup), found[0], found.start() + 1)
