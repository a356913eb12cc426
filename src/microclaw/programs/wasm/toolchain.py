"""Finds the compiler (the `ziglang` wheel, a wasi-sdk, the system's clang, an image), knows its commands; runs none.

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
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import ConfigError
from microclaw.host.sandbox.container import engine_environment
from microclaw.programs.builds.confinement import IN_IMAGE, container_command
from microclaw.programs.wasm.tables import words_of

HEADERS: Final = Path(__file__).parent / "headers"
NAME_HEADER: Final = HEADERS / "name.h"
OWN_FOLDERS: Final = ("no_usleep", "shim", "entry", "arduino", "glue", "libc", "traced")
"""Of headers/: each is an archive."""
LIBCXX_CLANG: Final = 20  # the oldest clang that reads the wheel's libc++
COMPILERS: Final = ("zig", "wasi-sdk", "clang", "docker", "podman")
"""In the order in which they are looked for."""
_WASI_SDK: Final = "/opt/wasi-sdk"  # where its own documentation puts it
COMPILER_WHEEL: Final = "pip install ziglang (410 MB; pipx: pipx inject microclaw ziglang; uvx: add --with ziglang)"
_GET: Final = {
    "zig": COMPILER_WHEEL,
    "clang": "apt-get install clang lld",
    "docker": "install Docker, and set MICROCLAW_DOCKER_IMAGE to the name of a wasi-sdk image",
    "podman": "install Podman, and set MICROCLAW_DOCKER_IMAGE to the name of a wasi-sdk image",
    "wasi-sdk": f"unpack a release of it to {_WASI_SDK}, or set WASI_SDK_PATH to where it is",
}
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}")
_DIGEST: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
OPTIMIZATIONS: Final = ("O0", "O1", "O2", "O3", "Os", "Oz")

STACK_BYTES: Final = 4096  # a program's, unless it asks for more
# What the application manager may call, and what WAMR places its app heap by.
CALLBACKS: Final = ("on_destroy", "on_timer_callback", "on_request", "on_response", "on_mqtt_dispatch_event")
NOTE_START: Final = "__microclaw_note_start"  # of a program that asks for the time: asyncify.py
# What a program must be able to import so that what it prints is kept (headers/glue/printed.c).
LOG_NATIVES: Final = ("vprintf", "vsnprintf", "puts", "putchar", "wasm_get_sys_tick_ms", "wasm_response_send")
EXPORTED: Final = ("on_init", *CALLBACKS, "__heap_base", "__data_end")
Entry: TypeAlias = Literal["none", "plain", "blocking"]
_COMPILE: Final = (
    *words_of("compile", "options"),
    "-isystem",
    str(HEADERS),
    *(f"-fno-builtin-{name}" for name in words_of("not_in_firmware", "options")),
)
_NO_RAW_STRINGS: Final = "-fno-raw-string-literals"  # of gnu17 only: in C++ source_text.py knows them
ERROR_LIMIT_MESSAGE: Final = b"fatal error: too many errors emitted, stopping now"
"""clang prints this at its -ferror-limit, and then still reads the rest of the program."""
_LINK: Final = (*words_of("link", "options"), *(f"--export-if-defined={name}" for name in EXPORTED))


class Toolchain(Struct, frozen=True):
    """A compiler: its `name` and version, and how the commands of `compiler` and `linker` begin."""

    name: str
    compiler: tuple[str, ...]
    linker: tuple[str, ...]
    c_options: tuple[str, ...] = ()
    libcxx: Path | None = None  # the folder of C++'s standard headers, where this compiler can read them

    def compile_command(
        self,
        file: str,
        optimization: str,
        defines: Sequence[str],
        stack_bytes: int = STACK_BYTES,
        standard_headers: Sequence[str] = (),
        *,
        roots: Sequence[Path] = (),
        traced: bool = False,
        is_c_unit: bool = False,
    ) -> list[str]:
        """Compile `file` in the current directory to program.o and list what was read in program.d.

        Its suffix says the language: .c is C, all others are C++; a sketch, .ino, reads Arduino.h by itself.
        `standard_headers` are of C++'s library and are read before the program, which only then loses the names that
        no program may use; without them the library's folder is not searched. `roots` are folders of headers beside
        microclaw's own: those of the libraries that the program includes. `traced`: for a trial that needs the
        lines of a trap. `is_c_unit`: a source of C in such a program of C++, whose `char` it shares.
        """
        command = self._begin(is_c=is_c_unit or file.endswith(".c"))
        if is_c_unit:
            command += words_of("c_unit", "options")
        if standard_headers:
            command += self._standard(standard_headers)
        else:
            command += words_of("forbidden", "options")
        command += [*_COMPILE, *_with_option("-isystem", roots), *words_of("program", "options")]
        command += [f"-{optimization}", *_macros(defines), f'-DMICROCLAW_NAME="{Path(file).stem}"']
        included = [NAME_HEADER]
        if file.endswith(".ino") and not is_c_unit:
            included.append(HEADERS / "Arduino.h")
        command += _with_option("-include", included)
        command += [f"-Wframe-larger-than={stack_bytes}", "-Werror=frame-larger-than"]
        if traced:
            # With C++'s headers their types would make the module too large for the trial's board.
            lines = "-gline-tables-only" if standard_headers else "-g"
            command += [lines, "-w"]
        return [*command, "-MD", "-MF", "program.d", "-o", "program.o", file]

    def shown_flags(self, file: str, optimization: str) -> list[str]:
        """Return the compiler's options for such a file, without those that name places on this machine."""
        command = self.compile_command(file, optimization, ())[len(self.compiler) : -1]
        paired = ("-isystem", "-include", "-o", "-MF")
        flags = []
        before = ""
        for flag in command:
            if before not in paired and flag not in (*paired, "-c", "-MD") and "MICROCLAW_NAME" not in flag:
                flags.append(flag)
            before = flag
        return flags

    def _standard(self, headers: Sequence[str]) -> list[str]:
        """Read C++'s standard headers first, then forbid the same names as options.toml does."""
        assert self.libcxx is not None
        own = HEADERS / "libcxx"
        files = (own / "begin.h", *map(self.libcxx.joinpath, headers), own / "end.h")
        return ["-isystem", str(self.libcxx), *_with_option("-include", files)]

    def glue_command(self, files: Sequence[Path], roots: Sequence[Path] = (), defines: Sequence[str] = ()) -> list[str]:
        """Compile files of ours, all C or all C++, to objects in the current directory.

        `roots` are folders of headers beside microclaw's own.
        """
        command = self._begin(is_c=all(file.suffix == ".c" for file in files))
        # Programs with either sign of `char` call these files: no function of theirs takes or returns one.
        command += [*_COMPILE, *_with_option("-isystem", roots), *_macros(defines), "-funsigned-char"]
        if any(file.parent.name == "libc" for file in files):
            # A loop in strcat must not become a call of strcat.
            command += ["-fno-builtin", "-Oz"]
        else:
            command.append("-Os")
        return [*command, "-Wall", "-Werror", "-Wno-user-defined-warnings", *map(str, files)]

    def _begin(self, *, is_c: bool) -> list[str]:
        if is_c:
            return [*self.compiler, *self.c_options, *words_of("c", "options")]
        return [*self.compiler, *words_of("cplusplus", "options")]

    def link_command(
        self,
        libraries: Mapping[str, Path],
        stack_bytes: int,
        entry: Entry = "none",
        *,
        names: bool = False,
        constructors: bool = False,
        output: str = "program.wasm",
        traced: bool = False,
        is_logged: bool = False,
    ) -> list[str]:
        """Link program.o to `output`, with only those parts of our libraries that it needs.

        `libraries` are our own archives by folder, and behind them those of parts, which are searched first.
        When `is_logged`, what it prints is also kept for a host that asks for it.

        The stack lies below the data, so that an overflow traps instead of changing variables. With `names` the
        functions keep theirs, for asyncify.py to read. With `constructors` those of global objects run before main:
        once, where the linker by itself would have them run at each call from outside.
        """
        wanted = ["-z", f"stack-size={stack_bytes}"]
        if traced:
            wanted += ["--undefined=microclaw_here", "--undefined=microclaw_stack"]
        elif not names:
            wanted.append("--strip-all")
        if constructors:
            wanted.append("--wrap=__main_void")
        if is_logged and not traced:
            wanted += [f"--wrap={name}" for name in words_of("printing", "options")]
        if entry != "none":
            wanted.append("--undefined=on_init")
        of_parts = [name for name in libraries if name not in OWN_FOLDERS]
        archives = []
        for name in (*of_parts, *words_of(f"searched.{entry}", "options")):
            if name in libraries:
                archives.append(str(libraries[name]))
        return [*self.linker, *_LINK, *wanted, "program.o", *archives, "-o", output]


