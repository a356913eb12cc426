"""Changes one member of a JSON file and keeps every other byte: comments, order, indentation. It touches no file.

Reads what assistants' settings files hold: JSON, with comments and trailing commas where a person left some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from microclaw.errors import ConfigError

MAX_DEPTH: Final = 100
_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BESIDE: Final = re.compile(r"(?:[ \t]*(?://[^\n]*|/\*[^\n]*?\*/)(?=[ \t]*\r?\n))?")  # a comment that ends the line
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR: Final = re.compile(r"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])")


@dataclass(frozen=True, slots=True)
class Member:
    """`"key": value` at `start`; its value from `begin` to `end`; `comma` is the place after the comma behind it."""

    key: str
    start: int
    begin: int
    end: int
    comma: int | None


@dataclass(frozen=True, slots=True)
class _Object:
    begin: int  # the place after the brace
    end: int  # of the closing brace
    members: tuple[Member, ...]


def set_member(text: str, path: Sequence[str], value: Any) -> str:
    """`text` with `value` at `path`; objects on the way are made. ConfigError names the line of what is no JSON."""
    if not text.strip():
        return json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
    found = _Reader(text).document()
    for index, key in enumerate(path):
        member = next((each for each in reversed(found.members) if each.key == key), None)
        if member is None:
            return _inserted(text, found, key, _nested(path[index + 1 :], value))
        if index == len(path) - 1:
            indent = _indent_at(text, member.start) or ""
            put = _dumped(value, indent, _unit(text)).replace("\n", _newlines(text))
            return text[: member.begin] + put + text[member.end :]
        found = _Reader(text).object_at(member.begin, key)
    raise AssertionError("a path has at least one key")


def remove_member(text: str, path: Sequence[str]) -> str:
    """`text` without what is at `path`; the same text where nothing is."""
    if not text.strip():
        return text
    found = _Reader(text).document()
    for key in path[:-1]:
        member = next((each for each in reversed(found.members) if each.key == key), None)
        if member is None:
            return text
        found = _Reader(text).object_at(member.begin, key)
    index = next((i for i, each in enumerate(found.members) if each.key == path[-1]), None)
    return text if index is None else _removed(text, found, index)


def read_member(text: str, path: Sequence[str]) -> Any:
    """The value at `path`, or None."""
    if not text.strip():
        return None
    found = _Reader(text).document()
    for index, key in enumerate(path):
        member = next((each for each in reversed(found.members) if each.key == key), None)
        if member is None:
            return None
        if index == len(path) - 1:
            return json.loads(text[member.begin : member.end])
        found = _Reader(text).object_at(member.begin, key)
    return None


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _inserted(text: str, into: _Object, key: str, value: Any) -> str:
    unit = _unit(text)
    if not into.members:
        outer = _line_indent(text, into.begin - 1)
        line = f"\n{outer}{unit}{json.dumps(key)}: {_dumped(value, outer + unit, unit)}"
        rest = text[into.begin : into.end]
        closing = f"\n{outer}" if not rest.strip(" \t\r\n") else ""
        kept = "" if closing else rest
        put = (line + closing).replace("\n", _newlines(text))
        return text[: into.begin] + put + kept + text[into.end :]
    last = into.members[-1]
    indent = _indent_at(text, last.start)
    place = last.end if last.comma is None else last.comma
    lead = "," if last.comma is None else ""
    if indent is None:  # all on one line
        return f"{text[:place]}{lead} {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}{text[place:]}"
    beside = _BESIDE.match(text, place)
    assert beside is not None
    line = f"\n{indent}{json.dumps(key)}: {_dumped(value, indent, unit)}".replace("\n", _newlines(text))
    return text[:place] + lead + beside[0] + line + text[beside.end() :]


def _removed(text: str, of: _Object, index: int) -> str:
    member = of.members[index]
    start, end = member.start, member.end if member.comma is None else member.comma
    indent = _indent_at(text, start)
    if indent is not None:  # the whole line goes
        start -= len(indent)
        newline = re.compile(r"[ \t]*\r?\n").match(text, end)
        end = newline.end() if newline else end
    else:
        blank = re.compile(r"[ \t]*").match(text, end)
        end = blank.end() if blank else end
    before = text[:start]
    if member.comma is None and index > 0:  # the comma of the one before would be one too many
        comma = of.members[index - 1].comma
        assert comma is not None
        between = text[comma:start]
        before = text[: comma - 1] + (between if indent is not None else between.rstrip(" \t"))
    return before + text[end:]


def _dumped(value: Any, indent: str, unit: str) -> str:
    """Its lines end with a plain newline: `_newlines` puts the file's own."""
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", "\n" + indent)


def _newlines(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else "  "


def _indent_at(text: str, place: int) -> str | None:
    """The white space before `place` when nothing else is on its line."""
    before = text[text.rfind("\n", 0, place) + 1 : place]
    return before if not before.strip(" \t") and "\n" in text[:place] else None


def _line_indent(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


class _Reader:
    """Finds members; checks all of what it passes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> _Object:
        self._skip()
        found = self._object(0)
        self._skip()
        if self._at != len(self._text):
            raise self._wrong("the end of the file")
        return found

    def object_at(self, place: int, key: str) -> _Object:
        self._at = place
        if not self._text.startswith("{", place):
            raise self._wrong(f"an object, as the value of {key!r}")
        return self._object(0)

    def _object(self, depth: int) -> _Object:
        self._take("{")
        begin = self._at
        members: list[Member] = []
        while True:
            self._skip()
            if self._peek() == "}":
                break
            start = self._at
            key = json.loads(self._match(_STRING, 'a name in quotes, or "}"'))
            self._skip()
            self._take(":")
            self._skip()
            value = self._at
            self._value(depth + 1)
            end = self._at
            self._skip()
            comma = None
            if self._peek() == ",":
                self._at += 1
                comma = self._at
            members.append(Member(key, start, value, end, comma))
            if comma is None:
                break
        self._skip()
        end = self._at
        self._take("}")
        return _Object(begin, end, tuple(members))

    def _array(self, depth: int) -> None:
        self._take("[")
        while True:
            self._skip()
            if self._peek() == "]":
                break
            self._value(depth + 1)
            self._skip()
            if self._peek() != ",":
                break
            self._at += 1
        self._take("]")

    def _value(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._wrong(f"at most {MAX_DEPTH} levels")
        match self._peek():
            case "{":
                self._object(depth)
            case "[":
                self._array(depth)
            case '"':
                self._match(_STRING, "a text in quotes")
            case _:
                self._match(_SCALAR, "a value")

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, word: str) -> None:
        if not self._text.startswith(word, self._at):
            raise self._wrong(f'"{word}"')
        self._at += len(word)

    def _match(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._wrong(expected)
        self._at = found.end()
        return found[0]

    def _wrong(self, expected: str) -> ConfigError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        got = self._text[self._at : self._at + 20].split("\n")[0] or "the end"
        return ConfigError(
            f"line {line}, column {column}: {expected} was expected, there is {got!r}", next_step="mend that line first"
        )
