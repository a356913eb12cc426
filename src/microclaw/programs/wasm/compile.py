"""C source to a checked image for one board: reads it, chooses macros, compiles, links, checks. Sends nothing."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct, msgpack
from msgspec.structs import replace

from microclaw.conversion import decode_msgpack
from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.natives import NATIVES
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache, default_cache
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import (
    OUTPUT_LIMIT_BYTES,
    Processes,
    ProcessResult,
    build_failure,
    check_name,
    run_in_worker,
)
from microclaw.programs.source_marks import findings_located, without_marks
from microclaw.programs.wasm.asyncify import Linker, binaryen_identity, main_never_called
from microclaw.programs.wasm.checks import (
    NO_ENTRY,
    check_exports,
    check_formats,
    check_imports,
    check_nodes,
    check_size,
    memory_use,
    soft_pwm_note,
)
from microclaw.programs.wasm.diagnostics import (
    MAX_DIAGNOSTICS,
    CompilerReport,
    PinMark,
    ValueMark,
    at,
    is_readable,
    read_compiler_output,
)
from microclaw.programs.wasm.follow_up_errors import errors_of, folded
from microclaw.programs.wasm.host_names import find_network
from microclaw.programs.wasm.inspect import Module, parse_module
from microclaw.programs.wasm.libraries import build_glue, headers_hash
from microclaw.programs.wasm.llmos import llmos_notes, llmos_sensors
from microclaw.programs.wasm.loop_guards import Guards, plan_guards
from microclaw.programs.wasm.loops import read_loops
from microclaw.programs.wasm.main_entry import with_main_called
from microclaw.programs.wasm.opcodes import calls_of
from microclaw.programs.wasm.part_readings import program_libraries
from microclaw.programs.wasm.pin_checks import check_pins, with_boards_for_names
from microclaw.programs.wasm.program_macros import text_defines
from microclaw.programs.wasm.source_language import Language
from microclaw.programs.wasm.source_text import SourceText, read_source
from microclaw.programs.wasm.symbols import MAINS, Symbols, keeps_prints, read_symbols
from microclaw.programs.wasm.toolchain import (
    LIBCXX_CLANG,
    LOG_NATIVES,
    OPTIMIZATIONS,
    STACK_BYTES,
    Toolchain,
    find_toolchain,
)
from microclaw.programs.wasm.units import UnitCompiler
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.programs.wasm.wired_parts import find_bus_parts, find_wired_parts
from microclaw.wire.wasm_binary import ModuleError

MIN_STACK_BYTES: Final = 1024
MAX_STACK_BYTES: Final = 32768
MAX_FUNCTIONS: Final = 2000
_CACHE_VERSION: Final = 22
_MAX_DEPENDENCIES_BYTES: Final = 1 << 20
_SPI_PINS: Final = frozenset(("SCK", "MISO", "MOSI", "SS"))
_NO_USLEEP: Final = "MICROCLAW_NO_USLEEP"

_Commands: TypeAlias = tuple[list[str], list[str] | None]
"""The compiler's command, and the one for sources of C in a program of C++."""


class _Build(Struct, frozen=True):
    """The result of compiler and linker, before any board's checks: the cache stores this."""

    wasm: bytes
    warnings: tuple[Diagnostic, ...]
    marks: tuple[PinMark, ...]
    largest: tuple[str, int] | None = None  # where the program takes more than one page of memory
    compiled_bytes: int | None = None  # before a blocking program was made event-driven
    took_ms: float = 0.0
    cached: bool = False
    values: tuple[ValueMark, ...] = ()


class _BuildOrder(Struct, frozen=True):
    """A source, and how it is built for a board."""

    text: SourceText
    board: BoardProfile
    toolchain: Toolchain
    optimization: str
    stack_bytes: int
    traced: bool = False


async def compile_module(
    source: str,
    board: BoardProfile,
    *,
    name: str = "main",
    language: Language | None = None,
    optimization: str = "O3",
    stack_bytes: int = STACK_BYTES,
    cache: BuildCache | None = None,
) -> WasmImage:
    """Compile a C or C++ program or a sketch for a board and check everything that can be checked before sending.

    Without a `language` the source says which it is, and a warning which was taken when that is not C.
    Equal input gives equal bytes; the memory is checked with the heap that the firmware gives by default.
    Raises BuildError with its diagnostics, ConfigError without a compiler.
    """
    _check_options(name, optimization, stack_bytes)
    _, marks = await asyncio.to_thread(without_marks, source)
    with findings_located(marks):
        text = await asyncio.to_thread(read_source, source, name, language)
        toolchain = find_toolchain()
        _check_standard_headers(text, toolchain)
        order = _BuildOrder(text, board, toolchain, optimization, stack_bytes)
        build = await _cached_build(order, cache or default_cache())
        image = await asyncio.to_thread(_checked_image, build, board, text, name, toolchain.name)
    return replace(image, optimization=optimization, warnings=marks.all_located(image.warnings))


