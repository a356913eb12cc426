"""Finds the C compiler (the `ziglang` wheel, or the system's clang) and knows its command lines; it compiles nothing.

`zig clang` and `zig wasm-ld` are called by themselves: together they take less time than `zig cc`, which refuses linker
options that matter here (`--wrap`, `--export-if-defined`, `--import-undefined`): docs/decisions/0003-compiler.md.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from microclaw.errors import ConfigError

HEADERS: Final = Path(__file__).parent / "headers"
NAME_HEADER: Final = HEADERS / "name.h"
OPTIMIZATIONS: Final = ("O0", "O1", "O2", "O3", "Os", "Oz")

STACK_BYTES: Final = 4096  # a program's, unless it asks for more
# What the application manager may call, and what WAMR places its app heap by.
CALLBACKS: Final = ("on_destroy", "on_timer_callback", "on_request", "on_response", "on_mqtt_dispatch_event")
EXPORTED: Final = ("on_init", *CALLBACKS, "__heap_base", "__data_end")
Entry: TypeAlias = Literal["none", "plain", "blocking"]
_SEARCHED: Final[Mapping[Entry, tuple[str, ...]]] = {
    "none": ("glue", "libc"),
    "plain": ("entry", "glue", "libc"),
    "blocking": ("shim", "entry", "glue", "libc"),
}
"""Folders of headers/ in the order in which the linker searches them, by who calls the program's `main`: none: no
function does; plain: our on_init; blocking: our on_init and the callback of a timer."""
# Functions that the optimizer puts in place of others, and that no firmware has.
_NOT_IN_FIRMWARE: Final = (
    *("bcmp", "stpcpy", "stpncpy", "mempcpy", "memccpy", "memrchr", "strnlen", "strcat", "strncat", "strrchr"),
    *("exp2", "exp2f", "exp10", "ldexp", "ldexpf", "pow", "powf", "fputc", "fputs", "fwrite"),  # pow becomes ldexp
)
_COMPILE: Final = (
    *("-c", "-target", "wasm32-unknown-unknown", "-mcpu=mvp", "-std=gnu17", "-nostdinc", "-fno-math-errno"),
    *("-isystem", str(HEADERS), *(f"-fno-builtin-{name}" for name in _NOT_IN_FIRMWARE)),
)
_ERRORS: Final = (
    *("format", "return-type", "array-bounds", "implicit-function-declaration"),
    *("incompatible-pointer-types", "int-conversion", "uninitialized"),
)
# A program comes from anywhere: macros that paste these names together must find nothing (source_text.py refuses the
# names themselves), and what a device would only show by going wrong is an error here.
_PROGRAM: Final = (
    *("-U__has_include", "-U__has_include_next", "-U__has_embed", "-U_Pragma", "-Wno-builtin-macro-redefined"),
    *("-Dasm=no_inline_assembly", "-D__asm=no_inline_assembly", "-D__asm__=no_inline_assembly"),
    *("-Wall", *(f"-Werror={finding}" for finding in _ERRORS), "-Wvla", "-Wno-unused-function", "-ferror-limit=20"),
    # Undefined behaviour ends the program with its line (headers/libc/sanitizer.c): checks that cost next to nothing.
    "-fsanitize=array-bounds,integer-divide-by-zero,shift,null,unreachable,return,vla-bound",
    *("-fno-sanitize-recover=all", "-fno-sanitize-trap=all", "-fsanitize-undefined-strip-path-components=-1"),
    *("-fno-color-diagnostics", "-fno-caret-diagnostics", "-fmacro-backtrace-limit=1"),
)
ERROR_LIMIT_MESSAGE: Final = b"fatal error: too many errors emitted, stopping now"
"""clang prints this at its -ferror-limit, and then still reads the rest of the program."""
_LINK: Final = (
    *("--no-entry", "--import-undefined", "--stack-first", "--export-table"),
    *("--fatal-warnings", "--color-diagnostics=never", "--threads=1", "--wrap=ioctl", "--undefined=on_destroy"),
    *(f"--export-if-defined={name}" for name in EXPORTED),
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler: its `name` and version, and how the commands of `compiler` and `linker` begin."""

    name: str
    compiler: tuple[str, ...]
    linker: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The compiler's binary."""
        return Path(self.compiler[0])

    def compile_command(
        self, file: str, optimization: str, defines: Sequence[str], stack_bytes: int = STACK_BYTES
    ) -> list[str]:
        """Compile `file` in the current directory to program.o and list what was read in program.d."""
        name = f'-DMICROCLAW_NAME="{Path(file).stem}"'
        wanted = (f"-{optimization}", *(f"-D{define}" for define in defines), name, "-include", str(NAME_HEADER))
        wanted = (*wanted, f"-Wframe-larger-than={stack_bytes}", "-Werror=frame-larger-than")
        return [*self.compiler, *_COMPILE, *_PROGRAM, *wanted, "-MD", "-MF", "program.d", "-o", "program.o", file]

    def glue_command(self, files: Sequence[Path]) -> list[str]:
        """Compile files of ours to objects in the current directory."""
        libc = any(file.parent.name == "libc" for file in files)  # a loop in strcat must not become a call of strcat
        own = ("-fno-builtin", "-Oz") if libc else ("-Os",)
        return [*self.compiler, *_COMPILE, *own, "-Wall", "-Werror", *map(str, files)]

    def link_command(
        self,
        libraries: Mapping[str, Path],
        stack_bytes: int,
        entry: Entry = "none",
        *,
        names: bool = False,
        output: str = "program.wasm",
    ) -> list[str]:
        """Link program.o to `output`, with only those parts of our libraries that it needs.

        The stack lies below the data, so that an overflow traps instead of changing variables. With `names` the
        functions keep theirs, for eventful.py to read.
        """
        wanted = ["-z", f"stack-size={stack_bytes}"]
        if not names:
            wanted.append("--strip-all")
        if entry != "none":
            wanted.append("--undefined=on_init")
        searched = [str(libraries[folder]) for folder in _SEARCHED[entry] if folder in libraries]
        return [*self.linker, *_LINK, *wanted, "program.o", *searched, "-o", output]


@functools.cache
def find_toolchain() -> Toolchain:
    """The compiler inside the `ziglang` wheel, or the one that MICROCLAW_COMPILER names; ConfigError without it."""
    wanted = os.environ.get("MICROCLAW_COMPILER", "zig")
    if wanted == "clang":
        return _find_clang()
    if wanted != "zig":
        raise ConfigError(f"MICROCLAW_COMPILER={wanted}: no such compiler", next_step="zig or clang")
    spec = importlib.util.find_spec("ziglang")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        path = Path(place) / ("zig.exe" if os.name == "nt" else "zig")
        if path.is_file() and os.access(path, os.X_OK):
            zig = str(path)
            version = importlib.metadata.version("ziglang")
            return Toolchain(f"zig {version}", (zig, "clang", "-fno-raw-string-literals"), (zig, "wasm-ld"))
    raise ConfigError("no C compiler found", next_step="install it: pip install ziglang")


def _find_clang() -> Toolchain:
    """The system's clang and wasm-ld."""
    clang, linker = shutil.which("clang"), shutil.which("wasm-ld")
    if clang is None or linker is None:
        missing = "clang" if clang is None else "wasm-ld"
        step = "apt-get install clang lld, or leave MICROCLAW_COMPILER out"
        raise ConfigError(f"MICROCLAW_COMPILER=clang, but there is no {missing}", next_step=step)
    output = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    version = re.search(r"version (\S+)", output)
    return Toolchain(f"clang {version[1] if version else '?'}", (clang,), (linker,))
