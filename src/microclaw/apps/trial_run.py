"""One run of a program on a throw-away virtual board, from its installation to the record. Judges nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from msgspec import structs

from microclaw.apps.board_time import MAX_ADVANCE_MS, Events, Passed, Run, pass_needed_time
from microclaw.apps.building import ProgramImage
from microclaw.apps.colors import colors_of
from microclaw.apps.expectations import AdcStimulus, PinStimulus, SensorStimulus, Stimulus
from microclaw.apps.observation import lines_left_out
from microclaw.apps.run_times import kept_by
from microclaw.apps.stimuli import Levels, levels_over_time, shifted
from microclaw.apps.timed_trial import let_runs_pass
from microclaw.apps.verdict import SHIM_SAYS, ConsoleLine, PinRole, Record, describe
from microclaw.devices.calls import AppInstall, LedChange, LogLine, PwmChange
from microclaw.errors import CallRejected, DeviceUnreachable
from microclaw.events import Edge
from microclaw.text import count_text
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import TrialBoard
from microclaw.wire.board_replies import LedRow, PinRow

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
NEWEST = 2**53 - 1
_THICK_LINES = 15
"""In two seconds; a board keeps 20 lines of a program each second and leaves out others (firmware/fw/program.py)."""
_LOST_LINES_MS = 1_500.0
_FIRMWARE_SAYS = ("Got exception running WASM code: ", "Cannot find function ", "warning: ", "W gpio: ", "microclaw: ")


async def run_image(trial_board: TrialBoard, image: ProgramImage, run: Run) -> Record:
    """Install the image through the real protocol, let the board's time run, and read what it recorded."""
    control = trial_board.control
    await _let_age(control, run)
    before = await control.info()
    start_ms, boot_lines = before.now_ms, (await control.log()).cursor
    await give(control, run.stimuli, levels_over_time(run.stimuli), start_ms)
    install = AppInstall(image.name, image.code, run.heap_bytes, run.timers, run.watchdog_ms, image.kind)
    if run.times is not None and kept_by(image.kind) == "board":
        install = structs.replace(install, every_ms=run.times.every_ms, stop_after_ms=run.times.stop_after_ms)
    refused: str | None = None
    passed = Passed()
    events = Events(boot_lines)
    try:
        await trial_board.install(install, run.host_s)
    except DeviceUnreachable:
        if (await control.info()).boot == before.boot:
            raise
    except CallRejected as exc:
        refused = exc.message
    else:
        if run.times is None or run.realtime:
            passed = await _let_run(control, image.name, run, start_ms, events)
        else:
            passed = await let_runs_pass(trial_board, install, run, events)
        if image.kind == "py" and not run.realtime and not passed.is_cut:
            await _hear_of_lost_lines(control, run, start_ms + passed.for_ms, events)
        if not run.realtime and not passed.is_cut and run.times is None:
            passed = await probe(control, image.name, run, passed)
    rebooted = (await control.info()).boot != before.boot
    given = levels_over_time((*run.stimuli, *passed.late))
    record = await _record(control, image.name, run, given, start_ms, events, passed)
    cut = replace(record, stuck=passed.stuck, storm=passed.storm, unfinished=passed.unfinished)
    return replace(cut, refused=refused, rebooted=rebooted)


async def _let_age(control: VirtualBoardTransport, run: Run) -> None:
    left_ms = run.uptime_ms - (await control.info()).now_ms
    while left_ms > 0 and not run.realtime:
        await control.advance(min(left_ms, MAX_ADVANCE_MS), run.host_s)
        left_ms -= MAX_ADVANCE_MS


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


async def _let_run(control: VirtualBoardTransport, name: str, run: Run, start_ms: float, events: Events) -> Passed:
    """Let the board's time pass, the soak in parts, where the heap is to be seen growing."""
    if run.realtime:
        await asyncio.sleep(run.for_ms / 1000)
        return Passed(run.for_ms)
    began = time.perf_counter()
    passed = await pass_needed_time(control, run, events)
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


async def _hear_of_lost_lines(control: VirtualBoardTransport, run: Run, end_ms: float, events: Events) -> None:
    """Read lost lines where many came at the end: the board says only later how many it left out."""
    await events.read(control)
    if sum(line.t_ms > end_ms - 2_000 for line in events.lines) >= _THICK_LINES:
        await control.advance(_LOST_LINES_MS, run.host_s)


