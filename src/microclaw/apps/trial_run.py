"""One run of a program on a throw-away virtual board, from its installation to the record. Judges nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from microclaw.apps.building import ProgramImage
from microclaw.apps.colors import colors_of
from microclaw.apps.expectations import AdcStimulus, PinStimulus, SensorStimulus, Stimulus
from microclaw.apps.observation import lines_left_out
from microclaw.apps.stimuli import Levels, levels_over_time, shifted
from microclaw.apps.verdict import ConsoleLine, PinRole, Record, describe
from microclaw.devices.calls import AppInstall, LedChange, LogLine, PwmChange
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge
from microclaw.text import count_text, format_duration
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import TrialBoard
from microclaw.wire.board_replies import LedRow, PinRow, PwmRow

SOAK_HOST_S = 3.0
SOAK_LEAST_MS = 90_000.0
SOAK_MOST_HOST_S = 40.0
SOAK_EVENTS = 120_000
SOAK_LINES = 1_500
"""Of a soak: host time, beyond the least of board time; edges and PWM changes, and lines."""
_PART_EVENTS = 3_000  # between two readings; the board keeps 8,192 PWM changes, and more of all else
_HEAP_SAMPLES = 6
TWO_PERIODS = 4  # edges
_SLOW_HOST_S = 0.3
_PROBE_MS = 300.0
_MAX_ADVANCE_MS = 86_400_000.0
NEWEST = 2**53 - 1
_SURE_S = 3.0  # of host time, before it is told that the rest would take too long
_FIRST_PARTS_MS = (10.0, 40.0, 200.0, 750.0)
STORM_LINES = 20_000
STORM_EVENTS = 12_000
"""In a second at most, or in less where it comes at once: a loop of main without any wait prints 800 lines in one, and
changes a pin 2,000 times."""
CALM_EVENTS = 500
"""Lines and changes in a second of board time that keep no machine busy for long."""
_THICK_LINES = 15
"""In two seconds; a board keeps 20 lines of a program each second and leaves out others (firmware/fw/program.py)."""
_LOST_LINES_MS = 1_500.0
_SHIM_SAYS = "microclaw: ended: "
_FIRMWARE_SAYS = ("Got exception running WASM code: ", "Cannot find function ", "warning: ", "W gpio: ", "microclaw: ")


@dataclass(frozen=True, slots=True)
class Run:
    """What a run does: `for_ms` of board time with `stimuli`, then up to `soak_ms` more, then `late` for `late_ms`.

    `checks`: whether a checked build runs behind it (checked_run.py). `uptime_ms`: how long the board is up before the
    installation. `host_s` limits the host's own time.
    """

    for_ms: float
    stimuli: tuple[Stimulus, ...] = ()
    uptime_ms: float = 0.0
    soak_ms: float = 0.0
    late: tuple[Stimulus, ...] = ()
    late_ms: float = 0.0
    slow_ms: float = 0.0
    realtime: bool = False
    checks: bool = True
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    host_s: float = 60.0


async def run_image(trial_board: TrialBoard, image: ProgramImage, run: Run) -> Record:
    """Install the image through the real protocol, let the board's time run, and read what it recorded."""
    control = trial_board.control
    await _let_age(control, run)
    before = await control.info()
    start_ms, boot_lines = before.now_ms, (await control.log()).cursor
    await give(control, run.stimuli, levels_over_time(run.stimuli), start_ms)
    install = AppInstall(image.name, image.code, run.heap_bytes, run.timers, run.watchdog_ms, image.kind)
    refused: str | None = None
    passed = Passed()
    events = _Events(boot_lines)
    try:
        await trial_board.install(install, run.host_s)
    except DeviceUnreachable:
        if (await control.info()).boot == before.boot:
            raise
    except CallRejected as exc:
        refused = exc.message
    else:
        passed = await _let_run(control, image.name, run, start_ms, events)
        if image.kind == "py" and not run.realtime and not passed.is_cut:
            await _hear_of_lost_lines(control, run, start_ms + passed.for_ms, events)
        if not run.realtime and not passed.is_cut:
            passed = await probe(control, image.name, run, passed)
    rebooted = (await control.info()).boot != before.boot
    given = levels_over_time((*run.stimuli, *passed.late))
    record = await _record(control, image.name, run, given, 0.0 if rebooted else start_ms, events, passed)
    cut = replace(record, stuck=passed.stuck, storm=passed.storm, unfinished=passed.unfinished)
    return replace(cut, refused=refused, rebooted=rebooted)


