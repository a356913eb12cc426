"""One run of a program on a throw-away virtual board, from its installation to the record. Judges nothing.

One class, as all of it reads and moves the same board; another reads the board's rings in parts, which hold less than a
long trial gives.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final

from msgspec import structs

from microclaw.devices.registry.calls import NEWEST, AppInstall, LedChange, LogLine, PwmChange
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.devices.virtual_boards.trial_board import TrialBoard
from microclaw.errors import CallRejected, DeviceTimeout, DeviceUnreachable
from microclaw.events import Edge
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.colors import colors_of
from microclaw.programs.proof.expectations import AdcStimulus, PinStimulus, SensorStimulus, Stimulus
from microclaw.programs.proof.record import Record, lines_left_out
from microclaw.programs.proof.trial_plan import Run, levels_over_time, shifted
from microclaw.programs.proof.verdict import SHIM_SAYS, describe
from microclaw.programs.run_times import RunTimes
from microclaw.text import count_text, format_duration
from microclaw.wire import board_control as wire
from microclaw.wire.board_replies import AppRow, LedRow, PwmRow
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
_PROBE_MS: Final = 300.0
_PROBE: Final = ((_PROBE_MS, 1), (_PROBE_MS, 0), (5.0, 1), (5.0, 0), (_PROBE_MS, 1), (_PROBE_MS, 0))
_THICK_LINES: Final = 15
"""In two seconds; a board keeps 20 lines of a program each second and leaves out others (firmware/fw/program.py)."""
_LOST_LINES_MS: Final = 1_500.0
_FIRMWARE_SAYS: Final = (
    "Got exception running WASM code: ",
    "Cannot find function ",
    "warning: ",
    "W gpio: ",
    "microclaw: ",
)


class BoardRun:
    """A program's run on one trial board, and what was read of the board's rings, which hold less than a long trial."""

    def __init__(self, board: TrialBoard, image: ProgramImage, run: Run) -> None:
        self._board = board
        self._control = board.control
        self._run = run
        self._name = image.name
        times = run.times or RunTimes()
        terms = (run.heap_bytes, run.timers, DEFAULT_WATCHDOG_MS, image.kind)
        self._install = AppInstall(image.name, image.code, *terms, times.every_ms, times.stop_after_ms)
        self._events = BoardEvents(self._control)
        self._start_ms = self._passed_ms = 0.0
        self._late: tuple[PinStimulus, ...] = ()
        self._heap_samples: list[tuple[float, int]] = []
        self._probes: list[str] = []
        self._stuck = False
        self._storm: str | None = None
        self._unfinished: str | None = None
        self._cpu_s = 0.0

    async def record(self) -> Record:
        """Install the program through the real protocol, let the board's time run, and read what it recorded."""
        control = self._control
        run = self._run
        left_ms = run.uptime_ms - (await control.request(wire.Info())).now_ms
        while left_ms > 0:
            await control.request(wire.Advance(min(left_ms, wire.MAX_ADVANCE_MS)), self._most_wall_s)
            left_ms -= wire.MAX_ADVANCE_MS
        info = await control.request(wire.Info())
        self._start_ms = info.now_ms
        before = info.boot
        await self._events.begin()
        await self._give(run.stimuli)
        refused: str | None = None
        try:
            await self._board.install(self._install, self._most_wall_s)
        except DeviceUnreachable:
            if (await control.request(wire.Info())).boot == before:
                raise
        except CallRejected as exc:
            refused = exc.message
        else:
            await self._let_run()
        rebooted = (await control.request(wire.Info())).boot != before
        found = await self._read_record()
        if run.times is not None and not (self._is_cut or rebooted or refused):
            found = structs.replace(found, never_ends=await self._is_in_the_way(run.times))
        return structs.replace(found, refused=refused, rebooted=rebooted)

    async def _is_in_the_way(self, times: RunTimes) -> bool:
        """True if it still goes on when its next run is due, and nothing stops it. Behind the record."""
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
                if edge.t_ms:
                    at_ms = self._start_ms + edge.t_ms
                else:
                    at_ms = None
                await self._control.request(wire.SetInput(edge.pin, edge.level, at_ms))
        for given in stimuli:
            if given.at_ms:
                at_ms = self._start_ms + given.at_ms
            else:
                at_ms = None
            match given:
                case SensorStimulus(sensor=sensor, quantity=quantity, value=value):
                    await self._control.request(wire.SetSensor(sensor, {quantity: value}, at_ms))
                case AdcStimulus(pin=pin, volts=volts):
                    await self._control.request(wire.SetAdc(pin, volts, at_ms))
                case PinStimulus():
                    pass

    async def _advance(self, ms: float) -> bool:
        """Let the board's time pass at once. False: the program got stuck.

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
        return next((app for app in (await self._control.request(wire.Apps())).apps if app.name == self._name), None)

    async def _let_run(self) -> None:
        run = self._run
        if await self._let_pass(run.for_ms) and run.soak_ms:
            await self._soak()
        if self._install.kind == "py" and not self._is_cut:
            await self._events.read()  # a board says only later how many lines it left out
            late_ms = self._start_ms + self._passed_ms - 2_000
            if sum(line.t_ms > late_ms for line in self._events.lines) >= _THICK_LINES:
                await self._control.request(wire.Advance(_LOST_LINES_MS), self._most_wall_s)
        if run.times is None and not self._is_cut:
            await self._probe()

    async def _let_pass(self, for_ms: float) -> bool:
        """Let so much time pass, its first second in parts: a program that storms would need hours for all of it.

        False: the run is over, as the program got stuck or this takes too long.
        """
        await self._events.read()
        first_ms = self._events.now_ms
        first_cpu_s = self._cpu_s
        passed_ms = 0.0
        safe_ms = wire.MAX_ADVANCE_MS
        # a storm is seen over several short parts, too
        since_ms = 0.0
        before = self._events.recorded
        for part_ms in chain(_FIRST_PARTS_MS, repeat(wire.MAX_ADVANCE_MS)):
            part_ms = min(part_ms, safe_ms, for_ms - passed_ms)
            if part_ms <= 0:
                break
            if passed_ms - since_ms >= _FIRST_PARTS_MS[-1]:
                since_ms = passed_ms
                before = self._events.recorded
            moves_before = self._events.recorded[1]
            try:
                await self._advance(part_ms)
            except DeviceTimeout:
                await self._events.read()
                came_ms = self._events.now_ms - first_ms
                return self._too_long(before, came_ms, came_ms - since_ms, for_ms)
            passed_ms += part_ms
            await self._events.read()
            if self._stuck:
                break
            lines, moves = (now - then for now, then in zip(self._events.recorded, before, strict=True))
            length_s = max(passed_ms - since_ms, _FIRST_PARTS_MS[-1]) / 1000
            cpu_s = self._cpu_s - first_cpu_s
            left_s = cpu_s / passed_ms * (for_ms - passed_ms)
            slow = cpu_s > _SURE_S and left_s > self._run.host_s
            if lines > STORM_LINES * length_s or moves > STORM_EVENTS * length_s or slow:
                return self._too_long(before, passed_ms, passed_ms - since_ms, for_ms)
            moved = self._events.recorded[1] - moves_before
            if moved:
                safe_ms = _RING_EVENTS / moved * part_ms
            else:
                safe_ms = wire.MAX_ADVANCE_MS
        self._passed_ms += for_ms
        return not self._stuck

    def _too_long(self, before: tuple[int, int], passed_ms: float, part_ms: float, for_ms: float) -> bool:
        """It took too long: by what the program did in that part, or as this machine is slow or much was asked for."""
        self._passed_ms += passed_ms
        lines, moves = (now - then for now, then in zip(self._events.recorded, before, strict=True))
        if lines + moves > CALM_EVENTS * max(part_ms, _FIRST_PARTS_MS[-1]) / 1000:
            if lines:
                what = [count_text(lines, "line")]
            else:
                what = []
            if moves or not lines:
                what += [count_text(moves, "pin change")]
            self._storm = f"{' and '.join(what)} in {part_ms / 1000:.3g} s"
        else:
            of = f"{format_duration(passed_ms, decimals=2)} of {format_duration(for_ms, decimals=2)}"
            took = f"took {self._run.host_s:.0f} s of CPU time or would take longer"
            self._unfinished = f"{of} of board time {took}"
        return False

    async def _soak(self) -> None:
        """Go on in parts, where the heap is to be seen growing; then the late stimuli."""
        run = self._run
        soak_ms = self._affordable_soak_ms()
        samples: list[tuple[float, int]] = []
        for part_ms in (0.0, *([soak_ms / _HEAP_SAMPLES] * _HEAP_SAMPLES)):
            if not await self._let_pass(part_ms):
                return
            row = await self._row()
            samples.append((self._passed_ms, row.peak_heap_bytes if row else 0))
        self._heap_samples = samples
        if run.late:
            self._late = shifted(run.late, self._passed_ms + 100.0)
            pins = [one for one in run.stimuli if isinstance(one, PinStimulus)]
            await self._give((*pins, *self._late), self._passed_ms)
            await self._let_pass(run.late_ms + 100.0)

    def _affordable_soak_ms(self) -> float:
        """Return as much of the soak as the host's CPU time and memory have room for.

        Whatever the host's speed, a minute and more is passed, so that the same program gets the same answer.
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
        control = self._control
        events = self._events
        row = await self._row()
        given = {one.pin for one in self._run.stimuli if isinstance(one, PinStimulus)}
        if row and row.state == "running":
            own = set(row.pins)
        else:
            own = set()
        pins = (await control.request(wire.Pins())).pins
        for pin in [pin for pin in pins if pin.role == "input" and pin.pin in own - given]:
            await events.read()
            edges = len(events.edges)
            lines = len(events.lines)
            pwm = len(events.pwm)
            leds = len(events.leds)
            for after_ms, flip in _PROBE:
                await control.request(wire.SetInput(pin.pin, pin.level ^ flip))
                if not await self._advance(after_ms):
                    return
            await events.read()
            moved = [Edge(e.t_ms - self._start_ms, e.pin, e.level) for e in events.edges[edges:] if e.pin != pin.pin]
            printed = [line for line in events.lines[lines:] if line.app == self._name]
            changes = [PwmChange(*one) for one in events.pwm[pwm:]]
            shown = led_changes(events.leds[leds:], 0.0)
            if moved or changes or shown:
                seen = [describe(moved, changes, shown)]
            else:
                seen = []
            if printed:
                seen += [count_text(len(printed), "line") + " printed"]
            what = "; ".join(seen) or "nothing happened, so what it does with it is untried"
            self._probes.append(f"pin {pin.pin} pressed, released and bounced: {what}")

    async def _read_record(self) -> Record:
        """Read the board's record since the installation, and its console."""
        run = self._run
        name = self._name
        start_ms = self._start_ms
        row = await self._row()
        rows = (await self._control.request(wire.Pins())).pins
        await self._events.read()
        # it let go of these, and moved them before as outputs
        kept = {pin.pin: "output" for pin in rows if pin.mover == name and pin.role in ("idle", "input")}
        roles = {pin.pin: pin.role for pin in rows} | kept
        own = {pin.pin: roles[pin.pin] for pin in rows if pin.app == name or pin.pin in kept}
        for pin in row.pins if row else ():
            own.setdefault(pin, roles.get(pin, "idle"))
        given = levels_over_time((*run.stimuli, *self._late))
        outside = {pin for pin, role in roles.items() if role == "input" or (role == "idle" and pin in given.bursts)}
        # An event exactly at the end may or may not be recorded; leaving it out gives the same result every time.
        end_ms = start_ms + (self._passed_ms or run.for_ms)
        # A call that began before the end and trapped behind it says why there.
        last_line_ms = math.inf if row and row.error else end_ms
        state = row.state if row else None
        if row and state in ("waiting", "stopped") and row.last_how:  # a run is over, by itself or its stop_after
            state = "trapped" if row.last_how == "trapped" else "returned"
        first_opened = {pin.pin: max(pin.opened_ms - start_ms, 0.0) for pin in rows if pin.opener == name}
        return Record(
            state=state,
            trap=row.error if row else None,
            **self._events.between(start_ms, end_ms, last_line_ms, outside),
            roles=own,
            opened={**dict.fromkeys(own, 0.0), **first_opened},
            levels={pin.pin: pin.level for pin in rows},
            given=tuple(edge for edge in given.edges if edge.pin in outside),
            bursts={pin: found for pin, found in given.bursts.items() if pin in outside},
            peak_heap_bytes=row.peak_heap_bytes if row else 0,
            peak_stack_bytes=row.peak_stack_bytes if row else 0,
            heap_samples=tuple(self._heap_samples),
            board_ms=max(min(self._events.now_ms, end_ms) - start_ms, 0.0),  # a board that crashed begins at 0
            longest_call_ms=row.longest_call_ms if row else 0.0,
            longest_main_ms=row.longest_main_ms if row else 0.0,
            stuck=self._stuck,
            storm=self._storm,
            unfinished=self._unfinished,
            overflowed=self._events.lost,
            probes=tuple(self._probes),
            was_stimulated=self._reaches(own),
        )

    def _reaches(self, pins: Collection[int]) -> bool:
        """Return whether a stimulus after the start comes to a pin that the program opened, or to no pin."""
        later = [one for one in self._run.stimuli if one.at_ms > 0]
        return any(not isinstance(one, PinStimulus) or one.pin in pins for one in later)


