"""Reads expectations from text, one a line, in the forms of expectation_forms.py. Compares nothing.

docs/reference/expectations.md has the grammar, the shipped skill `expectations` a short one for models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import chain, islice
from typing import Any, Final

from msgspec import structs

from microclaw.errors import ConfigError
from microclaw.programs.proof.checks import Windowed
from microclaw.programs.proof.expectation_forms import DURATION, LINES, VALUES
from microclaw.programs.proof.expectations import (
    AdcStimulus,
    ExpectationLine,
    Expectations,
    PinStimulus,
    SensorStimulus,
    Stimulus,
)
from microclaw.programs.proof.record import WHOLE
from microclaw.text import code_lines

MAX_TEXT_CHARS = 16_384
MAX_LINES = 100
MAX_STIMULI = 500
ALL_FORMS: Final = "all forms: microclaw memory skills expectations"


def parse_expectations(text: str) -> Expectations:
    """Read the lines. Raises ConfigError with line, column and the form that was probably meant."""
    if len(text) > MAX_TEXT_CHARS or len(rows := code_lines(text)) > MAX_LINES:
        raise ConfigError(
            f"the expectations are longer than {MAX_LINES} lines or {MAX_TEXT_CHARS:,} characters",
            next_step="keep one line for each thing that the program must do",
        )
    lines: list[ExpectationLine] = []
    stimuli: list[Stimulus] = []
    settings: dict[str, float] = {}
    for number, row in enumerate(rows, 1):
        line = _Line(number, row)
        if line.first in settings:
            raise line.error(f"{line.first} is there twice")
        if line.text:
            found = line.read()
        else:
            found = []
        match found:
            case [float() as ms]:
                settings[line.first] = ms
            case [PinStimulus() | AdcStimulus() | SensorStimulus(), *_]:
                stimuli += found
            case [_, *_]:
                lines.append(ExpectationLine(number, line.text, tuple(found)))
    if not lines:
        step = f"write a check as: {LINES['pin'].examples[0]}; {ALL_FORMS}"
        raise ConfigError("the expectations expect nothing of the program", next_step=step)
    if len(stimuli) > MAX_STIMULI:
        raise ConfigError(f"more than {MAX_STIMULI} stimuli", next_step="keep those that a check needs")
    stimuli.sort(key=lambda one: one.at_ms)
    times = (settings.get(name) for name in ("for", "uptime", "soak"))
    return Expectations(text, tuple(lines), tuple(stimuli), *times)


_CODE: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^#"])*+')
_QUOTED: Final = re.compile(r'"[^"]*"?')
_DURATION: Final = re.compile(DURATION)
_WORD: Final = re.compile(r"[a-z]+|[\d.]+|->|[%~=]")
_EXTRA_WORD: Final = 0.2
"""A word that a form has and the line has not weighs so much against one that both have."""
_COMPARED_CHARS: Final = 200


def _similar_form(text: str, first: str) -> str:
    """Return the example that has the most words of a line in the line's order."""
    kinds = [LINES[first]] if first in LINES else LINES.values()
    words = _words_of(text[:_COMPARED_CHARS])

    def likeness(example: str) -> float:
        own_words = _words_of(example)
        blocks = SequenceMatcher(None, words, own_words, autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks) - _EXTRA_WORD * len(own_words)

    return max(chain.from_iterable(kind.examples for kind in kinds), key=likeness)


def _words_of(text: str) -> list[str]:
    """Return the words of a line; all times are one word, and so are all numbers."""
    words = _WORD.findall(_DURATION.sub(" t ", _QUOTED.sub(" ", text.lower())))
    return ["0" if word[0].isdigit() else word for word in words]


@cache
def _form(text: str) -> tuple[re.Pattern[str], tuple[tuple[int, Callable[..., Any]], ...]]:
    """Words stand for themselves, capital ones for values. Spaces are not given back (`*+`): it would take minutes."""
    words = [VALUES.get(word, (rf"{word}\b" if word[0].isalpha() else word, None)) for word in text.split()]
    pattern = "".join(rf"\s*+{part}" for part, _ in words)
    return re.compile(pattern), tuple((re.compile(part).groups, make) for part, make in words if make is not None)


class _Line:
    """One line; `text` is without its comment, `first` its first word."""

    def __init__(self, number: int, row: str) -> None:
        self._number = number
        self._row = str(_CODE.findall(row)[0]).rstrip()
        self._at = 0
        self.text = self._row.strip()
        self.first = re.split(r"\W", self.text, maxsplit=1)[0]

    def error(self, problem: str, instead: str | None = None) -> ConfigError:
        """Build an error at what is read next, with the form that is most like the line."""
        rest = self._row[self._at :]
        column = self._at + len(rest) - len(rest.lstrip()) + 1
        step = instead or f"write it as: {_similar_form(self.text, self.first)}; {ALL_FORMS}"
        return ConfigError(f"expectations, line {self._number}, column {column}: {problem}", next_step=step)

    def read(self) -> list[Any]:
        """Read its parts: checks, stimuli or a time."""
        kind = LINES.get(self.first)
        if kind is None:
            raise self.error(f"no line begins with {self.first or self.text[0]!r}")
        (head,) = self._read({kind.head: lambda *values: values})
        ends = "|".join(filter(None, ("," if kind.many else "", r"from\b|until\b" if kind.windowed else "", "$")))
        found = self._read(kind.parts, head, f"(?={ends})")
        while self._row.startswith(",", self._at):
            self._at += len(",")
            found += self._read(kind.parts, head, f"(?={ends})")
        window = WHOLE
        if kind.windowed:
            (window,) = self._read({"WINDOW $": lambda window: window})
        if window == WHOLE:
            return found
        windowed = [one for one in found if isinstance(one, Windowed)]
        if any(one.window != WHOLE for one in windowed):
            raise self.error("within has a window already")
        return [structs.replace(one, window=window) if one in windowed else one for one in found]

    def _read(self, forms: Mapping[str, Callable[..., Any]], head: Sequence[Any] = (), after: str = "") -> list[Any]:
        """Apply the first form that fits to the values of the head and its own; once for each of several times."""
        for text, make in forms.items():
            pattern, readers = _form(f"{text} {after}")
            found = pattern.match(self._row, self._at)
            if found is None:
                continue
            groups = iter(found.groups())
            try:
                values = [read(*islice(groups, count)) for count, read in readers]
                made = [make(*head, *each) for each in _at_each_time(values)]
            except ValueError as exc:
                raise self.error(str(exc)) from exc
            except ConfigError as exc:
                raise self.error(exc.message, exc.next_step) from exc
            self._at = found.end()
            return made
        rest = self._row[self._at :].strip()
        raise self.error(f"{rest!r:.60} cannot be read" if rest else "the line ends too early")


def _at_each_time(values: list[Any]) -> list[list[Any]]:
    """Return the values of a part as often as it has times, each with one of them."""
    for place, value in enumerate(values):
        if isinstance(value, tuple):
            return [[*values[:place], time_ms, *values[place + 1 :]] for time_ms in value]
    return [values]
