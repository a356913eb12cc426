"""Reads expectations from text, one a line, in the forms of expectation_forms.py. Compares nothing.

docs/reference/expectations.md has the grammar, the shipped skill `expectations` a short one for models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import islice
from typing import Any, Final

from msgspec import Struct, structs

from microclaw.errors import ConfigError, Diagnostic, MicroclawError
from microclaw.programs.proof.assumed_parts import AssumedKey, AssumedPart, read_assumed
from microclaw.programs.proof.checks import Windowed
from microclaw.programs.proof.expectation_error import MAX_FINDINGS, ExpectationError
from microclaw.programs.proof.expectation_forms import LINES, Kind, all_examples, find_kind
from microclaw.programs.proof.expectation_values import DURATION, VALUES
from microclaw.programs.proof.expectations import Check, ExpectationLine, Expectations
from microclaw.programs.proof.network_lines import PageVisit
from microclaw.programs.proof.record import WHOLE, TrialWindow
from microclaw.programs.proof.stimuli import AdcStimulus, NetworkStimulus, PartStimulus, PinStimulus, Stimulus
from microclaw.text import code_lines
from microclaw.wire.canned_lines import Broker, HttpAnswer

MAX_TEXT_CHARS = 16_384
MAX_LINES = 100
MAX_STIMULI = 500
ALL_FORMS: Final = "all forms: microclaw memory skills expectations"


def parse_expectations(text: str) -> Expectations:
    """Read the lines.

    Raises ExpectationError with line, column and the form that was probably meant of each wrong line, or ConfigError.
    """
    reading = _Reading()
    findings: list[Diagnostic] = []
    for number, row in enumerate(_rows_of(text), 1):
        line = _Line(number, row)
        try:
            reading.read(number, line)
        except ExpectationError as exc:
            findings += exc.findings
        if len(findings) == MAX_FINDINGS:
            break
    if findings:
        raise ExpectationError(findings)
    stimuli = reading.stimuli
    if not reading.network:
        _check_lines(reading.lines)
    if len(stimuli) > MAX_STIMULI:
        raise ConfigError(f"more than {MAX_STIMULI} stimuli", next_step="keep those that a check needs")
    stimuli.sort(key=lambda stimulus: stimulus.at_ms)
    settings = reading.settings
    return Expectations(
        text,
        tuple(reading.lines),
        tuple(stimuli),
        for_ms=settings.get("for"),
        uptime_ms=settings.get("uptime"),
        soak_ms=settings.get("soak"),
        wired=tuple(reading.wired),
        network=tuple(reading.network),
    )


class _Reading:
    """What the lines until now have made, by its kind."""

    def __init__(self) -> None:
        self.lines: list[ExpectationLine] = []
        self.stimuli: list[Stimulus] = []
        self.wired: list[AssumedPart] = []
        self.network: list[HttpAnswer | Broker] = []
        self.settings: dict[str, float] = {}
        self._visit_count = 0

    def read(self, number: int, line: _Line) -> None:
        """Read a line: checks, stimuli, keys of a wired part, an answer of the network or a time."""
        if not line.text:
            return
        if line.first in self.settings:
            raise line.error(f"{line.first} is there twice")
        items = line.read()
        match items:
            case [float() as ms]:
                self.settings[line.first] = ms
            case [PinStimulus() | AdcStimulus() | NetworkStimulus(), *_]:
                self.stimuli += items
            case [PartStimulus(), *_]:
                self.stimuli += [structs.replace(stimulus, line=number) for stimulus in items]
            case [PageVisit(), *_]:
                self._take_visits(number, line, items)
            case [HttpAnswer() | Broker() as answer]:
                self.network.append(answer)
            case [AssumedKey(), *_]:
                self.wired.append(line.wired_part(items))
            case _:
                self.lines.append(ExpectationLine(number, line.text, tuple(items)))

    def _take_visits(self, number: int, line: _Line, visits: Sequence[PageVisit]) -> None:
        checks: list[Check] = []
        for visit in visits:
            self._visit_count += 1
            numbered = visit.numbered(self._visit_count)
            self.stimuli.append(numbered.stimulus)
            if numbered.check is not None:
                checks.append(numbered.check)
        if checks:
            self.lines.append(ExpectationLine(number, line.text, tuple(checks)))


def _check_lines(lines: Sequence[ExpectationLine]) -> None:
    """Raise ConfigError for expectations without a check."""
    if not lines:
        step = f"write a check as: {LINES['pin'].examples[0]}; {ALL_FORMS}"
        raise ConfigError("the expectations expect nothing of the program", next_step=step)


def _rows_of(text: str) -> list[str]:
    if len(text) <= MAX_TEXT_CHARS:
        rows = code_lines(text)
        if len(rows) <= MAX_LINES:
            return rows
    raise ConfigError(
        f"the expectations are longer than {MAX_LINES} lines or {MAX_TEXT_CHARS:,} characters",
        next_step="keep one line for each thing that the program must do",
    )


_CODE: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^#"])*+')
_QUOTED: Final = re.compile(r'"[^"]*"?')
_DURATION: Final = re.compile(DURATION)
_NUMBER: Final = re.compile(r"\A\d.*")
_WORD: Final = re.compile(r"[a-z]+|[\d.]+|->|[%~=]")
_EXTRA_WORD: Final = 0.2
"""The weight of a word that only the form has, against a word that both have."""
_COMPARED_CHARS: Final = 200


def _similar_form(text: str, first: str) -> str:
    """Return the example that has the most words of a line in the line's order."""
    words = _words_of(text[:_COMPARED_CHARS])

    def likeness(example: str) -> float:
        example_words = _words_of(example)
        blocks = SequenceMatcher(None, words, example_words, autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks) - _EXTRA_WORD * len(example_words)

    kind = find_kind(text, first)
    if kind is not None:
        return max(kind.examples, key=likeness)
    return max(all_examples(), key=likeness)


