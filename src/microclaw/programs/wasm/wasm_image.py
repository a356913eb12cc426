"""A checked WebAssembly program, ready to be sent, with its imports, memory and pins. Checks nothing itself."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from msgspec import Struct

from microclaw.errors import Diagnostic
from microclaw.events import ProgramKind
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.source_marks import LineMarks, without_marks
from microclaw.programs.wasm.source_language import Language

_NODE: Final = re.compile(rb"/dev/(i2c|spi|uart|ledc)/(\d?)")


class Signature(Struct, frozen=True):
    """A wasm function type: value types "i32", "i64", "f32", "f64"."""

    params: tuple[str, ...]
    results: tuple[str, ...]


class Import(Struct, frozen=True):
    module: str
    name: str
    signature: Signature


class MemoryUse(Struct, frozen=True):
    """Linear memory in bytes: what the module declares at start, of it static data and shadow stack."""

    initial_bytes: int
    static_bytes: int
    stack_bytes: int


class WasmImage(Struct, frozen=True):
    """A wasm module that passed every check for one board.

    `pins` are those the source names as constants; a pin computed at run time shows up only in the trial. `driven` are
    those of them that the source opens as outputs. `wired`: the parts that it names with their pins. `network`: the
    hosts that its texts name. `compile_ms` is the compiler's wall time, 0 when `cached`.
    """

    kind: ClassVar[ProgramKind] = "wasm"

    name: str
    wasm: bytes
    sha256: str
    imports: tuple[Import, ...]
    exports: tuple[str, ...]
    memory: MemoryUse
    pins: tuple[int, ...]
    compiler: str
    cached: bool
    compile_ms: float
    warnings: tuple[Diagnostic, ...] = ()
    source: str | None = None
    language: Language = "c"
    language_guessed: bool = False  # from the text, because no file's name said it
    optimization: str | None = None  # None: it came as bytes
    driven: tuple[int, ...] = ()
    wired: tuple[WiredPart, ...] = ()
    network: NetworkUse = NO_NETWORK
    compiled_bytes: int | None = None  # its size without the shim, where it was made event-driven

    @property
    def code(self) -> bytes:
        """The bytes that are installed."""
        return self.wasm

    @property
    def nodes(self) -> tuple[str, ...]:
        """The buses and PWM timers that it names: "i2c/0", or "spi/" where the number is computed."""
        found = {f"{match[1].decode()}/{match[2].decode()}" for match in _NODE.finditer(self.wasm)}
        return tuple(sorted(found))

    @property
    def size_bytes(self) -> int:
        return len(self.wasm)

    @property
    def marks(self) -> LineMarks:
        """The file of each of its lines; read from the source at each call."""
        return without_marks(self.source or "")[1]
