"""A program of several C files as one text with the marks of source_marks.py. Reads no disk.

Each `#include` of a file that came along is replaced by that file, and the other sources follow behind the main
one. A mark with number 0 begins another source of C or C++, which is compiled alone (units.py). The tabs of a sketch
are one source, as Arduino joins them; its .cpp files are others. The compiler never sees the marks.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, NoReturn, Self

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
from microclaw.programs.wasm.source_scanner import header_names

FILE_NAME: Final = FILE_STEM + r"\.(?:h|hh|hpp|hxx|inc|inl|tpp|def|c|cc|cpp|cxx|ino|pde|pem|crt|key|txt|json|html|csv)"
_SOURCES: Final = (".c", ".cc", ".cpp", ".cxx", ".ino", ".pde")
_TABS: Final = (".ino", ".pde")
_BLANKET: Final = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<text>\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|\b[0-9](?:'?[\w.])*)", re.DOTALL
)
"""Comments, and texts, in which a comment does not begin: also those that do not end, which are read only once so, and
numbers, which may have a quote in them."""
_INCLUDE: Final = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(?:\"([^\"\n]+)\"|<([^>\n]+)>)[ \t]*$", re.M)
_LIBRARY: Final = re.compile(r"libraries/[^/]+(?:/(?:src|include))?(?=/)")
_PROJECT_ROOTS: Final = ("include", "src")  # of PlatformIO
_ONCE: Final = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b[^\n]*$", re.M)
_CONDITION: Final = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif)\b([^\n]*)$", re.M)
_FALSE: Final = ("0", "false")


class Include(Struct, frozen=True):
    """A header that a source includes: `#include "name"` or `#include <name>`."""

    name: str
    is_quoted: bool

    @classmethod
    def of_match(cls, match: re.Match[str]) -> Self:
        return cls(match[1] or match[2], is_quoted=match[1] is not None)


class IncludePaths(Struct, frozen=True):
    """Where the files of a program look for what they include.

    `roots` are the folders of headers of the libraries that came along; `exists` says if a name is a file.
    """

    roots: Sequence[str]
    exists: Callable[[str], bool]

    def find(self, include: Include, within: str) -> str | None:
        """Return the file of the program that an include names, or None for one that the program does not have.

        In quotes it is beside the file that includes it, else below the program's folder. Then come headers of ours;
        so a library that we have is not taken from the program. Last come `include` and `src` of a project, and the
        libraries, first the one that `within` is in.
        """
        folder = PurePosixPath(within).parent
        places = []
        if include.is_quoted:
            places = [folder, PurePosixPath()]
        name = self._first(include, places)
        if name is not None or include.name in header_names():
            return name
        roots = sorted(self.roots, key=lambda root: (not within.startswith(f"{root}/"), root))
        return self._first(include, [*map(PurePosixPath, (*_PROJECT_ROOTS, *roots)), PurePosixPath()])

    def _first(self, include: Include, places: Sequence[PurePosixPath]) -> str | None:
        """Return the first of these places that has the included file."""
        for place in places:
            name = posixpath.normpath(place / include.name)
            if self.exists(name):
                return name
        return None


def included_names(text: str) -> tuple[Include, ...]:
    """Return the files that a source includes, in their order."""
    return tuple(dict.fromkeys(map(Include.of_match, _includes(with_plain_newlines(text)))))


def join_files(file: str, source: str, files: Mapping[str, str]) -> str:
    """Return the program as one text: `source` is the file named `file`, `files` are its others by their names.

    Raises BuildError for a name that is none, too many files, files that include each other without end, a text
    that grows too long, and sources of C++ behind a main file of C.
    """
    if not files:
        return source
    if len(files) > MAX_FILES:
        _refuse(f"{len(files)} files: a program has at most {MAX_FILES} beside its main one", file)
    for name in files:
        if not re.fullmatch(FILE_NAME, name):
            message = f"{name[:100]!r} is no name for a file of a program"
            _refuse(message, file, "rename the file: letters, digits, _ and -, with the ending .h, .c or .cpp")
    joined = _Joined(file, files, IncludePaths(_library_roots(files), files.__contains__))
    joined.add(name_for_mark(file), source, ())
    for name in sorted(files, key=lambda name: (not name.endswith(_TABS), name)):
        if name.endswith(_SOURCES) and name != file and name not in joined.included:
            _check_language(file, name)
            if not name.endswith(_TABS):
                joined.begin_unit(name)
            joined.add(name, files[name], ())
    return "\n".join(joined.lines) + "\n"


def without_comments(text: str) -> str:
    """Return a text of C or C++ with blanks in place of its comments; its lines stay."""
    return _BLANKET.sub(_blank_comment, text)


class _Joined(Struct):
    main: str
    files: Mapping[str, str]
    include_paths: IncludePaths
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
        text = self._with_embedded(source)
        guard = self._note_once(file, text)
        text = _ONCE.sub(f"#define {guard}" if guard else "", text)
        wanted = _included_lines(text)
        if guard is not None:
            self._line(f"#ifndef {guard}")
        self._line(file_mark(file, 1))
        for number, line in enumerate(text.split("\n")):
            name = None
            if number in wanted:
                name = self.include_paths.find(wanted[number], file)
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
        if guard is not None:
            self._line("#endif")

    def _note_once(self, file: str, text: str) -> str | None:
        """Note a file with #pragma once. Return the macro that does its work if it stands below a condition."""
        live = _live_text(text)
        once = _ONCE.search(live)
        if once is None:
            return None
        if _is_unconditional(live[: once.start()]):
            self.once.add(file)
            return None
        return f"MICROCLAW_ONCE_{file.encode().hex()}"

    def _with_embedded(self, source: str) -> str:
        """Return a file's text with plain lines, and with the texts of the files that it embeds."""
        text = blank_marks(with_plain_newlines(source).removesuffix("\n"))
        text_with_files = with_files_embedded(text, self.files, MAX_TEXT_CHARS)
        if text_with_files is None:
            self._refuse_length()
        return text_with_files

    def _line(self, line: str) -> None:
        self.chars += len(line) + 1
        if self.chars > MAX_TEXT_CHARS:
            self._refuse_length()
        self.lines.append(line)

    def _refuse_length(self) -> NoReturn:
        message = f"with its files the program has more than {MAX_TEXT_CHARS:,} characters"
        _refuse(message, self.main, "leave large texts out, or read them from a file on the board")


