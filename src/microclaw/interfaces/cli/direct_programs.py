"""Programs that are built, or tried on a temporary virtual board, without a host."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.durable import write_given
from microclaw.errors import ConfigError
from microclaw.events import PROGRAM_KINDS, ScreenPicture, Step
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.hardware.parts.wiring_file import read_wiring_text
from microclaw.interfaces.cli.operation_commands import show_stages
from microclaw.interfaces.cli.options import FAILED, GlobalOptions
from microclaw.interfaces.terminal.page import Terminal
from microclaw.programs.building import ProgramImage, cached_compiler, fit_claim, fit_limits, with_named_hosts
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.changes.program_operations import trial_step
from microclaw.programs.changes.stage_text import built, check_text
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.traps import TRACEBACK
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.proof.trial_plan import parse_duration_ms, parse_input
from microclaw.programs.run_times import check_times, run_times
from microclaw.programs.wasm.compile import read_module
from microclaw.text import count_text
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS

MAX_LOG_LINES: Final = 20
_AGAIN: Final = "(the same traceback again)"


def try_program(
    options: GlobalOptions,
    values: Mapping[str, Any],
    board: BoardProfile,
    duration: str,
    inputs: Sequence[str],
    *,
    screen: str | None = None,
) -> None:
    """Build a program and try it on a virtual board. Exit code 1 if the trial failed.

    `screen` is the file for a display's last picture, as FILE or ID=FILE.
    """
    times = run_times(values.get("every_ms"), values.get("stop_after_ms"))
    heap_bytes, timers = fit_limits(board, values["heap_bytes"], DEFAULT_TIMERS)
    expectations = None
    if "expect" in values:
        expectations = parse_expectations(values["expect"])
    wiring = None
    if "wiring" in values:
        wiring = read_wiring_text(values["wiring"])
        check_wiring(wiring, board)
    trial_options = TrialOptions(
        for_ms=parse_duration_ms(duration),
        inputs=tuple(parse_input(text) for text in inputs),
        heap_bytes=heap_bytes,
        timers=timers,
        expectations=expectations,
        times=times,
        wiring=wiring,
    )
    image = build_program(options, values, board)
    check_times(times, image.kind)
    trial = asyncio.run(try_image(image, board, trial_options, cache=BuildCache(options.settings().cache)))
    if not options.wrote_json("try", _document(trial, image)):
        _show_trial(options.terminal(), trial)
    if screen is not None:
        for path in write_pictures(screen, trial.pictures):
            options.say(f"written: {path}")
    if not trial.ok:
        raise Exit(FAILED)


def _document(trial: Trial, image: ProgramImage) -> dict[str, Any]:
    diagnostics = [diagnostic.to_json() for diagnostic in image.warnings]
    return {**trial.to_json(), "network": to_builtins(image.network), "diagnostics": diagnostics}


def write_pictures(screen: str, pictures: Sequence[ScreenPicture]) -> list[Path]:
    """Write the displays' pictures to the file that `screen` names, and return the paths.

    ID=FILE writes the picture of one display. Of several displays, FILE.png becomes FILE-ID.png for each. Raises
    ConfigError if there is no such display, or none at all.
    """
    part, is_chosen, name = screen.rpartition("=")
    path = Path(name)
    chosen = [picture for picture in pictures if not is_chosen or picture.part == part]
    if not chosen:
        text = "no display showed a picture in this trial"
        if pictures:
            text = f"no display {part[:40]!r} showed a picture, only {', '.join(picture.part for picture in pictures)}"
        raise ConfigError(text, next_step="wire a display (docs/screens.md), and draw on it")
    paths = []
    for picture in chosen:
        target = path
        if len(chosen) > 1:
            target = path.with_name(f"{path.stem}-{picture.part}{path.suffix}")
        write_given(target, [picture.png], replace=True, next_step="give another path with --screen")
        paths.append(target)
    return paths


def build_program(options: GlobalOptions, values: Mapping[str, Any], board: BoardProfile) -> ProgramImage:
    """Compile the program of `program_values`, or check its wasm, and show that. Raises BuildError, ConfigError."""
    name = values["name"]
    level = values.get("optimization", "O3")
    hosts = tuple(values.get("hosts", ()))
    report = show_stages(options, options.terminal())
    if "wasm" in values:
        module = read_module(base64.b64decode(values["wasm"]), board, name=name)
        image: ProgramImage = with_named_hosts(module, hosts)
    else:
        build = cached_compiler(BuildCache(options.settings().cache))
        program = build(values["source"], board, name, level, values["language"], PROGRAM_KINDS, hosts=hosts)
        image = asyncio.run(built(program, level, report))
    report(Step("check", check_text(image, fit_claim(image, values.get("heap_bytes", DEFAULT_HEAP_BYTES)))))
    return image


def _show_trial(terminal: Terminal, trial: Trial) -> None:
    """Print the trial's result, the tracks of its pins, and its first lines."""
    terminal.step(trial_step(trial))
    for pin in trial.pins:
        edges = [edge for edge in trial.edges if edge.pin == pin]
        if edges:
            note = f"{trial.board_ms / 1000:g} s, {count_text(len(edges), 'edge')}"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=1 - edges[0].level, note=note)
    lines = _with_tracebacks_once(trial.log)
    for line in lines[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(lines) > MAX_LOG_LINES:
        terminal.row("", f"and {len(lines) - MAX_LOG_LINES} more lines (--json has all)")
    if trial.ok and not trial.expected:
        terminal.row("proof", f"{trial.proof} (--expect FILE)")
    if trial.peak_heap_bytes or trial.peak_stack_bytes:
        terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")


def _with_tracebacks_once(lines: Sequence[str]) -> list[str]:
    """Return the lines, each traceback once: a program that crashes is started again, and mostly crashes again."""
    remaining: list[str] = []
    seen: set[tuple[str, ...]] = set()
    part: list[str] = []
    for line in lines:
        is_frame = bool(part) and line.startswith("  ")
        part.append(line)
        # A traceback ends with the line of its exception; each other line is a part of its own.
        if line == TRACEBACK or is_frame:
            continue
        if len(part) > 1 and tuple(part) in seen:
            part = [_AGAIN]
        remaining += part
        seen.add(tuple(part))
        part = []
    return [*remaining, *part]
