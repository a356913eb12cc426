"""C source to a checked image for one board: reads it, chooses macros, compiles, links, checks. Sends nothing."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import msgpack

from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.cache import BuildCache, default_cache
from microclaw.wasm.checks import (
    check_exports,
    check_imports,
    check_nodes,
    check_pins,
    check_size,
    has_llmos_pins,
    llmos_note,
    memory_use,
)
from microclaw.wasm.diagnostics import MAX_DIAGNOSTICS, PinMark, read_compiler_output
from microclaw.wasm.eventful import Linker, binaryen_identity, check_reserved_names, main_never_called
from microclaw.wasm.image import Image
from microclaw.wasm.inspect import Module, parse_module
from microclaw.wasm.libraries import build_glue, headers_hash
from microclaw.wasm.loops import read_loops
from microclaw.wasm.opcodes import check_opcodes
from microclaw.wasm.process import OUTPUT_LIMIT_BYTES, Processes, build_failure, in_worker
from microclaw.wasm.source_language import Language
from microclaw.wasm.source_text import SourceText, read_source
from microclaw.wasm.symbols import Variable, read_symbols
from microclaw.wasm.tokens import Token
from microclaw.wasm.toolchain import ERROR_LIMIT_MESSAGE, HEADERS, OPTIMIZATIONS, STACK_BYTES, Toolchain, find_toolchain
from microclaw.wire.wasm_binary import FeatureError, ModuleError


def sketch_defines(text: SourceText) -> tuple[str, ...]:
    """MICROCLAW_SKETCH for a program that defines setup and loop and nothing that starts it."""
    parts = all(text.find_definition(name) for name in ("setup", "loop"))
    entry = any(text.find_definition(name) for name in ("main", "on_init"))
    return ("MICROCLAW_SKETCH",) if parts and not entry else ()


_BINARY: Final = re.compile(r"B([01]{1,8})")


def binary_defines(text: SourceText) -> tuple[str, ...]:
    """B1010=10 for each of Arduino's binary numbers that a C++ program names."""
    if text.language == "c":
        return ()
    found = {token.text for token in text.tokens if token.kind == "name" and _BINARY.fullmatch(token.text)}
    return tuple(f"{name}={int(name[1:], 2)}" for name in sorted(found))


# Names that C does not have and programs often define with another type, and the printf family of stdio.h.
GUARDED: Final = frozenset(
    (
        *("printf", "sprintf", "snprintf", "vprintf", "vsprintf", "vsnprintf", "fprintf", "vfprintf"),
        *("strlcpy", "strlcat", "itoa", "utoa", "ltoa"),
        *(
            "log",
            "every",
            "after",
            "cancel",
            "delay",
            "delay_ms",
            "delayMicroseconds",
            "usleep",
            "millis",
            "micros",
            "min",
            "max",
            "constrain",
            "map",
        ),
    )
)
_BEHIND_A_VARIABLE: Final = frozenset("=;[,")


def own_defines(text: SourceText) -> tuple[str, ...]:
    """A macro MICROCLAW_OWN_name for each guarded name of which the program makes a function or a global variable."""
    return tuple(f"MICROCLAW_OWN_{name}" for name in sorted(set(_own(text.tokens))))


def _own(tokens: tuple[Token, ...]) -> Iterator[str]:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text in "({") - (token.text in ")}")
        if depth == 0 and token.kind == "name" and token.text in GUARDED:
            behind = tokens[at + 1].text if at + 1 < len(tokens) else ""
            declared = at > 0 and (tokens[at - 1].kind == "name" or tokens[at - 1].text == "*")
            if declared and (behind in _BEHIND_A_VARIABLE or _has_body(tokens, at + 1)):
                yield token.text


def _has_body(tokens: tuple[Token, ...], at: int) -> bool:
    """Whether parameters and a brace follow."""
    depth = 0
    for position in range(at, len(tokens)):
        text = tokens[position].text
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return text == ")" and position + 1 < len(tokens) and tokens[position + 1].text == "{"
    return False


# The place of the format among the arguments.
FORMAT_AT: Final = {
    **{"printf": 0, "log": 0, "vprintf": 0, "sprintf": 1, "vsprintf": 1, "fprintf": 1, "vfprintf": 1},
    **{"snprintf": 2, "vsnprintf": 2},
}
# A number's text ends after 63 characters in the firmware, so widths are below that; `*`, %n and %a it has not.
_PLAIN: Final = re.compile(
    r"(?:[^%]|%(?:%|[-+ #0]*[0-5]?[0-9]?(?:\.[0-5]?[0-9]?)?(?:hh|h|ll|l|j|z|t)?[diouxXcsfFeEgGp]))*", re.DOTALL
)
_NUMERIC_ESCAPE: Final = re.compile(r"\\[0-7xuU]")


def format_defines(text: SourceText) -> tuple[str, ...]:
    """A macro MICROCLAW_CHOOSE_name for each function that gets a format the firmware may not know."""
    doubtful = {
        token.text
        for at, token in enumerate(text.tokens)
        if token.kind == "name" and token.text in FORMAT_AT and not _is_plain(text.tokens, at)
    }
    return tuple(f"MICROCLAW_CHOOSE_{name}" for name in sorted(doubtful))


