"""Compiles each source of a program of several files alone, as C and C++ mean it, and joins the objects to program.o.

A source is compiled from the whole program's text with the lines of the others empty, so that every finding and every
line of a trap counts in that text (source_marks.py). What is static in a source stays its own; functions that share a
name get a number behind it, because pauses are put into loops by the names of their functions (loop_guards.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, ProcessResult, build_failure
from microclaw.programs.source_marks import UNIT_NUMBER, without_marks
from microclaw.programs.wasm.diagnostics import at
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.symbols import CONSTRUCTORS, Symbols, read_symbols, source_name
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.toolchain import ERROR_LIMIT_MESSAGE, Toolchain

_NOT_FIRST: Final = "-DMICROCLAW_OTHER_UNIT"  # headers/name.h
_RENAME: Final = "give one of them another name, or make it static in the file that alone uses it"
# clang's words for a negative number that a `char` is given or compared with.
_SIGNED_CHAR: Final = re.compile(
    r"^[^:\n]+:(\d+):(\d+): warning: (?:.* changes signedness: 'int' to '(?:const )?char'"
    r"|result of comparison of constant -\d+ with expression of type '(?:const )?char'"
    r"|result of comparison of char expression)",
    re.MULTILINE,
)
_CHAR_IS_SIGNED: Final = "char has a sign here, and none on the ESP32"
_NAME_THE_SIGN: Final = "write int8_t or uint8_t"
_STATIC: Final = re.compile(r"[A-Za-z]\w*|_ZL\d.*")  # functions that a macro can rename


class UnitCompiler(Struct, frozen=True):
    """`UnitCompiler(text, command, toolchain, directory, processes)`; `command` is of the whole program's file.

    `c_command` is that of the sources of C in a program of C++.
    """

    text: SourceText
    command: Sequence[str]
    toolchain: Toolchain
    directory: Path
    processes: Processes
    c_command: Sequence[str] | None = None

    def compile(self) -> ProcessResult:
        """Compile every source; return all that the compilers print. A single source becomes program.o."""
        for folder, text in zip(self._folders, self.text.unit_texts(), strict=True):
            folder.mkdir(exist_ok=True)
            (folder / self.text.file).write_text(text, encoding="utf-8")
        return self._run([[]] * len(self._folders))

    def char_sign_findings(self) -> tuple[Diagnostic, ...]:
        """Return a warning for each line of a C program that means another with the ESP32's unsigned `char`."""
        if self.text.language != "c":
            return ()
        reading = [*self.command, *words_of("unsigned_char_reading", "options")]
        results = self.processes.run_together([(reading, folder) for folder in self._folders])
        columns: dict[int, int] = {}
        for result in results:
            for line, column in _SIGNED_CHAR.findall(result.output):
                columns.setdefault(int(line), int(column))
        warnings = []
        for place in sorted(columns.items()):
            warnings.append(at(self.text, place, _CHAR_IS_SIGNED, _NAME_THE_SIGN, severity="warning"))
        return tuple(warnings)

    @property
    def dependencies(self) -> tuple[Path, ...]:
        """The lists of the files that were read."""
        return tuple(folder / "program.d" for folder in self._folders)

    def join(self) -> None:
        """Make program.o of the objects. Raises BuildError if two sources define one name."""
        if not self.text.units:
            return
        units = self._symbols()
        shared = _shared(units)
        if any(shared):
            renamed = self._run([_renames(names, number) for number, names in enumerate(shared)])
            if renamed.returncode == 0:
                shared = _shared(self._symbols())
            if any(shared):
                names = sorted(set(map(source_name, chain(*shared))))
                raise self._refused(f"functions of the same name in two files: {', '.join(names)}", names[0], 1)
        command = [*self.toolchain.linker, "-r", "--fatal-warnings", "--color-diagnostics=never", "--threads=1"]
        for folder in self._folders:
            command.append(str(folder.relative_to(self.directory) / "program.o"))
        joined = self.processes.run([*command, "-o", "program.o"], self.directory)
        if joined.returncode != 0:
            raise self._join_failure(joined, units)

    def _join_failure(self, joined: ProcessResult, units: Sequence[Symbols]) -> BuildError:
        match = re.search(r"(function signature mismatch|duplicate symbol): (\S+)", joined.output)
        if match is None:
            return build_failure(joined, (), self.text.file, "link")
        name = source_name(match[2])
        problem = "is declared otherwise than it is defined"
        if match[1] == "duplicate symbol":
            problem = "is defined in two files"
        places = (number for number, unit in enumerate(units) if match[2] in unit.visible)
        return self._refused(f"{name} {problem}", name, max((1, *places)))

    @property
    def _folders(self) -> tuple[Path, ...]:
        units = len(self.text.units)
        if units:
            return tuple(self.directory / f"unit{number}" for number in range(units + 1))
        return (self.directory,)

    def _run(self, more: Sequence[Sequence[str]]) -> ProcessResult:
        """Compile each source with more options of its own."""
        commands = []
        for number, (options, folder) in enumerate(zip(more, self._folders, strict=True)):
            *begin, file = self._command_of(number)
            if number > 0:
                begin.append(_NOT_FIRST)
            commands.append(([*begin, *options, file], folder))
        results = self.processes.run_together(commands, stop_at=ERROR_LIMIT_MESSAGE)
        worst = next((result for result in results if result.returncode != 0), results[-1])
        output = "\n".join(result.output for result in results)
        return replace(worst, output=UNIT_NUMBER.sub("", output))

    def _command_of(self, number: int) -> Sequence[str]:
        if self.c_command is not None and number in self.text.c_units:
            return self.c_command
        return self.command

    def _symbols(self) -> list[Symbols]:
        return [read_symbols(read_output(folder / "program.o", stage="compile")) for folder in self._folders]

    def _refused(self, message: str, name: str, number: int) -> BuildError:
        """Return an error in the source with this number, of those behind the first one."""
        marks = without_marks(self.text.source)[1]
        begin, end = (0, *self.text.units, len(self.text.lines))[number : number + 2]
        file, _ = marks.place(begin + 2) or (self.text.file, 0)
        error = Diagnostic("error", message, file, hint=_RENAME)
        for token in self.text.tokens:
            if token.text != name or not begin < token.line <= end:
                continue
            place = marks.place(token.line)
            if place is not None and place[0] == file:
                error = replace(error, file=self.text.file, line=token.line)
                break
        return BuildError((error,), stage="check")


def _shared(units: Sequence[Symbols]) -> list[list[str]]:
    """Return for each unit its own static functions whose names other units have, too."""
    counts: Counter[str] = Counter()
    for unit in units:
        counts.update(unit.static_functions | unit.functions)
    shared = []
    for unit in units:
        names = [name for name in unit.static_functions if counts[name] > 1 and not name.startswith(CONSTRUCTORS)]
        shared.append(sorted(names))
    return shared


def _renames(names: Sequence[str], number: int) -> list[str]:
    plain = set(map(source_name, filter(_STATIC.fullmatch, names)))
    return [f"-D{name}={name}__unit{number}" for name in sorted(plain)]
