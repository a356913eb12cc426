"""A checked MicroPython program, ready to be sent, with its pins, modules and line map. Checks nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from microclaw.errors import Diagnostic
from microclaw.events import ProgramKind
from microclaw.py.lines import LineMap, source_traceback

PinRole: TypeAlias = Literal["drives", "reads", "uses"]  # as in apps/claims.py


@dataclass(frozen=True, slots=True, order=True)
class PinClaim:
    """A pin that the source names, and what the program does with it."""

    pin: int
    role: PinRole


@dataclass(frozen=True, slots=True)
class PyImage:
    """A program as .mpy that passed every check for one board.

    `claims` are the pins that the source names as constants; a pin computed at run time shows up only in the trial.
    `arch` is the processor of its native or viper functions; None: it runs on every chip.
    `analog`: pins that it reads with an ADC alone.
    `clocks`: the functions of `time` that it reads and that start again at 0: ticks_ms before ticks_us, ticks_cpu.
    `compile_ms` is the compiler's wall time, 0 when `cached`.
    """

    kind: ClassVar[ProgramKind] = "py"
    nodes: ClassVar[tuple[str, ...]] = ()  # a bus belongs to who has its pins: the firmware numbers none

    name: str
    mpy: bytes
    sha256: str
    imports: tuple[str, ...]
    claims: tuple[PinClaim, ...]
    lines: LineMap
    source: str
    rewritten: str
    arch: str | None
    compiler: str
    cached: bool
    compile_ms: float
    warnings: tuple[Diagnostic, ...] = ()
    clocks: tuple[str, ...] = ()
    analog: tuple[int, ...] = ()

    @property
    def code(self) -> bytes:
        """What is installed."""
        return self.mpy

    @property
    def pins(self) -> tuple[int, ...]:
        return tuple(claim.pin for claim in self.claims)

    @property
    def size_bytes(self) -> int:
        return len(self.mpy)

    def source_traceback(self, text: str) -> str:
        """A traceback that a board told about this program, in lines of the source."""
        return source_traceback(text, self.name, self.lines)
