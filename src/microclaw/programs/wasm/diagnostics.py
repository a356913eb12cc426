"""Turns the output of clang and wasm-ld into `Diagnostic` values with explanations and hints. Runs nothing."""

from __future__ import annotations

import bisect
import difflib
import re
from pathlib import PurePosixPath
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import Diagnostic
from microclaw.programs.wasm.follow_up_errors import UNKNOWN, errors_of, folded
from microclaw.programs.wasm.name_advice import NEAR, advice_on, declared_names, find_declaration, library_methods
from microclaw.programs.wasm.part_libraries import libraries_for, library_roots
from microclaw.programs.wasm.refusals import Advice, refusal_of, refused_member, refused_name
from microclaw.programs.wasm.source_scanner import ASSEMBLY, NO_ASSEMBLY
from microclaw.programs.wasm.source_text import NOT_HERE, SourceText
from microclaw.programs.wasm.toolchain import HEADERS, find_toolchain
from microclaw.tables import read_table
from microclaw.text import code_lines

Severity: TypeAlias = Literal["error", "warning"]
_TEXT: Final = re.compile(r"(?:const )?(?:unsigned )?char ?(?:\*|\[\d*\])(?: ?const)?")
_ALIAS: Final = re.compile(r"\(aka '([^']*)'\)")


def explained(found: Diagnostic, source: SourceText) -> Diagnostic:
    """Return the finding with the explanation and hint of the first lesson that fits, if it has none of its own."""
    for lesson in read_table(__package__, "lessons")["lesson"]:
        match = re.match(lesson["says"], found.message)
        if match is None:
            continue
        words = {
            "token": _token_before(source, found.line, found.column),
            "spec": _conversion(found.message, match),
            "member": _member(_first_group(match), source),
        }
        explanation = found.explanation
        if not explanation and "why" in lesson:
            explanation = lesson["why"].format(*match.groups(), **words)
        hint = found.hint
        if not hint and "do" in lesson:
            hint = lesson["do"].format(*match.groups(), **words)
        return replace(found, explanation=explanation, hint=hint)
    return found


def _first_group(match: re.Match[str]) -> str:
    """Return the first group of a match; "" if there is none."""
    if not match.re.groups:
        return ""
    return match[1] or ""


def _token_before(source: SourceText, line: int | None, column: int | None) -> str:
    """Describe the last token before a place."""
    behind = bisect.bisect_left(source.tokens, (line or 0, column or 0), key=lambda token: token.place)
    before = source.tokens[max(0, behind - 1) : behind]
    if before:
        return f'"{before[0].text}" in line {before[0].line}'
    return "the beginning"


def _conversion(message: str, match: re.Match[str]) -> str:
    """Return the way to print a value of the type that a message names."""
    alias = _ALIAS.search(message)
    if alias is not None:
        kind = alias[1]
    else:
        kind = _first_group(match)
    if _TEXT.fullmatch(kind):
        return "print a text with %s"
    spec = read_table(__package__, "lessons")["specs"].get(kind)
    if spec is not None:
        return f"print {kind} with {spec}"
    if "*" in kind:
        return "use %p for an address, or print the value that it points at"
    return "print its parts one by one"


def _member(name: str, source: SourceText) -> str:
    """Return the replacement for a member that an object does not have."""
    libraries = tuple(library.root for library in libraries_for(source.headers))
    methods = sorted(library_methods(libraries) - {name})
    near = difflib.get_close_matches(name, methods, n=1, cutoff=NEAR)
    if near:
        return f"did you mean {near[0]}?"
    return "use a member of its definition, or add this one there"


