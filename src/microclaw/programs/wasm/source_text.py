"""A program's source as text and tokens; refuses what no compiler may see. Compiles nothing.

The text comes from a language model, and the compiler must not read the host's files. So only our own headers may be
included, there is no #embed, and no lexical trick by which clang would see other tokens than this file. The second wall
is the compiler's flags (options.toml), with which it knows no assembly; the third the list of files that it really read
(compile.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import pairwise
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.source_marks import LineMarks, with_plain_newlines, without_marks
from microclaw.programs.wasm.sketch import prepare_sketch
from microclaw.programs.wasm.source_language import (
    STANDARD_HEADERS,
    SUFFIX,
    Language,
    language_of_code,
    language_of_file,
)
from microclaw.programs.wasm.source_scanner import OUR_NAMES, Scanner
from microclaw.programs.wasm.tokens import SourceToken, function_bodies, outer_functions, texts_of
from microclaw.text import odd_character

MAX_SOURCE_BYTES: Final = 256 << 10

_SPLICE: Final = re.compile(r"\\[ \t\v\f]*\n")
_SPLICED: Final = re.compile(rf"^(?:.*{_SPLICE.pattern})+.*", re.M)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PLAIN_INCLUDE: Final = re.compile(r"[ \t]*#[ \t]*include[ \t]*(?:<[^>\n]*>|\"[^\"\n]*\")")
_LOOP: Final = re.compile(r"\bvoid\s+loop\s*\(")  # it may be a sketch, whatever its file is called
NOT_HERE: Final = f"{OUR_NAMES}header_"
"""What the compiler says, with a number, of an #include that it reached and that is not here."""


class SourceText(Struct, frozen=True, dict=True):
    """A checked source: `text` goes to the compiler, under the name `file`. Empty: a module came without it."""

    file: str
    text: str
    lines: tuple[str, ...]  # without the marks of a program of several files (source_marks.py)
    tokens: tuple[SourceToken, ...]
    functions: Mapping[str, Set[str]] = {}  # what each calls
    bodies: Mapping[str, int] = {}  # of those of the outermost level, by place among the tokens
    missing: tuple[Diagnostic, ...] = ()  # headers of another firmware; `text` is without them
    unsure: tuple[Diagnostic, ...] = ()  # headers that are not here, between #if and #endif: the compiler tells
    language: Language = "c"
    is_guessed: bool = False  # the language, from the text
    source: str = ""  # as it is stored: the lines with their marks
    headers: frozenset[str] = frozenset()  # all that it includes, also between #if and #endif
    units: tuple[int, ...] = ()  # the lines, from 0, at which other sources begin that are compiled alone
    c_units: frozenset[int] = frozenset()  # the numbers, from 1, of those that are C in a program of C++

    @cached_property
    def has_llmos_pins(self) -> bool:
        """True if it opens pins as LLMos's examples do."""
        return '"/dev/gpio"' in texts_of(self.tokens)

    @cached_property
    def standard_headers(self) -> tuple[str, ...]:
        """The headers of C++'s library, sorted."""
        return tuple(sorted(self.headers & STANDARD_HEADERS))

    def unit_texts(self) -> tuple[str, ...]:
        """Return the texts to compile: `text`, or each source's own lines, and empty ones for the others'."""
        if not self.units:
            return (self.text,)
        lines = self.text.split("\n")
        # What a sketch got for its prototypes, all before the second source.
        extra = len(lines) - 1 - len(self.lines)
        first, *others = self.units
        texts = ["\n".join((*lines[: first + extra], ""))]
        for begin, end in pairwise((first, *others, len(self.lines))):
            texts.append("\n" * begin + "\n".join((*lines[begin + extra : end + extra], "")))
        return tuple(texts)

    def line(self, number: int) -> str | None:
        """Return the text of a line, counted from 1; None if there is no such line."""
        if 1 <= number <= len(self.lines):
            return self.lines[number - 1]
        return None

    def find_name(self, name: str) -> tuple[int, int] | None:
        """Return the first call of an identifier (a name before it makes it a declaration), else its first place."""
        return self._name_places.get(name)

    @cached_property
    def _name_places(self) -> dict[str, tuple[int, int]]:
        """The places that `find_name` returns: a program may have thousands of names to be asked for."""
        words = ["", *texts_of(self.tokens), ""]
        places: dict[str, tuple[int, int]] = {}
        called: set[str] = set()
        for token, before, after in zip(self.tokens, words, words[2:], strict=False):
            if token.kind != "name" or token.text in called:
                continue
            if after == "(" and (before in ("return", "else", "do") or not before[-1:].isidentifier()):
                called.add(token.text)
                places[token.text] = token.place
            places.setdefault(token.text, token.place)
        return places

    def find_definition(self, name: str) -> tuple[int, int] | None:
        """Return the beginning of a function's body, or None."""
        if name in self.bodies:
            return self.tokens[self.bodies[name]].place
        return None

    def loop_lines(self, function: str | None) -> list[int]:
        """Return the lines of the loops of a function, or of the whole program, in the order of the source."""
        begin = 0
        if function is not None:
            begin = self.bodies.get(function, len(self.tokens))
        depth = 0
        lines = list[int]()
        do_depths = list[int]()
        before = ""
        if begin > 0:
            before = self.tokens[begin - 1].text
        for token in self.tokens[begin:]:
            depth += (token.text == "{") - (token.text == "}")
            if function is not None and depth == 0:
                break
            ends_do = token.text == "while" and before in ("}", ";") and do_depths[-1:] == [depth]
            before = token.text
            if ends_do:
                do_depths.pop()
            elif token.text in ("for", "while", "do"):
                lines.append(token.line)
                if token.text == "do":
                    do_depths.append(depth)
        return lines

    def places(self, *words: str) -> Iterator[tuple[int, int]]:
        """Yield the places where these tokens follow each other."""
        texts = texts_of(self.tokens)
        for number, token in enumerate(self.tokens):
            if token.text == words[0] and texts[number : number + len(words)] == [*words]:
                yield token.place

    def find_string(self, fragment: str) -> tuple[int, int] | None:
        """Return the place of a string literal that contains a fragment, or None."""
        for token in self.tokens:
            if token.kind == "string" and fragment in token.text:
                return token.place
        return None


