"""The text of a deployment's stages, and of what a person approves before it. Deploys nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Sequence
from typing import Final, NoReturn
from urllib.parse import urlsplit

from microclaw.devices.registry.calls import AppInstall, LogsRead
from microclaw.errors import BuildError, MicroclawError
from microclaw.events import Report, Stage, Step
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.claims import unknown_pins_text
from microclaw.programs.changes.deployment import ChangeRequest, PreparedChange
from microclaw.programs.changes.program_state import ProgramState
from microclaw.programs.proof.edge_comparison import Verification
from microclaw.programs.proof.pin_track import draw_track, spans_text
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.verdict import describe
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.run_times import kept_text
from microclaw.programs.wasm.source_language import TITLE
from microclaw.text import code_lines, count_text, format_duration

RUNS_AGAIN: Final = "it ends by itself, and runs again when the board restarts"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def compile_text(image: ProgramImage, optimization: str) -> str:
    """ "zig 0.17 -O3 -> 756 B", or "..., taken as an Arduino sketch -> 521 B | with timers for its waits 2,116 B"."""
    tool = re.sub(r"(\d+\.\d+)\.\d+[.\w]*", r"\1", image.compiler)
    if isinstance(image, PyImage):
        return f"{tool} -> {image.size_bytes:,} B{' | cached' if image.cached else ''}"
    if tool:
        how = f"{tool} -{optimization}"
    else:
        how = "wasm given"
    if image.language != "c":
        how += f", {'taken as ' if image.language_guessed else ''}{TITLE[image.language]}"
    size = f"{image.size_bytes:,} B"
    if image.compiled_bytes is not None:
        size = f"{image.compiled_bytes:,} B | with timers for its waits {size}"
    return f"{how} -> {size}{' | cached' if image.cached else ''}"


async def built(program: Awaitable[ProgramImage], optimization: str, report: Report) -> ProgramImage:
    """Await a build as a stage: with its warnings and its time, or why it failed."""
    started = time.perf_counter()
    try:
        image = await program
    except MicroclawError as exc:
        fail(report, "check" if isinstance(exc, BuildError) and exc.stage == "check" else "compile", exc)
    took_ms = (time.perf_counter() - started) * 1000
    warnings = tuple(line for found in image.warnings for line in code_lines(found.render()))
    report(Step("compile", compile_text(image, optimization), detail=warnings, took_ms=took_ms))
    return image


def check_texts(request: ChangeRequest, image: ProgramImage, there: ProgramState) -> list[str]:
    """Return the line of a program that is checked, and a warning if it loses the times of the one that it replaces."""
    texts = [check_text(image, request.heap_bytes)]
    is_new = request.source is not None or request.wasm is not None
    if is_new and request.times is None and there.running is not None and there.running.times is not None:
        ran = there.running.times.text()
        texts.append(f"warning: it ran {ran}; from now on it runs on: give them again")
    return texts


def check_text(image: ProgramImage, heap_bytes: int) -> str:
    """ "module ok | 6 imports, all in this firmware | stack 4 KB, heap 8 KB | uses pin 2"."""
    imports = "no imports"
    if isinstance(image, PyImage):
        if image.imports:
            imports = f"imports {', '.join(image.imports)}, all in this firmware"
        parts = ["MicroPython ok", imports]
    else:
        if image.imports:
            imports = f"{count_text(len(image.imports), 'import')}, all in this firmware"
        memory = f"heap {kilobytes(heap_bytes)}"
        if image.memory.stack_bytes:
            memory = f"stack {kilobytes(image.memory.stack_bytes)}, {memory}"
        parts = ["module ok", imports, memory]
    if image.pins:
        noun = "pin" if len(image.pins) == 1 else "pins"
        parts.append(f"uses {noun} {_numbers(image.pins)}")
    return " | ".join(parts)


def accept_text(there: ProgramState, *, replaced: bool) -> str:
    """ "blink -> virtual-1 (WASMachine, tcp :18080), accepted", or "... replaces the old one"."""
    device = there.device
    way = device.transport_for(AppInstall.method).endpoint
    parts = urlsplit(way)
    if parts.scheme == "wasmachine":
        # Of a loopback address only the port.
        host = "" if parts.hostname in _LOOPBACK else parts.hostname
        way = f"WASMachine, tcp {host}:{parts.port}"
    text = f"{there.name} -> {device.name} ({way}), accepted"
    if replaced:
        text += ", replaces the old one"
    return text


def trial_detail(trial: Trial) -> tuple[str, ...]:
    """Below the trial's line: the expectations with what the trial showed, inputs that were tried, warnings."""
    expected = [result.line() for result in trial.expected]
    return (*expected, *trial.probes, *(f"warning: {text}" for text in trial.warnings))


