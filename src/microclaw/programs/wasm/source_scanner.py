"""Splits a program's text into tokens and refuses what no compiler may see: the first wall (source_text.py)."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence
from typing import Final, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.refusals import refused_name
from microclaw.programs.wasm.source_language import STANDARD_HEADERS, Language, cplusplus_headers
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.tokens import SourceToken, texts_of
from microclaw.programs.wasm.toolchain import HEADERS
from microclaw.tables import read_table

NEAR_HEADER: Final = 0.78  # of difflib, above which a header counts as meant
_INTERNAL: Final = frozenset(words_of("internal"))
_TOKEN: Final = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>(?:u8|[uUL])?"(?:\\[^\n]|[^"\\\n])*")
      | (?P<char>[uUL]?'(?:\\[^\n]|[^'\\\n])*')
      | (?P<name>[^\W\d]\w*)
      | (?P<number>\.?[0-9](?:[eEpP][+-]|[\w.]|'(?=\w))*)
      | (?P<newline>\n)
      | (?P<hash>\#\#?|%:%:|%:)
      | (?P<space>[ \t\v\f]+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ROUND_QUOTES: Final = frozenset("\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u00b4")
_RAW_PREFIXES: Final = frozenset(("R", "LR", "uR", "UR", "u8R"))
_RAW_BEGIN: Final = re.compile(r'"([A-Za-z0-9_=~*+.:!|-]{0,16})\(')  # clang takes more signs; these are enough
_HEADER_NAME: Final = re.compile(r"[ \t]*(?:<([^>\n]*)>|\"([^\"\n]*)\")[ \t]*(?=\n|//|/\*|$)")
_SKETCH_HEADERS: Final = frozenset(words_of("sketch_headers"))
_NAME_IT_CPLUSPLUS: Final = "name the file .ino (a sketch) or .cpp"
_THERE_ARE: Final = (
    "there are microclaw.h, Arduino.h, Wire.h, SPI.h, Servo.h, Ticker.h, EEPROM.h, Preferences.h, WiFi.h, WebServer.h, "
    "HTTPClient.h, PubSubClient.h, those of the firmware (gpio.h, i2c.h, ledc.h, spi.h, uart.h, wasm_app.h) and of the "
    "C and C++ libraries"
)
_ALONE: Final = read_table(__package__, "names")["signs_alone"]
# options.toml makes errors of these where the preprocessor lets them pass, and no program may take that away.
ASSEMBLY: Final = frozenset(words_of("assembly"))
NO_ASSEMBLY: Final = "inline assembly is not allowed in a program"
OUR_NAMES: Final = "microclaw_"
RESERVED: Final = "__microclaw_"  # the shim's
_PROBES: Final = frozenset(words_of("probes"))
_CONDITIONS: Final = frozenset(words_of("conditions"))
_DIRECTIVES: Final = frozenset(words_of("directives")) | _CONDITIONS
_PRAGMAS: Final = frozenset(words_of("pragmas"))
_INCLUDES: Final = frozenset(words_of("includes"))


def header_names() -> frozenset[str]:
    """Return the headers that a program may include."""
    return own_header_names() | library_headers().keys()


@functools.cache
def own_header_names() -> frozenset[str]:
    """Return the headers that a program may include, without those of the libraries of parts."""
    paths = [path.relative_to(HEADERS) for path in HEADERS.rglob("*.h")]
    ours = frozenset(path.as_posix() for path in paths if path.parts[0] not in _INTERNAL)
    return ours | frozenset(words_of("cplusplus_headers")) | STANDARD_HEADERS


class Scanner(Struct):
    """Tokens of one source; refuses as soon as it meets something that must not reach the compiler."""

    file: str
    lines: tuple[str, ...]
    text: str
    language: Language | None
    c_lines: Sequence[range] = ()  # of the C sources of a program of C++
    headers: set[str] = set()
    code: list[SourceToken] = []  # the tokens that are in no directive
    directives: list[list[SourceToken]] = []
    has_raw_string: bool = False
    unsure: list[Diagnostic] = []
    missing: list[Diagnostic] = []  # reported together: a sketch for another firmware includes many
    # The headers that only a sketch has: what they are in a program that turns out to be C.
    unsure_in_c: list[Diagnostic] = []
    missing_in_c: list[Diagnostic] = []
    conditions: int = 0  # how many #if are open
    line: int = 1
    line_start: int = 0

    def scan(self) -> tuple[SourceToken, ...]:
        tokens: list[SourceToken] = []
        directive: list[SourceToken] | None = None
        line_begins = True
        position = 0
        while (match := _TOKEN.match(self.text, position)) is not None:
            kind = match.lastgroup or ""
            text = match[0]
            start = match.start()
            position = match.end()
            if text in _RAW_PREFIXES and self.text.startswith('"', position):
                position = self._raw_string(start, position, in_directive=directive is not None)
                kind = "string"
                text = self.text[start:position]
            token = SourceToken(kind, text, self.line, start - self.line_start + 1)
            if kind == "newline":
                self._end_directive(directive)
                directive = None
                line_begins = True
            newlines = text.count("\n")
            if newlines:
                self.line += newlines
                self.line_start = start + text.rindex("\n") + 1
            if kind in ("newline", "comment", "space"):
                continue
            self._check_token(token, position)
            tokens.append(token)
            if kind == "hash" and line_begins:
                directive = [token]
            elif directive is None:
                self._add_code(token)
            else:
                directive.append(token)
                if len(directive) == 2 and text in _INCLUDES:
                    position = self._include(token, position)
            line_begins = False
        return tuple(tokens)

    def _end_directive(self, directive: list[SourceToken] | None) -> None:
        if directive is not None:
            self.directives.append(directive)
            self._check_directive(directive[1:])

    def _add_code(self, token: SourceToken) -> None:
        # A prototype in front of it would make it a directive.
        if token.kind == "hash":
            self._refuse(token, "a # that does not begin its line", "put the directive on a line of its own")
        self.code.append(token)

    def _at(self, token: SourceToken, message: str, hint: str | None = None) -> Diagnostic:
        line = None
        if token.line <= len(self.lines):
            line = self.lines[token.line - 1]
        return Diagnostic("error", message, self.file, token.line, token.column, line, hint)

    def _refuse(self, token: SourceToken, message: str, hint: str | None = None) -> NoReturn:
        raise BuildError((*self.missing, self._at(token, message, hint)), stage="source")

    def _check_token(self, token: SourceToken, end: int) -> None:
        if not token.text.isascii() and token.kind not in ("string", "char"):
            hint = "leave it out, or write it in letters without accents"
            if token.text[0] in _ROUND_QUOTES:
                hint = "type plain quotes: a chat or an editor made these round"
            message = f"{token.text[:20]!r} outside of strings and comments: only ASCII is allowed there"
            self._refuse(token, message, hint)
        if token.kind == "other" and token.text in _ALONE:
            self._refuse(token, *_ALONE[token.text])
        if token.kind == "other" and token.text == "/" and self.text[end : end + 1] == "*":
            self._refuse(token, "a comment that does not end", "close it with */")
        if token.kind != "name":
            return
        for prefix in (OUR_NAMES, RESERVED):
            if token.text.startswith(prefix):
                message = f"{token.text}: names that begin with {prefix} are microclaw's own"
                self._refuse(token, message, "choose another name")
        if token.text in _PROBES:
            hint = "leave it out"
            if "has" in token.text:
                hint += ": which headers and macros there are is known"
            self._refuse(token, f"{token.text} is not allowed in a program", hint)

    def _raw_string(self, start: int, quote: int, *, in_directive: bool) -> int:
        """Return the end of a raw string, as clang finds it: it undoes joined lines in it, so those are refused."""
        token = SourceToken("string", self.text[start:quote], self.line, start - self.line_start + 1)
        if self._is_c(token):
            self._refuse(token, "raw strings are C++, and the file's name says C", 'write "..." with \\" and \\n in it')
        begin = _RAW_BEGIN.match(self.text, quote)
        self.has_raw_string = True
        if self.text[start - 1 : start] == "$":
            self._refuse(token, "$ before a raw string: to the compiler it is part of a name", "leave it out")
        if begin is None:
            self._refuse(token, 'a raw string begins with R"( or R"name(, a name of letters and digits', 'R"(text)"')
        close = f'){begin[1]}"'
        end = self.text.find(close, begin.end())
        if end < 0:
            self._refuse(token, "a raw string that does not end", f"close it with {close}")
        end += len(close)
        lines = self.lines[self.line - 1 : self.line + self.text.count("\n", start, end)]
        if any(line.rstrip(" \t\v\f").endswith("\\") for line in lines):
            self._refuse(token, "a raw string on a line that ends with a backslash", "put it on lines of its own")
        if in_directive and len(lines) > 1:
            self._refuse(token, "a raw string of several lines in a macro", "make it a const char *")
        return end

    def _include(self, keyword: SourceToken, position: int) -> int:
        """Check the header's name after #include, and return where to read on."""
        match = _HEADER_NAME.match(self.text, position)
        if keyword.text != "include":
            self._refuse(
                keyword, f"#{keyword.text} is not allowed in a program", "use #include with one of microclaw's headers"
            )
        if match is None:
            self._refuse(keyword, "#include needs the name of a header, in <> or quotes", "#include <microclaw.h>")
        name = match[1] or match[2] or ""
        self.headers.add(name)
        if self._is_c(keyword) and name in cplusplus_headers() | STANDARD_HEADERS:
            message = f"{name} is C++, and the file's name says C"
            self._refuse(keyword, message, _NAME_IT_CPLUSPLUS)
        if name not in header_names():
            self._note_missing(keyword, name)
        elif name in _SKETCH_HEADERS:
            self._note_sketch_header(keyword, name)
        return match.end()

    def _note_sketch_header(self, keyword: SourceToken, name: str) -> None:
        """Note the error for the case that the program turns out to be C."""
        refusal = refused_name(name, headers=True)
        if refusal is None:
            error = self._at(keyword, f"{name} is C++, and the file's name says C", _NAME_IT_CPLUSPLUS)
        else:
            error = self._at(keyword, f"there is no header {name!r} for programs", refusal.hint)
            error = replace(error, explanation=refusal.explanation)
        if self.conditions:
            self.unsure_in_c.append(error)
        else:
            self.missing_in_c.append(error)

    def _is_c(self, token: SourceToken) -> bool:
        return self.language == "c" or any(token.line in lines for lines in self.c_lines)

    def _note_missing(self, keyword: SourceToken, name: str) -> None:
        message = f"there is no header {name!r} for programs"
        refusal = None
        if ".." not in name:
            refusal = refused_name(name, headers=True)
        if refusal is not None:
            error = replace(self._at(keyword, message, refusal.hint), explanation=refusal.explanation)
        else:
            near = difflib.get_close_matches(name, header_names(), n=1, cutoff=NEAR_HEADER)
            hint = f"{_THERE_ARE}; "
            if near:
                hint = f"did you mean <{near[0]}>? "
            own = "a file of your own goes into the program's text, or lies beside its file"
            error = self._at(keyword, message, hint + own)
        if self.conditions:
            self.unsure.append(error)
        elif refusal is not None:
            self.missing.append(error)
        else:
            raise BuildError((*self.missing, error), stage="source")

    def _check_directive(self, tokens: list[SourceToken]) -> None:
        if not tokens:
            return
        keyword = tokens[0]
        rest = texts_of(tokens[1:])
        if keyword.text in ("if", "ifdef", "ifndef"):
            self.conditions += 1
        elif keyword.text == "endif":
            self.conditions = max(0, self.conditions - 1)
        if keyword.text in ("define", "undef") and rest[:1] and rest[0] in ASSEMBLY:
            self._refuse(tokens[1], f"{rest[0]}: {NO_ASSEMBLY}", "leave it out")
        if keyword.text == "define" and rest[1:2] == ["="]:
            message = "a macro is what stands behind its name, and this one begins with ="
            self._refuse(tokens[2], message, f"#define {rest[0]} 1")
        if keyword.text == "pragma":
            if rest[:1] and (rest[0] in _PRAGMAS or rest[:2] in (["clang", "loop"], ["GCC", "unroll"])):
                return
            self._refuse(keyword, f"#pragma {' '.join(rest[:2])} is not allowed in a program", "leave it out")
        if keyword.text not in _DIRECTIVES and keyword.text not in _INCLUDES:
            self._refuse(keyword, f"#{keyword.text} is not allowed in a program", "leave it out")