def read_source(source: str, name: str, language: Language | None = None) -> SourceText:
    """Check a program's text and split it into tokens; BuildError names the line of what is refused.

    Headers of another firmware are left out of the text and listed in `missing`: the compiler then finds what else such
    a program uses that does not exist here. Without a language the text says which it is. `text` of a sketch is what
    the compiler is to read (sketch.py), `lines` are the person's.
    """
    file = f"{name}{SUFFIX[language or 'c']}"
    source = _with_whole_lines(source)
    text, marks = without_marks(source)
    _check_text(text, file)
    lines = tuple(text.split("\n")[:-1])
    joined = _join_lines(text)
    certain_language = None if _LOOP.search(text) else language
    units, c_units = _units(marks)
    scanner = Scanner(file, lines, joined, certain_language, _lines_of(c_units, (*units, len(lines))))
    tokens = scanner.scan()
    functions = function_bodies(scanner.code)
    language, is_guessed = language_of_code(language, scanner.code, functions, scanner.headers)
    if scanner.has_raw_string and language == "c":
        language = "c++"
    file = f"{name}{SUFFIX[language]}"
    missing = _in_file(file, scanner.missing, language, scanner.missing_in_c)
    unsure = _in_file(file, scanner.unsure, language, scanner.unsure_in_c)
    text = joined if language == "sketch" else text
    if missing or unsure:
        text = _without_includes(text.split("\n")[:-1], missing, unsure)
    if language == "sketch":
        text = _prepared_tabs(text, scanner, units)
    return SourceText(
        file=file,
        text=text,
        lines=lines,
        tokens=tokens,
        functions=functions,
        bodies=outer_functions(tokens),
        missing=missing,
        unsure=unsure,
        language=language,
        is_guessed=is_guessed,
        source=source,
        headers=frozenset(scanner.headers),
        units=units,
        c_units=c_units,
    )


