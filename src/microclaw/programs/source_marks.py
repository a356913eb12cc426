"""The marks that say from which file each line of a program's text is, and findings in the lines of those files.

A program of several files is one text, in which `#line NUMBER "FILE"` (C17, 6.10.4; in Python a comment) stands before
each part. So all that stores, sends, signs or shows a program has one text, which still knows its files. Each language
joins its files in its own way. Reads no disk.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic

MAX_FILES: Final = 32  # that come along with the main one
MAX_DEPTH: Final = 16  # of files that include each other
MAX_TEXT_CHARS: Final = 256 << 10
FILE_STEM: Final = r"(?!.*(?:\.\.|//))\w[\w./+-]{0,94}"
"""The path of a file from the program's folder, without its suffix."""
UNIT_NUMBER: Final = re.compile(r"__unit\d+\b")
"""Behind the name of a static function of C that several sources have (wasm/units.py): nothing to be told."""
_MARK: Final = re.compile(r'^[ \t]*#[ \t]*line[ \t]+(\d{1,6})[ \t]+"([\w+-][\w./+-]{0,99})"[ \t]*$', re.M)
_MARKED: Final = re.compile(r"[^\w./+-]")  # what a mark does not hold
_LINE: Final = re.compile(r"\bline (\d+)(,? column \d+)?\b|(?<![\w./-])[\w.-]+\.(?:c|cpp|ino):(\d+)\b")


def file_mark(file: str, line: int) -> str:
    """Return the line of text that says: behind this is line `line` of a file."""
    return f'#line {line} "{file}"'


def with_file_name(text: str, file: str) -> str:
    """Return the text of a program of one file with a mark that names the file, as its errors must."""
    return f"{file_mark(name_for_mark(file), 1)}\n{blank_marks(text)}"


def name_for_mark(file: str) -> str:
    """Return the name of a program's main file as a mark can hold it, whatever the file is called."""
    return _MARKED.sub("_", file).lstrip("./")[:99]


def with_plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def blank_marks(text: str) -> str:
    """Return a file's text with empty lines in place of what would be read as a mark."""
    return _MARK.sub("", text)


def without_marks(text: str) -> tuple[str, LineMarks]:
    """Return the text with empty lines in place of its marks, and what the marks say."""
    if "line" not in text or "#" not in text:
        return text, LineMarks()
    marks = []
    for line, mark in with_line_numbers(_MARK.finditer(text), text):
        # A mark is about the line behind it.
        marks.append((line + 2, int(mark[1]), mark[2]))
    return blank_marks(text), LineMarks(tuple(marks))


def with_line_numbers(matches: Iterable[re.Match[str]], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield each match with the number of its line, from 0; the matches are in the order of the text."""
    line = 0
    begin = 0
    for match in matches:
        line += text.count("\n", begin, match.start())
        begin = match.start()
        yield line, match


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