class _Events:
    """What the board recorded, read in parts: its rings hold less than a long trial gives."""

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
        """How many lines, and edges, PWM and LED changes, there were, also those that the board has no more."""
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
class Passed:
    """How the time passed: `for_ms` of it, whether the program got stuck, the heap on the way, the late stimuli.

    `storm`: what happened in a part of the time that took too long. `unfinished`: how far it came, where that was no
    more than a board does.
    """

    for_ms: float = 0.0
    stuck: bool = False
    heap_samples: tuple[tuple[float, int], ...] = ()
    late: tuple[Stimulus, ...] = ()
    probes: tuple[str, ...] = ()
    storm: str | None = None
    unfinished: str | None = None

    @property
    def is_cut(self) -> bool:
        return self.stuck or self.storm is not None or self.unfinished is not None


async def _let_age(control: VirtualBoardTransport, run: Run) -> None:
    left_ms = run.uptime_ms - (await control.info()).now_ms
    while left_ms > 0 and not run.realtime:
        await control.advance(min(left_ms, _MAX_ADVANCE_MS), run.host_s)
        left_ms -= _MAX_ADVANCE_MS


async def give(
    control: VirtualBoardTransport, stimuli: tuple[Stimulus, ...], levels: Levels, start_ms: float, after_ms: float = -1
) -> None:
    """Tell the board what comes from outside after `after_ms`, at times since the installation."""
    for edge in levels.edges:
        if edge.t_ms > after_ms:
            await control.set_input(edge.pin, edge.level, start_ms + edge.t_ms if edge.t_ms else None)
    for given in stimuli:
        at_ms = start_ms + given.at_ms if given.at_ms else None
        match given:
            case SensorStimulus(sensor=sensor, quantity=quantity, value=value):
                await control.set_sensor(sensor, {quantity: value}, at_ms)
            case AdcStimulus(pin=pin, volts=volts):
                await control.set_adc(pin, volts, at_ms)
            case PinStimulus():
                pass


async def _let_run(control: VirtualBoardTransport, name: str, run: Run, start_ms: float, events: _Events) -> Passed:
    """Let the board's time pass, the soak in parts, where the heap is to be seen growing."""
    if run.realtime:
        await asyncio.sleep(run.for_ms / 1000)
        return Passed(run.for_ms)
    began = time.perf_counter()
    passed = await _pass_needed_time(control, run, events)
    if passed.is_cut:
        return passed
    took_s = time.perf_counter() - began
    if not run.soak_ms:
        return await _see_slow_pins(control, name, run, took_s, events)
    soak_ms = _affordable(run, events, took_s)
    parts = max(_HEAP_SAMPLES, math.ceil(events.count / run.for_ms * soak_ms / _PART_EVENTS))
    passed_ms, samples = run.for_ms, [(run.for_ms, await _heap(control, name))]
    for part in range(parts):
        if (await control.advance(soak_ms / parts, run.host_s)).stuck is not None:
            return Passed(passed_ms + soak_ms / parts, True)
        passed_ms += soak_ms / parts
        await events.read(control)
        if (part + 1) * _HEAP_SAMPLES // parts > part * _HEAP_SAMPLES // parts:
            samples.append((passed_ms, await _heap(control, name)))
    if not run.late:
        return Passed(passed_ms, False, tuple(samples))
    late = shifted(run.late, passed_ms + 100.0)
    await give(control, (), levels_over_time((*run.stimuli, *late)), start_ms, passed_ms)
    stuck = (await control.advance(run.late_ms + 100.0, run.host_s)).stuck is not None
    return Passed(passed_ms + run.late_ms + 100.0, stuck, tuple(samples), late)


async def _pass_needed_time(control: VirtualBoardTransport, run: Run, events: _Events) -> Passed:
    """The time that is asked for; its first second in parts: a program that storms would need hours for all of it."""
    await events.read(control)
    first_ms, began, passed_ms = events.now_ms, time.perf_counter(), 0.0
    for part_ms in chain(_FIRST_PARTS_MS, repeat(_MAX_ADVANCE_MS)):
        part_ms = min(part_ms, run.for_ms - passed_ms)
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
    return Passed(run.for_ms)