def _with_whole_lines(source: str) -> str:
    text = with_plain_newlines(source)
    if not text.endswith("\n"):
        text += "\n"
    return text


def _lines_of(c_units: frozenset[int], bounds: Sequence[int]) -> list[range]:
    """Return the lines, from 1, of each of these sources; `bounds`: where sources begin, and the last line."""
    lines = []
    for number in sorted(c_units):
        lines.append(range(bounds[number - 1] + 1, bounds[number] + 1))
    return lines


def _units(marks: LineMarks) -> tuple[tuple[int, ...], frozenset[int]]:
    """Return the lines, from 0, at which further sources begin, and the numbers of those that are C beside C++.

    The program's first file says its language; in a program of C, and in a text without marks, all are alike.
    """
    units = []
    c_units = []
    for start, number, file in marks.marks:
        if number != 0:
            continue
        units.append(start - 2)
        if language_of_file(file) == "c":
            c_units.append(len(units))
    if not units or language_of_file(marks.marks[0][2]) == "c":
        return tuple(units), frozenset()
    return tuple(units), frozenset(c_units)


def _in_file(
    file: str, errors: Sequence[Diagnostic], language: Language, errors_in_c: Sequence[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Return a scanner's errors on headers, in the order of their lines, with the name of the file."""
    of_language = [*errors]
    if language == "c":
        of_language += errors_in_c
    of_language.sort(key=lambda error: error.line or 0)
    return tuple(replace(error, file=file) for error in of_language)


def _prepared_tabs(text: str, scanner: Scanner, units: tuple[int, ...]) -> str:
    """Prepare a sketch's tabs, which are one source in front of the others."""
    last_line = len(scanner.lines)
    if units:
        last_line = units[0]
    code = [token for token in scanner.code if token.line <= last_line]
    directives = [directive for directive in scanner.directives if directive[0].line <= last_line]
    return prepare_sketch(text, code, directives)


def _check_text(text: str, file: str) -> None:
    error = odd_character(text, file)
    lone = _SURROGATE.search(text)
    size_bytes = len(text.encode(errors="surrogatepass"))
    if lone is not None:
        message = f"the source is not valid UTF-8 at character {lone.start()}"
        error = Diagnostic("error", message, file, hint="save the program as plain UTF-8 text")
    elif size_bytes > MAX_SOURCE_BYTES:
        message = f"the source has {size_bytes} bytes, more than the limit of {MAX_SOURCE_BYTES}"
        error = Diagnostic("error", message, file, hint="leave large tables out, or compute them")
    elif not text.strip():
        error = Diagnostic("error", "the source is empty", file, hint="write at least void on_init(void)")
    if error is not None:
        raise BuildError((error,), stage="source")


def _join_lines(text: str) -> str:
    """Join lines that end in a backslash; the newlines go behind the joined line, so that line numbers stay."""
    return _SPLICED.sub(lambda lines: _SPLICE.sub("", lines[0]) + "\n" * lines[0].count("\n"), text)


def _without_includes(lines: Sequence[str], missing: tuple[Diagnostic, ...], unsure: tuple[Diagnostic, ...]) -> str:
    """Return the text without the #include directives of these headers. The rest of a line may begin a comment.

    Those that an #if may leave out become an #error with their number in `unsure`, which shows that it did not.
    """
    changed = list(lines)
    replacements = dict.fromkeys(missing, "")
    for number, header in enumerate(unsure):
        replacements[header] = f"#error {NOT_HERE}{number} "
    for header, instead in replacements.items():
        place = (header.line or 1) - 1
        directive = _PLAIN_INCLUDE.match(lines[place])
        if directive is None:
            raise BuildError((*missing, *unsure), stage="source")
        changed[place] = instead + lines[place][directive.end() :]
    return "\n".join((*changed, ""))
