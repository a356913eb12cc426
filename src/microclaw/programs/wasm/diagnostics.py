"""Turns the output of clang and wasm-ld into `Diagnostic` values with explanations and hints. Runs nothing."""

from __future__ import annotations

import bisect
import difflib
import functools
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import Diagnostic
from microclaw.programs.wasm.follow_up_errors import UNKNOWN, folded
from microclaw.programs.wasm.part_libraries import libraries_for, library_headers, library_roots
from microclaw.programs.wasm.part_readings import reading_names
from microclaw.programs.wasm.refusals import Advice, refused_name
from microclaw.programs.wasm.source_scanner import ASSEMBLY, NO_ASSEMBLY, own_header_names
from microclaw.programs.wasm.source_text import NOT_HERE, SourceText
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.toolchain import HEADERS, find_toolchain
from microclaw.tables import read_table
from microclaw.text import code_lines

Severity: TypeAlias = Literal["error", "warning"]
_TEXT: Final = re.compile(r"(?:const )?(?:unsigned )?char ?(?:\*|\[\d*\])(?: ?const)?")
_ALIAS: Final = re.compile(r"\(aka '([^']*)'\)")


def explained(found: Diagnostic, source: SourceText) -> Diagnostic:
    """The finding with the explanation and the hint of the first lesson that fits, if it has none of its own."""
    for lesson in read_table(__package__, "lessons")["lesson"]:
        match = re.match(lesson["says"], found.message)
        if match is None:
            continue
        words = {
            "token": _token_before(source, found.line, found.column),
            "spec": _conversion(found.message, match),
            "member": _member(next(iter(match.groups()), None) or "", source),
        }
        why, do = (text and text.format(*match.groups(), **words) for text in map(lesson.get, ("why", "do")))
        return replace(found, explanation=found.explanation or why, hint=found.hint or do)
    return found


def _token_before(source: SourceText, line: int | None, column: int | None) -> str:
    """The last token before a place, as a person sees it."""
    behind = bisect.bisect_left(source.tokens, (line or 0, column or 0), key=lambda token: token.place)
    before = source.tokens[max(0, behind - 1) : behind]
    if before:
        return f'"{before[0].text}" in line {before[0].line}'
    return "the beginning"


def _conversion(message: str, match: re.Match[str]) -> str:
    """The way to print a value of the type that a message names."""
    alias = _ALIAS.search(message)
    if alias is not None:
        kind = alias[1]
    else:
        kind = next(iter(match.groups()), None) or ""
    if _TEXT.fullmatch(kind):
        spec = "%s"
    else:
        spec = read_table(__package__, "lessons")["specs"].get(kind)
    if spec is not None:
        return f"print {'a text' if spec == '%s' else kind} with {spec}"
    if "*" in kind:
        return "use %p for an address, or print the value that it points at"
    return "print its parts one by one"


def _member(name: str, source: SourceText) -> str:
    """The replacement for a member that an object does not have."""
    libraries = tuple(library.root for library in libraries_for(source.headers))
    methods = [method for method in _methods(libraries) if method != name]
    near = difflib.get_close_matches(name, methods, n=1, cutoff=NEAR)
    if near:
        return f"did you mean {near[0]}?"
    return "use a member of its definition, or add this one there"


@functools.cache
def _methods(libraries: tuple[Path, ...]) -> tuple[str, ...]:
    """The functions of the classes in our C++ headers and in those of these libraries."""
    files = [*(HEADERS / "arduino").glob("*.h")]
    files += [HEADERS / name for name in words_of("cplusplus_headers") if name.endswith(".h")]
    for root in libraries:
        files += root.glob("*.h")
    methods: set[str] = set()
    for file in files:
        methods.update(_METHOD.findall(_PRIVATE.sub("", file.read_text(encoding="utf-8"))))
    return tuple(sorted(methods))


