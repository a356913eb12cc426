"""Compiles each source of a program of several files alone, as C and C++ mean it, and joins the objects to program.o.

A source is compiled from the whole program's text with the lines of the others empty, so that every finding and every
line of a trap counts in that text (source_files.py). What is static in a source stays its own; functions that share a
name get a number behind it, because pauses are put into loops by the names of their functions (loop_guards.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, ProcessResult, build_failure
from microclaw.programs.wasm.diagnostics import at
from microclaw.programs.wasm.source_files import UNIT_NUMBER, without_marks
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
    """`UnitCompiler(text, command, toolchain, directory, processes)`; `command` is of the whole program's file."""

    text: SourceText
    command: Sequence[str]
    toolchain: Toolchain
    directory: Path
    processes: Processes

    def compile(self) -> ProcessResult:
        """Compile every source; what the compilers print, one after the other. A single source becomes program.o."""
        texts = self.text.unit_texts()
        for folder, text in zip(self._folders, texts, strict=True):
            folder.mkdir(exist_ok=True)
            (folder / self.text.file).write_text(text, encoding="utf-8")
        return self._run([[] for _ in texts])

    def char_sign_findings(self) -> tuple[Diagnostic, ...]:
        """Return a warning for each line of a C program that means another with the ESP32's unsigned `char`."""
        if self.text.language != "c":
            return ()
        reading = words_of("unsigned_char_reading", "options")
        results = self.processes.run_together([([*self.command, *reading], folder) for folder in self._folders])
        columns: dict[int, int] = {}
        for result in results:
            for line, column in _SIGNED_CHAR.findall(result.output):
                columns.setdefault(int(line), int(column))
        return tuple(
            at(self.text, place, _CHAR_IS_SIGNED, _NAME_THE_SIGN, severity="warning")
            for place in sorted(columns.items())
        )

    @property
    def dependencies(self) -> tuple[Path, ...]:
        """The lists of the files that were read."""
        return tuple(folder / "program.d" for folder in self._folders)

    def join(self) -> None:
        """Make program.o of the objects. Raises BuildError where two sources define one name."""
        if not self.text.units:
            return
        units = self._symbols()
        if any(shared := _shared(units)):
            renamed = self._run([_renames(names, number) for number, names in enumerate(shared)])
            if renamed.returncode != 0 or any(left := _shared(self._symbols())):
                names = sorted({source_name(name) for one in (shared if renamed.returncode else left) for name in one})
                raise self._refused(f"functions of the same name in two files: {', '.join(names)}", names[0], 1)
        objects = [str(folder.relative_to(self.directory) / "program.o") for folder in self._folders]
        command = [*self.toolchain.linker, "-r", "--fatal-warnings", "--color-diagnostics=never", "--threads=1"]
        joined = self.processes.run([*command, *objects, "-o", "program.o"], self.directory)
        if joined.returncode != 0:
            found = re.search(r"(function signature mismatch|duplicate symbol): (\S+)", joined.output)
            if found is not None:
                is_twice = found[1] == "duplicate symbol"
                name = source_name(found[2])
                what = "is defined in two files" if is_twice else "is declared otherwise than it is defined"
                places = (number for number, unit in enumerate(units) if found[2] in unit.visible)
                raise self._refused(f"{name} {what}", name, max((1, *places)))
            raise build_failure(joined, (), self.text.file, "link")

    @property
    def _folders(self) -> tuple[Path, ...]:
        units = len(self.text.units)
        if units:
            return tuple(self.directory / f"unit{n}" for n in range(units + 1))
        return (self.directory,)

    def _run(self, more: Sequence[Sequence[str]]) -> ProcessResult:
        *begin, file = self.command
        numbered = enumerate(zip(more, self._folders, strict=True))
        commands = [
            ([*begin, *([_NOT_FIRST] if number else []), *options, file], folder)
            for number, (options, folder) in numbered
        ]
        results = self.processes.run_together(commands, stop_at=ERROR_LIMIT_MESSAGE)
        worst = next((one for one in results if one.returncode != 0), results[-1])
        return replace(worst, output=UNIT_NUMBER.sub("", "\n".join(one.output for one in results)))

    def _symbols(self) -> list[Symbols]:
        return [read_symbols(read_output(folder / "program.o", stage="compile")) for folder in self._folders]

    def _refused(self, message: str, name: str, number: int) -> BuildError:
        """An error in the source with this number, of those behind the first one."""
        marks = without_marks(self.text.source)[1]
        begin, end = (0, *self.text.units, len(self.text.lines))[number : number + 2]
        file = (marks.place(begin + 2) or (self.text.file,))[0]
        named = (one.line for one in self.text.tokens if begin < one.line <= end and one.text == name)
        line = next((line for line in named if (marks.place(line) or ("",))[0] == file), None)
        found = Diagnostic("error", message, self.text.file if line else file, line, hint=_RENAME)
        return BuildError((found,), stage="check")


def _shared(units: Sequence[Symbols]) -> list[list[str]]:
    """Of each unit its own static functions whose names other units have, too."""
    held = Counter(name for unit in units for name in unit.static_functions | unit.functions)
    return [
        sorted(name for name in unit.static_functions if held[name] > 1 and not name.startswith(CONSTRUCTORS))
        for unit in units
    ]


def _renames(names: Sequence[str], number: int) -> list[str]:
    plain = {source_name(name) for name in names if _STATIC.fullmatch(name)}
    return [f"-D{name}={name}__unit{number}" for name in sorted(plain)]
