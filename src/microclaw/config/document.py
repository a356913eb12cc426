"""A TOML text, statement by statement with their lines, and every syntax error at once. It knows no setting."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Names of tables and of a value in the last one; an int is a row of an array of tables, from 0."""

MAX_STATEMENT_LINES: Final = 200
MAX_LINE_CHARS: Final = 8_192
_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(slots=True)
class Document:
    """`statements` are (line, what it says as nested tables); `errors` are (line, what is wrong)."""

    statements: list[tuple[int, dict[Any, Any]]] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)


class _TomlError(Exception):
    """`open_end`: more lines may complete it."""

    def __init__(self, line: int, message: str, *, open_end: bool = False) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.open_end = open_end


def read_document(text: str) -> Document:
    """Each statement is parsed for itself, as it alone has a line, and a wrong one must not hide the next."""
    document = Document()
    headers: dict[Path, int] = {}
    rows: Counter[Path] = Counter()
    section: Path = ()
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        start, count = lines[number].lstrip(), 1
        try:
            if start and not start.startswith("#"):
                parsed, count = _statement(lines, number)
                if start.startswith("["):
                    section = _section(parsed, rows)
                    if section in headers:
                        wrong = f"[{dotted(section)}] is there twice; the first is in line {headers[section]}"
                        document.errors.append((number + 1, wrong))
                    headers[section] = number + 1
                    parsed = {}
                document.statements.append((number + 1, nested(section, parsed)))
        except _TomlError as exc:
            document.errors.append((exc.line, exc.message))
        number += count
    if not document.errors:  # what single statements do not show: tables that contradict one another
        try:
            _parse(text, 1)
        except _TomlError as exc:
            document.errors.append((exc.line, exc.message))
    return document


def _statement(lines: list[str], number: int) -> tuple[dict[str, Any], int]:
    """What the lines from `number` on say, and how many of them it takes: as many as TOML's own parser needs."""
    if len(lines[number]) > MAX_LINE_CHARS:
        raise _TomlError(number + 1, f"the line is longer than {MAX_LINE_CHARS:,} characters")
    last = min(number + MAX_STATEMENT_LINES, len(lines))
    for end in range(number + 1, last + 1):
        try:
            return _parse("\n".join(lines[number:end]), number + 1), end - number
        except _TomlError as exc:
            if not exc.open_end:
                raise
            error = exc
    if last - number > 1:
        never = "never ends" if last == len(lines) else f"does not end within {MAX_STATEMENT_LINES} lines"
        raise _TomlError(number + 1, f"{error.message}: it {never}")
    raise error


def _parse(text: str, first: int) -> dict[str, Any]:
    """What TOML's own parser makes of a text that begins in line `first`."""
    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        raise _TomlError(first, "nested too deeply") from exc
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        place = _PLACE.search(message)
        if place is None or place[1] is None:
            raise _TomlError(first, _PLACE.sub("", message), open_end=place is not None) from exc
        message = f"{message[: place.start()]} (column {place[2]})"
        raise _TomlError(first + int(place[1]) - 1, message) from exc
    except ValueError as exc:  # Python's bound on the digits of a number
        raise _TomlError(first, "a number has too many digits") from exc


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