MAX_DIAGNOSTICS: Final = 20
NEAR: Final = 0.78  # of difflib, above which a name counts as meant
TIMER_HINT: Final = "every and after need on_timer_callback for themselves: use them or the firmware's timers, not both"
_DIRECTIONS: Final = "pass GPIO_IN or GPIO_OUT, as in gpio_open(4, GPIO_OUT)"
_LINE: Final = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?P<severity>fatal error|error|warning|note): (?P<text>.*)$"
)
_BACKEND: Final = re.compile(r"^(?:<unknown>:0:0: )?(error|warning): (?:<unknown>:0:0: )?(?=stack frame size)")
# A mismatch of types is an error but for these two sizes of integer, which are one on this target as on every ESP32.
_FORMAT: Final = " [-Wformat]"
_FORMAT_TYPES: Final = re.compile(
    r"format specifies type '([^']*)'(?: \(aka '([^']*)'\))? but the argument has (?:underlying )?type '([^']*)'"
    r"(?: \(aka '([^']*)'\))?"
)
_INT_OR_LONG: Final = re.compile(r"(?:unsigned )?(?:int|long)( \*)?")
_TELLING: Final = re.compile(r"here$|is here$|^to match this")  # other remarks tell how to silence a warning
_OPTION: Final = re.compile(r" \[-W[\w=,-]+\]$")
_LINKER: Final = re.compile(r"^wasm-ld: (?P<severity>error|warning): (?:(?P<object>\S+\.o): )?(?P<text>.*)$")
_MARK: Final = re.compile(
    r"^microclaw mark (?P<what>gpio|pwm|sda|scl)(?::(?P<role>\w+)@(?P<header>[\w.-]+))? (?P<fact>\w+)$"
)
_NOISE: Final = re.compile(r"; ISO C99 and later do not support implicit function declarations$")
_OPENING: Final = {
    "gpio": ("gpio_open", "pinMode", "digitalWrite", "digitalRead", "pulseIn", "attachInterrupt"),
    "pwm": ("pwm_open", "analogWrite", "tone", "attach"),
}
_QUOTED: Final = re.compile(r"'([A-Za-z_]\w*)'")
_METHOD: Final = re.compile(r"\b([a-z]\w+)\(")
_CLASS: Final = re.compile(r"^class (\w+)", re.MULTILINE)
_PRIVATE: Final = re.compile(r"private:.*?^\s*};", re.DOTALL | re.MULTILINE)
_MACROS: Final = re.compile(r" (?:__attribute__|PIN_MARKS_|MARK_|HANDLE_)")
_BELOW: Final = "it is defined further down, and the compiler reads from top to bottom"
_MEANT: Final = re.compile(r"; did you mean .*$")
_IN_STD: Final = re.compile(r"no member named '\w+' in namespace 'std'")
_DECLARATION: Final = re.compile(
    r"^#define (\w+)|^typedef [^{;]*?(\w+);|^\} (\w+);"
    r"|^(?:static inline |__attribute__\S+ )?[a-z][\w ]*?[ *](\w+)\(",
    re.M,
)


class _MarkKey(NamedTuple):
    """Where a pin is named, what it is for, and the parameter and the header of a part's library."""

    line: int
    column: int
    what: str
    role: str
    header: str


class PinMark(Struct, frozen=True):
    """A pin that the source opens with a number known at compile time; pin -1 is none that any chip has."""

    pin: int
    what: Literal["gpio", "pwm", "sda", "scl"]
    output: bool
    pull: bool
    line: int
    column: int
    # Of a part's library: the parameter's name, and the header that declares what is called.
    role: str = ""
    header: str = ""


class CompilerReport(Struct, frozen=True):
    """One run of the compiler: the findings, and the pins that pin_marks.h made it name."""

    diagnostics: tuple[Diagnostic, ...] = ()
    marks: tuple[PinMark, ...] = ()
    reached: tuple[int, ...] = ()  # of the source's `unsure` headers

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == "error")


def read_compiler_output(output: str, source: SourceText) -> CompilerReport:
    """Findings, errors first, at most 20, and the pins that are named."""
    found: list[Diagnostic] = []
    assembly = _assembly_findings(source)
    facts: dict[_MarkKey, set[str]] = {}
    reached: set[int] = set()
    noted = False
    for line in code_lines(output):
        match = _LINE.match(_BACKEND.sub(r"<unknown>:0:0: \1: ", line))
        if match is None:
            continue
        if _is_int_for_long(match["text"]):
            noted = True
            continue
        text = _OPTION.sub("", match["text"])
        if match["severity"] == "note":
            if found and not noted and _TELLING.search(text):
                found[-1] = _with_note(found[-1], match, text, source)
            noted = noted or match["file"] == source.file or not _is_standard(match["file"])
            continue
        if text.startswith(NOT_HERE):
            reached.add(int(text.removeprefix(NOT_HERE).split()[0]))
            continue
        place = (int(match["line"]), int(match["column"]))
        mark = _MARK.match(text)
        if mark is not None:
            key = _MarkKey(*place, mark["what"], mark["role"] or "", mark["header"] or "")
            facts.setdefault(key, set()).add(mark["fact"])
        elif match["file"] == source.file and match["severity"] != "warning" and place[0] in assembly:
            # Whatever the compiler finds there, and however often.
            found.extend(assembly[place[0]])
            assembly[place[0]] = []
            noted = True
        else:
            found.append(_finding(match, text, place, source))
            noted = False
    undirected = ((key.line, key.column) for key, words in facts.items() if "undirected" in words)
    found.extend(at(source, place, "gpio_open has no direction", _DIRECTIONS) for place in undirected)
    found = [explained(d, source) for d in (_told_once(found) if source.standard_headers else found)]
    if not (source.missing or reached):
        found = list(folded((), found, source))
    found.sort(key=lambda d: d.severity != "error")
    marks = tuple(_pin_mark(key, words, source) for key, words in sorted(facts.items()) if "known" in words)
    return CompilerReport(tuple(found[:MAX_DIAGNOSTICS]), marks, tuple(sorted(reached)))