MAX_DIAGNOSTICS: Final = 20
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
    r"^microclaw mark (?P<what>gpio|pwm|sda|scl|value)(?::(?P<role>\w+)@(?P<header>[\w.-]+))? (?P<fact>\w+)$"
)
_NOISE: Final = re.compile(r"; ISO C99 and later do not support implicit function declarations$")
_OPENING: Final = {
    "gpio": ("gpio_open", "pinMode", "digitalWrite", "digitalRead", "pulseIn", "attachInterrupt", "attachInterruptArg"),
    "pwm": ("pwm_open", "analogWrite", "tone", "attach"),
}
_QUOTED: Final = re.compile(r"'([A-Za-z_]\w*)'")
_BELOW: Final = "it is defined further down, and the compiler reads from top to bottom"
_MEANT: Final = re.compile(r"; did you mean .*$")
_MEMBER: Final = re.compile(r"no member named '(\w+)' in '(?:\w+::)*(\w+)'")
_REFUSED: Final = re.compile(r"microclaw refuses (.+)")  # headers/arduino/refused.h
_SECOND_START: Final = re.compile(r"redefinition of '(setup|loop)'")
_ONE_SKETCH: Final = (
    "leave one out; all .ino files of a sketch's folder are one program, so another sketch has a folder of its own"
)
_BASE_CLASS: Final = "expected class name"
_IN_STD: Final = re.compile(r"no member named '\w+' in namespace 'std'")


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


class ValueMark(Struct, frozen=True):
    """A number that the source gives to a part's library: the parameter's name is an attribute of the part."""

    name: str
    value: int
    header: str


class CompilerReport(Struct, frozen=True):
    """One run of the compiler: the findings, and the pins and values that pin_arguments.h made it name."""

    diagnostics: tuple[Diagnostic, ...] = ()
    marks: tuple[PinMark, ...] = ()
    values: tuple[ValueMark, ...] = ()
    reached: tuple[int, ...] = ()  # of the source's `unsure` headers

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return errors_of(self.diagnostics)


def read_compiler_output(output: str, source: SourceText) -> CompilerReport:
    """Read the findings, errors first, at most 20, and the pins that are named."""
    lines = _CompilerLines(source)
    for line in code_lines(output):
        match = _LINE.match(_BACKEND.sub(r"<unknown>:0:0: \1: ", line))
        if match is not None:
            lines.add(match)
    return lines.report()


class _CompilerLines:
    """Collects the lines that the compiler prints on one source."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._findings: list[Diagnostic] = []
        self._assembly = _assembly_findings(source)
        self._facts: dict[_MarkKey, set[str]] = {}
        self._reached: set[int] = set()
        # True if the last finding takes no further remark.
        self._is_noted = False

    def add(self, match: re.Match[str]) -> None:
        if _is_int_for_long(match["text"]):
            self._is_noted = True
            return
        text = _OPTION.sub("", match["text"])
        if match["severity"] == "note":
            self._add_note(match, text)
            return
        if text.startswith(NOT_HERE):
            self._reached.add(int(text.removeprefix(NOT_HERE).split()[0]))
            return
        line = int(match["line"])
        column = int(match["column"])
        mark = _MARK.match(text)
        if mark is not None:
            key = _MarkKey(line, column, mark["what"], mark["role"] or "", mark["header"] or "")
            self._facts.setdefault(key, set()).add(mark["fact"])
        elif match["file"] == self._source.file and match["severity"] != "warning" and line in self._assembly:
            # It replaces all that the compiler finds in this line, and stands there once.
            self._findings.extend(self._assembly[line])
            self._assembly[line] = []
            self._is_noted = True
        else:
            self._findings.append(_finding(match, text, (line, column), self._source))
            self._is_noted = False

    def _add_note(self, match: re.Match[str], text: str) -> None:
        if self._findings and not self._is_noted and _TELLING.search(text):
            self._findings[-1] = _with_note(self._findings[-1], match, text, self._source)
        if match["file"] == self._source.file or not _is_standard(match["file"]):
            self._is_noted = True

    def report(self) -> CompilerReport:
        findings = self._findings
        for key, facts in self._facts.items():
            if "undirected" in facts:
                findings.append(at(self._source, (key.line, key.column), "gpio_open has no direction", _DIRECTIONS))
        if self._source.standard_headers:
            findings = _without_inner_findings(findings)
        explanations = [explained(finding, self._source) for finding in findings]
        if not (self._source.missing or self._reached):
            explanations = list(folded((), explanations, self._source))
        explanations.sort(key=lambda finding: finding.severity != "error")
        marks = []
        values = []
        for key, facts in sorted(self._facts.items()):
            if "known" not in facts:
                continue
            if key.what == "value":
                values.append(ValueMark(key.role, _marked_number(facts), key.header))
            else:
                marks.append(_pin_mark(key, facts, self._source))
        diagnostics = tuple(explanations[:MAX_DIAGNOSTICS])
        return CompilerReport(diagnostics, tuple(marks), tuple(values), tuple(sorted(self._reached)))


def _assembly_findings(source: SourceText) -> dict[int, list[Diagnostic]]:
    """Return the refusal of each line with inline assembly, for those that the preprocessor does not leave out."""
    findings = {}
    for token in source.tokens:
        if token.text in ASSEMBLY:
            is_embedded = "_binary_" in (source.line(token.line) or "")
            hint = "lay the embedded file beside the source" if is_embedded else "write it in C"
            findings[token.line] = [at(source, token.place, NO_ASSEMBLY, hint)]
    return findings


def _without_inner_findings(findings: list[Diagnostic]) -> list[Diagnostic]:
    """Leave out what follows inside of C++'s headers: the first finding names the call that they cannot serve."""
    unique: dict[object, Diagnostic] = {}
    has_error = False
    for finding in findings:
        if not (finding.file.startswith("<") and has_error):
            unique.setdefault((finding.file, finding.line, finding.column, finding.severity), finding)
            has_error = has_error or finding.severity == "error"
    return list(unique.values())


