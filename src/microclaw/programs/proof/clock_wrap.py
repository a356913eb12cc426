"""A program on a board that is up for long: which clock starts again, when to try that, what to say. Runs nothing.

A board's uptime is counted in a few bits: `millis()` and `micros()` in 32, MicroPython's ticks in 30 (docs of
MicroPython, time). A program that compares such times wrongly works for minutes or days and then stops.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from msgspec import Struct, structs

from microclaw.events import Edge
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.expectation_result import ExpectationResult, evaluate
from microclaw.programs.proof.expectations import Expectations
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.stimuli import PinStimulus
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
    """Return the clocks of the board's uptime that a program reads; None if it reads none that starts again.

    The times of the quicker ones are parts of the slowest's: after 2**32 ms `micros()` starts again as well.
    """
    if isinstance(image, PyImage):
        return _python_clock(image)
    return _wasm_clock(image)


def _python_clock(image: PyImage) -> WrappingClock | None:
    if not image.clocks:
        return None
    wrap_ms = 2.0**30 / 1000
    age = "17.9 min"
    if "ticks_ms" in image.clocks:
        wrap_ms = 2.0**30
        age = "12.4 days"
    name = " and ".join(f"time.{clock}()" for clock in image.clocks)
    compare = "compare by time.ticks_diff(now, last) >= interval, never the times themselves or their difference"
    return WrappingClock(name, wrap_ms, age, compare)


def _wasm_clock(image: WasmImage) -> WrappingClock | None:
    imported = {function.name for function in image.imports}
    # Delays and time() import these as well, by our own code: the source says what the program itself reads.
    source = image.source
    if source is None:
        source = "millis micros"
    exact_names = []
    if _EXACT in imported:
        exact_names = _EXACT_NAMES.findall(source)
    has_tick = _TICK in imported and _TICK_NAMES.search(source) is not None
    wrap_ms = MICROS_WRAP_MS
    age = "71.6 min"
    names = exact_names
    if has_tick:
        wrap_ms = 2.0**32
        age = "49.7 days"
        names = ["millis", *exact_names]
    if not names:
        return None
    name = " and ".join(f"{clock}()" for clock in dict.fromkeys(names))
    compare = "compare differences of unsigned times: now - last >= interval, never now >= next"
    return WrappingClock(name, wrap_ms, age, compare)


def has_own_clocks(image: ProgramImage) -> bool:
    """Return True if its clocks begin with the program, as Arduino's do."""
    return isinstance(image, WasmImage) and (image.language == "sketch" or "Arduino.h" in (image.source or ""))


def uptimes_across_the_wrap(clock: WrappingClock, run: Run, record: Record) -> list[float]:
    """Return the uptimes at which the clock starts again after a bounce, and while the program waits.

    Of its waits the longest high and the longest low of a pin are taken, in their middle.
    """
    moments = [*_ends_of_longest_bounce(run), *_middles_of_waits(run, record)]
    if not moments:
        moments = [run.for_ms / 2]
    return [clock.wrap_ms - at_ms for at_ms in moments]


def uptime_before_the_wrap(clock: WrappingClock, uptime_ms: float) -> float:
    """Return a time long before the wrap at which the clock, taken as a signed number, is negative, too.

    A sketch with `long last = 0` begins there as at no real start, where its clock is 0. None of the clocks starts
    again within ten minutes.
    """
    return uptime_ms - clock.wrap_ms / 4 - 600_000


def _ends_of_longest_bounce(run: Run) -> list[float]:
    """Return the moment after the longest bounce, if there is one."""
    longest: PinStimulus | None = None
    longest_ms = 0.0
    for stimulus in run.stimuli:
        if isinstance(stimulus, PinStimulus) and stimulus.bounce_ms > longest_ms:
            longest = stimulus
            longest_ms = stimulus.bounce_ms
    if longest is None:
        return []
    return [longest.at_ms + longest_ms + 1.0]


def _middles_of_waits(run: Run, record: Record) -> list[float]:
    """Return the middle of the longest time between two edges of a pin, for each of the two levels."""
    longest_ms: dict[int, float] = {}
    middles: dict[int, float] = {}
    for edges in _edges_by_pin(run, record):
        for edge, next_edge in pairwise(edges):
            length_ms = next_edge.t_ms - edge.t_ms
            if length_ms > longest_ms.get(edge.level, 0.0):
                longest_ms[edge.level] = length_ms
                middles[edge.level] = edge.t_ms + length_ms / 2
    return list(middles.values())


def _edges_by_pin(run: Run, record: Record) -> list[list[Edge]]:
    """Return the edges of each pin before the soak begins."""
    by_pin: dict[int, list[Edge]] = {}
    for edge in record.edges:
        if edge.t_ms < run.for_ms:
            by_pin.setdefault(edge.pin, []).append(edge)
    return list(by_pin.values())


class AgedFault(Struct, frozen=True):
    """A fault that a program has only on a board that is up for long; `results` are marked if it is about them."""

    error: str
    next_step: str
    results: tuple[ExpectationResult, ...]


def find_aged_fault(
    clock: WrappingClock, expectations: Expectations, record: Record, verdict: Verdict
) -> AgedFault | None:
    """Find the fault in a run across the wrap, of a program that did well. A verdict's is of all expectations."""
    where = f"after {clock.age}, when {clock.name} starts again at 0"
    first: ExpectationResult | None = None
    marked = []
    for result in evaluate(expectations, record):
        if verdict.ok and result.trial == "met":
            marked.append(result)
            continue
        first = first or result
        marked.append(structs.replace(result, trial="not met", found=f"{where}: {verdict.error or result.found}"))
    if first is None:
        return None
    error = f"expected, line {first.asked.number}: {first.asked.text}; met, but not {where}: {first.found}"
    if not verdict.ok:
        error = f"it works, but not {where}: {verdict.error}"
    return AgedFault(error, clock.compare, tuple(marked))


def uptime_line(uptime_ms: float) -> str:
    """Return the line of an expectation's text that gives a trial this uptime."""
    return f"uptime {uptime_ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"


def uptime_before(expectations: Expectations | None, image: ProgramImage) -> float:
    """Return for how many ms the board is up before the trial: as asked, else a minute to three days by the image.

    A program that takes the board's uptime for its own time shows so. No clock starts again within ten minutes.
    """
    if expectations is not None and expectations.uptime_ms is not None:
        return expectations.uptime_ms
    wraps, rest_ms = divmod(int(image.sha256[:12], 16), 300_000)
    return round(wraps % 60 * MICROS_WRAP_MS) + 60_000 + rest_ms