def _assembly_findings(source: SourceText) -> dict[int, list[Diagnostic]]:
    """Return the refusal of each line with inline assembly, for those that the preprocessor does not leave out."""
    findings = {}
    for token in source.tokens:
        if token.text in ASSEMBLY:
            is_embedded = "_binary_" in (source.line(token.line) or "")
            hint = "lay the embedded file beside the source" if is_embedded else "write it in C"
            findings[token.line] = [at(source, token.place, NO_ASSEMBLY, hint)]
    return findings


def _told_once(found: list[Diagnostic]) -> list[Diagnostic]:
    """Without what goes on inside of C++'s headers: of a call that they cannot serve, the first finding tells."""
    kept: dict[object, Diagnostic] = {}
    for each in found:
        if not (each.file.startswith("<") and any(other.severity == "error" for other in kept.values())):
            kept.setdefault((each.file, each.line, each.column, each.severity), each)
    return list(kept.values())


def read_linker_output(output: str, source: SourceText) -> tuple[Diagnostic, ...]:
    """The linker's findings, with the line where the named symbol stands in the source."""
    found = []
    for line in code_lines(output):
        match = _LINKER.match(line)
        if match is None:
            continue
        name = re.search(r"(?:symbol|mismatch): (\w+)", match["text"])
        found.append(at(source, source.find_name(name[1]) if name is not None else None, match["text"]))
    return tuple(found[:MAX_DIAGNOSTICS])


def at(
    source: SourceText,
    place: tuple[int, int] | None,
    message: str,
    hint: str | None = None,
    *,
    explanation: str | None = None,
    severity: Severity = "error",
) -> Diagnostic:
    """A finding at a place of the source, with that line's text; without a line if the place is not known."""
    line, column = place or (None, None)
    if line is not None:
        text = source.line(line)
    else:
        text = None
    return Diagnostic(severity, message, source.file, line, column, text, hint, explanation)


def with_advice(diagnostic: Diagnostic, advice: Advice | None) -> Diagnostic:
    """The finding with the advice about its name."""
    if advice is None:
        return diagnostic
    return replace(diagnostic, hint=advice.hint, explanation=advice.explanation)


def advice_on(name: str, *, with_arduino: bool = True) -> Advice:
    """The advice on an unknown name: its replacement, the header that has it, or the nearest that exists."""
    library = _library_classes().get(name)
    if library is not None:
        return Advice(f"add #include <{library}>")
    refusal = refused_name(name)
    names = declared_names()
    if refusal is not None and not (refusal.by_pattern and name in names):
        return refusal
    if name in names:
        return Advice(f"add #include <{names[name]}>")
    offered = [other for other, header in names.items() if with_arduino or header != "Arduino.h"]
    swapped = [other for other in offered if len(other) == len(name) and sorted(other) == sorted(name)]
    near = swapped or difflib.get_close_matches(name, offered, n=1, cutoff=NEAR)
    if near:
        return Advice(f"did you mean {near[0]} (of {names[near[0]]})?")
    return Advice(f"define {name} before it is used, or leave it out", "the program does not define it, nor any header")


def declared_names() -> Mapping[str, str]:
    """Every name that a header offers, with the header; microclaw.h first, and the libraries of parts last."""
    readings = dict.fromkeys(reading_names(), "microclaw.h")
    return {**_library_classes(), **_own_names(), **readings}


def _library_classes() -> Mapping[str, str]:
    """The classes of the libraries of parts, each with its header."""
    headers: dict[str, str] = {}
    for header, root in library_headers().items():
        for name in _classes(root / header):
            headers.setdefault(name, header)
    return headers


@functools.cache
def _classes(header: Path) -> tuple[str, ...]:
    """The classes of a library's header."""
    return tuple(_CLASS.findall(header.read_text(encoding="utf-8")))


@functools.cache
def _own_names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for path in sorted(HEADERS.rglob("*.h"), key=lambda p: (p.name != "microclaw.h", p.name)):
        header = path.relative_to(HEADERS).as_posix()
        if header not in own_header_names():
            continue
        for groups in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            names.setdefault(next(filter(None, groups)), header)
    return names


