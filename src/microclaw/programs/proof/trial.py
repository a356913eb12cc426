"""Tries a program on a throw-away virtual board before it reaches a real one. It does not look at the real board."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct, structs

from microclaw.devices.registry.calls import LedChange, LogLine, PwmChange
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.errors import BuildError, DeviceError, TrialFailed
from microclaw.events import Edge
from microclaw.hardware.boards.firmware import for_trial
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.building import ProgramImage, fit_claim
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.clock_wrap import (
    MICROS_WRAP_MS,
    AgedFault,
    WrappingClock,
    aged_fault,
    clock_of,
    has_own_clocks,
    uptime_line,
    uptimes_across_the_wrap,
)
from microclaw.programs.proof.expectation_result import ExpectationResult, evaluate, failure, proof_of, without_part
from microclaw.programs.proof.expectations import PinStimulus
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.traps import with_array_name
from microclaw.programs.proof.trial_plan import Run, plan
from microclaw.programs.proof.trial_plan import TrialOptions as TrialOptions
from microclaw.programs.proof.trial_run import BoardRun
from microclaw.programs.proof.verdict import Ended, describe, judge
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
unsigned millis(void);
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
"""The traced build runs for so much board time at most, and for no more CPU time on the host."""
_log = logging.getLogger(__name__)
E = TypeVar("E", Edge, PwmChange, LedChange, LogLine)


class Trial(Record, frozen=True, kw_only=True):
    """The record of the program's run on the virtual board, with the verdict on it.

    `ok` is False when it would not work on a real board; `error` and `next_step` then say why. `board_ms` is the board
    time that passed, `took_ms` the host's time, `uptime_ms` the time that the board was up at the installation.
    `is_broken`: it has a fault beside expectations that it does not meet. `untried` says what the trial has not, if the
    program ended by that.
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

    @property
    def log(self) -> tuple[str, ...]:
        return tuple(line.text for line in self.lines if line.app is not None)

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that it opened."""
        return tuple(sorted(self.roles))

    @property
    def driven(self) -> tuple[int, ...]:
        return tuple(pin for pin in self.pins if self.roles[pin] in ("output", "pwm"))

    @property
    def inputs(self) -> tuple[int, ...]:
        """The pins that it reads; those of a bus are none."""
        return tuple(pin for pin in self.pins if self.roles[pin] == "input")

    def free(self, changes: tuple[E, ...]) -> tuple[E, ...]:
        """Return the changes and lines before the first input from outside: a board gets no such input by itself."""
        until_ms = math.inf if self.first_input_ms is None else self.first_input_ms
        return tuple(one for one in changes if one.t_ms < until_ms)

    def summary(self) -> str:
        """One line: "10 s of board time in 0.2 s: 20 edges on pin 2, 0.500 s apart"."""
        seen = describe(self.edges, self.pwm, self.leds)
        if self.log:
            lines = f"{count_text(len(self.log), 'line')} printed"
            if seen:
                seen = f"{seen}; {lines}"
            else:
                seen = lines
        if not seen:
            pins = ", ".join(map(str, self.pins))
            if pins:
                seen = f"nothing moved; pins opened: {pins}"
            else:
                seen = "nothing moved"
        took = format_duration(max(self.took_ms, 10), decimals=2)
        if self.untried is None:
            untried = ""
        else:
            untried = f"untried: {self.untried}; "
        return f"{untried}{format_duration(self.board_ms, decimals=2)} of board time in {took}: {seen}"

    @property
    def proof(self) -> str:
        """met in the trial, not met, untried, or that no expectation was given; `failed` where it has another fault."""
        proof = proof_of(self.expected, self.untried)
        return proof if self.ok or proof in ("not met", "untried") else "failed"

    def to_json(self) -> dict[str, Any]:
        """The document of `try --json`."""
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "log": list(self.log),
            "edges": [[round(e.t_ms, 3), e.pin, e.level] for e in self.edges],
            "pwm": [[round(c.t_ms, 3), c.pin, c.duty, c.frequency_hz] for c in self.pwm],
            "leds": [[round(c.t_ms, 3), c.pin, [list(color) for color in c.colors]] for c in self.leds],
            "ended": self.ended,
            "untried": self.untried,
            "error": self.error,
            "next": self.next_step,
            "peak_heap_bytes": self.peak_heap_bytes,
            "peak_stack_bytes": self.peak_stack_bytes,
            "pins": list(self.pins),
            "warnings": list(self.warnings),
            "first_edge_ms": self.edges[0].t_ms if self.edges else None,
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

    A program that misbehaves gives a Trial with ok=False. Raises DeviceError only when the board cannot be started or
    dies. Cancelling ends the board.
    """
    options = options or TrialOptions()
    options = structs.replace(options, heap_bytes=fit_claim(image, options.heap_bytes))
    _check_levels(image, options)
    started = time.perf_counter()
    run = plan(options, _uptime_ms(options, image))
    bench = _Bench(image, board, zone, cache)
    record = await bench.record(run)
    verdict = judge(record, board, heap_bytes=run.heap_bytes)
    expected: tuple[ExpectationResult, ...] = ()
    fault: tuple[str, str] | None = None
    if run.expectations is not None:
        expected = evaluate(run.expectations, record)
        if verdict.untried is not None:
            expected = without_part(expected, verdict.untried)
        fault = failure(expected)
        clock = clock_of(image)
        if fault is not None and clock and not has_own_clocks(image):
            fault = (
                fault[0],
                f"{fault[1]}; {clock.name} counts from the board's start: {uptime_line(run.uptime_ms)} here",
            )
        is_new_board = run.expectations.uptime_ms is None
        if verdict.ok and fault is None and clock and is_new_board and run.times is None:
            fault, expected = await bench.fault_of_age(clock, run, record) or (None, expected)
    error, next_step = (verdict.error, verdict.next_step) if not verdict.ok else fault or (None, None)
    if error is not None and isinstance(image, WasmImage) and image.source is not None:
        error = with_array_name(error, image.source)
    told = image.marks.in_words if isinstance(image, WasmImage) else str
    said = [(line, told(line.text) if LINE_SAID.fullmatch(line.text) else line.text) for line in record.lines]
    pins = {one.pin for one in options.inputs if isinstance(one, PinStimulus)}  # an ADC pin needs no opening
    unused = [
        f"pin {pin} was set from outside, and the program never opened it" for pin in sorted(pins - set(record.roles))
    ]
    inputs = (*(one.at_ms for one in run.inputs), *(one.at_ms for one in run.stimuli if one.at_ms > 0))
    seen = structs.asdict(record) | {"lines": tuple(structs.replace(line, text=text) for line, text in said)}
    return Trial(
        **seen,
        ok=verdict.ok and fault is None,
        ended=verdict.ended,
        error=error and told(error),
        next_step=next_step and told(next_step),
        warnings=(*unused, *verdict.warnings),
        took_ms=(time.perf_counter() - started) * 1000,
        first_input_ms=min(inputs, default=None),
        expected=expected,
        times=run.times,
        uptime_ms=run.uptime_ms,
        untried=verdict.untried,
        is_broken=not verdict.ok,
    )


