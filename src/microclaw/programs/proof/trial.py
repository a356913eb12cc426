"""Tries a program on a throw-away virtual board before it reaches a real one. It does not look at the real board."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import tzinfo
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct, structs, to_builtins

from microclaw.devices.registry.calls import LedChange, LogLine, PwmChange
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.errors import BuildError, DeviceError, TrialFailed
from microclaw.events import Edge, ScreenPicture
from microclaw.hardware.boards.firmware import for_trial
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.programs.building import ProgramImage, fit_claim
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.assumed_parts import with_assumed
from microclaw.programs.proof.clock_wrap import (
    AgedFault,
    WrappingClock,
    clock_of,
    find_aged_fault,
    has_own_clocks,
    uptime_before,
    uptime_before_the_wrap,
    uptime_line,
    uptimes_across_the_wrap,
)
from microclaw.programs.proof.expectation_result import (
    ExpectationResult,
    evaluate,
    failure,
    proof_of,
    unproved,
    without_part,
)
from microclaw.programs.proof.framebuf_font import with_framebuf_font
from microclaw.programs.proof.network_events import answer_advice, traffic_texts, unnamed_hosts
from microclaw.programs.proof.part_stimuli import with_settings
from microclaw.programs.proof.record import Record, shown_texts
from microclaw.programs.proof.screen_pictures import draw_pictures, picture_texts, unsent_drawing
from microclaw.programs.proof.stimuli import PinStimulus
from microclaw.programs.proof.traps import with_array_name
from microclaw.programs.proof.trial_network import first_input_ms
from microclaw.programs.proof.trial_plan import Run, plan
from microclaw.programs.proof.trial_plan import TrialOptions as TrialOptions
from microclaw.programs.proof.trial_run import BoardRun
from microclaw.programs.proof.trial_wiring import stated_wiring, trial_warnings, trial_wiring, with_absent_leds
from microclaw.programs.proof.verdict import Ended, Verdict, describe, judge
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.run_times import RunTimes
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.text import count_text, format_duration
from microclaw.wire.check_lines import LINE_SAID

SCHEMA: Final = "microclaw.try/1"
_BOARD_CLOCKS = """#include <Arduino.h>
#undef millis
#undef micros
#ifdef __cplusplus
extern "C" {
#endif
#ifndef MICROCLAW_OWN_millis
unsigned long millis(void);
#endif
#ifndef MICROCLAW_OWN_micros
unsigned long micros(void);
#endif
#ifdef __cplusplus
}
#endif
"""
TRACED_MS: Final = 30_000.0
TRACED_HOST_S: Final = 20.0
"""The traced build runs at most for this board time, and for this CPU time on the host."""
_log = logging.getLogger(__name__)
E = TypeVar("E", Edge, PwmChange, LedChange, LogLine)


class Trial(Record, frozen=True, kw_only=True):
    """The record of the program's run on the virtual board, with the verdict on it.

    `ok` is False if it would not work on a real board; `error` and `next_step` then say why. `board_ms` is the board
    time that passed, `took_ms` the host's time, `uptime_ms` the time that the board was up at the installation.
    `is_broken`: it has a fault beside expectations that it does not meet. `untried` says what the trial has not, if the
    program ended by that. `needed_ms` is the time that was asked for, without the soak after it, `wiring` the parts of
    the trial's board. `pictures`: the last one of each display that the program drew on.
    """

    ok: bool
    ended: Ended
    error: str | None = None
    next_step: str | None = None
    warnings: tuple[str, ...] = ()
    took_ms: float = 0.0
    first_input_ms: float | None = None
    expected: tuple[ExpectationResult, ...] = ()
    times: RunTimes | None = None
    uptime_ms: float = 0.0
    untried: str | None = None
    is_broken: bool = False
    needed_ms: float = 0.0
    wiring: Wiring = Wiring()
    pictures: tuple[ScreenPicture, ...] = ()

    @property
    def log(self) -> tuple[str, ...]:
        return tuple(line.text for line in self.lines if line.app is not None)

    def free(self, changes: tuple[E, ...]) -> tuple[E, ...]:
        """Return the changes and lines before the first input from outside: a board gets no such input by itself."""
        until_ms = self.first_input_ms
        if until_ms is None:
            until_ms = math.inf
        return tuple(change for change in changes if change.t_ms < until_ms)

    def summary(self) -> str:
        """Return one line: "10 s of board time in 0.2 s: 20 edges on pin 2, 0.500 s apart"."""
        parts = []
        changes = describe(self.edges, self.pwm, self.leds)
        if changes:
            parts.append(changes)
        parts += shown_texts(self.shown)
        parts += picture_texts(self.screens)
        parts += traffic_texts(self.traffic)
        if self.log:
            parts.append(f"{count_text(len(self.log), 'line')} printed")
        if not parts:
            stillness = "nothing moved"
            if self.probes:
                stillness = "nothing moved by itself"
            parts.append(stillness)
            pins = ", ".join(map(str, self.pins))
            if pins:
                parts.append(f"pins opened: {pins}")
        board_time = format_duration(self.board_ms, decimals=2)
        host_time = format_duration(max(self.took_ms, 10), decimals=2)
        text = f"{board_time} of board time in {host_time}: {'; '.join(parts)}"
        if self.untried is None:
            return text
        return f"untried: {self.untried}; {text}"

    @property
    def proof(self) -> str:
        """met in the trial, not met, untried, or that no expectation was given; `failed` if it has another fault."""
        proof = proof_of(self.expected, self.untried)
        if self.ok or proof.startswith(("not met", "untried")):
            return proof
        return "failed"

    def to_json(self) -> dict[str, Any]:
        """Return the document of `try --json`."""
        first_edge_ms = None
        if self.edges:
            first_edge_ms = self.edges[0].t_ms
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "log": list(self.log),
            "edges": [[round(edge.t_ms, 3), edge.pin, edge.level] for edge in self.edges],
            "pwm": [[round(change.t_ms, 3), change.pin, change.duty, change.frequency_hz] for change in self.pwm],
            "leds": [[round(change.t_ms, 3), change.pin, list(map(list, change.colors))] for change in self.leds],
            "shown": [[round(row.t_ms, 3), row.part, row.name, row.value] for row in self.shown],
            "traffic": [[round(row.t_ms, 3), row.kind, row.what, row.status, row.text] for row in self.traffic],
            "screens": [to_builtins(picture) for picture in self.pictures],
            "ended": self.ended,
            "untried": self.untried,
            "error": self.error,
            "next": self.next_step,
            "peak_heap_bytes": self.peak_heap_bytes,
            "peak_stack_bytes": self.peak_stack_bytes,
            "pins": list(self.pins),
            "warnings": list(self.warnings),
            "first_edge_ms": first_edge_ms,
            "board_ms": round(self.board_ms, 3),
            "uptime_ms": self.uptime_ms,
            "took_ms": round(self.took_ms, 1),
            "proof": self.proof,
            "expected": [result.to_json() for result in self.expected],
            "probes": list(self.probes),
        }


async def try_image(
    image: ProgramImage,
    board: BoardProfile,
    options: TrialOptions | None = None,
    *,
    zone: tzinfo | None = None,
    cache: BuildCache | None = None,
) -> Trial:
    """Install `image` on a throw-away virtual board through the real protocol and let the board's time run.

    A program that misbehaves gives a Trial with ok=False. Raises DeviceError only if the board cannot be started or
    dies, ConfigError for a wiring that the board cannot have and for a stimulus of a part that is not wired. Cancelling
    ends the board.
    """
    options = complete_options(options or TrialOptions(), image, board)
    _check_levels(image, options)
    started_s = time.perf_counter()
    uptime_ms = uptime_before(options.expectations, image)
    bench = _Bench(image, board, zone, cache)
    run = plan(options, uptime_ms)
    record = await bench.record(run)
    # Which pins a program drives shows only in a run.
    plan_without_driven = plan(options, uptime_ms, record.driven)
    if plan_without_driven != run:
        run = plan_without_driven
        record = await bench.record(run)
    trial = await _judged(bench, run, options, record)
    return structs.replace(trial, took_ms=(time.perf_counter() - started_s) * 1000)


async def _judged(bench: _Bench, run: Run, options: TrialOptions, record: Record) -> Trial:
    """Return the record of the run with the verdict on it, and what displays showed last."""
    image = bench.image
    verdict = judge(record, bench.board, heap_bytes=run.heap_bytes, stated=run.stated)
    outcome = await _compare_expectations(bench, run, record, verdict)
    error, next_step = _in_program_words(_fault_of(verdict, outcome), image)
    lines = tuple(_lines_in_program_words(record.lines, image))
    untried = verdict.untried
    if not outcome.results:
        untried = untried or verdict.floating or verdict.unanswered
    warnings = (
        *trial_warnings(options, record, bench.board),
        *unsent_drawing(record.screens, image.source or ""),
        *verdict.warnings,
        *unnamed_hosts(record.traffic, image.network),
    )
    return Trial(
        **structs.asdict(structs.replace(record, lines=lines)),
        ok=verdict.ok and outcome.fault is None,
        ended=verdict.ended,
        error=error,
        next_step=next_step,
        warnings=warnings,
        first_input_ms=first_input_ms(run, record),
        expected=outcome.results,
        times=run.times,
        uptime_ms=run.uptime_ms,
        untried=untried,
        is_broken=not verdict.ok,
        needed_ms=run.for_ms,
        wiring=run.wiring or Wiring(),
        # In a thread: large displays in colors take some tenths of a second.
        pictures=await asyncio.to_thread(draw_pictures, record.screens, record.screen_reader),
    )


def complete_options(options: TrialOptions, image: ProgramImage, board: BoardProfile) -> TrialOptions:
    """Return the options with the wiring of the trial's board and the settings of its parts.

    Raises ConfigError for a wiring that the board cannot have, ExpectationError for lines that do not fit the wiring.
    """
    stated = stated_wiring(options)
    wiring = trial_wiring(image, board, options.wiring, options.record)
    check_wiring(wiring, board)
    expectations = options.expectations
    if expectations is not None:
        wiring = with_assumed(wiring, expectations.wired, board)
        expectations = with_settings(expectations, wiring)
    options = structs.replace(options, wiring=wiring, stated=stated, expectations=expectations)
    return structs.replace(options, heap_bytes=fit_claim(image, options.heap_bytes))


class _Outcome(Struct, frozen=True):
    """The results of the expectations, and the fault with its next step if one of them is not met."""

    results: tuple[ExpectationResult, ...] = ()
    fault: tuple[str, str] | None = None


def _fault_of(verdict: Verdict, outcome: _Outcome) -> tuple[str | None, str | None]:
    """Return the fault of the program with its next step, else that of the expectations, else (None, None)."""
    if not verdict.ok:
        return verdict.error, verdict.next_step
    return outcome.fault or (None, None)


async def _compare_expectations(bench: _Bench, run: Run, record: Record, verdict: Verdict) -> _Outcome:
    """Compare the expectations with the record, and, if all is well, with runs in which a clock starts again."""
    expectations = run.expectations
    if expectations is None:
        return _Outcome()
    results = await asyncio.to_thread(evaluate, expectations, record)
    results = with_absent_leds(results, run.wiring or Wiring(), bench.board)
    if verdict.untried is not None:
        results = without_part(results, verdict.untried)
    elif verdict.unanswered is not None:
        results = without_part(results, verdict.unanswered, answer_advice(record.traffic))
    if verdict.floating is not None:
        results = unproved(results, verdict.floating)
    fault = failure(results)
    if fault is not None and verdict.misplaced is not None:
        fault = f"{fault[0]}; {verdict.misplaced}", fault[1]
    clock = clock_of(bench.image)
    if clock is None:
        return _Outcome(results, fault)
    if fault is not None:
        return _Outcome(results, _with_uptime(fault, clock, bench.image, run.uptime_ms))
    is_new_board = expectations.uptime_ms is None
    if verdict.ok and is_new_board and run.times is None:
        aged_fault = await bench.fault_of_age(clock, run, record)
        if aged_fault is not None:
            return _Outcome(aged_fault.results, (aged_fault.error, aged_fault.next_step))
    return _Outcome(results)


def _with_uptime(
    fault: tuple[str, str], clock: WrappingClock, image: ProgramImage, uptime_ms: float
) -> tuple[str, str]:
    """Return the fault; its next step says which uptime the board has, if the program's clocks count that."""
    if has_own_clocks(image):
        return fault
    error, step = fault
    return error, f"{step}; {clock.name} counts from the board's start: {uptime_line(uptime_ms)} here"


