"""Tries a program on a throw-away virtual board before it reaches a real one. It does not look at the real board."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from microclaw.apps.aged_board import (
    MICROS_WRAP_MS,
    AgedFault,
    WrappingClock,
    aged,
    aged_fault,
    clocks_of,
    has_own_clocks,
    runs_across_the_wrap,
    uptime_line,
)
from microclaw.apps.board_time import Run, SeenRuns, TrialTerms
from microclaw.apps.building import ProgramImage
from microclaw.apps.crashes import record_in_source_lines, restart_text
from microclaw.apps.expectation_result import (
    ExpectationResult,
    evaluate,
    failure,
    proof_of,
)
from microclaw.apps.expectations import MAX_ADC_V, AdcStimulus, Expectations, PinStimulus
from microclaw.apps.firmware_fit import fit_claim
from microclaw.apps.run_times import RunTimes, time_word, trial_ms
from microclaw.apps.stimuli import plan
from microclaw.apps.timed_trial import never_ends, runs_text
from microclaw.apps.traced_run import run_with_lines
from microclaw.apps.trial_run import run_image
from microclaw.apps.verdict import NO_EFFECT, Ended, Record, describe, judge
from microclaw.boards.firmware import for_trial
from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import LedChange, PwmChange
from microclaw.errors import ConfigError, TrialFailed
from microclaw.events import Edge
from microclaw.py.py_image import PyImage
from microclaw.text import count_text, format_duration, read_duration_ms
from microclaw.virtual_boards.trial_pool import BoardKind, TrialBoard, TrialPool
from microclaw.wasm import BuildCache, Image, compile_module, compile_traced
from microclaw.wasm.source_files import LINE_SAID

MAX_TRIAL_MS = 24 * 3_600_000.0

_AS = "write it as 500ms, 10s, 2m, 1h or 1d"
_INPUT = re.compile(r"(\d{1,3})=(?:([01])|(\d{1,2}(?:\.\d+)?) ?[vV])(?:@(.+))?")


@dataclass(frozen=True, slots=True)
class TrialOptions(TrialTerms):
    """The way to try a program: board time, and inputs from outside. With `times` until the second run was seen."""

    for_ms: float = 10_000
    inputs: tuple[PinStimulus | AdcStimulus, ...] = ()
    expectations: Expectations | None = None
    """With them the trial's time is what they need, or `for_ms` where that is not None in them, and then a soak."""
    slow_ms: float = 0.0
    """Without them: how far to go on for a pin that had no two periods in `for_ms`."""


def parse_duration_ms(text: str) -> float:
    """Read "500ms", "10s", "2m" or "2min", "1h", "1d" or a plain number of seconds, above 0. Raises ConfigError."""
    ms = _time_ms(text)
    if ms <= 0:
        raise ConfigError(f"{text!r} is not longer than 0", next_step=_AS)
    return ms