def _macros(defines: Sequence[str]) -> list[str]:
    return [f"-D{define}" for define in defines]


def _with_option(option: str, paths: Sequence[Path]) -> list[str]:
    """Return each of the paths behind the option."""
    words = []
    for path in paths:
        words += [option, str(path)]
    return words


class CompilerFound(Struct, frozen=True):
    """One of the compilers there are: its version, or why it cannot be used here and how to get it."""

    compiler: str
    version: str | None
    problem: str | None = None
    next_step: str | None = None


_chosen: ContextVar[str] = ContextVar("compiler", default="")


@contextmanager
def compiler_chosen(compiler: str | None) -> Iterator[None]:
    """Make `find_toolchain` find this compiler; None and "" change nothing."""
    token = _chosen.set(compiler or _chosen.get())
    try:
        yield
    finally:
        _chosen.reset(token)


def find_toolchain() -> Toolchain:
    """Return the chosen compiler, else that of MICROCLAW_COMPILER, else the first of COMPILERS that is here.

    Raises ConfigError if there is none, or not that one.
    """
    wanted = _chosen.get() or os.environ.get("MICROCLAW_COMPILER", "")
    if wanted:
        return _found(wanted)
    for compiler in COMPILERS:
        with suppress(ConfigError):
            return _found(compiler)
    text = "no C compiler found: microclaw comes without one"
    raise ConfigError(text, next_step=f"{COMPILER_WHEEL}; or write the program in Python")