def _cut(before: tuple[int, int], events: _Events, passed_ms: float, part_ms: float, run: Run) -> Passed:
    """It took too long: by what the program did in that part, or because this machine is slow or much was asked for."""
    happened = sum(events.recorded) - sum(before)
    if happened > CALM_EVENTS * max(part_ms, _FIRST_PARTS_MS[-1]) / 1000:
        return Passed(passed_ms, storm=_told(before, events, part_ms))
    of = f"{format_duration(passed_ms, decimals=2)} of {format_duration(run.for_ms, decimals=2)}"
    return Passed(passed_ms, unfinished=f"{of} of board time took this machine {run.host_s:.0f} s or would take longer")


async def _hear_of_lost_lines(control: VirtualBoardTransport, run: Run, end_ms: float, events: _Events) -> None:
    """Where lines came thick at the end: the board says only later how many it left out."""
    await events.read(control)
    if sum(line.t_ms > end_ms - 2_000 for line in events.lines) >= _THICK_LINES:
        await control.advance(_LOST_LINES_MS, run.host_s)


def _told(before: tuple[int, int], events: _Events, part_ms: float) -> str:
    """ "80,013 lines and 3 pin changes in 0.05 s"."""
    lines, moves = (now - then for now, then in zip(events.recorded, before, strict=True))
    what = [count_text(lines, "line")] if lines else []
    what += [count_text(moves, "pin change")] if moves or not lines else []
    return f"{' and '.join(what)} in {part_ms / 1000:.3g} s"


async def _see_slow_pins(control: VirtualBoardTransport, name: str, run: Run, took_s: float, events: _Events) -> Passed:
    """Where a driven pin had no two periods yet, go on until it has; not for long, nor with what waits for an input."""
    own = [pin for pin in await control.pins() if pin.app == name]
    outputs = {pin.pin for pin in own if pin.role == "output"}
    passed_ms = kept_ms = run.for_ms
    if any(pin.role == "input" for pin in own):
        outputs.clear()
    while outputs and passed_ms < run.slow_ms and took_s < _SLOW_HOST_S:
        edges, count = Counter(edge.pin for edge in events.edges), events.count
        if all(edges[pin] >= TWO_PERIODS for pin in outputs):
            break
        began = time.perf_counter()
        if (await control.advance(passed_ms, run.host_s)).stuck is not None:
            return Passed(2 * passed_ms, True)
        passed_ms *= 2
        await events.read(control)
        took_s += time.perf_counter() - began
        kept_ms = passed_ms if events.count > count else kept_ms
    return Passed(kept_ms)


async def probe(control: VirtualBoardTransport, name: str, run: Run, passed: Passed) -> Passed:
    """Move each pin that the program reads and that had no input: the other level, back, a bounce. Told, not judged.

    A program that gets stuck or traps over it is judged by that.
    """
    given = {one.pin for one in run.stimuli if isinstance(one, PinStimulus)}
    row = next((app for app in await control.app_rows() if app.name == name), None)
    own = set(row.pins) if row and row.state == "running" else set()
    probes: list[str] = []
    for pin in [pin for pin in await control.pins() if pin.role == "input" and pin.pin in own - given]:
        edges, lines = (await control.edges(NEWEST)).cursor, (await control.log(NEWEST)).cursor
        pwm, led = (await control.pwm_changes(NEWEST))[1], (await control.led_changes(NEWEST))[1]
        for after_ms, flip in ((_PROBE_MS, 1), (_PROBE_MS, 0), (5.0, 1), (5.0, 0), (_PROBE_MS, 1), (_PROBE_MS, 0)):
            await control.set_input(pin.pin, pin.level ^ flip)
            if (await control.advance(after_ms, run.host_s)).stuck is not None:
                return replace(passed, stuck=True)
        moved = [e for e in (await control.edges(edges)).edges if e.pin != pin.pin]
        printed = [line for line in (await control.log(lines)).lines if line.app == name]
        changes, _ = await control.pwm_changes(pwm)
        shown = _led_changes((await control.led_changes(led))[0], 0.0)
        seen = [describe(moved, [PwmChange(*c) for c in changes], shown)] if moved or changes or shown else []
        seen += [count_text(len(printed), "line") + " printed"] if printed else []
        what = "; ".join(seen) or "nothing happened, so what it does with it is untried"
        probes.append(f"pin {pin.pin} pressed, released and bounced: {what}")
    return replace(passed, probes=tuple(probes))