def parse_input(text: str) -> PinStimulus | AdcStimulus:
    """Read "14=1@2s": pin 14 goes high 2 s after the start; "1=2.5V@2s" for an ADC. Without @ from the start.

    Raises ConfigError.
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{text!r} is not an input",
            next_step="write PIN=LEVEL@TIME, as 14=1@2s: pin 14 goes high after 2 s; or volts for an ADC: 1=2.5V@2s",
        )
    at_ms = _time_ms(found[4]) if found[4] else 0.0
    if found[3] is not None:
        if float(found[3]) > MAX_ADC_V:
            raise ConfigError(f"{text!r}: an ADC pin takes no {found[3]} V", next_step=f"give 0 to {MAX_ADC_V} V")
        return AdcStimulus(int(found[1]), float(found[3]), at_ms)
    return PinStimulus(int(found[1]), int(found[2]), at_ms)


def _time_ms(text: str) -> float:
    ms = read_duration_ms(text)
    if ms is None:
        raise ConfigError(f"{text!r} is not a duration", next_step=_AS)
    if ms > MAX_TRIAL_MS:
        raise ConfigError(f"{text!r} is longer than 24 h", next_step="give a shorter time")
    return ms


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
SCHEMA = "microclaw.try/1"
LATER_MS = 150_000.0
"""How far to look for what a program does first, where it did nothing in the time that was asked for."""
SOAK_MS = 150_000.0
"""How much longer than needed a program with expectations runs, so that one that blocks after a minute is seen."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The program's run on the virtual board. Edge and log times are in ms since its installation.

    `ok` is False when it would not work on a real board; `error` and `next_step` then say why. `pins` are the pins it
    opened, `driven` those of them that it drives. `board_ms` is the board time that passed, `took_ms` the host's time.
    """

    ok: bool
    ended: Ended
    log: tuple[str, ...]
    edges: tuple[Edge, ...]
    pwm: tuple[PwmChange, ...]
    pins: tuple[int, ...]
    driven: tuple[int, ...]
    peak_heap_bytes: int
    peak_stack_bytes: int
    warnings: tuple[str, ...]
    board_ms: float
    took_ms: float
    error: str | None = None
    next_step: str | None = None
    first_line_ms: float | None = None
    first_input_ms: float | None = None
    read: tuple[int, ...] = ()  # the pins that it has as inputs
    expectations: Expectations | None = None
    expected: tuple[ExpectationResult, ...] = ()
    leds: tuple[LedChange, ...] = ()
    probes: tuple[str, ...] = ()
    """What it did when the pins that it reads, and that had no input, were moved after the trial's time."""
    times: RunTimes | None = None
    runs: SeenRuns | None = None
    uptime_ms: float = 0.0  # of the board, when the program was installed

    @property
    def first_edge_ms(self) -> float | None:
        return self.edges[0].t_ms if self.edges else None

    def free_edges(self) -> tuple[Edge, ...]:
        """The edges before the first input from outside."""
        if self.first_input_ms is None:
            return self.edges
        return tuple(edge for edge in self.edges if edge.t_ms < self.first_input_ms)

    def free_pwm(self) -> tuple[PwmChange, ...]:
        """The PWM changes before the first input from outside."""
        return tuple(c for c in self.pwm if self.first_input_ms is None or c.t_ms < self.first_input_ms)

    @property
    def inputs(self) -> tuple[int, ...]:
        """The pins that it opened and does not drive."""
        return tuple(pin for pin in self.pins if pin not in self.driven)

    @property
    def waits_for_input(self) -> bool:
        """It reads pins, and moved nothing before one of them changed."""
        free_leds = [c for c in self.leds if self.first_input_ms is None or c.t_ms < self.first_input_ms]
        return bool(self.inputs) and not self.free_edges() and not self.free_pwm() and not free_leds

    def summary(self) -> str:
        """One line: "10 s of board time in 0.2 s: 20 edges on pin 2, 0.500 s apart"."""
        seen = describe(self.edges, self.pwm, self.leds)
        if self.log:
            lines = f"{count_text(len(self.log), 'line')} printed"
            seen = f"{seen}; {lines}" if seen else lines
        if not seen:
            pins = ", ".join(map(str, self.pins))
            seen = f"nothing moved; pins opened: {pins}" if pins else "nothing moved"
        took = format_duration(max(self.took_ms, 10), decimals=2)
        return f"{format_duration(self.board_ms, decimals=2)} of board time in {took}: {seen}"

    def runs_line(self) -> str | None:
        """The course of its runs; None of a program that simply runs on."""
        if self.times is None or self.runs is None:
            return None
        return runs_text(self.runs, self.times, self.board_ms)

    @property
    def proof(self) -> str:
        """met in the trial, not met, untried, or that no expectation was given; `failed` where it has another fault."""
        proof = proof_of(self.expected)
        return proof if self.ok or proof in ("not met", "untried") else "failed"

    def raise_if_failed(self) -> None:
        """Raise TrialFailed, with the error and the next step, unless the trial went well."""
        if not self.ok:
            raise TrialFailed(self.error or "the trial failed", next_step=self.next_step)

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
            "error": self.error,
            "next": self.next_step,
            "peak_heap_bytes": self.peak_heap_bytes,
            "peak_stack_bytes": self.peak_stack_bytes,
            "pins": list(self.pins),
            "warnings": list(self.warnings),
            "first_edge_ms": self.first_edge_ms,
            "board_ms": round(self.board_ms, 3),
            "uptime_ms": self.uptime_ms,
            "took_ms": round(self.took_ms, 1),
            "proof": self.proof,
            "expected": [result.to_json() for result in self.expected],
            "probes": list(self.probes),
            **({} if self.runs is None else {"runs": asdict(self.runs)}),
        }