def is_plain(literal: str) -> bool:
    """Whether the firmware's printf can do a format, given as the text between a literal's quotes."""
    return _NUMERIC_ESCAPE.search(literal) is None and _PLAIN.fullmatch(literal) is not None


def _is_plain(tokens: Sequence[Token], at: int) -> bool:
    arguments = _arguments(tokens, at + 1)
    place = FORMAT_AT[tokens[at].text]
    if place >= len(arguments):
        return False
    parts = arguments[place]
    if not parts or any(part.kind != "string" or not part.text.startswith('"') for part in parts):
        return False
    return is_plain("".join(part.text[1:-1] for part in parts))


def _arguments(tokens: Sequence[Token], at: int) -> list[Sequence[Token]]:
    """The tokens of each argument of a call; an empty list if it is not a call."""
    depth = 0
    cuts = []
    for position in range(at, len(tokens)):
        text = tokens[position].text
        depth += (text in "([{") - (text in ")]}")
        if depth == 0:
            cuts.append(position)
            break
        if position == at or (text == "," and depth == 1):
            cuts.append(position)
    return [tokens[begin + 1 : end] for begin, end in pairwise(cuts)]


MIN_STACK_BYTES: Final = 1024
MAX_STACK_BYTES: Final = 32768
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CACHE_VERSION: Final = 12


@dataclass(frozen=True, slots=True)
class _Build:
    """The result of compiler and linker, before any board's checks: the cache stores this."""

    wasm: bytes
    warnings: tuple[Diagnostic, ...]
    marks: tuple[PinMark, ...]
    largest: Variable | None = None  # where the program takes more than one page of memory
    compiled_bytes: int | None = None  # before a blocking program was made event-driven
    took_ms: float = 0.0


async def compile_module(
    source: str,
    board: BoardProfile,
    *,
    name: str = "main",
    language: Language | None = None,
    optimization: str = "O3",
    stack_bytes: int = STACK_BYTES,
    heap_bytes: int | None = None,
    cache: BuildCache | None = None,
) -> Image:
    """Compile a C or C++ program or a sketch for a board and check everything that can be checked before sending.

    Without a `language` the source says which it is, and a warning which was taken when that is not C.
    `heap_bytes` is what the app will be installed with, the firmware's default if None. Equal input gives equal bytes.
    Raises BuildError with its diagnostics, ConfigError without a compiler.
    """
    _check_options(name, optimization, stack_bytes)
    text = read_source(source, name, board, language)
    check_reserved_names(text)
    toolchain = find_toolchain()
    cache = cache or default_cache()
    commands = (
        toolchain.compile_command(
            text.file,
            optimization,
            (
                *board_defines(board),
                *own_defines(text),
                *format_defines(text),
                *sketch_defines(text),
                *binary_defines(text),
                *(("MICROCLAW_LLMOS",) if has_llmos_pins(text) else ()),
            ),
            stack_bytes,
        ),
        toolchain.link_command({}, stack_bytes),
        binaryen_identity(),
    )
    key = hashlib.sha256(
        repr((_CACHE_VERSION, toolchain.name, headers_hash(), commands, text.text)).encode()
    ).hexdigest()
    blob = None if text.missing else cache.get(key)
    if blob is not None:
        build = replace(msgpack.decode(blob, type=_Build), took_ms=0.0)
    else:
        libraries = await build_glue(toolchain, cache.directory)
        build = await in_worker(partial(_build, text, board, toolchain, commands[0], libraries, stack_bytes))
        cache.put(key, msgpack.encode(build))
    return _checked_image(build, board, text, name, toolchain.name, heap_bytes, cached=blob is not None)


def read_module(
    wasm: bytes, board: BoardProfile, *, name: str, source: str | None = None, heap_bytes: int | None = None
) -> Image:
    """Check a module that came as bytes; the source, where there is one, only serves to name lines."""
    text = read_source(source, name) if source is not None else SourceText(f"{name}.wasm", "", (), ())
    return _checked_image(_Build(wasm, (), ()), board, text, name, "none", heap_bytes, cached=False)


def board_defines(board: BoardProfile) -> tuple[str, ...]:
    """The macros that tell a program about its board."""
    defines = []
    if board.led is not None and board.led.kind == "simple":
        defines += [f"BOARD_LED_PIN={board.led.pin}", f"BOARD_LED_ON={board.led.active_level}"]
    if board.i2c is not None:
        defines += [f"BOARD_I2C_SDA={board.i2c.sda}", f"BOARD_I2C_SCL={board.i2c.scl}"]
    return tuple(defines)


def _check_options(name: str, optimization: str, stack_bytes: int) -> None:
    problem = None
    if not _NAME.fullmatch(name):
        problem = f"{name!r} is no name for a program: letters, digits, _ . - only, at most 64"
    elif optimization not in OPTIMIZATIONS:
        problem = f"unknown optimization {optimization!r}: there are {', '.join(OPTIMIZATIONS)}"
    elif not MIN_STACK_BYTES <= stack_bytes <= MAX_STACK_BYTES or stack_bytes % 16:
        problem = f"a stack of {stack_bytes} bytes: {MIN_STACK_BYTES} to {MAX_STACK_BYTES}, a multiple of 16"
    if problem is not None:
        raise BuildError((Diagnostic("error", problem),), stage="options")