def _in_program_words(fault: tuple[str | None, str | None], image: ProgramImage) -> tuple[str | None, str | None]:
    """Return the error and the next step with the names and lines of the program's source."""
    error, next_step = fault
    if error is None or not isinstance(image, WasmImage):
        return fault
    if image.source is not None:
        error = with_array_name(error, image.source)
    return image.marks.in_words(error), next_step and image.marks.in_words(next_step)


def _lines_in_program_words(lines: Sequence[LogLine], image: ProgramImage) -> Iterator[LogLine]:
    """Yield the printed lines; those of our own checks name the lines of the program's source."""
    for line in lines:
        if isinstance(image, WasmImage) and LINE_SAID.fullmatch(line.text):
            yield structs.replace(line, text=image.marks.in_words(line.text))
        else:
            yield line


class _Bench(Struct, frozen=True):
    """A program, and the throw-away boards that it is tried on."""

    image: ProgramImage
    board: BoardProfile
    zone: tzinfo | None
    cache: BuildCache | None

    async def record(self, run: Run) -> Record:
        """Run it on a board of its own; if it traps, name the place."""
        image = self.image
        board = for_trial(self.board)
        async with trial_board(board, self.zone) as device:
            record = await BoardRun(device, image, run).record()
            # The interpreter finds faults by itself.
            if not isinstance(image, WasmImage):
                return _in_source_lines(await with_framebuf_font(record, self.cache), image)
            if record.trap is None or not _may_be_traced(image, record):
                return record
            trap = await self._traced_trap(image, board, run)
        # The device's own bytes are what is judged; the traced build only adds the place.
        if trap is None or trap.partition(" (")[0] != record.trap:
            return record
        return structs.replace(record, trap=trap)

    async def _traced_trap(self, image: WasmImage, board: BoardProfile, run: Run) -> str | None:
        """Return the trap of a build that names the line, on another board and for a short time."""
        from microclaw.programs.wasm.compile import compile_traced

        try:
            wasm = await compile_traced(image, board=board, cache=self.cache)
        except BuildError as exc:
            _log.warning("no build of %s that names the line of a trap: %s", image.name, exc)
            return None
        traced = structs.replace(image, wasm=wasm)
        short_run = structs.replace(
            run,
            uptime_ms=0.0,
            for_ms=min(run.for_ms, TRACED_MS),
            soak_ms=0.0,
            late=(),
            host_s=TRACED_HOST_S,
        )
        try:
            async with trial_board(board, self.zone) as device:
                record = await BoardRun(device, traced, short_run).record()
        except DeviceError as exc:
            _log.warning("the trial board did not run the traced build of %s: %s", image.name, exc)
            return None
        return record.trap

    async def fault_of_age(self, clock: WrappingClock, run: Run, record: Record) -> AgedFault | None:
        """Return the fault if the program fails when its clocks start again.

        A sketch is built for it with the board's clocks, and what fails with those at any time is not the wrap's.
        """
        bench = await self._with_board_clocks()
        for uptime_ms in uptimes_across_the_wrap(clock, run, record):
            fault = await bench._fault_at(uptime_ms, clock, run)
            if fault is None:
                continue
            if not has_own_clocks(self.image):
                step = f"{fault.next_step}; to see it again: --expect with the line: {uptime_line(uptime_ms)}"
                return structs.replace(fault, next_step=step)
            for other_ms in (run.uptime_ms, uptime_before_the_wrap(clock, uptime_ms)):
                if await bench._fault_at(other_ms, clock, run) is not None:
                    return None
            return fault
        return None

    async def _with_board_clocks(self) -> _Bench:
        """Return the bench of a build that reads the board's clocks in the place of the program's own ones."""
        image = self.image
        if not isinstance(image, WasmImage) or image.source is None or not has_own_clocks(image):
            return self
        from microclaw.programs.wasm.compile import compile_module

        aged = await compile_module(
            f"{_BOARD_CLOCKS}{image.source}",
            self.board,
            name=image.name,
            language=image.language,
            optimization=image.optimization or "O3",
            cache=self.cache,
        )
        return structs.replace(self, image=aged)

    async def _fault_at(self, uptime_ms: float, clock: WrappingClock, run: Run) -> AgedFault | None:
        """Return the fault on a board that was up for this time when the program began."""
        assert run.expectations is not None
        aged_run = structs.replace(run, uptime_ms=uptime_ms, soak_ms=0.0, late=(), late_ms=0.0)
        record = await self.record(aged_run)
        verdict = judge(record, self.board, heap_bytes=run.heap_bytes, stated=run.stated)
        return await asyncio.to_thread(find_aged_fault, clock, run.expectations, record, verdict)


