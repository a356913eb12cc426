"""A TOML text, and the line of each thing in it. It knows no setting."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Names of tables and of a value in the last one; an int is a row of an array of tables, from 0."""

_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_WORD: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"\s*(\[\[|\[|)\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*[]=]")


class TomlError(Exception):
    """Its arguments: the line, and what is wrong there."""


def read_document(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """What it says, and where each table and value begins. Raises TomlError."""
    try:
        return tomllib.loads(text), _lines_of(text)
    except RecursionError as exc:
        raise TomlError(1, "nested too deeply") from exc
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        place = _PLACE.search(message)
        line = int(place[1]) if place is not None and place[1] else text.count("\n") + 1
        raise TomlError(line, _PLACE.sub("", message)) from exc
    except ValueError as exc:  # Python's bound on the digits of a number
        raise TomlError(1, "a number has too many digits") from exc


def _lines_of(text: str) -> dict[Path, int]:
    """Of a right text. A line within a long text that looks like a key comes too late to count, or names nothing."""
    lines: dict[Path, int] = {}
    rows: Counter[Path] = Counter()
    section: Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        key = _KEY.match(line)
        if key is None:
            continue
        words = [word.strip("\"'") for word in re.findall(_WORD, key[2])]
        path = () if key[1] else section
        for count, word in enumerate(words, 1):
            path = (*path, word)
            if key[1] == "[[" and count == len(words):
                lines.setdefault(path, number)
                rows[path] += 1
            if rows[path]:  # `[a.b]` after `[[a]]` belongs to its last row
                path = (*path, rows[path] - 1)
            lines.setdefault(path, number)
        section = path if key[1] else section
    return lines


def dotted(path: Path) -> str:
    """A path as a person writes it: `model.fallback[2].name`, rows counted from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