def verification_steps(verification: Verification, prepared: PreparedChange) -> list[Step]:
    """Return the last stage: the evidence, each expectation with what the board showed, the next step if they differ.

    Then the program's times, and if it runs again when the board restarts.
    """
    times = prepared.request.times
    steps = [_evidence_step(verification, prepared)]
    if times is not None:
        text = kept_text(times)
        if times.every_ms is not None:
            text += "; seen so far: the first run, no later one"
        steps.append(Step("verify", text))
    if prepared.version.claims.ended:
        steps.append(Step("verify", RUNS_AGAIN))
    return steps


def _evidence_step(verification: Verification, prepared: PreparedChange) -> Step:
    device = prepared.device
    text = verification.evidence.text
    detail = tuple(result.line() for result in verification.expected)
    if verification.agrees:
        return Step("verify", text, detail=detail)
    if verification.next_step is not None:
        return Step("verify", text, "failed", detail=detail, next_step=verification.next_step)
    watch = ""
    if device.supports(LogsRead.method):
        watch = f"watch it: microclaw logs {device.name}, or "
    take_off = f"take it off: microclaw app uninstall {prepared.request.name} -d {device.name}"
    return Step("verify", text, "failed", detail=detail, next_step=f"it is installed; {watch}{take_off}")


def kilobytes(size_bytes: int) -> str:
    if size_bytes % 1024 == 0:
        return f"{size_bytes // 1024} KB"
    return f"{size_bytes:,} B"


def report_failure(report: Report, stage: Stage, error: MicroclawError) -> None:
    """Report a failed stage: one line, what is wrong in detail below it, the next step."""
    detail = tuple(line for found in error.diagnostics for line in code_lines(found.render()))
    report(Step(stage, error.message, "failed", detail, next_step=error.next_step))


def fail(report: Report, stage: Stage, error: MicroclawError) -> NoReturn:
    """Report the failed stage, then raise its error."""
    report_failure(report, stage, error)
    raise error


TRACK_CELLS: Final = 40
MAX_LOG_LINES: Final = 8


def question_text(there: ProgramState) -> str:
    """Return the installation that a person approves, in words."""
    text = f"put {there.name} on {there.device.name}"
    if there.is_foreign or there.running is not None:
        text += f", in place of the {there.name} that is there"
    # A device that was not asked does not answer.
    if there.listed is None:
        text += ", when it is back"
    return text


def deployment_detail(there: ProgramState, image: ProgramImage, version: AppVersion, trial: Trial) -> tuple[str, ...]:
    """Return program, size, heap, board, pins, the trial with its timeline, and the whole source, as lines."""
    device = there.device
    name = there.name
    unknown_pins = unknown_pins_text(device, there.foreign)
    lost = there.is_foreign
    pins = sorted({*image.pins, *trial.pins})
    if trial.driven:
        driven = f" (drives {_numbers(trial.driven)})"
    else:
        driven = ""
    lines = [
        f"program: {name}, {image.size_bytes:,} B, heap {kilobytes(version.heap_bytes)}, sha256 {image.sha256[:12]}",
        f"board: {device.name}, {device.board.title}",
        *([f"the {name} that is there is lost: this host did not install it and has no copy"] if lost else []),
        *([f"warning: {unknown_pins}"] if unknown_pins else []),
        f"pins: {_numbers(pins)}{driven}" if pins else "pins: none",
        f"trial: {trial.summary()}",
        *([f"runs: {kept_text(version.times)}"] if version.times else []),
        *_timeline(trial),
        *(f"warning: {warning}" for warning in trial.warnings),
        *(f"prints: {line[:160]}" for line in trial.log[:MAX_LOG_LINES]),
    ]
    if image.source is None:
        return (*lines, "source: not known, the program came as a wasm module")
    source = code_lines(image.source)
    return (*lines, f"source: {count_text(len(source), 'line')}", *(f"    {line}" for line in source))


def _timeline(trial: Trial) -> list[str]:
    lines = []
    for pin in dict.fromkeys(edge.pin for edge in trial.edges):
        edges = [edge for edge in trial.edges if edge.pin == pin]
        end_ms = max(trial.board_ms, edges[-1].t_ms + 1)  # the last edge is drawn, too
        track = draw_track(edges, start_ms=0, end_ms=end_ms, level=1 - edges[0].level, cells=TRACK_CELLS)
        lines.append(f"pin {pin}: {track} {format_duration(trial.board_ms, decimals=2)}")
        lines.append(f"    {spans_text(trial.track(pin), end_ms)}")
    if trial.pwm or trial.leds:
        lines.append(describe((), trial.pwm, trial.leds))
    return lines


def _numbers(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins))
