"""The description of a catalogue's entry: its fields, and the values that each may have. Reads no file.

Other people wrote it: its text, sizes and forms are checked here, and a mistake has its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeAlias, get_args

from msgspec import Meta, Struct

from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.programs.patterns.wiring import PartForm
from microclaw.text import MAX_PROGRAM_CHARS, clean_text, code_lines

Version: TypeAlias = tuple[int, int, int]
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""The name of an entry, which has the form of a program's name."""
VERSION: Final = re.compile(r"(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})")
MAX_LINE_CHARS: Final = 500
_CFile: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.(c|cpp|ino)\Z")]
_Parameter: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{0,31}\Z")]
_DEEP = re.compile(r"""(?:(?<![\w-])[\w-]++[ \t]*+\.[ \t]*+|(?:"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){16}""")
_AT_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class EntryMistake(ConfigError):
    """A mistake in an entry, with its file and line."""

    def __init__(self, file: str, text: str, line: int | None = None) -> None:
        if line is None:
            place = file
        else:
            place = f"{file}:{line}"
        super().__init__(clean_text(f"{place}: {text}", one_line=True), next_step="docs/catalog.md has the form")


class EntryDescription(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of an entry's TOML file; library.py reads what is in a parameter's table."""

    title: Annotated[str, Meta(min_length=1, max_length=80)]
    app: Annotated[str, Meta(pattern=rf"^{NAME.pattern}\Z")]
    version: Annotated[str, Meta(pattern=rf"^{VERSION.pattern}\Z")]
    about: Annotated[str, Meta(min_length=1, max_length=1000)]
    expect: Annotated[str, Meta(pattern=r"\S", max_length=8000)]
    wiring: Annotated[list[PartForm], Meta(min_length=1, max_length=8)]
    parameters: Annotated[dict[_Parameter, dict[str, Any]], Meta(max_length=32)] = {}
    kinds: Annotated[tuple[ProgramKind, ...], Meta(min_length=1, max_length=2)] = get_args(ProgramKind)
    missing: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    source: _CFile | None = None
    events: _CFile | None = None

    def __post_init__(self) -> None:
        if len(self.kinds) == 1 and self.missing is None:
            raise ValueError("missing has to say why there is no program of the other kind")

    def files(self, name: str) -> Iterator[str]:
        """Yield the names of the entry's sources."""
        if "wasm" in self.kinds:
            yield self.source or f"{name}.c"
            if self.events:
                yield self.events
        if "py" in self.kinds:
            yield f"{name}.py"


def parse_version(text: str) -> Version:
    """Parse "1.0.2", which VERSION fits."""
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch


def parse_description(content: bytes, path: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a description and its table. Raises EntryMistake, with `path` as the file."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise EntryMistake(path, "this line is not UTF-8", line) from exc
    # The parser's time grows with the square of a key's depth.
    deep_key = _DEEP.search(text)
    if deep_key is not None:
        line = text.count("\n", 0, deep_key.start()) + 1
        raise EntryMistake(path, "a key of too many parts", line)
    try:
        return text, tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        reason = str(exc)
        toml_line = None
        place = _AT_LINE.fullmatch(reason)
        if place is not None:
            reason = place[1]
            toml_line = int(place[2] or text.count("\n") + 1)
        raise EntryMistake(path, f"this is not TOML: {reason[:200]}", toml_line) from exc


def check_source(content: bytes) -> None:
    """Raise ValueError if a source is not UTF-8 text, or if it or one of its lines is too long."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"a source is no UTF-8 text (byte {exc.start})") from exc
    longest_line = max(map(len, code_lines(text)), default=0)
    if len(text) > MAX_PROGRAM_CHARS or longest_line > MAX_LINE_CHARS:
        raise ValueError(f"a source has at most {MAX_PROGRAM_CHARS:,} characters and {MAX_LINE_CHARS} in a line")


def line_of(text: str, message: str) -> int | None:
    """Return the line of the first table or field that a message names, or None if it names none."""
    for word in re.findall(r"[A-Za-z_][\w.]*", message):
        name = re.escape(word)
        place = re.search(rf"^(?:\[+\s*(?:parameters\.)?{name}\s*\]|{name}\s*=)", text, re.MULTILINE)
        if place is not None:
            return text.count("\n", 0, place.start()) + 1
    return None