def _pin_mark(key: _MarkKey, facts: set[str], source: SourceText) -> PinMark:
    """A pin from the bits that pin_marks.h printed. clang points behind the call, this points at its name."""
    line = key.line
    column = key.column
    what = key.what
    if "outside" in facts:
        pin = -1
    else:
        pin = sum(int(fact) for fact in facts if fact.isdecimal())
    text = source.line(line) or ""
    begin = max(text.rfind(name, 0, column) for name in _OPENING.get(what, ("i2c_open",)))
    return PinMark(
        pin,
        cast(Literal["gpio", "pwm", "sda", "scl"], what),
        "output" in facts,
        "pull" in facts,
        line,
        begin + 1 if begin >= 0 else column,
        key.role,
        key.header,
    )


def _finding(match: re.Match[str], text: str, place: tuple[int, int], source: SourceText) -> Diagnostic:
    is_mild = match["severity"] == "warning" and not match["text"].endswith(_FORMAT)
    severity: Severity = "warning" if is_mild else "error"
    own = match["file"] == source.file
    if match["file"] == "<unknown>":
        return _backend_finding(severity, text, source)
    if not own and not _is_ours(match["file"]) and not (source.standard_headers and _is_standard(match["file"])):
        return Diagnostic("error", "the program makes the compiler read a file of the host", source.file)
    text = _NOISE.sub("", text)
    file = source.file if own else PurePosixPath(match["file"]).name
    if _is_standard(match["file"]):
        file = f"<{file}>"
    found = Diagnostic(severity, text, file, *place, source.line(place[0]) if own else None)
    quoted = _QUOTED.search(text)
    if quoted is None or not (UNKNOWN.match(text) or _IN_STD.match(text)):
        return found
    if source.find_definition(quoted[1]) is not None and source.language == "c":
        return with_advice(found, Advice(f"put {quoted[1]} above its first use, or its prototype", _BELOW))
    if _MEANT.search(text) is None:
        if "'std'" in text:
            name = "std"
        else:
            name = quoted[1]
        includes_it = source.find_string("Arduino.h") is not None or "<Arduino.h>" in source.text
        has_arduino = source.language == "sketch" or includes_it
        return with_advice(found, advice_on(name, with_arduino=has_arduino))
    refusal = refused_name(quoted[1])  # Serial2 is not a slip of the pen
    if refusal is None or refusal.by_pattern:
        meant = _QUOTED.search(text, text.index("did you mean"))
        if meant is not None:
            return replace(found, hint=f"write {meant[1]}")
        return found
    return with_advice(replace(found, message=_MEANT.sub("", text)), refusal)


def _is_ours(path: str) -> bool:
    """True if a file that the compiler names is one of our headers, or of a part's library."""
    return path.startswith(tuple(f"{root}/" for root in (HEADERS, *library_roots())))


def _is_standard(path: str) -> bool:
    """True if a file that the compiler names is of C++'s standard headers."""
    libcxx = find_toolchain().libcxx
    return libcxx is not None and path.startswith(f"{libcxx}/")


def _is_int_for_long(text: str) -> bool:
    """True if it is only that a format says int and the argument is a long, or the other way round."""
    if text.endswith(_FORMAT):
        match = _FORMAT_TYPES.match(text)
    else:
        match = None
    if match is None:
        return False
    wanted, given = (_INT_OR_LONG.fullmatch(alias or name) for name, alias in (match.group(1, 2), match.group(3, 4)))
    return wanted is not None and given is not None and wanted[1] == given[1]


def _backend_finding(severity: Severity, text: str, source: SourceText) -> Diagnostic:
    """A finding of the code generator alone, which knows functions and no lines."""
    text = text.replace("'__original_main'", "'main'").replace("in function '", "in '")
    name = _QUOTED.search(text)
    return at(source, source.find_definition(name[1]) if name is not None else None, text, severity=severity)


def _with_note(found: Diagnostic, match: re.Match[str], text: str, source: SourceText) -> Diagnostic:
    """The finding with clang's first remark on it: where the other brace or the declaration is."""
    line = int(match["line"])
    if match["file"] == source.file and found.file != source.file:  # what a template was asked for is wrong here
        return replace(found, file=source.file, line=line, column=int(match["column"]), source_line=source.line(line))
    if match["file"] == source.file:
        note = f"{text} (line {line}: {(source.line(line) or '').strip()})"
    elif _is_ours(match["file"]):
        name = _QUOTED.search(text)
        if name is not None:
            header = declared_names().get(name[1])
        else:
            header = None
        if header is None or name is None:
            return found
        note = f"{header} has {_declaration(header, name[1])}"
    else:
        return found
    if found.explanation:
        return found
    return replace(found, explanation=note)


def _declaration(header: str, name: str) -> str:
    """The line of a header that declares a name."""
    folder = library_headers().get(header, HEADERS)
    for line in (folder / header).read_text(encoding="utf-8").splitlines():
        if re.search(rf"^[^#/].*\b{name}\(", line):
            return _MACROS.split(line)[0].strip()
    return name
