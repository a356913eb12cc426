"""A program's source as text and tokens; refuses what no compiler may see. Compiles nothing.

The text comes from a language model, and the compiler must not read the host's files. So only our own headers may be
included, there is no #embed and no assembly, and no lexical trick by which clang would see other tokens than this file.
The second wall is the compiler's flags (toolchain.py), the third the list of files that it really read (compile.py).
"""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.refusals import refused_header
from microclaw.wasm.sketch import prepare_sketch
from microclaw.wasm.source_language import CPLUSPLUS_HEADERS, STANDARD_HEADERS, SUFFIX, Language, guess_language
from microclaw.wasm.tokens import Token
from microclaw.wasm.toolchain import HEADERS

MAX_SOURCE_BYTES: Final = 256 << 10
NEAR_HEADER: Final = 0.78  # of difflib, above which a header counts as meant
INTERNAL_HEADERS: Final = frozenset(
    (
        *("pin_marks.h", "plain_format.h", "name.h", "shim/shim.h"),
        *("arduino/core.h", "arduino/numbers.h", "arduino/serial.h", "arduino/string.h"),
        *("glue/glue.h", "glue/data_seq.h", "glue/sensors.h", "glue/arduino.h"),
        *("libc/libc.h", "libc/decimal.h", "libc/format.h", "libc/real.h", "libcxx/begin.h", "libcxx/end.h"),
    )
)

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
_RAW_BEGIN: Final = re.compile(r'"([A-Za-z0-9_]{0,16})\(')  # clang takes more signs; these are enough
_SPLICE: Final = re.compile(r"\\[ \t\v\f]*\n")
_HEADER_NAME: Final = re.compile(r"[ \t]*(?:<([^>\n]*)>|\"([^\"\n]*)\")[ \t]*(?=\n|//|/\*|$)")
_PLAIN_INCLUDE: Final = re.compile(r"[ \t]*#[ \t]*include[ \t]*(?:<[^>\n]*>|\"[^\"\n]*\")")
_ASSEMBLY: Final = frozenset(("asm", "__asm", "__asm__"))
_OUR_NAMES: Final = "microclaw_"  # and __microclaw_, which is the shim's
_PROBES: Final = frozenset(("__has_include", "__has_include_next", "__has_embed", "_Pragma", "__pragma"))
_CONDITIONS: Final = frozenset(("if", "ifdef", "ifndef", "elif", "elifdef", "elifndef", "else", "endif"))
_DIRECTIVES: Final = frozenset(("define", "undef", "error", "warning")) | _CONDITIONS
_PRAGMAS: Final = frozenset(("once", "pack", "unroll", "nounroll", "STDC"))
_INCLUDES: Final = frozenset(("include", "import", "include_next", "embed"))


