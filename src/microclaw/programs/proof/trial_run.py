"""One run of a program on a throw-away virtual board, from its installation to the record. Judges nothing.

It is one class, because all of it reads and moves the same board; board_events.py reads what the board recorded.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import chain, repeat, starmap
from typing import Final

from msgspec import structs

from microclaw.devices.registry.calls import AppInstall, PwmChange
from microclaw.devices.virtual_boards.trial_board import TrialBoard
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge
from microclaw.hardware.parts.wiring import wiring_tables
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof import input_probe
from microclaw.programs.proof.board_events import BoardEvents, TrialPins, led_changes
from microclaw.programs.proof.part_stimuli import bounces_ms
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.stimuli import AdcStimulus, NetworkStimulus, PartSetting, PinStimulus, Stimulus
from microclaw.programs.proof.trial_network import give_network, has_received
from microclaw.programs.proof.trial_plan import Levels, Run, levels_over_time, seen_levels, shifted
from microclaw.programs.run_times import RunTimes
from microclaw.text import count_text, format_duration
from microclaw.wire import board_control as wire
from microclaw.wire.board_replies import AppRow, PinRow
from microclaw.wire.wasmachine.request import DEFAULT_WATCHDOG_MS

STORM_LINES: Final = 20_000
STORM_EVENTS: Final = 30_000
"""In a second at most, or in less where it comes at once: a loop of main that waits 50 µs each way changes a pin 20,000
times in one, and one without any wait prints 800 lines."""
CALM_EVENTS: Final = 500
"""Lines and changes in a second of board time that keep no machine busy for long."""
SOAK_HOST_S: Final = 3.0
SOAK_LEAST_MS: Final = 90_000.0
SOAK_MOST_HOST_S: Final = 40.0
SOAK_EVENTS: Final = 120_000
SOAK_LINES: Final = 1_500
"""Of a soak: CPU time of the virtual board, beyond the least of board time; edges and PWM changes, and lines."""
_SURE_S: Final = 3.0
"""CPU time after which the rest of the trial is estimated from what has passed."""
_WALL_PER_CPU: Final = 3.0
_FIRST_PARTS_MS: Final = (10.0, 40.0, 200.0, 750.0)
_RING_EVENTS: Final = 4_000  # between two readings: half of the PWM changes that the board keeps, and more of all else
_HEAP_SAMPLES: Final = 6
_NEXT_RUN_MS: Final = 250.0  # until the board has begun it: its tick is 100 ms, and drifts
_THICK_LINES: Final = 15
"""In two seconds; a board keeps 20 lines of a program each second and leaves out others (firmware/fw/program.py)."""
_LOST_LINES_MS: Final = 1_500.0


class BoardRun:
    """A program's run on one trial board."""

    def __init__(self, board: TrialBoard, image: ProgramImage, run: Run) -> None:
        self._board = board
        self._control = board.control
        self._run = run
        self._name = image.name
        times = run.times or RunTimes()
        self._install = AppInstall(
            image.name,
            image.code,
            run.heap_bytes,
            run.timers,
            DEFAULT_WATCHDOG_MS,
            image.kind,
            times.every_ms,
            times.stop_after_ms,
            image.network,
        )
        self._events = BoardEvents(self._control)
        self._start_ms = 0.0
        self._passed_ms = 0.0
        self._late: tuple[PinStimulus, ...] = ()
        self._heap_samples: list[tuple[float, int]] = []
        self._probes: list[str] = []
        self._bounces: list[str] = []
        self._stuck = False
        self._storm: str | None = None
        self._unfinished: str | None = None
        self._cpu_s = 0.0

    async def record(self) -> Record:
        """Install the program through the real protocol, let the board's time run, and read what it recorded."""
        control = self._control
        run = self._run
        if run.wiring is not None:
            await control.request(wire.Wire(wiring_tables(run.wiring)))
        await self._let_time_pass_before(run.uptime_ms)
        info = await control.request(wire.Info())
        self._start_ms = info.now_ms
        await self._events.begin()
        await self._give(run.stimuli)
        await give_network(control, run, self._board_time)
        refused = await self._install_and_run(info.boot)
        rebooted = (await control.request(wire.Info())).boot != info.boot
        record = await self._read_record()
        is_whole = not (self._is_cut or rebooted or refused)
        if run.times is not None and is_whole:
            never_ends = await self._is_in_the_way(run.times)
            record = structs.replace(record, never_ends=never_ends)
        return structs.replace(record, refused=refused, rebooted=rebooted)

    async def _let_time_pass_before(self, uptime_ms: float) -> None:
        """Let the board's time pass until it is up for so long, before anything is installed."""
        left_ms = uptime_ms - (await self._control.request(wire.Info())).now_ms
        while left_ms > 0:
            part_ms = min(left_ms, wire.MAX_ADVANCE_MS)
            await self._control.request(wire.Advance(part_ms), self._most_wall_s)
            left_ms -= wire.MAX_ADVANCE_MS

    async def _install_and_run(self, boot: int) -> str | None:
        """Install the program and let it run; return the board's reason if it refused it."""
        try:
            await self._board.install(self._install, self._most_wall_s)
        except DeviceUnreachable:
            # A program that crashes the board while it is installed gets no answer.
            has_crashed = (await self._control.request(wire.Info())).boot != boot
            if not has_crashed:
                raise
        except CallRejected as exc:
            return exc.message
        else:
            await self._let_run()
        return None

    async def _is_in_the_way(self, times: RunTimes) -> bool:
        """Return True if it still goes on when its next run is due, and nothing stops it. Ask after the record."""
        if times.stop_after_ms is not None or self._passed_ms + 1.0 != times.every_ms:
            return False
        await self._advance(_NEXT_RUN_MS)
        row = await self._row()
        return row is not None and row.missed > 0

    @property
    def _is_cut(self) -> bool:
        return self._stuck or self._storm is not None or self._unfinished is not None

    async def _give(self, stimuli: Sequence[Stimulus], after_ms: float = -1) -> None:
        """Tell the board what comes from outside after `after_ms`, at times since the installation."""
        for edge in levels_over_time(stimuli).edges:
            if edge.t_ms > after_ms:
                await self._control.request(wire.SetInput(edge.pin, edge.level, self._board_time(edge.t_ms)))
        for stimulus in stimuli:
            at_ms = self._board_time(stimulus.at_ms)
            match stimulus:
                case PartSetting(part=part, values=values):
                    await self._control.request(wire.SetSensor(part, values, at_ms))
                case AdcStimulus(pin=pin, volts=volts):
                    await self._control.request(wire.SetAdc(pin, volts, at_ms))
                case _:
                    pass

    def _board_time(self, t_ms: float) -> float | None:
        """Return a time since the installation as the board's time; None for one that is there from the start."""
        if not t_ms:
            return None
        return self._start_ms + t_ms

    async def _advance(self, ms: float) -> bool:
        """Let the board's time pass at once. Return False if the program got stuck.

        Raises DeviceTimeout if that takes more CPU time than the run may have.
        """
        limit_s = self._run.host_s
        result = await self._control.request(wire.Advance(ms, limit_s), self._most_wall_s)
        self._cpu_s += result.cpu_s
        self._stuck = result.stuck is not None
        if result.cpu_s >= limit_s and not self._stuck:
            raise DeviceTimeout(f"the trial used its {limit_s:g} s of CPU time")
        return not self._stuck

    @property
    def _most_wall_s(self) -> float:
        """The time to wait for one answer: a busy machine gives the board only a part of its CPU time."""
        return self._run.host_s * _WALL_PER_CPU

    async def _row(self) -> AppRow | None:
        reply = await self._control.request(wire.Apps())
        for app in reply.apps:
            if app.name == self._name:
                return app
        return None

    async def _let_run(self) -> None:
        run = self._run
        if await self._let_pass(run.for_ms) and run.soak_ms:
            await self._soak()
        if self._install.kind == "py" and not self._is_cut:
            await self._wait_for_lost_lines()
        if run.times is None and not self._is_cut:
            await self._probe()

    async def _wait_for_lost_lines(self) -> None:
        """Let time pass after many lines: a board says only later how many of them it left out."""
        await self._events.read()
        late_ms = self._start_ms + self._passed_ms - 2_000
        late_lines = [line for line in self._events.lines if line.t_ms > late_ms]
        if len(late_lines) >= _THICK_LINES:
            await self._control.request(wire.Advance(_LOST_LINES_MS), self._most_wall_s)

    async def _let_pass(self, for_ms: float) -> bool:
        """Let so much time pass, its first second in parts: a program that storms would need hours for all of it.

        Return False if the run is over, because the program got stuck or this takes too long.
        """
        events = self._events
        await events.read()
        first_ms = events.now_ms
        first_cpu_s = self._cpu_s
        passed_ms = 0.0
        safe_ms = wire.MAX_ADVANCE_MS
        # Several short parts are looked at together, since a storm may need more than one of them to be seen.
        since_ms = 0.0
        before = events.recorded
        for part_ms in chain(_FIRST_PARTS_MS, repeat(wire.MAX_ADVANCE_MS)):
            part_ms = min(part_ms, safe_ms, for_ms - passed_ms)
            if part_ms <= 0:
                break
            if passed_ms - since_ms >= _FIRST_PARTS_MS[-1]:
                since_ms = passed_ms
                before = events.recorded
            moves_before = events.recorded[1]
            if not await self._advance_in_time(part_ms):
                came_ms = events.now_ms - first_ms
                return self._too_long(before, came_ms, came_ms - since_ms, for_ms)
            passed_ms += part_ms
            if self._stuck:
                break
            is_slow = self._is_slow(self._cpu_s - first_cpu_s, passed_ms, for_ms)
            if is_slow or self._is_storm(before, passed_ms - since_ms):
                return self._too_long(before, passed_ms, passed_ms - since_ms, for_ms)
            safe_ms = _safe_ms(part_ms, events.recorded[1] - moves_before)
        self._passed_ms += for_ms
        return not self._stuck

    async def _advance_in_time(self, part_ms: float) -> bool:
        """Let so much time pass and read the events. Return False if it took more CPU time than the run may have."""
        is_in_time = True
        try:
            await self._advance(part_ms)
        except DeviceTimeout:
            is_in_time = False
        await self._events.read()
        return is_in_time

    def _is_slow(self, cpu_s: float, passed_ms: float, for_ms: float) -> bool:
        """Return True if the rest would need more CPU time than the run may have."""
        left_s = cpu_s / passed_ms * (for_ms - passed_ms)
        return cpu_s > _SURE_S and left_s > self._run.host_s

    def _is_storm(self, before: tuple[int, int], part_ms: float) -> bool:
        """Return True if the program did too much since `before`, which is so long ago."""
        lines, moves = self._recorded_since(before)
        length_s = max(part_ms, _FIRST_PARTS_MS[-1]) / 1000
        return lines > STORM_LINES * length_s or moves > STORM_EVENTS * length_s

    def _recorded_since(self, before: tuple[int, int]) -> tuple[int, int]:
        """Return the numbers of lines and of changes since `before`."""
        lines, moves = self._events.recorded
        return lines - before[0], moves - before[1]

    def _too_long(self, before: tuple[int, int], passed_ms: float, part_ms: float, for_ms: float) -> bool:
        """Note that it took too long: by the program's acts in that part, or because this machine is slow.

        Return False.
        """
        self._passed_ms += passed_ms
        lines, moves = self._recorded_since(before)
        if lines + moves > CALM_EVENTS * max(part_ms, _FIRST_PARTS_MS[-1]) / 1000:
            parts = []
            if lines:
                parts.append(count_text(lines, "line"))
            if moves or not lines:
                parts.append(count_text(moves, "pin change"))
            self._storm = f"{' and '.join(parts)} in {part_ms / 1000:.3g} s"
        else:
            of = f"{format_duration(passed_ms, decimals=2)} of {format_duration(for_ms, decimals=2)}"
            took = f"took {self._run.host_s:.0f} s of CPU time or would take longer"
            self._unfinished = f"{of} of board time {took}"
        return False

    async def _soak(self) -> None:
        """Go on in parts, so that a growing heap is seen; then give the late stimuli."""
        run = self._run
        soak_ms = self._affordable_soak_ms()
        samples: list[tuple[float, int]] = []
        for part_ms in (0.0, *([soak_ms / _HEAP_SAMPLES] * _HEAP_SAMPLES)):
            if not await self._let_pass(part_ms):
                return
            row = await self._row()
            peak_bytes = 0
            if row is not None:
                peak_bytes = row.peak_heap_bytes
            samples.append((self._passed_ms, peak_bytes))
        self._heap_samples = samples
        if run.late:
            # A program that has the processor when a part ends goes on a little beyond it.
            self._passed_ms = max(self._passed_ms, self._events.now_ms - self._start_ms)
            self._late = shifted(run.late, self._passed_ms + 100.0)
            pins = [stimulus for stimulus in run.stimuli if isinstance(stimulus, PinStimulus)]
            await self._give((*pins, *self._late), self._passed_ms)
            await self._let_pass(run.late_ms + 100.0)

    def _affordable_soak_ms(self) -> float:
        """Return as much of the soak as the host's CPU time and memory have room for.

        A minute and more passes whatever the host's speed, so that the same program gets the same answer.
        """
        run = self._run
        took_s = max(self._cpu_s, 0.001)
        lines, moves = self._events.recorded
        shares = (
            max(SOAK_HOST_S / took_s, min(SOAK_LEAST_MS / run.for_ms, SOAK_MOST_HOST_S / took_s)),
            (SOAK_EVENTS - moves) / max(moves, 1),
            (SOAK_LINES - lines) / max(lines, 1),
        )
        return max(0.0, min(run.soak_ms, min(shares) * run.for_ms))

    async def _probe(self) -> None:
        """Move each pin that the program reads and that had no input: the other level, back, a bounce. Not judged.

        A program that gets stuck or traps over it is judged by that.
        """
        row = await self._row()
        if row is None or row.state not in ("running", "returned"):
            return
        given = {stimulus.pin for stimulus in self._run.stimuli if isinstance(stimulus, PinStimulus)}
        for stimulus in self._run.stimuli:
            if isinstance(stimulus, PartSetting):
                given.update(stimulus.pins)
        if self._run.wiring is not None:
            for part in self._run.wiring.parts:
                # What nobody presses drives its pins itself, as a sonar its echo.
                if not part.facts.stimuli:
                    given.update(part.pins.values())
        probed = set(row.pins) - given
        pins = (await self._control.request(wire.Pins())).pins
        for pin in pins:
            if pin.role == "input" and pin.pin in probed and not await self._probe_pin(pin):
                return

    async def _probe_pin(self, pin: PinRow) -> bool:
        """Move one pin and note the program's answer. Return False if the program got stuck."""
        events = self._events
        await events.read()
        press_ms = events.now_ms
        edge_count = len(events.edges)
        line_count = len(events.lines)
        pwm_count = len(events.pwm)
        led_count = len(events.leds)
        for after_ms, flip in input_probe.STEPS:
            await self._control.request(wire.SetInput(pin.pin, pin.level ^ flip))
            if not await self._advance(after_ms):
                return False
        await events.read()
        edges = []
        for edge in events.edges[edge_count:]:
            if edge.pin != pin.pin:
                edges.append(Edge(edge.t_ms - press_ms, edge.pin, edge.level))
        pwm = list(starmap(PwmChange, events.pwm[pwm_count:]))
        leds = led_changes(events.leds[led_count:], press_ms)
        lines = [line for line in events.lines[line_count:] if line.app == self._name]
        self._probes.append(input_probe.probe_text(pin.pin, edges, pwm, leds, len(lines)))
        warning = input_probe.bounce_warning(pin.pin, edges)
        if warning is not None:
            self._bounces.append(warning)
        return True

    async def _read_record(self) -> Record:
        """Read the board's record since the installation, and its console."""
        start_ms = self._start_ms
        row = await self._row()
        rows = (await self._control.request(wire.Pins())).pins
        await self._events.read()
        pins = TrialPins.of(self._name, rows, row)
        given = self._given_levels(pins)
        outside = pins.moved_outside(given.bursts)
        # An event exactly at the end may or may not be recorded; leaving it out gives the same result every time.
        end_ms = start_ms + (self._passed_ms or self._run.for_ms)
        last_line_ms = end_ms
        if row is not None and row.error:
            # A call that began before the end and trapped after it says why there.
            last_line_ms = math.inf
        happened = self._events.between(start_ms, end_ms, last_line_ms, outside)
        record = Record(
            state=None,
            **happened,
            roles=pins.own,
            opened=pins.opened(start_ms),
            levels={pin.pin: pin.level for pin in rows},
            given=tuple(edge for edge in given.edges if edge.pin in outside),
            bursts={pin: changes for pin, changes in given.bursts.items() if pin in outside},
            heap_samples=tuple(self._heap_samples),
            # The time of a board that crashed begins at 0.
            board_ms=max(min(self._events.now_ms, end_ms) - start_ms, 0.0),
            stuck=self._stuck,
            storm=self._storm,
            unfinished=self._unfinished,
            overflowed=self._events.lost,
            probes=tuple(self._probes),
            bounces=tuple(self._bounces),
            was_stimulated=self._reaches(pins.own) or has_received(happened["traffic"]),
        )
        if row is None:
            return record
        return _with_app(record, row)

    def _given_levels(self, pins: TrialPins) -> Levels:
        """Return the levels from outside: the stimuli's, and what the wired parts did to the pins that they move."""
        planned = levels_over_time((*self._run.stimuli, *self._late))
        bounces = bounces_ms(self._run.wiring)
        opened = pins.opened(self._start_ms)
        edges = []
        for edge in self._events.edges:
            t_ms = edge.t_ms - self._start_ms
            # The first level of a pin that the program opens is no part's doing.
            if t_ms > opened.get(edge.pin, 0.0):
                edges.append(Edge(t_ms, edge.pin, edge.level))
        moved = seen_levels(edges, bounces)
        planned_edges = [edge for edge in planned.edges if edge.pin not in bounces]
        all_edges = sorted((*planned_edges, *moved.edges), key=lambda edge: edge.t_ms)
        return Levels(tuple(all_edges), {**planned.bursts, **moved.bursts})

    def _reaches(self, pins: Collection[int]) -> bool:
        """Return whether a stimulus after the start comes to a pin that the program opened, or to a part."""
        for stimulus in self._run.stimuli:
            is_late = stimulus.at_ms > 0 and not isinstance(stimulus, NetworkStimulus)
            is_reached = not isinstance(stimulus, PinStimulus) or stimulus.pin in pins
            if is_late and is_reached:
                return True
        return False


def _safe_ms(part_ms: float, move_count: int) -> float:
    """Return the time in which the board's rings do not overflow, if the program goes on as in the last part."""
    if not move_count:
        return wire.MAX_ADVANCE_MS
    return _RING_EVENTS / move_count * part_ms


def _with_app(record: Record, row: AppRow) -> Record:
    """Return the record with the board's row of the program."""
    return structs.replace(
        record,
        state=_state_of(row),
        trap=row.error,
        peak_heap_bytes=row.peak_heap_bytes,
        peak_stack_bytes=row.peak_stack_bytes,
        longest_call_ms=row.longest_call_ms,
        longest_main_ms=row.longest_main_ms,
    )


def _state_of(row: AppRow) -> str:
    """Return the board's word for the program; for one whose run is over, by itself or its stop_after, how it ended."""
    if row.state not in ("waiting", "stopped") or not row.last_how:
        return row.state
    if row.last_how in ("trapped", "exited"):
        return row.last_how
    return "returned"
