"""The text of a deployment's stages, and of what a person approves before it. Deploys nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Sequence
from typing import Final, NoReturn
from urllib.parse import urlsplit

from microclaw.devices.registry.calls import LogsRead
from microclaw.errors import BuildError, Diagnostic, MicroclawError
from microclaw.events import ProgramKind, Report, Stage, Step
from microclaw.programs.building import ProgramImage
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.claims import unknown_pins_text
from microclaw.programs.changes.deployment import ChangeRequest, PreparedChange
from microclaw.programs.changes.program_state import ProgramState
from microclaw.programs.proof.edge_comparison import Verification
from microclaw.programs.proof.expectation_result import ExpectationResult
from microclaw.programs.proof.pin_track import draw_track, spans_text
from microclaw.programs.proof.record import by_pin
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.verdict import describe
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.run_times import kept_text
from microclaw.programs.wasm.source_language import TITLE
from microclaw.text import code_lines, count_text, format_duration

NOT_HELD: Final = "the board's firmware does not hold a C program to these hosts"
RUNS_AGAIN: Final = "it ends by itself, and runs again when the board restarts"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def compile_text(image: ProgramImage, optimization: str) -> str:
    """ "zig 0.17 -O3 -> 756 B", or "..., taken as an Arduino sketch -> 521 B | with timers for its waits 2,116 B"."""
    how = re.sub(r"(\d+\.\d+)\.\d+[.\w]*", r"\1", image.compiler)
    size = f"{image.size_bytes:,} B"
    if not isinstance(image, PyImage):
        if how:
            how = f"{how} -{optimization}"
        else:
            how = "wasm given"
        if image.language != "c":
            guess = "taken as " if image.language_guessed else ""
            how += f", {guess}{TITLE[image.language]}"
        if image.compiled_bytes is not None:
            size = f"{image.compiled_bytes:,} B | with timers for its waits {size}"
    text = f"{how} -> {size}"
    if image.cached:
        text += " | cached"
    return text


async def built(program: Awaitable[ProgramImage], optimization: str, report: Report) -> ProgramImage:
    """Await a build as a stage: with its warnings and its time, or why it failed."""
    started_s = time.perf_counter()
    try:
        image = await program
    except MicroclawError as exc:
        stage: Stage = "compile"
        if isinstance(exc, BuildError) and exc.stage == "check":
            stage = "check"
        fail(report, stage, exc)
    took_ms = (time.perf_counter() - started_s) * 1000
    report(Step("compile", compile_text(image, optimization), detail=_rendered(image.warnings), took_ms=took_ms))
    return image


def _rendered(diagnostics: Sequence[Diagnostic]) -> tuple[str, ...]:
    """Return the lines of the diagnostics, with those of the source that they are about."""
    lines: list[str] = []
    for diagnostic in diagnostics:
        lines += code_lines(diagnostic.render())
    return tuple(lines)


def check_texts(request: ChangeRequest, image: ProgramImage, there: ProgramState) -> list[str]:
    """Return the line of a program that is checked, and a warning if it loses the times of the one that it replaces."""
    texts = [check_text(image, request.heap_bytes)]
    running = there.running
    if running is None or running.times is None:
        return texts
    is_new = request.source is not None or request.wasm is not None
    if is_new and request.times is None:
        texts.append(_warning(f"it ran {running.times.text()}; from now on it runs on: give them again"))
    return texts


def check_text(image: ProgramImage, heap_bytes: int) -> str:
    """Return "module ok | 6 imports, all in this firmware | stack 4 KB, heap 8 KB | uses pin 2"."""
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
    if image.network.text:
        parts.append(image.network.text)
    return " | ".join(parts)


def accept_text(there: ProgramState, kind: ProgramKind, *, replaced: bool) -> str:
    """ "blink -> virtual-1 (WASMachine, tcp :18080), accepted", or "... replaces the old one"."""
    device = there.device
    way = device.way_of(kind).endpoint
    parts = urlsplit(way)
    if parts.scheme == "wasmachine":
        # Of a loopback address only the port.
        host = "" if parts.hostname in _LOOPBACK else parts.hostname
        way = f"WASMachine, tcp {host}:{parts.port}"
    elif parts.scheme == "virtual":
        way = "MicroPython, its control socket"
    text = f"{there.name} -> {device.name} ({way}), accepted"
    if replaced:
        text += ", replaces the old one"
    return text


def trial_detail(trial: Trial) -> tuple[str, ...]:
    """Return the lines below the trial's: each expectation with what the trial showed, tried inputs, warnings."""
    expected = map(_result_line, trial.expected)
    return (*expected, *trial.probes, *map(_warning, trial.warnings))


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
    if prepared.version.claims.ended and prepared.version.claims.autostart:
        steps.append(Step("verify", RUNS_AGAIN))
    return steps


