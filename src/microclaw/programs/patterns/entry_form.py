"""The description of a catalogue's entry: which fields it has, and what each may be. Reads no file.

It was written by others: its text, sizes and forms are checked here, and a mistake has its line.
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
"""Of an entry: as of a program."""
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
        """The sources of the entry."""
        if "wasm" in self.kinds:
            yield self.source or f"{name}.c"
            yield from (self.events,) if self.events else ()
        if "py" in self.kinds:
            yield f"{name}.py"


def parse_version(text: str) -> Version:
    """Read "1.0.2", which VERSION fits."""
    first, second, third = map(int, text.split("."))
    return first, second, third


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
        if found:
            why = found[1]
        else:
            why = str(exc)
        if found:
            line = int(found[2] or content.count(b"\n") + 1)
        else:
            line = None
        raise EntryMistake(shown, f"this is not TOML: {why[:200]}", line) from exc


def check_source(content: bytes) -> None:
    """Raise ValueError for what is no text, and one too long."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"a source is no UTF-8 text (byte {exc.start})") from exc
    if len(text) > MAX_PROGRAM_CHARS or max(map(len, code_lines(text)), default=0) > MAX_LINE_CHARS:
        raise ValueError(f"a source has at most {MAX_PROGRAM_CHARS:,} characters and {MAX_LINE_CHARS} in a line")


def line_of(text: str, message: str) -> int | None:
    """The line that a message is about: that of the first table or field that it names."""
    for word in re.findall(r"[A-Za-z_][\w.]*", message):
        found = re.search(
            rf"^(?:\[+\s*(?:parameters\.)?{re.escape(word)}\s*\]|{re.escape(word)}\s*=)", text, re.MULTILINE
        )
        if found:
            return text.count("\n", 0, found.start()) + 1
    return None