def has_compiler() -> bool:
    """Return True if programs in C can be built here."""
    try:
        find_toolchain()
    except ConfigError:
        return False
    return True


def list_compilers() -> tuple[CompilerFound, ...]:
    """Return every compiler that microclaw can use, also those that are not here."""
    found = []
    for compiler in COMPILERS:
        try:
            found.append(CompilerFound(compiler, _found(compiler).name.partition(" ")[2]))
        except ConfigError as exc:
            found.append(CompilerFound(compiler, None, exc.message, exc.next_step))
    return tuple(found)


def _found(compiler: str) -> Toolchain:
    environ = os.environ
    return _find(compiler, environ.get("PATH"), environ.get("WASI_SDK_PATH"), environ.get("MICROCLAW_DOCKER_IMAGE"))


@functools.cache
def _find(wanted: str, path_variable: str | None, wasi_sdk: str | None, image: str | None) -> Toolchain:
    """Look for a compiler, once for each name and place."""
    del path_variable
    if wanted not in COMPILERS:
        raise ConfigError(f"there is no compiler {wanted!r}", next_step=f"choose {', '.join(COMPILERS)}")
    if wanted == "zig":
        return _find_zig()
    if wanted in ("docker", "podman"):
        return _in_image(wanted, shutil.which(wanted), image)
    folder = None
    if wanted == "wasi-sdk":
        folder = str(Path(wasi_sdk or _WASI_SDK) / "bin")
    return _clang(wanted, shutil.which("clang", path=folder), shutil.which("wasm-ld", path=folder))