def _evidence_step(verification: Verification, prepared: PreparedChange) -> Step:
    device = prepared.device
    text = verification.evidence.text
    detail = tuple(map(_result_line, verification.expected))
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
    """Report a failed stage: one line, what is wrong in detail below it, the displays' pictures, the next step."""
    detail = _rendered(error.diagnostics)
    report(Step(stage, error.message, "failed", detail, next_step=error.next_step, screens=error.screens))


def fail(report: Report, stage: Stage, error: MicroclawError) -> NoReturn:
    """Report the failed stage, then raise its error."""
    report_failure(report, stage, error)
    raise error


TRACK_CELLS: Final = 40
MAX_LOG_LINES: Final = 8
MAX_LOG_CHARS: Final = 160


def question_text(there: ProgramState, image: ProgramImage, cautions: Sequence[str] = ()) -> str:
    """Return the installation that a person approves, in words, with its pins that need care and its network."""
    text = f"put {there.name} on {there.device.name}"
    if len(cautions) == 1:
        text = f"{cautions[0]}: {text}"
    elif cautions:
        text = f"it drives {len(cautions)} pins that need care: {text}"
    if there.is_foreign or there.running is not None:
        text += f", in place of the {there.name} that is there"
    # A device that was not asked does not answer.
    if there.listed is None:
        text += ", when it is back"
    if image.network.text:
        text += f": it {image.network.text}"
    return text


def deployment_detail(there: ProgramState, image: ProgramImage, version: AppVersion, trial: Trial) -> tuple[str, ...]:
    """Return program, size, heap, board, pins, the trial with its timeline, and the whole source, as lines."""
    device = there.device
    name = there.name
    lines = [
        f"program: {name}, {image.size_bytes:,} B, heap {kilobytes(version.heap_bytes)}, sha256 {image.sha256[:12]}",
        f"board: {device.name}, {device.board.title}",
    ]
    if there.is_foreign:
        lines.append(f"the {name} that is there is lost: this host did not install it and has no copy")
    unknown_pins = unknown_pins_text(device, there.foreign)
    if unknown_pins is not None:
        lines.append(_warning(unknown_pins))
    lines.append(_pins_line(image, trial))
    lines += network_lines(image, there.running)
    lines.append(f"trial: {trial.summary()}")
    if version.times is not None:
        lines.append(f"runs: {kept_text(version.times)}")
    lines += _timeline(trial)
    lines += map(_warning, trial.warnings)
    for text in trial.log[:MAX_LOG_LINES]:
        lines.append(f"prints: {text[:MAX_LOG_CHARS]}")
    if image.source is None:
        return (*lines, "source: not known, the program came as a wasm module")
    source = code_lines(image.source)
    lines.append(f"source: {count_text(len(source), 'line')}")
    for text in source:
        lines.append(f"    {text}")
    return tuple(lines)


def network_lines(image: ProgramImage, before: AppVersion | None) -> list[str]:
    """Return what a program does on the network, and what the version before it did if that was something else."""
    network = image.network
    if not network.text:
        return []
    lines = [f"network: {network.text}"]
    if before is not None and before.claims.network != network:
        lines.append(f"network until now: {before.claims.network.text or 'none'}")
    if image.kind == "wasm":
        lines.append(_warning(NOT_HELD))
    return lines


def _pins_line(image: ProgramImage, trial: Trial) -> str:
    pins = sorted({*image.pins, *trial.pins})
    if not pins:
        return "pins: none"
    text = f"pins: {_numbers(pins)}"
    if trial.driven:
        text += f" (drives {_numbers(trial.driven)})"
    return text


def _timeline(trial: Trial) -> list[str]:
    """Return the levels of each pin as a drawing and in words, then the PWM and the LEDs in words."""
    lines = []
    for pin, edges in by_pin(trial.edges).items():
        # The last edge is drawn, too.
        end_ms = max(trial.board_ms, edges[-1].t_ms + 1)
        track = draw_track(edges, start_ms=0, end_ms=end_ms, level=1 - edges[0].level, cells=TRACK_CELLS)
        lines.append(f"pin {pin}: {track} {format_duration(trial.board_ms, decimals=2)}")
        lines.append(f"    {spans_text(trial.track(pin), end_ms)}")
    if trial.pwm or trial.leds:
        lines.append(describe((), trial.pwm, trial.leds))
    return lines


def _result_line(result: ExpectationResult) -> str:
    return result.line()


def _warning(text: str) -> str:
    return f"warning: {text}"


def _numbers(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins))