@dataclass(frozen=True, slots=True)
class SourceText:
    """A checked source: `text` goes to the compiler, under the name `file`. Empty: a module came without it."""

    file: str
    text: str
    lines: tuple[str, ...]
    tokens: tuple[Token, ...]
    missing: tuple[Diagnostic, ...] = ()  # headers of another firmware; `text` is without them
    language: Language = "c"
    is_guessed: bool = False  # the language, from the text
    has_llmos_pins: bool = False  # it opens pins as LLMos's examples do
    standard_headers: tuple[str, ...] = ()  # of C++'s library, sorted

    def line(self, number: int) -> str | None:
        """The text of a line, counted from 1; None when there is no such line."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else None

    def find_name(self, name: str) -> tuple[int, int] | None:
        """Where an identifier is called first (a name before it makes it a declaration), else where it stands first."""
        first = None
        for number, token in enumerate(self.tokens):
            if token.kind == "name" and token.text == name:
                place = (token.line, token.column)
                first = first or place
                before = self.tokens[number - 1].text if number else ""
                after = self.tokens[number + 1].text if number + 1 < len(self.tokens) else ""
                if after == "(" and (before in ("return", "else", "do") or not before[-1:].isidentifier()):
                    return place
        return first

    def find_definition(self, name: str) -> tuple[int, int] | None:
        """Where a function's body begins."""
        depth, head = 0, False
        for number, token in enumerate(self.tokens):
            if token.text == "{":
                if depth == 0 and head:
                    return token.line, token.column
                depth += 1
            elif token.text == "}":
                depth, head = max(0, depth - 1), False
            elif depth == 0 and token.text == ";":
                head = False
            elif depth == 0 and token.kind == "name" and token.text == name:
                head = number + 1 < len(self.tokens) and self.tokens[number + 1].text == "("
        return None

    def loop_lines(self, function: str | None) -> list[int]:
        """The lines of the loops of a function, or of the whole program, in the order of the source."""
        begin = (1, 1) if function is None else self.find_definition(function)
        depth, lines, closes = 0, list[int](), list[int]()
        for number, token in enumerate(self.tokens):
            if begin is None or (token.line, token.column) < begin:
                continue
            depth += (token.text == "{") - (token.text == "}")
            if function is not None and depth == 0:
                break
            after_block = number > 0 and self.tokens[number - 1].text in ("}", ";")
            if token.text == "while" and after_block and closes and closes[-1] == depth:
                closes.pop()  # of a do
            elif token.text in ("for", "while", "do"):
                lines.append(token.line)
                closes += [depth] if token.text == "do" else []
        return lines

    def find_tokens(self, *words: str) -> tuple[int, int] | None:
        """Where these tokens follow each other first."""
        for number, token in enumerate(self.tokens):
            if token.text == words[0] and words == tuple(t.text for t in self.tokens[number : number + len(words)]):
                return token.line, token.column
        return None

    def find_string(self, fragment: str) -> tuple[int, int] | None:
        """Where a string literal contains a fragment."""
        for token in self.tokens:
            if token.kind == "string" and fragment in token.text:
                return token.line, token.column
        return None


def read_source(
    source: str, name: str, board: BoardProfile | None = None, language: Language | None = None
) -> SourceText:
    """Check a program's text and split it into tokens; BuildError names the line of what is refused.

    Headers of another firmware are left out of the text and listed in `missing`: the compiler then finds what else such
    a program uses that does not exist here. Without a language the text says which it is. `text` of a sketch is what
    the compiler is to read (sketch.py), `lines` are the person's.
    """
    file = f"{name}{SUFFIX[language or 'c']}"
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    _check_text(text, file)
    if not text.endswith("\n"):
        text += "\n"
    lines = tuple(text.split("\n")[:-1])
    scanner = _Scanner(file, lines, _join_lines(text), board, language)
    tokens = scanner.scan()
    guessed = language is None
    language = language or guess_language(tokens, scanner.headers)
    if scanner.has_raw_string and language == "c":
        language = "c++"
    file = f"{name}{SUFFIX[language]}"
    missing = tuple(replace(found, file=file) for found in scanner.missing)
    if missing:
        text = _without_includes(lines, missing)
    if language == "sketch":
        text = prepare_sketch(text, tokens)
    has_llmos_pins = any(token.text == '"/dev/gpio"' for token in tokens)
    standard = tuple(sorted(scanner.headers & STANDARD_HEADERS))
    return SourceText(file, text, lines, tokens, missing, language, guessed, has_llmos_pins, standard)


@functools.cache
def header_names() -> frozenset[str]:
    """The headers that a program may include."""
    ours = frozenset(path.relative_to(HEADERS).as_posix() for path in HEADERS.rglob("*.h"))
    return (ours | CPLUSPLUS_HEADERS | STANDARD_HEADERS) - INTERNAL_HEADERS