async def _see_slow_pins(control: VirtualBoardTransport, name: str, run: Run, took_s: float, events: Events) -> Passed:
    """Go on while a driven pin had no two periods yet; not for long, nor with what waits for an input."""
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


def _affordable(run: Run, events: Events, took_s: float) -> float:
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
    events: Events,
    passed: Passed,
) -> Record:
    """Read the board's record since `start_ms`, and its console since it was installed."""
    row = next((app for app in await control.app_rows() if app.name == name), None)
    row = passed.row if row is None or (passed.row and passed.row.error) else row
    rows = await control.pins()
    pins = _with_kept_roles(rows, name, passed.pins, is_timed=run.times is not None)
    await events.read(control)
    own = {pin.pin: PinRole(pin.pin, pin.role) for pin in pins if pin.app == name}
    for pin in row.pins if row else ():
        own.setdefault(pin, PinRole(pin, next((p.role for p in pins if p.pin == pin), "idle")))
    outside = _outside_pins(pins, set(given.bursts))
    # An event exactly at the end may or may not be recorded; leaving it out gives the same result every time.
    end_ms = math.inf if run.realtime else start_ms + (passed.for_ms or run.for_ms)
    # A call that began before the end and trapped behind it says why there.
    last_line_ms = math.inf if row and row.error else end_ms
    state = row.state if row else None
    if row and state == "waiting":
        state = "trapped" if row.last_how == "trapped" else "returned"
    return Record(
        state=state,
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
        board_ms=max(min(events.now_ms, end_ms) - start_ms, 0.0),  # a board that crashed begins at 0
        longest_call_ms=row.longest_call_ms if row else 0.0,
        longest_main_ms=row.longest_main_ms if row else 0.0,
        levels={pin.pin: pin.level for pin in pins},
        opened=_opened(rows, name, own, start_ms),
        given=tuple(edge for edge in given.edges if edge.pin in outside),
        bursts={pin: found for pin, found in given.bursts.items() if pin in outside},
        heap_samples=passed.heap_samples,
        probes=passed.probes,
        overflowed=events.lost,
        runs=passed.runs,
    )


def _opened(rows: Sequence[PinRow], name: str, own: Iterable[int], start_ms: float) -> dict[int, float]:
    """The time when the program opened each of its pins first, also those that it closed again."""
    first = {row.pin: max(row.opened_ms - start_ms, 0.0) for row in rows if row.opener == name}
    return {**dict.fromkeys(own, 0.0), **first}


def _with_kept_roles(
    pins: Sequence[PinRow], name: str, seen: Sequence[PinRow], *, is_timed: bool
) -> tuple[PinRow, ...]:
    """The pins at the end, with the roles that they had before the program let go of them.

    Between runs pins are released, so that what a run drove counts; else what the program moved as an output.
    """
    roles = {pin.pin: pin.role for pin in seen if pin.app == name and pin.role != "idle"}
    for pin in pins:
        is_driven = name in (pin.mover, pin.driver if is_timed else None)
        if is_driven and roles.get(pin.pin, pin.role) in ("idle", "input"):
            roles[pin.pin] = "output"
    kept = [
        PinRow(pin.pin, pin.level, roles[pin.pin], pin.duty, pin.frequency_hz, name) if pin.pin in roles else pin
        for pin in pins
    ]
    return tuple(kept)


def _led_changes(rows: Sequence[LedRow], start_ms: float) -> tuple[LedChange, ...]:
    return tuple(LedChange(row.t_ms - start_ms, row.pin, colors_of(bytes.fromhex(row.data))) for row in rows)


def _console_lines(line: LogLine, start_ms: float, t_ms: float) -> list[ConsoleLine]:
    """The board names the app also on lines that the firmware printed about it; those are not the app's own.

    What ends without a line feed stands on one line with what the shim says after it: that makes two.
    """
    text, said, end = line.text.partition(SHIM_SAYS)
    texts = [text, said + end] if said and text and line.app is not None else [line.text]
    return [ConsoleLine(t_ms - start_ms, None if one.startswith(_FIRMWARE_SAYS) else line.app, one) for one in texts]


def _outside_pins(pins: tuple[PinRow, ...], given: set[int]) -> set[int]:
    """Pins whose edges come from outside: those the program only reads, and inputs that it never opened."""
    return {pin.pin for pin in pins if pin.role == "input" or (pin.role == "idle" and pin.pin in given)}