def _affordable(run: Run, events: _Events, took_s: float) -> float:
    """As much of the soak as the host's time and memory have room for.

    Whatever the host's speed, a minute and more is passed, so that the same program gets the same answer.
    """
    took_s = max(took_s, 0.001)
    shares = (
        max(SOAK_HOST_S / took_s, min(SOAK_LEAST_MS / run.for_ms, SOAK_MOST_HOST_S / took_s)),
        (SOAK_EVENTS - events.count) / max(events.count, 1),
        (SOAK_LINES - len(events.lines)) / max(len(events.lines), 1),
    )
    return max(0.0, min(run.soak_ms, min(shares) * run.for_ms))


async def _heap(control: VirtualBoardTransport, name: str) -> int:
    return next((app.peak_heap_bytes for app in await control.app_rows() if app.name == name), 0)


async def _record(
    control: VirtualBoardTransport,
    name: str,
    run: Run,
    given: Levels,
    start_ms: float,
    events: _Events,
    passed: Passed,
) -> Record:
    """What the board recorded since `start_ms`, and its console since it was installed."""
    row = next((app for app in await control.app_rows() if app.name == name), None)
    pins = await control.pins()
    await events.read(control)
    own = {pin.pin: PinRole(pin.pin, pin.role) for pin in pins if pin.app == name}
    for pin in row.pins if row else ():
        own.setdefault(pin, PinRole(pin, next((p.role for p in pins if p.pin == pin), "idle")))
    outside = _outside_pins(pins, set(given.bursts))
    # An event exactly at the end may or may not be recorded; leaving it out gives the same result every time.
    end_ms = math.inf if run.realtime else start_ms + (passed.for_ms or run.for_ms)
    # A call that began before the end and trapped behind it says why there.
    last_line_ms = math.inf if row and row.error else end_ms
    return Record(
        state=row.state if row else None,
        error=row.error if row else None,
        lines=tuple(
            piece
            for line in events.lines
            if line.t_ms < last_line_ms or lines_left_out(line.text)[0]
            for piece in _console_lines(line, start_ms, min(line.t_ms, last_line_ms))
        ),
        edges=tuple(
            Edge(e.t_ms - start_ms, e.pin, e.level)
            for e in events.edges
            if start_ms <= e.t_ms < end_ms and e.pin not in outside
        ),
        pwm=tuple(
            PwmChange(c.t_ms - start_ms, c.pin, c.duty, c.frequency_hz, c.pulse_us)
            for c in events.pwm
            if start_ms <= c.t_ms < end_ms
        ),
        leds=_led_changes([c for c in events.leds if start_ms <= c.t_ms < end_ms], start_ms),
        pins=tuple(own.values()),
        peak_heap_bytes=row.peak_heap_bytes if row else 0,
        peak_stack_bytes=row.peak_stack_bytes if row else 0,
        board_ms=min(events.now_ms, end_ms) - start_ms,
        longest_call_ms=row.longest_call_ms if row else 0.0,
        levels={pin.pin: pin.level for pin in pins},
        given=tuple(edge for edge in given.edges if edge.pin in outside),
        bursts={pin: found for pin, found in given.bursts.items() if pin in outside},
        heap_samples=passed.heap_samples,
        probes=passed.probes,
        overflowed=events.lost,
    )


def _led_changes(rows: Sequence[LedRow], start_ms: float) -> tuple[LedChange, ...]:
    return tuple(LedChange(row.t_ms - start_ms, row.pin, colors_of(bytes.fromhex(row.data))) for row in rows)


def _console_lines(line: LogLine, start_ms: float, t_ms: float) -> list[ConsoleLine]:
    """The board names the app also on lines that the firmware printed about it; those are not the app's own.

    What ends without a line feed stands on one line with what the shim says after it: that makes two.
    """
    text, said, end = line.text.partition(_SHIM_SAYS)
    texts = [text, said + end] if said and text and line.app is not None else [line.text]
    return [ConsoleLine(t_ms - start_ms, None if one.startswith(_FIRMWARE_SAYS) else line.app, one) for one in texts]


def _outside_pins(pins: tuple[PinRow, ...], given: set[int]) -> set[int]:
    """Pins whose edges come from outside: those the program only reads, and inputs that it never opened."""
    return {pin.pin for pin in pins if pin.role == "input" or (pin.role == "idle" and pin.pin in given)}