def _blank_comment(match: re.Match[str]) -> str:
    return match["text"] or _blank(match[0])


def _library_roots(files: Iterable[str]) -> tuple[str, ...]:
    """Return the folders of headers of the libraries that these files are in."""
    roots: dict[str, None] = {}
    for name in files:
        library = _LIBRARY.match(name)
        if library is not None:
            roots.setdefault(library[0])
            # A library without src has its headers at its top.
            roots.setdefault("/".join(name.split("/")[:2]))
    return tuple(roots)


def _included_lines(text: str) -> dict[int, Include]:
    """Return the included files by the numbers of their lines, from 0."""
    return {line: Include.of_match(match) for line, match in with_line_numbers(_includes(text), text)}


def _includes(text: str) -> list[re.Match[str]]:
    """Find the #include directives that are in no comment and not behind #if 0."""
    if "#" not in text:
        return []
    return list(_INCLUDE.finditer(_live_text(text)))


def _live_text(text: str) -> str:
    """Return a source with blanks for its comments and for what stands behind #if 0, each line at its place."""
    plain = without_comments(text)
    live = ""
    live_end = 0
    # How many conditions are open, counted from the #if 0.
    depth = 0
    for match in _CONDITION.finditer(plain):
        if not depth:
            is_false = match[1] == "if" and match[2].strip() in _FALSE
            depth = int(is_false)
            if is_false:
                live += plain[live_end : match.end()]
                live_end = match.end()
            continue
        if depth == 1 and not match[1].startswith("if"):
            depth = 0
            live += _blank(plain[live_end : match.start()])
            live_end = match.start()
        elif match[1].startswith("if"):
            depth += 1
        elif match[1] == "endif":
            depth -= 1
    if depth:
        return live + _blank(plain[live_end:])
    return live + plain[live_end:]


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _is_unconditional(before: str) -> bool:
    """Return True if only the guard of its file, an #ifndef at its begin, is open behind this text."""
    directives = [match[1] for match in _CONDITION.finditer(before)]
    depth = 0
    for directive in directives:
        if directive == "endif":
            depth -= 1
        else:
            depth += directive.startswith("if")
    return depth == 0 or (depth == 1 and directives == ["ifndef"])


def _check_language(file: str, other: str) -> None:
    """Raise BuildError for C++ behind a main file of C: a program is linked as its main file says."""
    main = language_of_file(file) or "c"
    second: Language = language_of_file(other) or "c"
    if main == "c" and second != "c":
        message = f"{other} is {TITLE[second]} and the main file {file} is C"
        _refuse(message, other, f"name {file} .cpp: a program of C++ may have files of C")


def _refuse(message: str, file: str, hint: str | None = None, line: int | None = None) -> NoReturn:
    raise BuildError((Diagnostic("error", message, file, line, hint=hint),), stage="source")