def _find_zig() -> Toolchain:
    """Find the compiler inside the `ziglang` wheel."""
    file = "zig.exe" if os.name == "nt" else "zig"
    for place in _wheel_places():
        path = Path(place) / file
        if path.is_file() and os.access(path, os.X_OK):
            zig = str(path)
            version = importlib.metadata.version("ziglang")
            return Toolchain(f"zig {version}", (zig, "clang"), (zig, "wasm-ld"), (_NO_RAW_STRINGS,), _find_libcxx())
    raise ConfigError("there is no zig compiler", next_step=f"install it: {_GET['zig']}")


def _wheel_places() -> Sequence[str]:
    """Return the folder of the `ziglang` wheel, if it is installed."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None:
        return ()
    return spec.submodule_search_locations or ()


def _find_libcxx() -> Path | None:
    """Find the folder of libc++'s headers in the wheel."""
    for place in _wheel_places():
        folder = Path(place) / "lib" / "libcxx" / "include"
        if (folder / "__config").is_file():
            return folder
    return None


def _in_image(engine: str, path: str | None, image: str | None) -> Toolchain:
    """Return the clang and wasm-ld of a wasi-sdk image that this engine has already; none is fetched."""
    if path is None:
        raise ConfigError(f"{engine}: there is no {engine}", next_step=_GET[engine])
    if not image:
        raise ConfigError(f"{engine}: no image is named", next_step=_GET[engine])
    if not _IMAGE.fullmatch(image):
        raise ConfigError(f"{image[:100]!r} is no name of an image", next_step=_GET[engine])
    command = [path, "image", "inspect", "--format", "{{.Id}}", image]
    try:
        inspection = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ConfigError(f"{engine} does not answer: {exc}", next_step="start it, or choose another compiler") from exc
    if inspection.returncode != 0:
        why = " ".join(inspection.stderr.split())[:200]
        raise ConfigError(f"{engine} has no image {image}: {why}", next_step=f"{engine} pull {image}")
    identity = inspection.stdout.strip()
    exact_image = identity if _DIGEST.fullmatch(identity) else image
    begin = (path, IN_IMAGE, exact_image)
    compiler = (*begin, f"{_WASI_SDK}/bin/clang")
    with tempfile.TemporaryDirectory() as folder:
        asking, _ = container_command((*compiler, "--version"), Path(folder))
        environment = engine_environment()
        answer = subprocess.run(asking, env=environment, capture_output=True, text=True, timeout=60, check=False)
    version = re.search(r"version (\d\S*)", answer.stdout)
    if answer.returncode != 0 or version is None:
        why = " ".join((answer.stderr or answer.stdout).split())[:200]
        raise ConfigError(f"{engine}: no clang answers in {image}: {why}", next_step=_GET[engine])
    name = f"{engine} {version[1]} {identity.removeprefix('sha256:')[:12]}"
    return Toolchain(name, compiler, (*begin, f"{_WASI_SDK}/bin/wasm-ld"))


def _clang(compiler: str, clang: str | None, linker: str | None) -> Toolchain:
    """Return a clang with the wasm-ld beside it: the system's, or that of a wasi-sdk."""
    if clang is None or linker is None:
        missing = "clang" if clang is None else "wasm-ld"
        step = f"{_GET[compiler]}; or choose another compiler, or none: the zig wheel's is taken then"
        raise ConfigError(f"{compiler}: there is no {missing}", next_step=step)
    output = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    version = re.search(r"version ((\d+)\S*)", output)
    if version is None:
        return Toolchain(f"{compiler} ?", (clang,), (linker,))
    libcxx = None
    if int(version[2]) >= LIBCXX_CLANG:
        libcxx = _find_libcxx()
    return Toolchain(f"{compiler} {version[1]}", (clang,), (linker,), libcxx=libcxx)
