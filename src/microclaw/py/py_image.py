"""A checked MicroPython program, ready to be sent, with its pins, modules and line map. Checks nothing itself."""

from __future__ import annotations

import ast
import re
from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import Diagnostic
from microclaw.events import ProgramKind
from microclaw.text import code_lines

LineMap: TypeAlias = tuple[int, ...]  # the source's line for each rewritten line, both from 1; 0: none
_FRAME: Final = re.compile(r'^(\s*File ")([^"]+)(", line )(\d+)(.*)$')
_NAMES: Final = {", in main": ", in <module>", ", in main_": ", in main", ", in _ainit_": ", in __init__"}
PinRole: TypeAlias = Literal["drives", "reads", "uses"]


class PinClaim(Struct, frozen=True):
    """A pin that the source names, and what the program does with it."""

    pin: int
    role: PinRole


class Rewritten(Struct, frozen=True, kw_only=True):
    """A program that passed every check for one board, as the text that is compiled.

    `claims` are the pins that the source names as constants; a pin computed at run time shows up only in the trial.
    `arch` is the processor of its native or viper functions; None: it runs on every chip.
    `analog`: pins that it reads with an ADC alone.
    `clocks`: the functions of `time` that it reads and that start again at 0: ticks_ms before ticks_us, ticks_cpu.
    """

    rewritten: str
    lines: LineMap
    imports: tuple[str, ...]
    claims: tuple[PinClaim, ...]
    arch: str | None
    warnings: tuple[Diagnostic, ...] = ()
    clocks: tuple[str, ...] = ()
    analog: tuple[int, ...] = ()


class PyImage(Rewritten, frozen=True, kw_only=True):
    """A program as .mpy that passed every check for one board. `compile_ms`: the compiler's time, 0 when `cached`."""

    kind: ClassVar[ProgramKind] = "py"
    nodes: ClassVar[tuple[str, ...]] = ()  # a bus belongs to who has its pins: the firmware numbers none

    name: str
    mpy: bytes
    sha256: str
    source: str
    compiler: str
    cached: bool
    compile_ms: float

    @property
    def code(self) -> bytes:
        """The bytes that are installed."""
        return self.mpy

    @property
    def pins(self) -> tuple[int, ...]:
        return tuple(claim.pin for claim in self.claims)

    @property
    def driven(self) -> tuple[int, ...]:
        return tuple(claim.pin for claim in self.claims if claim.role == "drives")

    @property
    def size_bytes(self) -> int:
        return len(self.mpy)

    def source_traceback(self, text: str) -> str:
        """A board's traceback in the words of the source: its lines, its names, and no frames of the firmware."""
        told = []
        for line in code_lines(text):
            frame = _FRAME.match(line)
            if frame is None:
                told.append(line)
            elif frame[2] == f"{self.name}.py":
                number = int(frame[4])
                mapped = self.lines[number - 1] if 0 < number <= len(self.lines) and self.lines[number - 1] else number
                told.append(f"{frame[1]}{frame[2]}{frame[3]}{mapped}{_NAMES.get(frame[5], frame[5])}")
        return "\n".join(told)


def line_map(tree: ast.Module, text: str) -> LineMap:
    """Walk the tree, whose nodes have the source's lines, beside the tree of the text that was printed from it."""
    lines = [0] * (text.count("\n") + 2)
    waiting: list[tuple[ast.AST, ast.AST]] = [(tree, ast.parse(text))]
    while waiting:
        ours, printed = waiting.pop(0)
        line = getattr(printed, "lineno", None)
        if line is not None and not lines[line]:
            lines[line] = getattr(ours, "lineno", 0)
        pairs = list(zip(ast.iter_child_nodes(ours), ast.iter_child_nodes(printed), strict=False))
        waiting.extend((a, b) for a, b in pairs if type(a) is type(b))
    last = 0
    for number, line in enumerate(lines):
        last = lines[number] = line or last
    return tuple(lines[1:])
