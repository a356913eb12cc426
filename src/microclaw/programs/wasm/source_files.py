"""A program of several C files as one text with the marks of source_marks.py. Reads no disk.

Each `#include "FILE"` of a file that came along is replaced by that file, and the other sources follow behind the main
one. A mark with number 0 begins another source of C or C++, which is compiled alone (units.py). The tabs of a sketch
are one source, as Arduino joins them; its .cpp files are others. The compiler never sees the marks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, NoReturn

from msgspec import Struct

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.source_marks import (
    FILE_STEM,
    MAX_DEPTH,
    MAX_FILES,
    MAX_TEXT_CHARS,
    blank_marks,
    file_mark,
    name_for_mark,
    with_line_numbers,
    with_plain_newlines,
)
from microclaw.programs.wasm.embedded_files import with_files_embedded
from microclaw.programs.wasm.source_language import TITLE, Language, language_of_file

FILE_NAME: Final = FILE_STEM + r"\.(?:h|hh|hpp|hxx|inc|inl|tpp|def|c|cc|cpp|cxx|ino|pde|pem|crt|key|txt|json|html|csv)"
_SOURCES: Final = (".c", ".cc", ".cpp", ".cxx", ".ino", ".pde")
_TABS: Final = (".ino", ".pde")
_BLANKET: Final = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<text>\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|\b[0-9](?:'?[\w.])*)", re.DOTALL
)
"""Comments, and texts, in which a comment does not begin: also those that do not end, which are read only once so, and
numbers, which may have a quote in them."""
_INCLUDE: Final = re.compile(r"^[ \t]*#[ \t]*include[ \t]*\"([^\"\n]+)\"[ \t]*$", re.M)
_ONCE: Final = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b[^\n]*$", re.M)


def included_names(text: str) -> tuple[str, ...]:
    """Return the files that a source includes in quotes, in their order."""
    return tuple(dict.fromkeys(include[1] for include in _includes(with_plain_newlines(text))))


def join_files(file: str, source: str, files: Mapping[str, str]) -> str:
    """Return the program as one text: `source` is the file named `file`, `files` are its others by their names.

    Raises BuildError for a name that is none, too many files, files that include each other without end, a text
    that grows too long, and sources in another language than the main one.
    """
    if not files:
        return source
    if len(files) > MAX_FILES:
        _refuse(f"{len(files)} files: a program has at most {MAX_FILES} beside its main one", file)
    for name in files:
        if not re.fullmatch(FILE_NAME, name):
            _refuse(
                f"{name[:100]!r} is no name for a file of a program", file, "letters, digits, _ - / and .h, .c, .cpp"
            )
    joined = _Joined(files)
    joined.add(name_for_mark(file), source, ())
    for name in sorted(files, key=lambda name: (not name.endswith(_TABS), name)):
        if name.endswith(_SOURCES) and name != file and name not in joined.included:
            _check_language(file, name)
            if not name.endswith(_TABS):
                joined.begin_unit(name)
            joined.add(name, files[name], ())
    return "\n".join(joined.lines) + "\n"


class _Joined(Struct):
    files: Mapping[str, str]
    lines: list[str] = []
    included: set[str] = set()
    once: set[str] = set()
    chars: int = 0

    def begin_unit(self, file: str) -> None:
        """Begin a source that is compiled alone, and reads its headers again."""
        self._line(file_mark(file, 0))
        self.once.clear()

    def add(self, file: str, source: str, inside: tuple[str, ...]) -> None:
        """Add the text of a file with what it includes, between marks."""
        if file in self.once:
            return
        text = blank_marks(with_plain_newlines(source).removesuffix("\n"))
        text = with_files_embedded(text, self.files)
        if _ONCE.search(text):
            self.once.add(file)
            text = _ONCE.sub("", text)
        wanted = _included_lines(text)
        self._line(file_mark(file, 1))
        for number, line in enumerate(text.split("\n")):
            name = None
            if number in wanted:
                name = _resolved(wanted[number], file, self.files)
            if name is None:
                self._line(line)
                continue
            if len(inside) >= MAX_DEPTH:
                _refuse(
                    f"files that include each other {MAX_DEPTH} deep", file, "include them in the main file", number + 1
                )
            if name in inside:
                if name not in self.once and "#ifndef" not in self.files[name]:
                    step = "put #pragma once at its top"
                    _refuse(f"{name} includes itself, by way of {file}", file, step, number + 1)
                self._line("")  # its guard leaves nothing of it here
                continue
            self.included.add(name)
            self.add(name, self.files[name], (*inside, name))
            self._line(file_mark(file, number + 2))

    def _line(self, line: str) -> None:
        self.chars += len(line) + 1
        if self.chars > MAX_TEXT_CHARS:
            _refuse(f"with its files the program has more than {MAX_TEXT_CHARS:,} characters", "main.c")
        self.lines.append(line)


def _included_lines(text: str) -> dict[int, str]:
    """Return the names of included files by the numbers of their lines, from 0."""
    return {line: include[1] for line, include in with_line_numbers(_includes(text), text)}


def _includes(text: str) -> list[re.Match[str]]:
    """Find the #include directives with a name in quotes that are not in a comment."""
    if "#" not in text:
        return []
    return [*_INCLUDE.finditer(_BLANKET.sub(lambda found: found["text"] or re.sub(r"[^\n]", " ", found[0]), text))]


def _resolved(wanted: str, within: str, files: Mapping[str, str]) -> str | None:
    """Return the file that an include names: beside the one that includes it, else from the program's folder."""
    beside = str(PurePosixPath(within).parent / wanted)
    if beside in files:
        return beside
    if wanted in files:
        return wanted
    return None


def _check_language(file: str, other: str) -> None:
    main = language_of_file(file) or "c"
    second: Language = language_of_file(other) or "c"
    if (main == "c") != (second == "c"):
        message = f"{other} is {TITLE[second]} and {file} is {TITLE[main]}: a program has one language"
        _refuse(message, other, "name both .cpp, or both .c")


def _refuse(message: str, file: str, hint: str | None = None, line: int | None = None) -> NoReturn:
    raise BuildError((Diagnostic("error", message, file, line, hint=hint),), stage="source")