async def try_image(
    image: ProgramImage,
    board: BoardProfile,
    options: TrialOptions | None = None,
    *,
    trial_pool: TrialPool | None = None,
    cache: BuildCache | None = None,
) -> Trial:
    """Install `image` on a throw-away virtual board through the real protocol and let the board's time run.

    A program that misbehaves gives a Trial with ok=False. Raises DeviceError only when the board cannot be started or
    dies. Cancelling ends the board.
    """
    options = options or TrialOptions()
    options = replace(options, heap_bytes=fit_claim(image, options.heap_bytes))
    _check_levels(image, options)
    started = time.perf_counter()
    run = _run(options, image)
    record = await _record(image, board, run, options, trial_pool, cache)
    verdict = judge(record, board, heap_bytes=options.heap_bytes)
    restarts = restart_text(record)
    expected: tuple[ExpectationResult, ...] = ()
    fault: tuple[str, str] | None = None
    if options.expectations is not None:
        expected = evaluate(options.expectations, record)
        fault = failure(expected)
        clocks = clocks_of(image)
        if fault is not None and clocks and not has_own_clocks(image):
            about = f"{clocks[0].name} counts from the board's start: {uptime_line(run.uptime_ms)} here"
            fault = fault[0], f"{fault[1]}; {about}"
        if verdict.ok and fault is None and clocks and _is_new_board(options) and options.times is None:
            late = await _fault_on_an_aged_board(image, clocks, run, record, board, options, cache)
            if late is not None:
                fault, expected = (late.error, late.next_step), late.marked(expected)
    if options.times is not None and verdict.ok and fault is None and not options.realtime:
        fault = never_ends(record.runs, options.times)
    opened = tuple(sorted({one.pin for one in record.pins}))
    later = await _later_text(image, board, run, record, options, trial_pool, cache) if verdict.ok else None
    unused = _unused_text(options, opened)
    warnings = (one for one in verdict.warnings if later is None or one != NO_EFFECT)
    told = image.marks.in_words if isinstance(image, Image) else str
    error = verdict.error or (fault[0] if fault else None)
    next_step = verdict.next_step or (fault[1] if fault else None)
    return Trial(
        ok=verdict.ok and fault is None,
        ended=verdict.ended,
        log=tuple(
            told(line.text) if LINE_SAID.fullmatch(line.text) else line.text
            for line in record.lines
            if line.app is not None
        ),
        edges=record.edges,
        pwm=record.pwm,
        leds=record.leds,
        pins=opened,
        driven=tuple(sorted({opened.pin for opened in record.pins if opened.role in ("output", "pwm")})),
        peak_heap_bytes=record.peak_heap_bytes,
        peak_stack_bytes=record.peak_stack_bytes,
        warnings=tuple(one for one in (later, restarts, unused, *warnings) if one is not None),
        board_ms=record.board_ms,
        took_ms=(time.perf_counter() - started) * 1000,
        error=error and told(error),
        next_step=next_step and told(next_step),
        first_line_ms=next((line.t_ms for line in record.lines if line.app is not None), None),
        read=tuple(sorted({opened.pin for opened in record.pins if opened.role == "input"})),
        first_input_ms=min(
            (*(one.at_ms for one in options.inputs), *(one.at_ms for one in run.stimuli if one.at_ms > 0)), default=None
        ),
        expectations=options.expectations,
        expected=expected,
        probes=record.probes,
        times=options.times,
        runs=record.runs,
        uptime_ms=run.uptime_ms,
    )