class _Bench(Struct, frozen=True):
    """A program, and the throw-away boards that it is tried on."""

    image: ProgramImage
    board: BoardProfile
    zone: tzinfo | None
    cache: BuildCache | None

    async def record(self, run: Run) -> Record:
        """Run it on a board of its own; where it traps, name the place."""
        image = self.image
        board = for_trial(self.board)
        async with trial_board(board, self.zone) as first:
            record = await BoardRun(first, image, run).record()
            if not isinstance(image, WasmImage):  # the interpreter finds faults by itself
                return _in_source_lines(record, image)
            is_whole = record.refused is None and record.storm is None and record.unfinished is None
            has_source = image.source is not None and image.optimization is not None
            if record.trap is None or not has_source or not is_whole:
                return record
            trap = await self._traced_trap(image, board, run)
        # The device's own bytes are what is judged; the traced build only adds the place.
        is_same = trap is not None and trap.partition(" (")[0] == record.trap
        if is_same:
            return structs.replace(record, trap=trap)
        return record

    async def _traced_trap(self, image: WasmImage, board: BoardProfile, run: Run) -> str | None:
        """The trap of a build that names the line, on another board and for a short time."""
        from microclaw.programs.wasm.compile import compile_traced

        try:
            traced = structs.replace(image, wasm=await compile_traced(image, board=board, cache=self.cache))
        except BuildError as exc:
            _log.warning("no build of %s that names the line of a trap: %s", image.name, exc)
            return None
        brief = {"for_ms": min(run.for_ms, TRACED_MS), "soak_ms": 0.0, "late": (), "host_s": TRACED_HOST_S}
        try:
            async with trial_board(board, self.zone) as other:
                return (await BoardRun(other, traced, structs.replace(run, uptime_ms=0.0, **brief)).record()).trap
        except DeviceError as exc:
            _log.warning("the trial board did not run the traced build of %s: %s", image.name, exc)
            return None

    async def fault_of_age(self, clock: WrappingClock, run: Run, record: Record) -> AgedFault | None:
        """The fault where its clocks start again.

        A sketch is built for it with the board's clocks, and what fails with those at any time is not the wrap's.
        """
        assert run.expectations is not None
        image = self.image
        is_own = has_own_clocks(self.image)
        if isinstance(image, WasmImage) and image.source is not None and is_own:
            from microclaw.programs.wasm.compile import compile_module

            source = f"{_BOARD_CLOCKS}{image.source}"
            level = image.optimization or "O3"
            image = await compile_module(
                source, self.board, name=image.name, language=image.language, optimization=level, cache=self.cache
            )
        bench = structs.replace(self, image=image)
        asked = run.expectations

        async def fault_at(uptime_ms: float) -> AgedFault | None:
            seen = await bench.record(structs.replace(run, uptime_ms=uptime_ms, soak_ms=0.0, late=(), late_ms=0.0))
            return aged_fault(clock, asked, seen, judge(seen, self.board, heap_bytes=run.heap_bytes))

        for uptime_ms in uptimes_across_the_wrap(clock, run, record):
            found = await fault_at(uptime_ms)
            if found is not None:
                if is_own:
                    return None if await fault_at(run.uptime_ms) else found
                (error, step), results = found
                again = f"{step}; to see it again: --expect with the line: {uptime_line(uptime_ms)}"
                return (error, again), results
        return None