def _may_be_traced(image: WasmImage, record: Record) -> bool:
    """Return True if the program can be built again from its source, and its run came to its end."""
    has_source = image.source is not None and image.optimization is not None
    return has_source and record.refused is None and record.storm is None and record.unfinished is None


def _in_source_lines(record: Record, image: PyImage) -> Record:
    """Return the record with the tracebacks of a Python program in the lines of its source."""
    lines = []
    for line in record.lines:
        text = image.source_traceback(line.text)
        if text or not line.text:
            lines.append(structs.replace(line, text=text))
    trap = record.trap and image.source_traceback(record.trap)
    return structs.replace(record, trap=trap, lines=tuple(lines), is_python=True)


def _check_levels(image: ProgramImage, options: TrialOptions) -> None:
    """Raise TrialFailed for a level on a pin that the program reads as an ADC: a trial with it would show nothing."""
    if not isinstance(image, PyImage):
        return
    for stimulus in options.inputs:
        if isinstance(stimulus, PinStimulus) and stimulus.pin in image.analog:
            pin = stimulus.pin
            step = f"give it volts: {pin}=2.5V@3s, or in the expectations: adc {pin} = 2.5 V at 3 s"
            raise TrialFailed(f"the program reads pin {pin} as an ADC: a level of 0 or 1 does nothing", next_step=step)


Try: TypeAlias = Callable[[ProgramImage, BoardProfile, TrialOptions], Awaitable[Trial]]
"""`try_image` with its zone and cache."""
