"""A program built and tried on a throw-away virtual board, without a host. Nothing is installed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.exceptions import Exit

from microclaw.apps.building import ProgramImage, cached_compiler, program_language
from microclaw.apps.expectation_result import NO_EXPECTATION
from microclaw.apps.firmware_fit import DEFAULT_TIMERS, fit_limits
from microclaw.apps.run_times import check_keeper
from microclaw.apps.stage_text import check_text, compile_text
from microclaw.apps.trial import Trial, TrialOptions, parse_duration_ms, parse_input, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.cli.options import GlobalOptions
from microclaw.cli.program_files import WASM_MAGIC, name_of_file, read_expectations, read_program, source_text
from microclaw.cli.programs import RunRequest
from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.events import PROGRAM_KINDS, Step
from microclaw.py.image import PyImage
from microclaw.terminal.page import Terminal
from microclaw.text import count_text, escape_hidden
from microclaw.wasm import BuildCache, read_module
from microclaw.wasm.checks import memory_map
from microclaw.wasm.image import Image
from microclaw.wasm.toolchain import compiler_chosen

MAX_LOG_LINES = 20


def try_program(
    options: GlobalOptions,
    asked: RunRequest,
    duration: str,
    inputs: Sequence[str],
    compiler: str | None,
    *,
    realtime: bool,
) -> None:
    """Build it and try it. Exit code 1 when the trial failed."""
    profile = asked.board()
    heap, timers = fit_limits(profile, asked.heap_bytes, DEFAULT_TIMERS)
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs),
        realtime=realtime,
        heap_bytes=heap,
        timers=timers,
        expectations=None if asked.expect is None else read_expectations(asked.expect),
        times=asked.times,
    )
    if realtime and trial_options.times is not None:
        raise ConfigError(
            "--realtime does not go with --every and --stop-after",
            next_step="leave --realtime out: the board's clock jumps",
        )
    image = build_file(options.settings(), asked.file, profile, asked.optimization, compiler, name=asked.name)
    check_keeper(trial_options.times, image.kind)
    if not options.json and not options.quiet:
        show_image(options.terminal(), image, optimization=asked.optimization, heap_bytes=heap)
    trial = asyncio.run(try_image(image, profile, trial_options, cache=BuildCache(options.settings().cache)))
    if options.json:
        document = {**trial.to_json(), "diagnostics": [found.to_json() for found in image.warnings]}
        sys.stdout.write(escape_hidden(json.dumps(document, ensure_ascii=False)) + "\n")
    else:
        show_trial(options.terminal(), trial)
    if not trial.ok:
        raise Exit(1)


def build_file(
    settings: Settings,
    file: Path,
    board: BoardProfile,
    optimization: str,
    compiler: str | None = None,
    *,
    name: str | None = None,
) -> ProgramImage:
    """Compile C, C++ or Python, or check wasm, by the file's first bytes and name. Raises BuildError, ConfigError."""
    name = name_of_file(file) if name is None else name
    content = read_program(file)
    if content.startswith(WASM_MAGIC):
        return read_module(content, board, name=name)
    build = cached_compiler(BuildCache(settings.cache))
    source, language = source_text(content, file), program_language(file.name)
    with compiler_chosen(compiler):
        return asyncio.run(build(source, board, name, optimization, language, PROGRAM_KINDS))


def show_image(terminal: Terminal, image: ProgramImage, *, optimization: str, heap_bytes: int) -> None:
    took_ms = None if image.cached or not image.compile_ms else image.compile_ms
    terminal.step(Step("compile", compile_text(image, optimization), took_ms=took_ms))
    terminal.row("check", check_text(image, heap_bytes))
    if isinstance(image, Image):
        terminal.row("", f"memory {image.memory.initial_bytes // 1024} KB: {memory_map(image.memory, heap_bytes)}")
    for warning in image.warnings:
        terminal.warning(warning.render())


def image_contents(image: ProgramImage) -> dict[str, Any]:
    """What is in it: of a Python program the modules that it imports."""
    if isinstance(image, PyImage):
        return {"imports": list(image.imports)}
    return {
        "imports": [i.name for i in image.imports],
        "exports": list(image.exports),
        "memory": {
            "initial_bytes": image.memory.initial_bytes,
            "static_bytes": image.memory.static_bytes,
            "stack_bytes": image.memory.stack_bytes,
        },
    }


def show_trial(terminal: Terminal, trial: Trial) -> None:
    if trial.ok:
        terminal.step(Step("try", trial.summary()))
    else:
        terminal.step(Step("try", trial.error or trial.summary(), "failed", next_step=trial.next_step))
    if line := trial.runs_line():
        terminal.row("runs", line)
    for pin in trial.pins:
        edges = [edge for edge in trial.edges if edge.pin == pin]
        if edges:
            first = 1 - edges[0].level
            note = f"{trial.board_ms / 1000:g} s, {count_text(len(edges), 'edge')}"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=first, note=note)
    log = trial.log
    for line in log[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(log) > MAX_LOG_LINES:
        terminal.row("", f"and {len(log) - MAX_LOG_LINES} more lines (--json has all)")
    for result in trial.expected:
        terminal.row("expect", result.line())
    for probe in trial.probes:
        terminal.row("input", probe)
    if trial.ok and not trial.expected:
        terminal.row("proof", f"{NO_EXPECTATION} (--expect FILE)")
    for warning in trial.warnings:
        terminal.warning(warning)
    if trial.peak_heap_bytes or trial.peak_stack_bytes:
        terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")
