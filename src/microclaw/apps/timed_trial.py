"""A trial of a program that runs at an interval or for a time: its runs, on the virtual board's clock.

Programs of the kind py are begun and stopped by the board itself; those of the kind wasm from here, as the host does it
for a real board (timed_runs.py).
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace

from microclaw.apps.board_time import Events, Passed, Run, SeenRuns, pass_needed_time
from microclaw.apps.run_times import RunTimes, acts_later, how_text, kept_by
from microclaw.apps.verdict import SHIM_SAYS
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.errors import AppNotFound
from microclaw.text import count_text, format_duration
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import TrialBoard
from microclaw.wire.board_replies import AppRow, PinRow


async def let_runs_pass(trial_board: TrialBoard, install: AppInstall, run: Run, events: Events) -> Passed:
    """Let the time of the run pass. The program was installed, and its first run has begun."""
    assert run.times is not None
    if kept_by(install.kind) == "host":
        return await _HostRuns(trial_board, install, run, run.times, events).passed()
    control, name = trial_board.control, install.name
    look_ms = min(float(run.times.stop_after_ms or run.for_ms) - 1.0, run.for_ms)  # its pins, before they are released
    passed = await pass_needed_time(control, replace(run, for_ms=look_ms), events)
    if passed.is_cut:
        return passed
    pins = await control.pins()
    passed = await pass_needed_time(control, replace(run, for_ms=run.for_ms - look_ms), events)
    if passed.is_cut:
        return replace(passed, for_ms=look_ms + passed.for_ms)
    row = await _row(control, name)
    seen = None if row is None else SeenRuns(row.runs, row.missed, row.last_how, row.last_took_ms)
    return Passed(run.for_ms, runs=seen, pins=pins)


@dataclass(slots=True)
class _HostRuns:
    trial_board: TrialBoard
    install: AppInstall
    run: Run
    times: RunTimes
    events: Events
    seen: SeenRuns = field(default_factory=lambda: SeenRuns(1, 0))
    began_ms: float = 0.0
    start_ms: float = 0.0  # of the board
    is_there: bool = True
    has_ended: bool = False
    pins: tuple[PinRow, ...] = ()
    row: AppRow | None = None

    async def passed(self) -> Passed:
        control, times, passed_ms = self.trial_board.control, self.times, 0.0
        self.start_ms = (await control.info()).now_ms
        next_ms = float(times.every_ms or math.inf)
        while passed_ms < self.run.for_ms:
            stop_ms = self.began_ms + (times.stop_after_ms or math.inf) if self.is_there else math.inf
            at_ms = min(stop_ms, next_ms, self.run.for_ms)
            if at_ms > passed_ms:
                passed = await pass_needed_time(control, replace(self.run, for_ms=at_ms - passed_ms), self.events)
                if passed.is_cut:
                    return replace(passed, for_ms=passed_ms + passed.for_ms, pins=self.pins, row=self.row)
                passed_ms = at_ms
            await self._look()
            if self.row is not None and self.row.error is not None:
                break
            if passed_ms >= self.run.for_ms:
                break
            if at_ms == stop_ms:
                await self._take_off()
                if not self.has_ended:
                    self.seen = replace(self.seen, last_how="stopped", last_took_ms=round(at_ms - self.began_ms))
                    self.has_ended = True
            if at_ms == next_ms:
                next_ms += float(times.every_ms or math.inf)
                await self._begin(at_ms)
        return Passed(passed_ms, runs=self.seen, pins=self.pins, row=self.row)

    async def _look(self) -> None:
        """Read what the board shows of the run that is there, before it may be taken off."""
        if not self.is_there:
            return
        control, name = self.trial_board.control, self.install.name
        row, pins = await _row(control, name), await control.pins()
        if row is None:
            return
        if self.row is None or self.row.error is None:
            self.row = row
        kept = {pin.pin: pin for pin in self.pins}
        self.pins = tuple((kept | {pin.pin: pin for pin in pins if pin.app == name}).values())
        since_ms = self.start_ms + self.began_ms
        said = [one for one in self.events.lines if one.app == name and one.t_ms >= since_ms and SHIM_SAYS in one.text]
        is_over = row.state in ("returned", "exited", "trapped") or row.kind_of_end is not None
        if self.has_ended or not (said or is_over or not acts_later(self.install.code)):
            return
        self.has_ended = True
        how = "trapped" if row.error is not None else "returned"
        took_ms = round(said[0].t_ms - since_ms) if said else None
        self.seen = replace(self.seen, last_how=how, last_took_ms=took_ms)

    async def _begin(self, at_ms: float) -> None:
        if self.is_there and not self.has_ended:
            self.seen = replace(self.seen, missed=self.seen.missed + 1)
            return
        await self._take_off()
        await self.trial_board.install(self.install, self.run.host_s)
        self.seen = replace(self.seen, runs=self.seen.runs + 1)
        self.is_there, self.has_ended, self.began_ms = True, False, at_ms

    async def _take_off(self) -> None:
        if self.is_there:
            with suppress(AppNotFound):
                await self.trial_board.wasmachine.call(AppUninstall(self.install.name), self.run.host_s)
            self.is_there = False


async def _row(control: VirtualBoardTransport, name: str) -> AppRow | None:
    return next((app for app in await control.app_rows() if app.name == name), None)


def runs_text(seen: SeenRuns, times: RunTimes, board_ms: float) -> str:
    """ "2 runs in 11 min of board time (every 10 min, stopped after 30 s); the last: stopped after 30 s"."""
    text = f"{count_text(seen.runs, 'run')} in {format_duration(board_ms, decimals=2)} of board time ({times.text()})"
    if times.every_ms is not None and board_ms < times.every_ms:
        text += "; the second one was not seen, its time comes later"
    if seen.last_how is None and times.stop_after_ms is not None and board_ms < times.stop_after_ms:
        text += "; its end was not seen, it comes later"
    if seen.last_how is not None:
        text += f"; the last: {how_text(seen.last_how, seen.last_took_ms)}"
    if seen.missed:
        text += f"; {count_text(seen.missed, 'time')} the run before still went on, and none was begun"
    return text


def never_ends(seen: SeenRuns | None, times: RunTimes) -> tuple[str, str] | None:
    """Why an interval makes no sense, with the next step: a program that did not end, and that nothing stops."""
    if times.every_ms is None or times.stop_after_ms is not None or seen is None or seen.last_how is not None:
        return None
    return (
        "it does not end by itself in the trial: with an interval it would be begun once and never again",
        "add --stop-after TIME (each run is stopped after it), or no interval: leave --every out, or --every off",
    )
