"""The description of a catalogue's entry: which fields it has, and what each may be. Reads no file.

It was written by others: its text, sizes and forms are checked here, and a mistake has its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args

from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.text import MAX_PROGRAM_CHARS, clean_text, code_lines

Version: TypeAlias = tuple[int, int, int]
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Of an entry: as of a program."""
VERSION: Final = re.compile(r"(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})")
MAX_PARAMETERS: Final = 32
MAX_LINE_CHARS: Final = 500
MAX_EXPECT_CHARS: Final = 8000
KINDS: Final = get_args(ProgramKind)
_LONGEST: Final = {"title": 80, "about": 1000, "missing": 300}
_KEYS: Final = frozenset(
    ("title", "about", "app", "version", "kinds", "missing", "source", "events", "expect", "parameters", "wiring")
)
_C_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.(?:c|cpp|ino)")
_PARAMETER = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_ROW_KEYS: Final = frozenset(("title", "type", "use", "min", "max", "unit", "choices", "default"))
_DEEP = re.compile(r"""(?:(?<![\w-])[\w-]++[ \t]*+\.[ \t]*+|(?:"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){16}""")
_AT_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class EntryMistake(ConfigError):
    """A mistake in an entry, with its file and line."""

    def __init__(self, file: str, text: str, line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(clean_text(f"{place}: {text}", one_line=True), next_step="docs/catalog.md has the form")


def parse_version(text: str) -> Version:
    """Read "1.0.2". Raises ValueError."""
    found = VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"version has to be three numbers as in 1.0.2, not {text!r:.40}")
    return int(found[1]), int(found[2]), int(found[3])


def parsed(content: bytes, shown: str) -> tuple[str, dict[str, Any]]:
    try:
        text = content.decode("utf-8")
        if (deep := _DEEP.search(text)) is not None:  # the parser takes the square of a key's depth
            raise EntryMistake(shown, "a key of too many parts", text.count("\n", 0, deep.start()) + 1)
        return text, tomllib.loads(text)
    except UnicodeDecodeError as exc:
        raise EntryMistake(shown, "this line is not UTF-8", content.count(b"\n", 0, exc.start) + 1) from exc
    except (ValueError, RecursionError) as exc:
        found = _AT_LINE.fullmatch(str(exc))
        why = found[1] if found else str(exc)
        line = int(found[2] or content.count(b"\n") + 1) if found else None
        raise EntryMistake(shown, f"this is not TOML: {why[:200]}", line) from exc


def fields_of(data: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(data) - _KEYS):
        raise ValueError(f"{unknown[0][:40]} is no field of an entry; fields: {', '.join(sorted(_KEYS))}")
    kinds = tuple(data.get("kinds", KINDS)) if isinstance(data.get("kinds", []), list) else ()
    if not kinds or len(set(map(str, kinds))) != len(kinds) or not set(map(str, kinds)) <= set(KINDS):
        raise ValueError('kinds has to be a list of "wasm", "py" or both')
    app = data.get("app")
    if not isinstance(app, str) or not NAME.fullmatch(app):
        raise ValueError("app has to be a name for the program: letters, digits, - and _, at most 63")
    if not isinstance(data.get("version"), str):
        raise ValueError('version is missing; write version = "1.0.0"')
    if len(kinds) < len(KINDS) and "missing" not in data:
        raise ValueError("missing has to say why there is no program of the other kind")
    expect = data.get("expect")
    if not isinstance(expect, str) or not expect.strip() or len(expect) > MAX_EXPECT_CHARS:
        raise ValueError(f"expect has to say what proves the program, in at most {MAX_EXPECT_CHARS:,} characters")
    return {
        "version": parse_version(data["version"]),
        "title": _words(data, "title"),
        "about": _words(data, "about"),
        "app_name": app,
        "kinds": kinds,
        "missing": _words(data, "missing") if "missing" in data else "",
    }


def _words(data: Mapping[str, Any], key: str) -> str:
    text = data.get(key)
    if not isinstance(text, str) or not 0 < len(text.strip()) <= _LONGEST[key]:
        raise ValueError(f"{key} has to be a text of 1 to {_LONGEST[key]} characters")
    return clean_text(" ".join(text.split()), one_line=True)


def source_names(name: str, data: Mapping[str, Any], kinds: Sequence[ProgramKind]) -> Iterator[str]:
    if "wasm" in kinds:
        for key in ("source", "events"):
            file = data.get(key, f"{name}.c" if key == "source" else None)
            if file is not None:
                if not isinstance(file, str) or not _C_FILE.fullmatch(file):
                    raise ValueError(f"{key} has to be the name of a .c, .cpp or .ino file beside this one")
                yield file
    if "py" in kinds:
        yield f"{name}.py"


def check_source(content: bytes) -> None:
    text = decoded(content)
    if len(text) > MAX_PROGRAM_CHARS or max(map(len, code_lines(text)), default=0) > MAX_LINE_CHARS:
        raise ValueError(f"a source has at most {MAX_PROGRAM_CHARS:,} characters and {MAX_LINE_CHARS} in a line")


def decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"a source is no UTF-8 text (byte {exc.start})") from exc


def rows_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The descriptions of the parameters."""
    rows = data.get("parameters", {})
    if not isinstance(rows, dict) or len(rows) > MAX_PARAMETERS:
        raise ValueError(f"parameters has to be at most {MAX_PARAMETERS} tables, each [parameters.NAME]")
    for key, row in rows.items():
        _check_row(key, row)
    return rows


def _check_row(key: str, row: Any) -> None:
    if not _PARAMETER.fullmatch(key):
        raise ValueError(f"a parameter is named in capitals as in PIN_1, not {key!r:.40}")
    known = ", ".join(sorted(_ROW_KEYS))
    if not isinstance(row, dict) or "type" not in row or "default" not in row:
        raise ValueError(f"parameters.{key} has to have type and default; fields: {known}")
    if unknown := sorted(set(row) - _ROW_KEYS):
        raise ValueError(f"parameters.{key} has the unknown field {unknown[0]!r:.40}; fields: {known}")
    for limit in ("min", "max"):
        if limit in row and (isinstance(row[limit], bool) or not isinstance(row[limit], int)):
            raise ValueError(f"parameters.{key}: {limit} has to be a whole number")
    if row["type"] == "int" and not {"min", "max"} <= set(row):
        raise ValueError(f"parameters.{key} has to have min and max")
    if row["type"] == "pin" and row.get("use") not in ("output", "input", "pwm"):
        raise ValueError(f"parameters.{key}: use has to be output, input or pwm")
    for word in ("title", "unit"):
        if word in row and not (isinstance(row[word], str) and re.fullmatch(r"[ -~]{1,60}", row[word])):
            raise ValueError(f"parameters.{key}: {word} has to be 1 to 60 plain characters")


def line_of(text: str, message: str) -> int | None:
    """The line that a message is about: that of the first table or field that it names."""
    for word in re.findall(r"[A-Za-z_][\w.]*", message):
        found = re.search(
            rf"^(?:\[+\s*(?:parameters\.)?{re.escape(word)}\s*\]|{re.escape(word)}\s*=)", text, re.MULTILINE
        )
        if found:
            return text.count("\n", 0, found.start()) + 1
    return None
