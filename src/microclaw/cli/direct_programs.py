"""Programs without a host: built, and tried on a throw-away virtual board."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from click.exceptions import Exit

from microclaw.apps.building import ProgramImage, cached_compiler, fit_limits
from microclaw.apps.expectation_result import NO_EXPECTATION
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.program_operations import trial_step
from microclaw.apps.run_times import check_times, run_times
from microclaw.apps.stage_text import built, check_text
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.apps.trial_plan import parse_duration_ms, parse_input
from microclaw.boards.profile import BoardProfile
from microclaw.builds.cache import BuildCache
from microclaw.cli.operation_commands import stages
from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.events import PROGRAM_KINDS, Step
from microclaw.terminal.page import Terminal
from microclaw.text import count_text
from microclaw.wasm.compile import read_module
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

MAX_LOG_LINES: Final = 20


def try_program(
    options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile, duration: str, inputs: Sequence[str]
) -> None:
    """Build it and try it. Exit code 1 when the trial failed."""
    times = run_times(values.get("every_ms"), values.get("stop_after_ms"))
    heap, timers = fit_limits(board, values["heap_bytes"], DEFAULT_TIMERS)
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs),
        heap_bytes=heap,
        timers=timers,
        expectations=parse_expectations(values["expect"]) if "expect" in values else None,
        times=times,
    )
    image = build_program(options, values, board)
    check_times(times, image.kind)
    trial = asyncio.run(try_image(image, board, trial_options, cache=BuildCache(options.settings().cache)))
    if not options.wrote_json("try", {**trial.to_json(), "diagnostics": [one.to_json() for one in image.warnings]}):
        _show_trial(options.terminal(), trial)
    if not trial.ok:
        raise Exit(FAILED)


def build_program(options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile) -> ProgramImage:
    """Compile what `program_values` has, or check its wasm, and show that. Raises BuildError, ConfigError."""
    name, level, report = values["name"], values.get("optimization", "O3"), stages(options, options.terminal())
    if "wasm" in values:
        image: ProgramImage = read_module(base64.b64decode(values["wasm"]), board, name=name)
    else:
        build = cached_compiler(BuildCache(options.settings().cache))
        program = build(values["source"], board, name, level, values["language"], PROGRAM_KINDS)
        image = asyncio.run(built(program, level, report))
    report(Step("check", check_text(image, values.get("heap_bytes", DEFAULT_HEAP_BYTES))))
    return image


def _show_trial(terminal: Terminal, trial: Trial) -> None:
    terminal.step(trial_step(trial))
    for pin in trial.pins:
        if edges := [edge for edge in trial.edges if edge.pin == pin]:
            note = f"{trial.board_ms / 1000:g} s, {count_text(len(edges), 'edge')}"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=1 - edges[0].level, note=note)
    for line in trial.log[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(trial.log) > MAX_LOG_LINES:
        terminal.row("", f"and {len(trial.log) - MAX_LOG_LINES} more lines (--json has all)")
    if trial.ok and not trial.expected:
        terminal.row("proof", f"{NO_EXPECTATION} (--expect FILE)")
    if trial.peak_heap_bytes or trial.peak_stack_bytes:
        terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")
