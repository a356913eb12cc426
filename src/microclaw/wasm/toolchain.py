"""Finds the C compiler (the `ziglang` wheel) and knows its command lines for the WASMachine profile; runs nothing.

`zig clang` and `zig wasm-ld` are called by themselves: together they take less time than `zig cc`, which refuses linker
options that matter here (`--wrap`, `--export-if-defined`, `--import-undefined`): docs/decisions/0003-compiler.md.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError

HEADERS: Final = Path(__file__).parent / "headers"
OPTIMIZATIONS: Final = ("O0", "O1", "O2", "O3", "Os", "Oz")

# What the application manager may call, and what WAMR places its app heap by.
EXPORTED: Final = (
    *("main", "on_init", "on_destroy", "on_timer_callback", "on_request", "on_response", "on_mqtt_dispatch_event"),
    *("__heap_base", "__data_end"),
)
# Functions that the optimizer puts in place of others, and that no firmware has.
_NOT_IN_FIRMWARE: Final = (
    *("bcmp", "stpcpy", "stpncpy", "mempcpy", "memccpy", "memrchr", "strnlen", "strcat", "strncat", "strrchr"),
    *("exp2", "exp2f", "exp10", "ldexp", "ldexpf", "pow", "powf", "fputc", "fputs", "fwrite"),  # pow becomes ldexp
)
_COMPILE: Final = (
    *("clang", "-c", "-target", "wasm32-unknown-unknown", "-mcpu=mvp", "-std=gnu17", "-nostdinc", "-fno-math-errno"),
    *("-fno-raw-string-literals", "-isystem", str(HEADERS), *(f"-fno-builtin-{name}" for name in _NOT_IN_FIRMWARE)),
)
# A program comes from anywhere: macros that paste these names together must find nothing (source_text.py refuses the
# names themselves), and what a device would only show by going wrong is an error here.
_PROGRAM: Final = (
    *("-U__has_include", "-U__has_include_next", "-U__has_embed", "-U_Pragma", "-Wno-builtin-macro-redefined"),
    *("-Dasm=no_inline_assembly", "-D__asm=no_inline_assembly", "-D__asm__=no_inline_assembly"),
    *(
        "-Wall",
        "-Werror=format",
        "-Werror=return-type",
        "-Werror=array-bounds",
        "-Werror=implicit-function-declaration",
    ),
    *("-Werror=incompatible-pointer-types", "-Wno-unused-function", "-ferror-limit=20"),
    *("-fno-color-diagnostics", "-fno-caret-diagnostics", "-fmacro-backtrace-limit=1"),
)
_LINK: Final = (
    *("wasm-ld", "--no-entry", "--import-undefined", "--stack-first", "--export-table", "--strip-all"),
    *("--fatal-warnings", "--color-diagnostics=never", "--threads=1", "--wrap=ioctl", "--undefined=on_destroy"),
    *(f"--export-if-defined={name}" for name in EXPORTED),
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler: `name` says which version, `path` is the binary that holds compiler and linker."""

    name: str
    path: Path

    def compile_command(self, file: str, optimization: str, defines: Sequence[str]) -> list[str]:
        """Compile `file` in the current directory to program.o and list what was read in program.d."""
        wanted = (f"-{optimization}", *(f"-D{define}" for define in defines))
        return [str(self.path), *_COMPILE, *_PROGRAM, *wanted, "-MD", "-MF", "program.d", "-o", "program.o", file]

    def glue_command(self, files: Sequence[Path]) -> list[str]:
        """Compile the glue's files to objects in the current directory."""
        return [str(self.path), *_COMPILE, "-Os", "-Wall", "-Werror", *map(str, files)]

    def link_command(self, glue: Sequence[Path], stack_bytes: int) -> list[str]:
        """Link program.o to program.wasm; the glue's objects join only where they are needed.

        The stack lies below the data, so that an overflow traps instead of changing variables.
        """
        wanted = ("-z", f"stack-size={stack_bytes}")
        objects = ("program.o", "--start-lib", *map(str, glue), "--end-lib")
        return [str(self.path), *_LINK, *wanted, *objects, "-o", "program.wasm"]


@functools.cache
def find_toolchain() -> Toolchain:
    """The compiler inside the `ziglang` wheel; ConfigError when it is not there."""
    spec = importlib.util.find_spec("ziglang")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        path = Path(place) / ("zig.exe" if os.name == "nt" else "zig")
        if path.is_file() and os.access(path, os.X_OK):
            return Toolchain(f"zig {importlib.metadata.version('ziglang')}", path)
    raise ConfigError("no C compiler found", next_step="install it: pip install ziglang")