async def _record(
    image: ProgramImage,
    board: BoardProfile,
    run: Run,
    options: TrialOptions,
    trial_pool: TrialPool | None,
    cache: BuildCache | None = None,
) -> Record:
    board = for_trial(board)
    clock: Literal["real", "virtual"] = "real" if options.realtime else "virtual"
    kind = BoardKind(board.board_id, clock, board.firmware.described)
    async with trial_pool.take(kind, board) if trial_pool else TrialBoard(kind, board) as trial_board:
        if not isinstance(image, Image):  # the interpreter finds faults by itself
            return record_in_source_lines(await run_image(trial_board, image, run), image)
        traced = partial(compile_traced, board=board, cache=cache)
        return await run_with_lines(trial_board, TrialBoard(kind, board), image, run, traced)


async def _later_text(
    image: ProgramImage,
    board: BoardProfile,
    run: Run,
    record: Record,
    options: TrialOptions,
    trial_pool: TrialPool | None,
    cache: BuildCache | None,
) -> str | None:
    """The text of what comes only after the tried time, of a program that did nothing in it and waits for no input."""
    is_idle = not (record.edges or record.pwm or record.leds or any(line.app for line in record.lines))
    is_waiting = any(pin.role == "input" for pin in record.pins)
    is_plain = not (run.stimuli or run.realtime or run.times or run.slow_ms or options.expectations)
    if not (is_plain and is_idle and record.state == "running") or is_waiting or run.for_ms >= LATER_MS:
        return None
    seen = await _record(image, board, replace(run, for_ms=LATER_MS), options, trial_pool, cache)
    if seen.state != "running" or seen.error:
        return (
            f"tried for {format_duration(record.board_ms, decimals=2)}; it ends later: --for {time_word(int(LATER_MS))}"
        )
    lines = [line for line in seen.lines if line.app is not None]
    kinds = (("edge", seen.edges), ("PWM change", seen.pwm), ("LED change", seen.leds), ("line", lines))
    first = min(((found[0].t_ms, name) for name, found in kinds if found), default=None)
    if first is None:
        return None
    enough = time_word(math.ceil(1.5 * first[0] / 10_000) * 10_000)
    tried, comes = (format_duration(ms, decimals=2) for ms in (record.board_ms, first[0]))
    return f"tried for {tried}; the first {first[1]} comes after {comes}: --for {enough}"


def _unused_text(options: TrialOptions, opened: tuple[int, ...]) -> str | None:
    """The pins that were set from outside, and that the program never opened. An ADC pin needs no opening."""
    unused = sorted({one.pin for one in options.inputs if isinstance(one, PinStimulus)} - set(opened))
    if not unused:
        return None
    which = f"pin {unused[0]} was" if len(unused) == 1 else f"pins {', '.join(map(str, unused))} were"
    return f"{which} set from outside, and the program never opened {'it' if len(unused) == 1 else 'them'}"


def _uptime_ms(options: TrialOptions, image: ProgramImage) -> float:
    """The time that the board is up before the trial: what is asked, else minutes to three days by image.

    What takes the board's uptime for a program's own time shows so. No clock starts again within ten minutes.
    """
    if options.realtime:
        return 0.0
    if options.expectations is not None and options.expectations.uptime_ms is not None:
        return options.expectations.uptime_ms
    wraps, rest_ms = divmod(int(image.sha256[:12], 16), 300_000)
    return round(wraps % 60 * MICROS_WRAP_MS) + 60_000 + rest_ms


