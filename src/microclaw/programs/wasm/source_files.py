"""A program of several C files as one text, and its findings in the lines of the files they came from. Reads no disk.

Each `#include "FILE"` of a file that came along is replaced by that file, and the other sources follow behind the main
one. `#line NUMBER "FILE"` marks (C17, 6.10.4) say where each part is from, so a stored program still knows its files;
number 0 begins another source of C or C++, which is compiled alone (units.py). The tabs of a sketch are one source, as
Arduino joins them; its .cpp files are others. The compiler never sees the marks.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Final, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.wasm.embedded_files import with_files_embedded
from microclaw.programs.wasm.source_language import TITLE, Language, language_of_file

MAX_FILES: Final = 32  # that come along with the main one
MAX_DEPTH: Final = 16  # of files that include each other
MAX_TEXT_CHARS: Final = 256 << 10
FILE_NAME: Final = (
    r"(?!.*(?:\.\.|//))[A-Za-z0-9_][A-Za-z0-9_./+-]{0,94}\."
    r"(?:h|hh|hpp|hxx|inc|inl|tpp|def|c|cc|cpp|cxx|ino|pde|pem|crt|key|txt|json|html|csv)"
)
_SOURCES: Final = (".c", ".cc", ".cpp", ".cxx", ".ino", ".pde")
_TABS: Final = (".ino", ".pde")
_BLANKET: Final = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<text>\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|\b[0-9](?:'?[\w.])*)", re.DOTALL
)
"""Comments, and texts, in which a comment does not begin: also those that do not end, which are read only once so, and
numbers, which may have a quote in them."""
_INCLUDE: Final = re.compile(r"^[ \t]*#[ \t]*include[ \t]*\"([^\"\n]+)\"[ \t]*$", re.M)
_ONCE: Final = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b[^\n]*$", re.M)
UNIT_NUMBER: Final = re.compile(r"__unit\d+\b")
"""Behind the name of a static function that several sources have (units.py): nothing to be told."""
_MARK: Final = re.compile(r'^[ \t]*#[ \t]*line[ \t]+(\d{1,6})[ \t]+"([\w+-][\w./+-]{0,99})"[ \t]*$', re.M)
_MARKED: Final = re.compile(r"[^\w./+-]")  # what a mark does not hold
_LINE: Final = re.compile(r"\bline (\d+)(,? column \d+)?\b|(?<![\w./-])[\w.-]+\.(?:c|cpp|ino):(\d+)\b")


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
    main = _MARKED.sub("_", file).lstrip("./")[:99]
    joined.add(main, source, ())
    for name in sorted(files, key=lambda name: (not name.endswith(_TABS), name)):
        if name.endswith(_SOURCES) and name != file and name not in joined.included:
            _check_language(file, name)
            if not name.endswith(_TABS):
                joined.begin_unit(name)
            joined.add(name, files[name], ())
    return "\n".join(joined.lines) + "\n"


def with_plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Joined(Struct):
    files: Mapping[str, str]
    lines: list[str] = []
    included: set[str] = set()
    once: set[str] = set()
    chars: int = 0

    def begin_unit(self, file: str) -> None:
        """Begin a source that is compiled alone, and reads its headers again."""
        self._line(f'#line 0 "{file}"')
        self.once.clear()

    def add(self, file: str, source: str, inside: tuple[str, ...]) -> None:
        """Add the text of a file with what it includes, between marks."""
        if file in self.once:
            return
        text = _MARK.sub("", with_plain_newlines(source).removesuffix("\n"))
        text = with_files_embedded(text, self.files)
        if _ONCE.search(text):
            self.once.add(file)
            text = _ONCE.sub("", text)
        wanted = _included_lines(text)
        self._line(f'#line 1 "{file}"')
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
            self._line(f'#line {number + 2} "{file}"')

    def _line(self, line: str) -> None:
        self.chars += len(line) + 1
        if self.chars > MAX_TEXT_CHARS:
            _refuse(f"with its files the program has more than {MAX_TEXT_CHARS:,} characters", "main.c")
        self.lines.append(line)


def _included_lines(text: str) -> dict[int, str]:
    """Return the names of included files by the numbers of their lines, from 0."""
    return {line: include[1] for line, include in _with_lines(_includes(text), text)}


def _with_lines(matches: Iterable[re.Match[str]], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield each match with the number of its line, from 0; the matches are in the order of the text."""
    line = 0
    begin = 0
    for match in matches:
        line += text.count("\n", begin, match.start())
        begin = match.start()
        yield line, match


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


@contextmanager
def findings_located(marks: LineMarks) -> Iterator[None]:
    """Give each finding of a BuildError that is raised within its place in its own file."""
    try:
        yield
    except BuildError as exc:
        if not marks.marks:
            raise
        raise BuildError(marks.all_located(exc.diagnostics), stage=exc.stage) from exc


class LineMarks(Struct, frozen=True):
    """The file of each line of a text; without marks they are the text's own."""

    marks: tuple[tuple[int, int, str], ...] = ()  # line in the text, line there, file

    def place(self, line: int) -> tuple[str, int] | None:
        """Return file and line of a line of the text; None if it is the text's own."""
        at = bisect.bisect_right(self.marks, line, key=itemgetter(0)) - 1
        if at < 0:
            return None
        start, number, file = self.marks[at]
        return file, number + line - start

    def located(self, found: Diagnostic) -> Diagnostic:
        """Return the finding at its place in its own file."""
        if not self.marks:
            return found
        place = None
        if found.line is not None:
            place = self.place(found.line)
        file, line = place or (found.file, found.line)
        return replace(
            found,
            file=file,
            line=line,
            message=self.in_words(found.message),
            hint=found.hint and self.in_words(found.hint),
            explanation=found.explanation and self.in_words(found.explanation),
        )

    def all_located(self, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Return findings at their places, each once: several sources read one header."""
        return tuple(dict.fromkeys(map(self.located, found)))

    def in_words(self, text: str) -> str:
        """Return a text that names lines, with the file of each."""
        if self.marks:
            return _LINE.sub(self._in_words, UNIT_NUMBER.sub("", text))
        return text

    def _in_words(self, found: re.Match[str]) -> str:
        place = self.place(int(found[1] or found[3]))
        if place is None:
            return found[0]
        if found[1]:
            return f"line {place[1]}{found[2] or ''} of {place[0]}"
        return f"{place[0]}:{place[1]}"


def without_marks(text: str) -> tuple[str, LineMarks]:
    """Return the text with empty lines in place of its marks, and what the marks say."""
    if "line" not in text or "#" not in text:
        return text, LineMarks()
    marks = []
    for line, mark in _with_lines(_MARK.finditer(text), text):
        # A mark is about the line behind it.
        marks.append((line + 2, int(mark[1]), mark[2]))
    return _MARK.sub("", text), LineMarks(tuple(marks))