def _build(
    text: SourceText,
    board: BoardProfile,  # only to word errors: what is built is the same for boards of equal pins
    toolchain: Toolchain,
    command: list[str],
    libraries: Mapping[str, Path],
    stack_bytes: int,
    processes: Processes,
) -> _Build:
    with tempfile.TemporaryDirectory(prefix="microclaw-build-", dir=_work_place()) as work:
        directory = Path(work)
        (directory / text.file).write_text(text.text, encoding="utf-8")
        compiled = processes.run(command, directory, stop_at=ERROR_LIMIT_MESSAGE)
        report = read_compiler_output(compiled.output, text, board)
        if len(compiled.output) >= OUTPUT_LIMIT_BYTES:  # what was cut off may be an error, or a pin to be checked
            raise BuildError((_too_many_findings(text), *report.errors), stage="compile")
        if text.missing:
            raise BuildError((*text.missing, *report.errors)[:MAX_DIAGNOSTICS], stage="compile")
        if report.errors or compiled.returncode != 0:
            raise build_failure(compiled, report.diagnostics, text, "compile")
        _check_files_read(directory / "program.d", text)
        symbols = read_symbols((directory / "program.o").read_bytes())
        loops = read_loops(symbols)
        findings = loops.findings(text)
        if any(found.severity == "error" for found in findings):
            raise BuildError((*report.diagnostics, *findings), stage="check")
        linked = Linker(toolchain, libraries, stack_bytes, text, directory, processes).link(symbols, loops)
    large = (parse_module(linked.wasm).memory_pages or 0) > 1
    return _Build(
        linked.wasm,
        (*report.diagnostics, *main_never_called(symbols, text), *findings, *llmos_note(text)),
        report.marks,
        symbols.largest_variable if large else None,
        linked.compiled_bytes,
        compiled.took_ms + linked.took_ms,
    )


def _too_many_findings(text: SourceText) -> Diagnostic:
    message = "the compiler has too many findings to read them all"
    return Diagnostic("error", message, text.file, hint="mend the first ones, or make the program shorter")


@functools.cache
def _work_place() -> str | None:
    """A directory in memory where there is one: creating and deleting on disk costs a tenth of a compile."""
    memory = "/dev/shm"  # noqa: S108 - a private directory is made in it
    return memory if os.path.isdir(memory) and os.access(memory, os.W_OK | os.X_OK) else None  # noqa: PTH112


def _check_files_read(dependencies: Path, text: SourceText) -> None:
    """The last wall: refuse the program if the compiler read any file but it and our headers."""
    listed = dependencies.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")[2]
    ours = f"{HEADERS}{os.sep}"
    for escaped in re.findall(r"(?:\\ |\S)+", listed):
        path = escaped.replace("\\ ", " ")
        if path != text.file and (not path.startswith(ours) or ".." in path):
            message = f"the program makes the compiler read {Path(path).name}, which is not one of microclaw's headers"
            raise BuildError((Diagnostic("error", message, text.file),), stage="compile")


def _checked_image(
    build: _Build,
    board: BoardProfile,
    text: SourceText,
    name: str,
    compiler: str,
    heap_bytes: int | None,
    *,
    cached: bool,
) -> Image:
    module = _parse(build.wasm, text.file)
    pins, pin_errors = check_pins(build.marks, (s.data for s in module.data), board, text)
    errors = (
        *check_imports(module, board, text),
        *check_exports(module, text),
        *check_nodes(module, board, text),
        *check_size(module, len(build.wasm), board, text, heap_bytes, build.largest),
        *pin_errors,
    )
    if errors:
        raise BuildError(errors, stage="check")
    return Image(
        name=name,
        wasm=build.wasm,
        sha256=hashlib.sha256(build.wasm).hexdigest(),
        imports=tuple(module.imports),
        exports=tuple(export.name for export in module.exports),
        memory=memory_use(module),
        pins=pins,
        compiler=compiler,
        cached=cached,
        compile_ms=build.took_ms,
        warnings=build.warnings,
        language=text.language,
        language_guessed=text.is_guessed,
        source=("\n".join((*text.lines, "")) if text.lines else None),
        compiled_bytes=build.compiled_bytes,
    )


def _parse(wasm: bytes, file: str) -> Module:
    try:
        module = parse_module(wasm)
        check_opcodes(module.bodies)
    except ModuleError as exc:
        raise BuildError((Diagnostic("error", f"not a valid wasm module: {exc}", file),), stage="check") from exc
    except FeatureError as exc:
        hint = "compile for WebAssembly 1.0: clang -mcpu=mvp, or let microclaw compile the source"
        message = f"it needs the wasm feature {exc}, which the firmware's runtime does not have"
        raise BuildError((Diagnostic("error", message, file, hint=hint),), stage="check") from exc
    return module