def read_linker_output(output: str, source: SourceText) -> tuple[Diagnostic, ...]:
    """Read the linker's findings, each with the line where the named symbol stands in the source."""
    findings = []
    for line in code_lines(output):
        match = _LINKER.match(line)
        if match is None:
            continue
        place = None
        name = re.search(r"(?:symbol|mismatch): (\w+)", match["text"])
        if name is not None:
            place = source.find_name(name[1])
        findings.append(at(source, place, match["text"]))
    return tuple(findings[:MAX_DIAGNOSTICS])


def at(
    source: SourceText,
    place: tuple[int, int] | None,
    message: str,
    hint: str | None = None,
    *,
    explanation: str | None = None,
    severity: Severity = "error",
) -> Diagnostic:
    """Return a finding at a place of the source, with that line's text; without a line if the place is not known."""
    if place is None:
        return Diagnostic(severity, message, source.file, hint=hint, explanation=explanation)
    line, column = place
    return Diagnostic(severity, message, source.file, line, column, source.line(line), hint, explanation)


def with_advice(diagnostic: Diagnostic, advice: Advice | None) -> Diagnostic:
    """Return the finding with the advice about its name."""
    if advice is None:
        return diagnostic
    return replace(diagnostic, hint=advice.hint, explanation=advice.explanation)


def _marked_number(facts: set[str]) -> int:
    """Return the number whose bits the marks said."""
    return sum(map(int, filter(str.isdecimal, facts)))


def _pin_mark(key: _MarkKey, facts: set[str], source: SourceText) -> PinMark:
    """Return a pin from the bits that pin_marks.h printed. clang points behind the call, this points at its name."""
    if "outside" in facts:
        pin = -1
    else:
        pin = _marked_number(facts)
    text = source.line(key.line) or ""
    column = max(text.rfind(name, 0, key.column) for name in _OPENING.get(key.what, ("i2c_open",))) + 1
    return PinMark(
        pin=pin,
        what=cast(Literal["gpio", "pwm", "sda", "scl"], key.what),
        output="output" in facts,
        pull="pull" in facts,
        line=key.line,
        column=column or key.column,
        role=key.role,
        header=key.header,
    )


def _finding(match: re.Match[str], text: str, place: tuple[int, int], source: SourceText) -> Diagnostic:
    is_mild = match["severity"] == "warning" and not match["text"].endswith(_FORMAT)
    severity: Severity = "warning" if is_mild else "error"
    path = match["file"]
    if path == "<unknown>":
        return _backend_finding(severity, text, source)
    text = _NOISE.sub("", text)
    if path == source.file:
        finding = at(source, place, text, severity=severity)
    elif is_readable(path, source):
        file = PurePosixPath(path).name
        if _is_standard(path):
            file = f"<{file}>"
        finding = Diagnostic(severity, text, file, *place)
    else:
        return Diagnostic("error", "the program makes the compiler read a file of the host", source.file)
    return _with_reason(finding, source)


