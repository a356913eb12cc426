"""A TOML text, and the line of each thing in it. It knows no setting."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Names of tables and of a value in the last one; an int is a row of an array of tables, from 0."""

MAX_LINE_CHARS: Final = 8_192
_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_WORD: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"{_WORD}(?:\s*\.\s*{_WORD})*\s*=")


class TomlError(Exception):
    """What is wrong, and in which line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read_document(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """What it says, and where each table and value begins. Raises TomlError."""
    long = next((number for number, line in enumerate(text.split("\n"), 1) if len(line) > MAX_LINE_CHARS), None)
    if long is not None:
        raise TomlError(long, f"the line is longer than {MAX_LINE_CHARS:,} characters")
    try:
        return tomllib.loads(text), _lines_of(text)
    except RecursionError as exc:
        raise TomlError(1, "nested too deeply") from exc
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        place = _PLACE.search(message)
        if place is None or place[1] is None:
            raise TomlError(text.count("\n") + 1, _PLACE.sub("", message)) from exc
        raise TomlError(int(place[1]), f"{message[: place.start()]} (column {place[2]})") from exc
    except ValueError as exc:  # Python's bound on the digits of a number
        raise TomlError(1, "a number has too many digits") from exc


def _lines_of(text: str) -> dict[Path, int]:
    """Of a right text. A line within a long text that looks like a key comes too late to count, or names nothing."""
    lines: dict[Path, int] = {}
    rows: Counter[Path] = Counter()
    section: Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        start = line.strip()
        key = _KEY.match(start)
        try:
            if start.startswith("["):
                found = section = _section(tomllib.loads(start), rows)
            elif key is not None:
                found = (*section, *_section(tomllib.loads(f"{key[0]} {{}}"), rows))
            else:
                continue
        except (ValueError, RecursionError):
            continue
        for known in (found[:1], found[:2], found):
            lines.setdefault(known, number)
    return lines


def _section(parsed: dict[str, Any], rows: Counter[Path]) -> Path:
    """The path of `[a.b]`, or of the row that `[[a.b]]` begins; `[a.b.c]` after it belongs to that row."""
    path: Path = ()
    node: Any = parsed
    while node:
        if isinstance(node, list):
            rows[path] += 1
            path, node = (*path, rows[path] - 1), node[0]
        else:
            name, node = next(iter(node.items()))
            path = (*path, name)
            if rows[path] and node and isinstance(node, dict):
                path = (*path, rows[path] - 1)
    return path


def nested(path: Path, value: Any) -> Any:
    """A value in the tables that its path names."""
    for part in reversed(path):
        value = {part: value}
    return value


def dotted(path: Path) -> str:
    """A path as a person writes it: `model.fallback[2].name`, rows counted from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
