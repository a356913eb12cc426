"""A program on a board that is up for long: which clock starts again, when to try that, what to say. Runs nothing.

A board's uptime is counted in a few bits: `millis()` and `micros()` in 32, MicroPython's ticks in 30 (docs of
MicroPython, time). A program that compares such times wrongly works for minutes or days and then stops.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final, TypeAlias

from msgspec import Struct, structs

from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.expectation_result import ExpectationResult, evaluate
from microclaw.programs.proof.expectations import Expectations, PinStimulus
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.trial_plan import Run
from microclaw.programs.proof.verdict import Verdict
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.wasm.wasm_image import WasmImage

MICROS_WRAP_MS: Final = 2.0**32 / 1000
_TICK: Final = "wasm_get_sys_tick_ms"
_EXACT: Final = "clock_gettime"
_EXACT_NAMES: Final = re.compile(r"\b(micros|clock_gettime|gettimeofday)\b")
_TICK_NAMES: Final = re.compile(r"\b(millis|wasm_get_sys_tick_ms|esp_log_timestamp)\b")


class WrappingClock(Struct, frozen=True):
    """The clocks that a program reads, after `wrap_ms` all start again at 0 (`age` in words), and what to write."""

    name: str
    wrap_ms: float
    age: str
    compare: str


def clock_of(image: ProgramImage) -> WrappingClock | None:
    """The clocks of the board's uptime that a program reads; None: none that starts again.

    The times of the quicker ones are parts of the slowest's: after 2**32 ms `micros()` starts again as well.
    """
    if isinstance(image, PyImage):
        if not image.clocks:
            return None
        wrap_ms, age = (2.0**30, "12.4 days") if "ticks_ms" in image.clocks else (2.0**30 / 1000, "17.9 min")
        compare = "compare by time.ticks_diff(now, last) >= interval, never the times themselves or their difference"
        return WrappingClock(" and ".join(f"time.{name}()" for name in image.clocks), wrap_ms, age, compare)
    imported = {one.name for one in image.imports}
    # Delays and time() import these as well, by our own code: the source says what the program itself reads.
    source = "millis micros" if image.source is None else image.source
    if _EXACT in imported:
        exact = _EXACT_NAMES.findall(source)
    else:
        exact = []
    has_tick = _TICK in imported and (not exact or _TICK_NAMES.search(source) is not None)
    names = dict.fromkeys([*(["millis"] if has_tick else []), *exact])
    if not names:
        return None
    wrap_ms, age = (2.0**32, "49.7 days") if has_tick else (MICROS_WRAP_MS, "71.6 min")
    compare = "compare differences of unsigned times: now - last >= interval, never now >= next"
    return WrappingClock(" and ".join(f"{name}()" for name in names), wrap_ms, age, compare)


def has_own_clocks(image: ProgramImage) -> bool:
    """True if its clocks begin with the program, as Arduino's do."""
    return isinstance(image, WasmImage) and (image.language == "sketch" or "Arduino.h" in (image.source or ""))


def uptimes_across_the_wrap(clock: WrappingClock, run: Run, record: Record) -> list[float]:
    """The uptimes at which the clock starts again after a bounce, and while the program waits.

    Of its waits the longest high and the longest low of a pin are taken, in their middle.
    """
    bounced = [one for one in run.stimuli if isinstance(one, PinStimulus) and one.bounce_ms]
    longest = max(bounced, key=lambda one: one.bounce_ms, default=None)
    if longest is None:
        moments = []
    else:
        moments = [longest.at_ms + longest.bounce_ms + 1.0]
    waits: dict[int, tuple[float, float]] = {}
    for pin in {edge.pin for edge in record.edges}:
        own = [edge for edge in record.edges if edge.pin == pin and edge.t_ms < run.for_ms]
        for edge, after in pairwise(own):
            length_ms = after.t_ms - edge.t_ms
            if length_ms > waits.get(edge.level, (0.0, 0.0))[0]:
                waits[edge.level] = (length_ms, edge.t_ms + length_ms / 2)
    moments += [middle_ms for _, middle_ms in waits.values()]
    return [clock.wrap_ms - at_ms for at_ms in moments or [run.for_ms / 2]]


AgedFault: TypeAlias = tuple[tuple[str, str], tuple[ExpectationResult, ...]]
"""A fault of a board that is up for long alone, with the next step; and the results with those that it is about."""


def aged_fault(clock: WrappingClock, asked: Expectations, record: Record, verdict: Verdict) -> AgedFault | None:
    """Find the fault in a run across the wrap, of a program that did well. A verdict's is of all expectations."""
    results = evaluate(asked, record)
    bad = [one for one in results if not verdict.ok or one.trial != "met"]
    if not bad:
        return None
    where = f"after {clock.age}, when {clock.name} starts again at 0"
    error = f"expected, line {bad[0].asked.number}: {bad[0].asked.text}; met, but not {where}: {bad[0].found}"
    if not verdict.ok:
        error = f"it works, but not {where}: {verdict.error}"
    marked = (
        structs.replace(one, trial="not met", found=f"{where}: {verdict.error or one.found}") if one in bad else one
        for one in results
    )
    return (error, clock.compare), tuple(marked)


def uptime_line(uptime_ms: float) -> str:
    """The line of an expectation's text that gives a trial this uptime."""
    return f"uptime {uptime_ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"