class BoardEvents:
    """The board's edges since its start, PWM and LED changes, and its lines since `begin`."""

    def __init__(self, control: VirtualBoardTransport) -> None:
        self._control = control
        self.edges: list[Edge] = []
        self.pwm: list[PwmRow] = []
        self.leds: list[LedRow] = []
        self.lines: list[LogLine] = []
        self.now_ms = 0.0
        self.lost = False
        self.first_line = 0
        self._edge_cursor = self._pwm_cursor = self._led_cursor = self._log_cursor = 0

    @property
    def recorded(self) -> tuple[int, int]:
        """The numbers of lines, and of edges, PWM and LED changes, also of those that the board has no more."""
        return self._log_cursor - self.first_line, self._edge_cursor + self._pwm_cursor + self._led_cursor

    async def begin(self) -> None:
        """Leave out the lines until now."""
        self._log_cursor = self.first_line = (await self._control.log(NEWEST)).cursor

    async def read(self) -> None:
        edges = await self._control.edges(self._edge_cursor)
        pwm = await self._control.pages(wire.Pwm, self._pwm_cursor)
        leds = await self._control.pages(wire.Leds, self._led_cursor)
        log = await self._control.log(self._log_cursor)
        self.edges += edges.edges
        self.pwm += pwm.rows
        self.leds += leds.rows
        self.lines += log.lines
        self.lost = self.lost or bool(edges.dropped or log.dropped or pwm.dropped or leds.dropped)
        self._edge_cursor = edges.cursor
        self._pwm_cursor = pwm.next
        self._led_cursor = leds.next
        self._log_cursor = log.cursor
        self.now_ms = edges.now_ms

    def between(self, start_ms: float, end_ms: float, last_line_ms: float, outside: Collection[int]) -> dict[str, Any]:
        """The fields of a Record: what came in that time, but for edges on pins that the outside moves.

        The word of lines that were left out counts whenever it comes: it is about those before.
        """
        return {
            "lines": tuple(
                piece
                for line in self.lines
                if line.t_ms < last_line_ms or lines_left_out(line.text)[0]
                for piece in _console_lines(line, start_ms, min(line.t_ms, last_line_ms))
            ),
            "edges": tuple(
                Edge(e.t_ms - start_ms, e.pin, e.level)
                for e in self.edges
                if start_ms <= e.t_ms < end_ms and e.pin not in outside
            ),
            "pwm": tuple(
                PwmChange(c.t_ms - start_ms, c.pin, c.duty, c.frequency_hz, c.pulse_us)
                for c in self.pwm
                if start_ms <= c.t_ms < end_ms
            ),
            "leds": led_changes([c for c in self.leds if start_ms <= c.t_ms < end_ms], start_ms),
        }


def led_changes(rows: Iterable[LedRow], start_ms: float) -> tuple[LedChange, ...]:
    return tuple(LedChange(row.t_ms - start_ms, row.pin, colors_of(bytes.fromhex(row.data))) for row in rows)


def _console_lines(line: LogLine, start_ms: float, t_ms: float) -> list[LogLine]:
    """The board names the app also on lines that the firmware printed about it; those are not the app's own.

    What ends without a line feed stands on one line with what the shim says after it: that makes two.
    """
    text, said, end = line.text.partition(SHIM_SAYS)
    if said and text and line.app is not None:
        texts = [text, said + end]
    else:
        texts = [line.text]
    return [LogLine(t_ms - start_ms, None if one.startswith(_FIRMWARE_SAYS) else line.app, one) for one in texts]