def _words_of(text: str) -> list[str]:
    """Return the words of a line; all times are one word, and so are all numbers."""
    plain_text = _DURATION.sub(" t ", _QUOTED.sub(" ", text.lower()))
    return [_NUMBER.sub("0", word) for word in _WORD.findall(plain_text)]


class _Form(Struct, frozen=True):
    """The pattern of a form, and how many groups each of its values takes, with the reader of the value."""

    pattern: re.Pattern[str]
    readers: tuple[tuple[int, Callable[..., Any]], ...]


@cache
def _form(text: str) -> _Form:
    """Compile a form. Words stand for themselves, capital ones for values.

    Spaces are not given back (`*+`): it would take minutes.
    """
    pattern = ""
    readers = []
    for word in text.split():
        part = word
        if word in VALUES:
            part, read = VALUES[word]
            readers.append((re.compile(part).groups, read))
        elif word[0].isalpha():
            part = rf"{word}\b"
        pattern += rf"\s*+{part}"
    return _Form(re.compile(pattern), tuple(readers))


class _Line:
    """One line; `text` is without its comment, `first` its first word."""

    def __init__(self, number: int, row: str) -> None:
        self._number = number
        self._row = str(_CODE.findall(row)[0]).rstrip()
        self._at = 0
        self.text = self._row.strip()
        self.first = re.split(r"\W", self.text, maxsplit=1)[0]

    def error(self, problem: str, instead: str | None = None) -> ExpectationError:
        """Build an error at what is read next, with the form that is most like the line."""
        rest = self._row[self._at :]
        column = self._at + len(rest) - len(rest.lstrip()) + 1
        step = instead or f"write it as: {_similar_form(self.text, self.first)}; {ALL_FORMS}"
        return ExpectationError.at_line(self._number, problem, step, column)

    def wired_part(self, keys: Sequence[AssumedKey]) -> AssumedPart:
        """Return the part that the line takes as wired. Raises ExpectationError if there is no such part."""
        try:
            return read_assumed(keys, self._number)
        except MicroclawError as exc:
            raise self.error(exc.message, exc.next_step) from exc

    def read(self) -> list[Any]:
        """Read its parts: checks, stimuli, keys of a wired part or a time."""
        kind = find_kind(self.text, self.first)
        if kind is None:
            raise self.error(f"no line begins with {self.first or self.text[0]!r}")
        (head,) = self._read_part({kind.head: lambda *values: values})
        end = f"(?={_ends_of(kind)})"
        items = self._read_part(kind.parts, head, end)
        while self._row.startswith(",", self._at):
            self._at += len(",")
            items += self._read_part(kind.parts, head, end)
        if not kind.windowed:
            return items
        (window,) = self._read_part({"WINDOW $": lambda window: window})
        if window == WHOLE:
            return items
        return self._in_window(items, window)

    def _in_window(self, items: list[Any], window: TrialWindow) -> list[Any]:
        """Return the checks with the window; those without windows are left as they are."""
        checks: list[Any] = []
        for check in items:
            if not isinstance(check, Windowed):
                checks.append(check)
                continue
            if check.window != WHOLE:
                raise self.error("within has a window already")
            checks.append(structs.replace(check, window=window))
        return checks

    def _read_part(
        self, forms: Mapping[str, Callable[..., Any]], head: Sequence[Any] = (), after: str = ""
    ) -> list[Any]:
        """Apply the first form that fits to the values of the head and its own; once for each of several times."""
        for text, make in forms.items():
            form = _form(f"{text} {after}")
            match = form.pattern.match(self._row, self._at)
            if match is None:
                continue
            try:
                items = [make(*head, *values) for values in _at_each_time(_values_of(match, form))]
            except ValueError as exc:
                raise self.error(str(exc)) from exc
            except ConfigError as exc:
                raise self.error(exc.message, exc.next_step) from exc
            self._at = match.end()
            return items
        rest = self._row[self._at :].strip()
        if not rest:
            raise self.error("the line ends too early")
        raise self.error(f"{rest!r:.60} cannot be read")


def _ends_of(kind: Kind) -> str:
    """Return the pattern of everything that may come after a part."""
    ends = []
    if kind.many:
        ends.append(",")
    if kind.windowed:
        ends.append(r"from\b|until\b")
    return "|".join((*ends, "$"))


def _values_of(match: re.Match[str], form: _Form) -> list[Any]:
    groups = iter(match.groups())
    values = []
    for count, read in form.readers:
        values.append(read(*islice(groups, count)))
    return values


def _at_each_time(values: list[Any]) -> list[list[Any]]:
    """Return the values of a part as often as it has times, each with one of them."""
    for place, value in enumerate(values):
        if isinstance(value, tuple):
            before = values[:place]
            after = values[place + 1 :]
            return [[*before, time_ms, *after] for time_ms in value]
    return [values]