def _run(options: TrialOptions, image: ProgramImage) -> Run:
    """The run that the options ask for; with expectations their stimuli, and a soak after the time that they need."""
    terms = {one.name: getattr(options, one.name) for one in fields(TrialTerms)}
    base = Run(options.for_ms, options.inputs, _uptime_ms(options, image), **terms)
    asked = options.expectations
    if asked is None and options.times is not None and not options.realtime:
        return replace(base, for_ms=trial_ms(options.times, options.for_ms))
    if asked is None:
        return base if options.inputs or options.realtime else replace(base, slow_ms=options.slow_ms)
    planned = plan(asked)
    base = replace(base, stimuli=(*options.inputs, *planned.stimuli))
    if asked.for_ms is not None or options.realtime:
        return replace(base, for_ms=asked.for_ms or planned.needed_ms)
    base = replace(base, for_ms=max(planned.needed_ms, options.for_ms))
    if options.times is not None:
        return replace(base, for_ms=trial_ms(options.times, base.for_ms))
    soak_ms = SOAK_MS if asked.soak_ms is None else asked.soak_ms
    return replace(base, soak_ms=soak_ms, late=planned.late, late_ms=planned.late_ms) if soak_ms else base


async def _fault_on_an_aged_board(
    image: ProgramImage,
    clocks: tuple[WrappingClock, ...],
    run: Run,
    record: Record,
    board: BoardProfile,
    options: TrialOptions,
    cache: BuildCache | None,
) -> AgedFault | None:
    """The fault where a clock starts again.

    All of them start again where the first does; where that fails, the clock that does so earlier is looked for. A
    sketch is built for it with the board's clocks, and what fails with those at any time is not the wrap's.
    """
    is_own = has_own_clocks(image)
    if isinstance(image, Image) and image.source is not None and is_own:
        source, level = f"{_BOARD_CLOCKS}{image.source}", image.optimization or "O3"
        image = await compile_module(
            source, board, name=image.name, language=image.language, optimization=level, cache=cache
        )

    async def fault_at(late: Run, clock: WrappingClock) -> AgedFault | None:
        assert options.expectations is not None
        seen = await _record(image, board, late, options, None)
        verdict = judge(seen, board, heap_bytes=options.heap_bytes)
        return aged_fault(clock, options.expectations, seen, verdict, None if is_own else late.uptime_ms)

    for late in runs_across_the_wrap(clocks[0], run, record):
        found = await fault_at(late, clocks[0])
        if found is None:
            continue
        for clock in clocks[1:]:
            if clock.wrap_ms < clocks[0].wrap_ms:
                earlier = aged(late, late.uptime_ms - clocks[0].wrap_ms + clock.wrap_ms)
                found = await fault_at(earlier, clock) or found
        return None if is_own and await fault_at(aged(run, run.uptime_ms), clocks[0]) else found
    return None


def _check_levels(image: ProgramImage, options: TrialOptions) -> None:
    """An ADC hears nothing of a level: a trial that gives it one would tell nothing. Raises TrialFailed."""
    analog = image.analog if isinstance(image, PyImage) else ()
    for given in options.inputs:
        if isinstance(given, PinStimulus) and given.pin in analog:
            pin = given.pin
            step = f"give it volts: {pin}=2.5V@3s, or in the expectations: adc {pin} = 2.5 V at 3 s"
            raise TrialFailed(f"the program reads pin {pin} as an ADC: a level of 0 or 1 does nothing", next_step=step)


def _is_new_board(options: TrialOptions) -> bool:
    return not options.realtime and options.expectations is not None and options.expectations.uptime_ms is None


Try: TypeAlias = Callable[[ProgramImage, BoardProfile, TrialOptions], Awaitable[Trial]]
"""`try_image` with its trial pool."""
