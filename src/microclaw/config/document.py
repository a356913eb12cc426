"""A TOML text with the line of everything in it, and every syntax error at once. It knows no setting."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

MAX_STATEMENT_LINES: Final = 200
MAX_LINE_CHARS: Final = 8_192
MAX_DEPTH: Final = 16
_AT_END: Final = "(at end of document)"
_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(slots=True)
class Document:
    """`errors` are (line, what is wrong); `values` has what could be read all the same."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)
    headers: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int | None:
        """Where a value stands; of something inside an inline table, where that stands."""
        return next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)


def read_document(text: str) -> Document:
    """Statement after statement: one is as many lines as TOML's own parser needs to accept them."""
    document = Document()
    lines = text.replace("\r\n", "\n").split("\n")
    section: Path = ()
    number = 0
    while number < len(lines):
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
            continue
        if len(lines[number]) > MAX_LINE_CHARS:
            document.errors.append((number + 1, f"the line is longer than {MAX_LINE_CHARS:,} characters"))
            number += 1
            continue
        parsed, count = _statement(lines[number : number + MAX_STATEMENT_LINES])
        if isinstance(parsed, tuple):
            document.errors.append((number + parsed[0], parsed[1]))
        elif lines[number].lstrip().startswith("["):
            section = _open_section(document, parsed, number + 1)
        else:
            _add(document, section, parsed, number + 1)
        number += count
    if not document.errors:
        _read_whole(document, text)
    return document


def _read_whole(document: Document, text: str) -> None:
    """The parser's own word on what single statements do not show: tables that contradict one another."""
    try:
        document.values = _loads(text)
    except tomllib.TOMLDecodeError as exc:
        line, message = _told(exc, text.count("\n") + 1)
        document.errors.append((line, message))


def _statement(lines: list[str]) -> tuple[dict[str, Any] | tuple[int, str], int]:
    """What the first lines say and how many they are; else (line, error) and 1.

    Only an error at the very end can be mended by another line.
    """
    line, message = 1, ""
    for count in range(1, len(lines) + 1):
        try:
            return _loads("\n".join(lines[:count])), count
        except tomllib.TOMLDecodeError as exc:
            line, message = _told(exc, 1)
            if not str(exc).endswith(_AT_END):
                return (line, message), 1
    end = f"does not end within {MAX_STATEMENT_LINES} lines" if len(lines) >= MAX_STATEMENT_LINES else "never ends"
    return (line, f"{message}: it {end}" if len(lines) > 1 else message), 1


def _loads(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        raise tomllib.TOMLDecodeError("nested too deeply (at line 1, column 1)") from exc
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as exc:  # Python's bound on the digits of a number
        raise tomllib.TOMLDecodeError("a number has too many digits (at line 1, column 1)") from exc


def _told(error: tomllib.TOMLDecodeError, last_line: int) -> tuple[int, str]:
    said = str(error)
    place = _PLACE.search(said)
    if place is None:
        return last_line, said
    message = said[: place.start()]
    return (int(place[1]), f"{message} (column {place[2]})") if place[1] else (last_line, message)


def _open_section(document: Document, parsed: dict[str, Any], line: int) -> Path:
    """`[a.b]` or `[[a.b]]`: the path that the keys below it belong to."""
    path: Path = ()
    node: Any = parsed
    while node:
        if isinstance(node, list):
            count = sum(1 for p in document.lines if p[:-1] == path and isinstance(p[-1], int))
            path, node = (*path, count), node[0]
            continue
        name, node = next(iter(node.items()))
        path = (*path, name)
        if len(path) > MAX_DEPTH:
            break
    if len(path) > MAX_DEPTH:
        document.errors.append((line, "nested too deeply"))
        return path[:MAX_DEPTH]
    if path in document.headers:
        document.errors.append((line, f"[{shown(path)}] is there twice; the first is in line {document.headers[path]}"))
    document.headers[path] = line
    for n in range(1, len(path) + 1):
        document.lines.setdefault(path[:n], line)
    return path


def _add(document: Document, section: Path, parsed: dict[str, Any], line: int) -> None:
    _merge(document, _at(document.values, section), parsed, section, line)


def _merge(document: Document, into: dict[str, Any], values: dict[str, Any], before: Path, line: int) -> None:
    for name, value in values.items():
        path = (*before, name)
        if len(path) > MAX_DEPTH:
            document.errors.append((line, "nested too deeply"))
        elif isinstance(value, dict) and isinstance(into.get(name, {}), dict):
            document.lines.setdefault(path, line)
            _merge(document, into.setdefault(name, {}), value, path, line)
        elif name in into:
            first = document.lines.get(path)
            document.errors.append((line, f"{shown(path)} is set twice; the first is in line {first}"))
        else:
            document.lines[path] = line
            into[name] = value


def _at(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The table of a path, made where it is missing; one of its own where something else stands there."""
    node: Any = values
    for place, name in enumerate(path):
        if isinstance(name, int):
            while len(node) <= name:
                node.append({})
            node = node[name]
            continue
        rows = place + 1 < len(path) and isinstance(path[place + 1], int)
        found = node.setdefault(name, [] if rows else {})
        if not isinstance(found, list if rows else dict):
            return {}
        node = found
    return node if isinstance(node, dict) else {}


def shown(path: Path) -> str:
    """A path as a person writes it: `model.fallback[2].name`, rows counted from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