def _check_text(text: str, file: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        message = f"the source is not valid UTF-8 at character {exc.start}"
        raise _refusal(Diagnostic("error", message, file, hint="save the program as plain UTF-8 text")) from exc
    if size > MAX_SOURCE_BYTES:
        message = f"the source has {size} bytes, more than the limit of {MAX_SOURCE_BYTES}"
        raise _refusal(Diagnostic("error", message, file, hint="leave large tables out, or compute them"))
    if not text.strip():
        raise _refusal(Diagnostic("error", "the source is empty", file, hint="write at least void on_init(void)"))
    for position, char in enumerate(text):
        if (char < " " and char not in "\t\n\v\f") or char == "\x7f":
            line = text.count("\n", 0, position) + 1
            message = f"a control character (0x{ord(char):02x}) in the source"
            raise _refusal(Diagnostic("error", message, file, line, hint="save the program as plain UTF-8 text"))


def _join_lines(text: str) -> str:
    """Join lines that end in a backslash; the newlines go behind the joined line, so that line numbers stay."""
    if "\\" not in text:
        return text
    joined = []
    pending = 0
    for line in _SPLICE.sub("\\\\\n", text).split("\n"):
        if line.endswith("\\"):
            joined.append(line[:-1])
            pending += 1
        else:
            joined.append(line + "\n" * (pending + 1))
            pending = 0
    return "".join(joined)


def _without_includes(lines: tuple[str, ...], missing: tuple[Diagnostic, ...]) -> str:
    """The text without the #include directives of these headers. The rest of a line stays: it may begin a comment."""
    left = list(lines)
    for found in missing:
        place = (found.line or 1) - 1
        directive = _PLAIN_INCLUDE.match(lines[place])
        if directive is None:
            raise BuildError(missing, stage="source")
        left[place] = lines[place][directive.end() :]
    return "\n".join((*left, ""))


def _refusal(diagnostic: Diagnostic) -> BuildError:
    return BuildError((diagnostic,), stage="source")


class _Scanner:
    """Tokens of one source; refuses as soon as it meets something that must not reach the compiler."""

    def __init__(
        self, file: str, lines: tuple[str, ...], text: str, board: BoardProfile | None, language: Language | None
    ) -> None:
        self._file = file
        self._lines = lines
        self._text = text
        self._line = 1
        self._line_start = 0
        self._board = board
        self._language = language
        self.headers: set[str] = set()
        self.has_raw_string = False
        self.missing: list[Diagnostic] = []  # reported together: a sketch for another firmware includes many

    def scan(self) -> tuple[Token, ...]:
        tokens: list[Token] = []
        directive: list[Token] | None = None
        line_begins = True
        position = 0
        while (match := _TOKEN.match(self._text, position)) is not None:
            kind, text, start, position = match.lastgroup or "", match[0], match.start(), match.end()
            if text in _RAW_PREFIXES and self._text.startswith('"', position):
                position = self._raw_string(start, position, in_directive=directive is not None)
                kind, text = "string", self._text[start:position]
            token = Token(kind, text, self._line, start - self._line_start + 1)
            if kind == "newline":
                if directive is not None:
                    self._check_directive(directive)
                directive, line_begins = None, True
            if kind in ("newline", "comment", "string"):
                self._count_lines(text, start)
            if kind in ("newline", "comment", "space"):
                continue
            self._check_token(token, position)
            tokens.append(token)
            if kind == "hash" and line_begins:
                directive = []
            elif directive is not None:
                directive.append(token)
                if len(directive) == 1 and text in _INCLUDES:
                    position = self._include(token, position)
            line_begins = False
        return tuple(tokens)

    def _count_lines(self, text: str, start: int) -> None:
        newlines = text.count("\n")
        if newlines:
            self._line += newlines
            self._line_start = start + text.rindex("\n") + 1

    def _at(self, token: Token, message: str, hint: str | None = None) -> Diagnostic:
        line = self._lines[token.line - 1] if token.line <= len(self._lines) else None
        return Diagnostic("error", message, self._file, token.line, token.column, line, hint)

    def _refuse(self, token: Token, message: str, hint: str | None = None) -> NoReturn:
        raise BuildError((*self.missing, self._at(token, message, hint)), stage="source")

    def _check_token(self, token: Token, end: int) -> None:
        if not token.text.isascii() and token.kind not in ("string", "char"):
            hint = "type plain quotes: a chat or an editor made these round" if token.text[0] in _ROUND_QUOTES else None
            message = f"{token.text[:20]!r} outside of strings and comments: only ASCII is allowed there"
            self._refuse(token, message, hint or "leave it out, or write it in letters without accents")
        if token.text == "`":
            self._refuse(token, "` is neither C nor C++", "leave Markdown's lines with ``` out")
        if token.kind == "other" and token.text in "\"'":
            self._refuse(
                token, f"no closing {token.text} on this line", "close it, or put \\n where the line is to end"
            )
        if token.kind == "other" and token.text == "\\":
            self._refuse(
                token, "a backslash outside of a string", "leave it out; to go on in the next line it is the last sign"
            )
        if token.kind == "other" and token.text == "/" and self._text[end : end + 1] == "*":
            self._refuse(token, "a comment that does not end", "close it with */")
        if token.kind != "name":
            return
        if token.text in _ASSEMBLY:
            self._refuse(token, f"{token.text}: inline assembly is not allowed in a program", "write it in C")
        if token.text.startswith(_OUR_NAMES):
            message = f"{token.text}: names that begin with {_OUR_NAMES} are microclaw's own"
            self._refuse(token, message, "choose another name")
        if token.text in _PROBES:
            hint = (
                "leave it out: which headers and macros there are is known" if "has" in token.text else "leave it out"
            )
            self._refuse(token, f"{token.text} is not allowed in a program", hint)

    def _raw_string(self, start: int, quote: int, *, in_directive: bool) -> int:
        """Where a raw string ends, as clang finds it: it undoes joined lines in it, so those are refused."""
        token = Token("string", self._text[start:quote], self._line, start - self._line_start + 1)
        if self._language == "c":
            self._refuse(token, "raw strings are C++, and the file's name says C", 'write "..." with \\" and \\n in it')
        begin = _RAW_BEGIN.match(self._text, quote)
        self.has_raw_string = True
        if self._text[start - 1 : start] == "$":
            self._refuse(token, "$ before a raw string: to the compiler it is part of a name", "leave it out")
        if begin is None:
            self._refuse(token, 'a raw string begins with R"( or R"name(, a name of letters and digits', 'R"(text)"')
        close = f'){begin[1]}"'
        end = self._text.find(close, begin.end())
        if end < 0:
            self._refuse(token, "a raw string that does not end", f"close it with {close}")
        end += len(close)
        lines = self._lines[self._line - 1 : self._line + self._text.count("\n", start, end)]
        if any(line.rstrip(" \t\v\f").endswith("\\") for line in lines):
            self._refuse(token, "a raw string on a line that ends with a backslash", "put it on lines of its own")
        if in_directive and len(lines) > 1:
            self._refuse(token, "a raw string of several lines in a macro", "make it a const char *")
        return end

    def _include(self, keyword: Token, position: int) -> int:
        """Check the header's name after #include; returns where to read on."""
        match = _HEADER_NAME.match(self._text, position)
        if keyword.text != "include":
            self._refuse(
                keyword, f"#{keyword.text} is not allowed in a program", "use #include with one of microclaw's headers"
            )
        if match is None:
            self._refuse(keyword, "#include needs the name of a header, in <> or quotes", "#include <microclaw.h>")
        name = match[1] or match[2] or ""
        self.headers.add(name)
        if self._language == "c" and name in CPLUSPLUS_HEADERS | STANDARD_HEADERS:
            message = f"{name} is C++, and the file's name says C"
            self._refuse(keyword, message, "name the file .ino (a sketch) or .cpp")
        if name not in header_names():
            refusal = None if ".." in name else refused_header(name, self._board)
            message = f"there is no header {name!r} for programs"
            if refusal is None:
                near = difflib.get_close_matches(name, header_names(), n=1, cutoff=NEAR_HEADER)
                hint = f"did you mean <{near[0]}>? " if near else f"ours are {', '.join(sorted(header_names()))}; "
                self._refuse(keyword, message, f"{hint}a file of your own goes into the program's text: it is one file")
            found = self._at(keyword, message, refusal.instead)
            self.missing.append(replace(found, explanation=refusal.why))
        return match.end()

    def _check_directive(self, tokens: list[Token]) -> None:
        if not tokens:
            return
        keyword, rest = tokens[0], [token.text for token in tokens[1:]]
        if keyword.text == "define" and rest[1:2] == ["="]:
            message = "a macro is what stands behind its name, and this one begins with ="
            self._refuse(tokens[2], message, f"#define {rest[0]} 1")
        if keyword.text == "pragma":
            if rest[:1] and (rest[0] in _PRAGMAS or rest[:2] in (["clang", "loop"], ["GCC", "unroll"])):
                return
            self._refuse(keyword, f"#pragma {' '.join(rest[:2])} is not allowed in a program", "leave it out")
        if keyword.text not in _DIRECTIVES and keyword.text not in _INCLUDES:
            self._refuse(keyword, f"#{keyword.text} is not allowed in a program", "leave it out")
