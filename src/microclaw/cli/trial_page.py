"""A trial without a host, and its outcome as lines for a person."""

from __future__ import annotations

import asyncio

from microclaw.apps.stage_text import check_text, compile_text
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.events import Step
from microclaw.terminal.page import Terminal
from microclaw.wasm.checks import memory_map
from microclaw.wasm.image import Image

MAX_LOG_LINES = 20


def run_trial(image: Image, board: BoardProfile, options: TrialOptions) -> Trial:
    """Try it on a throw-away virtual board."""
    return asyncio.run(try_image(image, board, options))


def show_image(terminal: Terminal, image: Image, *, optimization: str, heap_bytes: int) -> None:
    took_ms = None if image.cached or not image.compile_ms else image.compile_ms
    terminal.step(Step("compile", compile_text(image, optimization), took_ms=took_ms))
    terminal.row("check", check_text(image, heap_bytes))
    terminal.row("", f"memory {image.memory.initial_bytes // 1024} KB: {memory_map(image.memory, heap_bytes)}")
    for warning in image.warnings:
        terminal.warning(warning.render())


def show_trial(terminal: Terminal, trial: Trial) -> None:
    if trial.ok:
        terminal.step(Step("try", trial.summary()))
    else:
        terminal.step(Step("try", trial.error or trial.summary(), "failed", next_step=trial.next_step))
    for pin in trial.pins:
        edges = [edge for edge in trial.edges if edge.pin == pin]
        if edges:
            first = 1 - edges[0].level
            note = f"{trial.board_ms / 1000:g} s, {len(edges)} edges"
            terminal.track(pin, edges, start_ms=0, end_ms=trial.board_ms, level=first, note=note)
    for line in trial.log[:MAX_LOG_LINES]:
        terminal.row("log", line.rstrip("\n"))
    if len(trial.log) > MAX_LOG_LINES:
        terminal.row("", f"and {len(trial.log) - MAX_LOG_LINES} more lines (--json has all)")
    for warning in trial.warnings:
        terminal.warning(warning)
    terminal.row("memory", f"heap {trial.peak_heap_bytes:,} B and stack {trial.peak_stack_bytes:,} B at most")
