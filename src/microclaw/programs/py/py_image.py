"""A checked MicroPython program, ready to be sent, and what its reader is asked. Reads and checks nothing itself."""

from __future__ import annotations

import re
from typing import ClassVar, Final, TypeAlias

from msgspec import Struct

from microclaw.errors import BuildError, Diagnostic
from microclaw.events import ProgramKind
from microclaw.hardware.boards.micropython.stock import PinRole
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.py.source_files import module_of_file, python_marks
from microclaw.programs.source_marks import LineMarks, with_plain_newlines
from microclaw.text import code_lines, encodable, odd_character

MAX_SOURCE_BYTES: Final = 65536
# A board without PSRAM has about 60 KB for all programs' code and data.
MAX_MPY_BYTES: Final = 32768
COPY_END: Final = "_blocking"
"""What is put behind the name of a function's copy that waits without its event loop."""
LineMap: TypeAlias = tuple[int, ...]
"""The source's line for each rewritten line, both from 1; 0: none. A driver's lines have its import's as -N."""
_FRAME: Final = re.compile(r'^(\s*File ")([^"]+)(", line )(\d+)(.*)$')
_IN: Final = ", in "
_COPY: Final = re.compile(rf"{COPY_END}_*$")
_NAMES: Final = {", in main": ", in <module>", ", in main_": ", in main", ", in _ainit_": ", in __init__"}


class PinClaim(Struct, frozen=True):
    """A pin that the source names, and what the program does with it."""

    pin: int
    role: PinRole


class Rewritten(Struct, frozen=True, kw_only=True):
    """A program that passed every check for one board, as the text that is compiled.

    `claims` are the pins that the source names as constants; a pin computed at run time shows up only in the trial.
    `arch` is the processor of its native or viper functions; None: it runs on every chip.
    `analog`: pins that it reads with an ADC alone. `wired`: the parts that it names with their pins.
    `clocks`: the functions of `time` that it reads and that start again at 0: ticks_ms before ticks_us, ticks_cpu.
    `network`: the hosts that it talks to, and the ports that it opens.
    """

    rewritten: str
    lines: LineMap
    imports: tuple[str, ...]
    claims: tuple[PinClaim, ...]
    arch: str | None
    warnings: tuple[Diagnostic, ...] = ()
    clocks: tuple[str, ...] = ()
    analog: tuple[int, ...] = ()
    wired: tuple[WiredPart, ...] = ()
    network: NetworkUse = NO_NETWORK


class ProgramQuestion(Struct, frozen=True):
    """The host's question to its reader (reader.py); without a board only whether the text is Python.

    `is_trimmed`: without the definitions that nothing uses, because with them the program is too large.
    `hosts`: those that its owner names (--hosts), because it computes them at run time.
    """

    source: str
    name: str = "program"
    board: BoardProfile | None = None
    is_trimmed: bool = False
    hosts: tuple[str, ...] = ()


class ProgramAnswer(Struct, frozen=True):
    """The checked program, or what was found in it at `stage`."""

    is_python: bool = True
    rewritten: Rewritten | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    stage: str = ""


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

    @property
    def marks(self) -> LineMarks:
        """The file of each line of the source."""
        return python_marks(with_plain_newlines(self.source))

    def source_traceback(self, text: str) -> str:
        """Return a board's traceback in the words of the source: its files and lines, and no frames of the firmware.

        Frames of a driver are left out, so that the last one is the program's line that calls it. If a whole traceback
        has only frames of a driver, they have the line of its import. Names are as the files have them.
        """
        marks = self.marks
        lines = code_lines(text)
        # A log has the lines of a traceback one by one: the program's own frame is in another.
        has_own_frame = len(lines) == 1 or any(self._frame_line(line) > 0 for line in lines)
        shown = []
        for line in lines:
            frame = _FRAME.match(line)
            if frame is None:
                shown.append(in_module_words(line, marks))
                continue
            number = self._frame_line(line)
            if number > 0 or (number < 0 and not has_own_frame):
                file, file_line = marks.place(abs(number)) or (frame[2], abs(number))
                name = self._source_name(in_module_words(_NAMES.get(frame[5], frame[5]), marks))
                shown.append(f"{frame[1]}{file}{frame[3]}{file_line}{name}")
        return "\n".join(shown)

    def _source_name(self, frame_name: str) -> str:
        """Return a frame's function as the source has it, without the end that blocking_waits.py put behind a copy."""
        if frame_name.removeprefix(_IN) in self.source:
            return frame_name
        return _COPY.sub("", frame_name)

    def _frame_line(self, line: str) -> int:
        """Return the source's line of a frame of this program, as LineMap has it; 0 for any other line."""
        frame = _FRAME.match(line)
        if frame is None or frame[2] != f"{self.name}.py":
            return 0
        number = int(frame[4])
        if 0 < number <= len(self.lines):
            return self.lines[number - 1] or number
        return number


def in_module_words(text: str, marks: LineMarks) -> str:
    """Return a text with the names that the files of a program have, without the words that bundle.py put before."""
    words = {re.escape(module_of_file(file).rpartition(".")[2]) for _, _, file in marks.marks[1:]}
    if not words:
        return text
    return re.sub(rf"\b(?:_(?:{'|'.join(sorted(words))})_)+(?=\w)", "", text)


def program_text(source: str, file: str) -> str:
    """Return a source with one kind of line ends, as it is read. Raises BuildError for what no program may have."""
    text = with_plain_newlines(source.removeprefix("\ufeff"))
    size_bytes = len(text.encode(errors="replace"))
    problem = odd_character(text, file)
    if size_bytes > MAX_SOURCE_BYTES:
        message = f"the source has {size_bytes} bytes; {MAX_SOURCE_BYTES} is the limit"
        problem = Diagnostic("error", message, file, hint="make the program smaller")
    elif encodable(text) != text:
        problem = Diagnostic("error", "the text holds a character that no program may have", file)
    if problem is not None:
        raise BuildError((problem,), stage="source")
    return text