def _with_reason(finding: Diagnostic, source: SourceText) -> Diagnostic:
    """Return the finding with the reason why what it is about is not here, if it is about that."""
    text = finding.message
    refused = _REFUSED.fullmatch(text)
    if refused is not None:
        advice = refusal_of(refused[1])
        return replace(finding, message=advice.explanation or text, hint=advice.hint)
    member = _MEMBER.match(text)
    if member is not None:
        return with_advice(replace(finding, message=_MEANT.sub("", text)), refused_member(member[2], member[1]))
    quoted = _QUOTED.search(text)
    if quoted is not None and (UNKNOWN.match(text) or _IN_STD.match(text)):
        return _with_name_advice(finding, quoted[1], source)
    if text == _BASE_CLASS:
        base = [token for token in source.tokens if token.place == (finding.line, finding.column)]
        return with_advice(finding, refused_name(base[0].text) if base else None)
    return finding


def _with_name_advice(finding: Diagnostic, name: str, source: SourceText) -> Diagnostic:
    """Return a finding on an unknown name with the advice on it."""
    text = finding.message
    if source.find_definition(name) is not None and source.language == "c":
        return with_advice(finding, Advice(f"put {name} above its first use, or its prototype", _BELOW))
    if _MEANT.search(text) is None:
        if "'std'" in text:
            name = "std"
        includes_it = source.find_string("Arduino.h") is not None or "<Arduino.h>" in source.text
        has_arduino = source.language == "sketch" or includes_it
        return with_advice(finding, advice_on(name, with_arduino=has_arduino))
    # A name such as Serial2 is not a slip of the pen.
    refusal = refused_name(name)
    if refusal is None or refusal.by_pattern:
        meant = _QUOTED.search(text, text.index("did you mean"))
        if meant is not None:
            return replace(finding, hint=f"write {meant[1]}")
        return finding
    return with_advice(replace(finding, message=_MEANT.sub("", text)), refusal)


def is_readable(path: str, source: SourceText) -> bool:
    """Return True for a header that a program may read: ours, a part's library's, and, if it includes any, C++'s."""
    if _is_ours(path):
        return True
    return bool(source.standard_headers) and _is_standard(path)


def _is_ours(path: str) -> bool:
    """Return True if a file that the compiler names is one of our headers, or of a part's library."""
    return path.startswith(tuple(f"{root}/" for root in (HEADERS, *library_roots())))


def _is_standard(path: str) -> bool:
    """Return True if a file that the compiler names is one of C++'s standard headers."""
    libcxx = find_toolchain().libcxx
    return libcxx is not None and path.startswith(f"{libcxx}/")


def _is_int_for_long(text: str) -> bool:
    """Return True if a format says int and the argument is a long, or the other way round."""
    if not text.endswith(_FORMAT):
        return False
    match = _FORMAT_TYPES.match(text)
    if match is None:
        return False
    wanted = _INT_OR_LONG.fullmatch(match[2] or match[1])
    actual = _INT_OR_LONG.fullmatch(match[4] or match[3])
    return wanted is not None and actual is not None and wanted[1] == actual[1]


def _backend_finding(severity: Severity, text: str, source: SourceText) -> Diagnostic:
    """Return a finding of the code generator, which knows functions and no lines."""
    text = text.replace("'__original_main'", "'main'").replace("in function '", "in '")
    name = _QUOTED.search(text)
    place = None
    if name is not None:
        place = source.find_definition(name[1])
    return at(source, place, text, severity=severity)


def _with_note(found: Diagnostic, match: re.Match[str], text: str, source: SourceText) -> Diagnostic:
    """Return the finding with clang's first remark on it: where the other brace or the declaration is."""
    line = int(match["line"])
    # What a template was asked for is wrong in the source.
    if match["file"] == source.file and found.file != source.file:
        return replace(found, file=source.file, line=line, column=int(match["column"]), source_line=source.line(line))
    if found.explanation:
        return found
    second = _SECOND_START.fullmatch(found.message)
    if second is not None and match["file"] == source.file:
        message = f"a program has one {second[1]}, this has one in line {line} and one in line {found.line}"
        return replace(found, message=message, hint=_ONE_SKETCH)
    if match["file"] == source.file:
        note = f"{text} (line {line}: {(source.line(line) or '').strip()})"
        return replace(found, explanation=note)
    name = _QUOTED.search(text)
    if name is None or not _is_ours(match["file"]):
        return found
    header = declared_names().get(name[1])
    if header is None:
        return found
    return replace(found, explanation=f"{header} has {find_declaration(header, name[1])}")