async def compile_traced(image: WasmImage, *, board: BoardProfile, cache: BuildCache | None = None) -> bytes:
    """Build an image's source so that only a trial may run it: it names the line of a trap.

    Raises BuildError, also if the source is not known.
    """
    if image.source is None or image.optimization is None:
        raise BuildError((Diagnostic("error", f"{image.name} came without its source"),), stage="source")
    text = await asyncio.to_thread(read_source, image.source, image.name, image.language)
    order = _BuildOrder(text, board, find_toolchain(), image.optimization, image.memory.stack_bytes, traced=True)
    build = await _cached_build(order, cache or default_cache())
    return build.wasm


async def _cached_build(order: _BuildOrder, cache: BuildCache) -> _Build:
    text = order.text
    toolchain = order.toolchain
    defines = (*board_defines(order.board), *await asyncio.to_thread(text_defines, text, order.board))
    libraries = program_libraries(text, llmos_sensors(text, order.board))
    roots = []
    hashes = [headers_hash()]
    for library in libraries:
        roots.append(library.root)
        hashes.append(library.digest())
    commands = _compile_commands(order, defines, roots)
    link = toolchain.link_command({}, order.stack_bytes, traced=order.traced, is_logged=_logged(order.board))
    source = (text.text, text.units, sorted(text.c_units))
    parts = (_CACHE_VERSION, toolchain.name, tuple(hashes), commands, link, binaryen_identity(), *source)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    blob = None
    if not text.missing:
        blob = cache.get(key)
    if blob is not None:
        return replace(decode_msgpack(blob, _Build), took_ms=0.0, cached=True)
    archives = await build_glue(toolchain, cache.directory, libraries)
    build = await run_in_worker(partial(_build, order, commands, archives))
    cache.put(key, msgpack.encode(build))
    return build


def _compile_commands(order: _BuildOrder, defines: Sequence[str], roots: Sequence[Path]) -> _Commands:
    """Return the compiler's command, and the one for sources of C in a program of C++; None if it has none."""
    text = order.text
    make = partial(
        order.toolchain.compile_command,
        text.file,
        order.optimization,
        defines,
        order.stack_bytes,
        roots=roots,
        traced=order.traced,
    )
    c_command = None
    if text.c_units:
        c_command = make(is_c_unit=True)
    return make(text.standard_headers), c_command


def read_module(wasm: bytes, board: BoardProfile, *, name: str, source: str | None = None) -> WasmImage:
    """Check a module that came as bytes; a source only serves to name lines."""
    if source is not None:
        text = read_source(source, name)
    else:
        text = SourceText(f"{name}.wasm", "", (), ())
    _check_function_count(_parse(wasm, text.file), text)
    build = _Build(with_main_called(wasm, text.file), (), ())
    return _checked_image(build, board, text, name, "none")


def board_defines(board: BoardProfile) -> tuple[str, ...]:
    """Return the macros that describe the board to a program, as NAME or NAME=value."""
    defines = []
    if board.led is not None and board.led.kind == "simple":
        defines += [f"BOARD_LED_PIN={board.led.pin}", f"BOARD_LED_ON={board.led.active_level}"]
    if board.i2c is not None:
        defines += [f"BOARD_I2C_SDA={board.i2c.sda}", f"BOARD_I2C_SCL={board.i2c.scl}"]
    if board.arduino_pins.keys() >= _SPI_PINS:
        for name in sorted(_SPI_PINS):
            defines.append(f"BOARD_SPI_{name}={board.arduino_pins[name]}")
    if not board.firmware.has_native("usleep", NATIVES["usleep"].group.value):
        defines.append(_NO_USLEEP)
    return tuple(defines)


