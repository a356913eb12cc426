"""Lets the time of a trial's board pass, in parts, and reads what it recorded meanwhile. It judges nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain, repeat

from microclaw.apps.expectations import PinStimulus, Stimulus
from microclaw.apps.run_times import RunTimes
from microclaw.devices.calls import LogLine
from microclaw.errors import DeviceTimeout
from microclaw.events import Edge
from microclaw.text import count_text, format_duration
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.wire.board_replies import AppRow, LedRow, PinRow, PwmRow

MAX_ADVANCE_MS = 86_400_000.0
_SURE_S = 3.0  # of host time, before it is told that the rest would take too long
_FIRST_PARTS_MS = (10.0, 40.0, 200.0, 750.0)
STORM_LINES = 20_000
STORM_EVENTS = 30_000
"""In a second at most, or in less where it comes at once: a loop of main that waits 50 µs each way changes a pin 20,000
times in one, and one without any wait prints 800 lines."""
_RING_EVENTS = 30_000  # between two readings: half of what the board keeps, should they come thicker
CALM_EVENTS = 500
"""Lines and changes in a second of board time that keep no machine busy for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTerms:
    """On what board time a program is tried, and how it is installed. `host_s` limits the host's own time."""

    realtime: bool = False
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    host_s: float = 60.0
    times: RunTimes | None = None


@dataclass(frozen=True, slots=True)
class Run(TrialTerms):
    """A run: `for_ms` of board time with `stimuli`, then up to `soak_ms` more, then `late` for `late_ms`.

    `uptime_ms`: how long the board is up before the installation. With `times` there is no soak.
    """

    for_ms: float
    stimuli: tuple[Stimulus, ...] = ()
    uptime_ms: float = 0.0
    soak_ms: float = 0.0
    late: tuple[PinStimulus, ...] = ()
    late_ms: float = 0.0
    slow_ms: float = 0.0


class Events:
    """The board's records, read in parts: its rings hold less than a long trial gives."""

    def __init__(self, log_cursor: int) -> None:
        self.edges: list[Edge] = []
        self.pwm: list[PwmRow] = []
        self.leds: list[LedRow] = []
        self.lines: list[LogLine] = []
        self.now_ms = 0.0
        self.lost = False
        self._edge_cursor = self._pwm_cursor = self._led_cursor = 0
        self._log_cursor = self._first_line = log_cursor

    @property
    def count(self) -> int:
        return len(self.edges) + len(self.pwm) + len(self.leds)

    @property
    def recorded(self) -> tuple[int, int]:
        """The numbers of lines, and of edges, PWM and LED changes, also of those that the board has no more."""
        return self._log_cursor - self._first_line, self._edge_cursor + self._pwm_cursor + self._led_cursor

    async def read(self, control: VirtualBoardTransport) -> None:
        edges = await control.edges(self._edge_cursor)
        changes, after = await control.pwm_changes(self._pwm_cursor)
        leds, led_after = await control.led_changes(self._led_cursor)
        log = await control.log(self._log_cursor)
        self.edges += edges.edges
        self.pwm += changes
        self.leds += leds
        self.lines += log.lines
        few = len(changes) < after - self._pwm_cursor or len(leds) < led_after - self._led_cursor
        self.lost = self.lost or bool(edges.dropped or log.dropped or few)
        self._edge_cursor, self._pwm_cursor, self._log_cursor = edges.cursor, after, log.cursor
        self._led_cursor = led_after
        self.now_ms = edges.now_ms


@dataclass(frozen=True, slots=True)
class SeenRuns:
    """The number of runs in a trial of a program that runs at an interval or for a time, and the end of the last one.

    `last_how` is returned, exited, stopped or trapped; None: none has ended. `missed`: the run before still went on.
    """

    runs: int
    missed: int
    last_how: str | None = None
    last_took_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """The course of the time: `for_ms` of it, if the program got stuck, the heap on the way, the late stimuli.

    `storm`: what happened in a part of the time that took too long. `unfinished`: how far it came, where that was no
    more than a board does. `runs`, and `pins` and `row` while a run went on, of a program that runs at times.
    """

    for_ms: float = 0.0
    stuck: bool = False
    heap_samples: tuple[tuple[float, int], ...] = ()
    late: tuple[Stimulus, ...] = ()
    probes: tuple[str, ...] = ()
    storm: str | None = None
    unfinished: str | None = None
    runs: SeenRuns | None = None
    pins: tuple[PinRow, ...] = ()
    row: AppRow | None = None

    @property
    def is_cut(self) -> bool:
        return self.stuck or self.storm is not None or self.unfinished is not None


async def pass_needed_time(control: VirtualBoardTransport, run: Run, events: Events) -> Passed:
    """The time that is asked for; its first second in parts: a program that storms would need hours for all of it."""
    await events.read(control)
    first_ms, began, passed_ms, safe_ms = events.now_ms, time.perf_counter(), 0.0, MAX_ADVANCE_MS
    for part_ms in chain(_FIRST_PARTS_MS, repeat(MAX_ADVANCE_MS)):
        part_ms = min(part_ms, safe_ms, run.for_ms - passed_ms)
        if part_ms <= 0:
            break
        before = events.recorded
        try:
            stuck = (await control.advance(part_ms, run.host_s)).stuck is not None
        except DeviceTimeout:
            await events.read(control)
            return _cut(before, events, events.now_ms - first_ms, events.now_ms - first_ms - passed_ms, run)
        passed_ms += part_ms
        await events.read(control)
        if stuck:
            return Passed(run.for_ms, True)
        lines, moves = (now - then for now, then in zip(events.recorded, before, strict=True))
        length_s = max(part_ms, _FIRST_PARTS_MS[-1]) / 1000
        left_s = (time.perf_counter() - began) / passed_ms * (run.for_ms - passed_ms)
        slow = time.perf_counter() - began > _SURE_S and left_s > run.host_s
        if lines > STORM_LINES * length_s or moves > STORM_EVENTS * length_s or slow:
            return _cut(before, events, passed_ms, part_ms, run)
        safe_ms = _RING_EVENTS / moves * part_ms if moves else MAX_ADVANCE_MS
    return Passed(run.for_ms)


def _cut(before: tuple[int, int], events: Events, passed_ms: float, part_ms: float, run: Run) -> Passed:
    """It took too long: by what the program did in that part, or because this machine is slow or much was asked for."""
    happened = sum(events.recorded) - sum(before)
    if happened > CALM_EVENTS * max(part_ms, _FIRST_PARTS_MS[-1]) / 1000:
        return Passed(passed_ms, storm=_told(before, events, part_ms))
    of = f"{format_duration(passed_ms, decimals=2)} of {format_duration(run.for_ms, decimals=2)}"
    return Passed(passed_ms, unfinished=f"{of} of board time took this machine {run.host_s:.0f} s or would take longer")


def _told(before: tuple[int, int], events: Events, part_ms: float) -> str:
    """ "80,013 lines and 3 pin changes in 0.05 s"."""
    lines, moves = (now - then for now, then in zip(events.recorded, before, strict=True))
    what = [count_text(lines, "line")] if lines else []
    what += [count_text(moves, "pin change")] if moves or not lines else []
    return f"{' and '.join(what)} in {part_ms / 1000:.3g} s"