def _in_source_lines(record: Record, image: PyImage) -> Record:
    """The record with the tracebacks of a Python program in the lines of its source."""
    lines = [(line, image.source_traceback(line.text)) for line in record.lines]
    return structs.replace(
        record,
        trap=record.trap and image.source_traceback(record.trap),
        lines=tuple(structs.replace(line, text=text) for line, text in lines if text or not line.text),
        is_python=True,
    )


def _uptime_ms(options: TrialOptions, image: ProgramImage) -> float:
    """The time that the board is up before the trial: what is asked, else minutes to three days by image.

    What takes the board's uptime for a program's own time shows so. No clock starts again within ten minutes.
    """
    if options.expectations is not None and options.expectations.uptime_ms is not None:
        return options.expectations.uptime_ms
    wraps, rest_ms = divmod(int(image.sha256[:12], 16), 300_000)
    return round(wraps % 60 * MICROS_WRAP_MS) + 60_000 + rest_ms


def _check_levels(image: ProgramImage, options: TrialOptions) -> None:
    """An ADC hears nothing of a level: a trial that gives it one would tell nothing. Raises TrialFailed."""
    if isinstance(image, PyImage):
        analog = image.analog
    else:
        analog = ()
    for given in options.inputs:
        if isinstance(given, PinStimulus) and given.pin in analog:
            pin = given.pin
            step = f"give it volts: {pin}=2.5V@3s, or in the expectations: adc {pin} = 2.5 V at 3 s"
            raise TrialFailed(f"the program reads pin {pin} as an ADC: a level of 0 or 1 does nothing", next_step=step)


Try: TypeAlias = Callable[[ProgramImage, BoardProfile, TrialOptions], Awaitable[Trial]]
"""`try_image` with its zone and cache."""