def _check_standard_headers(text: SourceText, toolchain: Toolchain) -> None:
    """Raise BuildError if the compiler cannot read C++'s standard headers."""
    if toolchain.libcxx is not None or not text.standard_headers:
        return
    name = text.standard_headers[0]
    including = (number for number, line in enumerate(text.lines, 1) if "include" in line and name in line)
    why = f"C++'s standard headers need clang {LIBCXX_CLANG} or newer, and this build uses {toolchain.name}"
    hint = "leave MICROCLAW_COMPILER out: zig's compiler reads them"
    place = (next(including, 1), 1)
    error = at(text, place, f"<{name}> is too new for this compiler", hint, explanation=why)
    raise BuildError((error,), stage="source")


def _check_options(name: str, optimization: str, stack_bytes: int) -> None:
    check_name(name)
    problem = None
    if optimization not in OPTIMIZATIONS:
        problem = f"unknown optimization {optimization!r}: there are {', '.join(OPTIMIZATIONS)}"
    elif not MIN_STACK_BYTES <= stack_bytes <= MAX_STACK_BYTES or stack_bytes % 16:
        problem = f"a stack of {stack_bytes} bytes: {MIN_STACK_BYTES} to {MAX_STACK_BYTES}, a multiple of 16"
    if problem is not None:
        raise BuildError((Diagnostic("error", problem, "options"),), stage="options")


def _build(order: _BuildOrder, commands: _Commands, libraries: dict[str, Path], processes: Processes) -> _Build:
    """Compile, check and link. The board only words errors: boards of equal pins have the same build."""
    text = order.text
    command, c_command = commands
    if f"-D{_NO_USLEEP}" not in command:
        del libraries["no_usleep"]
    with tempfile.TemporaryDirectory(prefix="microclaw-build-", dir=_work_place()) as work:
        directory = Path(work)
        units = UnitCompiler(text, command, order.toolchain, directory, processes, c_command)
        compiled, report = _compiled_units(units, text, order.board)
        symbols = read_symbols(read_output(directory / "program.o", stage="compile"))
        _check_function_count(symbols.module, text)
        loops = read_loops(symbols)
        findings = (*units.char_sign_findings(), *loops.findings(text))
        _check_main(symbols, text)
        if not order.traced and errors_of(findings):
            raise BuildError((*report.diagnostics, *findings), stage="check")
        soft_pwm = soft_pwm_note(report.marks, text, symbols.missing)
        # Code put in behind the linker would move the lines of a build for trials.
        guards = Guards() if order.traced else plan_guards(loops, text)
        linker = Linker(order.toolchain, libraries, order.stack_bytes, text, directory, processes, symbols, guards)
        wanted = ("microclaw_has_soft_pwm",) if soft_pwm else ()
        is_logged = _logged(order.board) and keeps_prints(symbols)
        linked = replace(linker, wanted=wanted, traced=order.traced, is_logged=is_logged).link()
    notes = (*main_never_called(symbols, text), *findings, *llmos_notes(text, order.board), *soft_pwm)
    page_count = parse_module(linked.wasm).memory_pages or 0
    largest = symbols.largest_variable if page_count > 1 else None
    took_ms = compiled.took_ms + linked.took_ms
    return _Build(
        linked.wasm,
        (*report.diagnostics, *notes),
        report.marks,
        largest,
        linked.compiled_bytes,
        took_ms,
        values=report.values,
    )


def _compiled_units(units: UnitCompiler, text: SourceText, board: BoardProfile) -> tuple[ProcessResult, CompilerReport]:
    """Compile the sources of a program to one object. Raises BuildError for what the compiler found."""
    compiled = units.compile()
    report = read_compiler_output(compiled.output, text)
    diagnostics = with_boards_for_names(report.diagnostics, report.marks, board, text)
    report = replace(report, diagnostics=diagnostics)
    _check_compiled(compiled, report, text)
    for dependencies in units.dependencies:
        _check_files_read(dependencies, text)
    units.join()
    return compiled, report


def _check_compiled(compiled: ProcessResult, report: CompilerReport, text: SourceText) -> None:
    """Raise BuildError for what the compiler found."""
    # What was cut off may be an error, or a pin to be checked.
    if len(compiled.output) >= OUTPUT_LIMIT_BYTES:
        message = "the compiler has too many findings to read them all"
        error = Diagnostic("error", message, text.file, hint="mend the first ones, or make the program shorter")
        raise BuildError((error, *report.errors), stage="compile")
    missing = (*text.missing, *map(text.unsure.__getitem__, report.reached))
    if missing:
        findings = folded(missing, report.errors, text)
        raise BuildError(findings[:MAX_DIAGNOSTICS], stage="compile")
    if report.errors or compiled.returncode != 0:
        raise build_failure(compiled, report.diagnostics, text.file, "compile")


def _check_main(symbols: Symbols, text: SourceText) -> None:
    """Raise BuildError for a program that only has ESP-IDF's main."""
    if not symbols.functions & {*MAINS, "on_init"} and text.find_definition("app_main"):
        hint = "app_main is ESP-IDF's: call it int main(void)"
        raise BuildError((at(text, text.find_name("app_main"), NO_ENTRY, hint),), stage="check")


def _check_function_count(module: Module, text: SourceText) -> None:
    """Raise BuildError for a program with more functions than we look through: who calls whom is not linear."""
    function_count = len(module.bodies)
    if function_count > MAX_FUNCTIONS:
        message = f"the program has {function_count:,} functions; {MAX_FUNCTIONS:,} is the limit"
        found = Diagnostic("error", message, text.file, hint="write fewer and longer functions")
        raise BuildError((found,), stage="check")


def _logged(board: BoardProfile) -> bool:
    """Return True if the firmware has what it takes to keep what a program prints for a host (glue/printed.c)."""
    return all(board.firmware.has_native(name, NATIVES[name].group.value) for name in LOG_NATIVES)


@functools.cache
def _work_place() -> str | None:
    """Return a directory in memory, or None: creating and deleting on disk costs a tenth of a compile."""
    memory = "/dev/shm"  # noqa: S108 - a private directory is made in it
    if os.path.isdir(memory) and os.access(memory, os.W_OK | os.X_OK):  # noqa: PTH112
        return memory
    return None


def _check_files_read(dependencies: Path, text: SourceText) -> None:
    """Refuse a program if the compiler read any file but it, our headers and C++'s standard ones: the last wall."""
    written = read_output(dependencies, stage="compile", limit_bytes=_MAX_DEPENDENCIES_BYTES)
    listed = written.decode(errors="replace").replace("\\\n", " ").partition(":")[2]
    for escaped in re.findall(r"(?:\\ |\S)+", listed):
        path = escaped.replace("\\ ", " ")
        if path != text.file and (not is_readable(path, text) or ".." in path):
            message = f"the program makes the compiler read {Path(path).name}, which is not one of microclaw's headers"
            raise BuildError((Diagnostic("error", message, text.file),), stage="compile")


def _checked_image(build: _Build, board: BoardProfile, text: SourceText, name: str, compiler: str) -> WasmImage:
    module = _parse(build.wasm, text.file)
    pins, pin_findings = check_pins(build.marks, (segment.data for segment in module.data), board, text)
    found = chain(
        check_imports(module, board, text),
        check_exports(module, text),
        check_nodes(module, board, text),
        check_formats(text),
        check_size(module, len(build.wasm), board, text, build.largest),
        errors_of(pin_findings),
    )
    # What is wrong, and what was meant instead, is looked up for as many as are shown.
    errors = tuple(islice(found, MAX_DIAGNOSTICS))
    if errors:
        raise BuildError(errors, stage="check")
    driven = {mark.pin for mark in build.marks if mark.output or mark.what == "pwm"}
    return WasmImage(
        name=name,
        wasm=build.wasm,
        sha256=hashlib.sha256(build.wasm).hexdigest(),
        imports=tuple(module.imports),
        exports=tuple(export.name for export in module.exports),
        memory=memory_use(module),
        pins=pins,
        driven=tuple(sorted(driven)),
        wired=(
            *find_wired_parts(build.marks, build.values),
            *find_bus_parts(text, build.marks, build.values, board),
        ),
        network=find_network(module),
        compiler=compiler,
        cached=build.cached,
        compile_ms=build.took_ms,
        warnings=(*build.warnings, *pin_findings),
        language=text.language,
        language_guessed=text.is_guessed,
        source=text.source or None,
        compiled_bytes=build.compiled_bytes,
    )


def _parse(wasm: bytes, file: str) -> Module:
    try:
        module = parse_module(wasm)
        for body in module.bodies:
            calls_of(body)
    except ModuleError as exc:
        hint = "compile for WebAssembly 1.0: clang -mcpu=mvp, or let microclaw compile the source"
        message = f"it is no module of WebAssembly 1.0, which the firmware's runtime takes: {exc}"
        raise BuildError((Diagnostic("error", message, file, hint=hint),), stage="check") from exc
    return module
