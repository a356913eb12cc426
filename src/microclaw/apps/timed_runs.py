"""Begins and stops runs on boards that cannot do it themselves: stock ESP-WASMachine has nothing for intervals.

A run is an installation of the kept image, its end a removal: globals, heap and open files are new each time. Runs lie
on a grid from the program's start, so that a host that comes back knows without notes which one should go on now.
They are no changes: what is wanted stays as it is, and undo does not see them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from microclaw.apps.change_log import DesiredApp
from microclaw.apps.installer import Installer, stored_call
from microclaw.apps.run_times import RunReport, RunTimes, acts_later, host_begins
from microclaw.devices.calls import AppList, AppStates, AppUninstall
from microclaw.devices.device import Device
from microclaw.errors import AppNotFound, DeviceError, MicroclawError, UnknownName

IDLE_S: Final = 5.0
RETRY_MS: Final = 5_000
LATEST_START_MS: Final = 60_000
"""A run that could not be begun so long after its time is left out."""
_log = logging.getLogger(__name__)


class _Runs(Struct):
    """`began_ms` of the present or last run. `is_there` is None where only the board knows: after the host's start."""

    since_ms: int
    times: RunTimes
    base_ms: int
    began_ms: int
    is_there: bool | None
    runs: int = 0
    missed: int = 0
    last: tuple[int, int | None, str] | None = None  # began, took, how
    problem: str | None = None
    retry_ms: int = 0
    next_ms: int | None = None

    @property
    def stop_ms(self) -> int | None:
        after = self.times.stop_after_ms
        return None if after is None or self.is_there is False else self.began_ms + after

    @property
    def due_ms(self) -> int:
        return max(self.retry_ms, min(ms for ms in (self.stop_ms, self.next_ms, 2**62) if ms is not None))

    def next_after(self, now_ms: int) -> int | None:
        """The next time on the grid."""
        every_ms = self.times.every_ms
        return None if every_ms is None else self.base_ms + (1 + max(0, now_ms - self.base_ms) // every_ms) * every_ms


class TimedRuns:
    """`run()` belongs in the host's TaskGroup. `looks_after` says which devices are this host's, as Reconciler's."""

    def __init__(self, installer: Installer, looks_after: Callable[[str], bool] = lambda _device_id: True) -> None:
        self._installer, self._devices, self._change_log = installer, installer.devices, installer.change_log
        self._looks_after = looks_after
        self._runs: dict[tuple[str, str], _Runs] = {}
        self._busy: set[str] = set()  # devices that are being looked at

    async def run(self) -> None:
        """Forever. A device that does not answer holds up no other one."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for device_id, apps in (await self._due()).items():
                    self._busy.add(device_id)
                    tasks.create_task(self._check_device(device_id, apps), name=f"runs of {device_id}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_s()):
                        await self._change_log.news.wait()
                self._change_log.news.clear()

    def report(self, device_id: str, name: str) -> RunReport | None:
        """The report of its runs; None for a program whose runs are not the host's."""
        runs = self._runs.get((device_id, name))
        if runs is None:
            return None
        last_ms, took_ms, how = runs.last or (None, None, None)
        since_ms = runs.began_ms if runs.is_there else None
        return RunReport(runs.next_ms, since_ms, last_ms, took_ms, how, runs.runs, runs.missed, runs.problem)

    def listed(self, app: DesiredApp, is_there: bool) -> None:
        """Take the board's list from who has just asked it: one that starts programs at its boot may have begun it."""
        runs = self._runs.get((app.device_id, app.name))
        if runs is None or runs.is_there is is_there:
            return
        if not is_there and runs.is_there:
            runs.last = (runs.began_ms, None, "lost")
        runs.is_there = is_there

    async def check_due(self) -> None:
        """Begin and stop what is due now."""
        for device_id, apps in (await self._due()).items():
            await self._check_device(device_id, apps)

    async def _due(self) -> dict[str, list[DesiredApp]]:
        """The programs of each device that something is due of; not of a device that is being looked at."""
        wanted = [
            app
            for app in await self._change_log.desired()
            if host_begins(app.version.kind, app.version.times) and self._looks_after(app.device_id)
        ]
        keys = {(app.device_id, app.name) for app in wanted}
        for gone in self._runs.keys() - keys:
            del self._runs[gone]
        due: dict[str, list[DesiredApp]] = {}
        for app in wanted:
            self._note(app)
            is_due = self._change_log.now_ms() >= self._runs[app.device_id, app.name].due_ms
            if is_due and app.device_id not in self._busy:
                due.setdefault(app.device_id, []).append(app)
        return due

    def _wait_s(self) -> float:
        now_ms = self._change_log.now_ms()
        dues = [runs.due_ms for (device_id, _), runs in self._runs.items() if device_id not in self._busy]
        return min([IDLE_S, *(max(0.05, (due - now_ms) / 1000) for due in dues)])

    def _note(self, app: DesiredApp) -> None:
        """A program that was installed, started or given other times begins its runs again."""
        key, times, now_ms = (app.device_id, app.name), app.version.times, self._change_log.now_ms()
        assert times is not None
        known = self._runs.get(key)
        if known is not None and (known.since_ms, known.times) == (app.since_ms, times):
            return
        begun_ms = self._installer.begun_ms.get(key)
        base_ms = app.since_ms if begun_ms is None else begun_ms
        is_known = begun_ms is not None
        runs = _Runs(app.since_ms, times, base_ms, base_ms, True if is_known else None, int(is_known))
        if times.every_ms is not None:
            passed = 0 if is_known else max(0, now_ms - base_ms) // times.every_ms
            runs.began_ms = base_ms + passed * times.every_ms
            runs.next_ms = runs.began_ms + times.every_ms
        self._runs[key] = runs

    async def _check_device(self, device_id: str, apps: list[DesiredApp]) -> None:
        try:
            for app in apps:
                if (runs := self._runs.get((app.device_id, app.name))) is not None:
                    await self._check(app, runs)
        except Exception:  # the runs of the others must go on
            _log.exception("runs of device %s", device_id)
            await asyncio.sleep(RETRY_MS / 1000)
        finally:
            self._busy.discard(device_id)
            self._change_log.news.set()

    async def _check(self, app: DesiredApp, runs: _Runs) -> None:
        try:
            device = self._devices.get(app.device_id)
            async with self._installer.holding(device):
                await self._act(device, app, runs)
            runs.problem = None
        except (DeviceError, UnknownName) as exc:
            self._failed(app, runs, exc)
        except MicroclawError as exc:  # the image, the firmware: the next run may go
            runs.next_ms = runs.next_after(self._change_log.now_ms())
            self._failed(app, runs, exc)

    def _failed(self, app: DesiredApp, runs: _Runs, error: MicroclawError) -> None:
        now_ms = self._change_log.now_ms()
        runs.problem, runs.retry_ms = error.message, now_ms + RETRY_MS
        if runs.next_ms is not None and now_ms - runs.next_ms > LATEST_START_MS:
            runs.next_ms = runs.next_after(now_ms)
            runs.problem = f"a run was left out: {error.message}"
        _log.warning("%s of device %s: %s", app.name, app.device_id, error.message)

    async def _act(self, device: Device, app: DesiredApp, runs: _Runs) -> None:
        """Stop the run that is over, begin the one that is due. Call it `holding` the device."""
        if app not in await self._change_log.desired(device.device_id):
            return  # it was changed while the device was waited for
        now_ms = self._change_log.now_ms()
        if runs.stop_ms is not None and now_ms >= runs.stop_ms:
            ended = await self._has_ended(device, app) if runs.is_there else None
            if ended is not None and ended[1] == "replaced":  # not known: it is stopped now
                ended = None
            if await self._take_off(device, app.name):
                runs.last = (runs.began_ms, *(ended or (self._change_log.now_ms() - runs.began_ms, "stopped")))
            runs.is_there = False
        if runs.next_ms is None or now_ms < runs.next_ms:
            return
        passed_ms, runs_next_ms = runs.next_ms, runs.next_after(now_ms)
        there = {entry.name for entry in await device.call(AppList(), wait=False)}
        if app.name in there:
            ended = await self._has_ended(device, app)
            if ended is None:
                assert runs.times.every_ms is not None
                runs.missed += 1 + (now_ms - passed_ms) // runs.times.every_ms
                runs.next_ms, runs.is_there = runs_next_ms, True
                return
            runs.last = (runs.began_ms, *ended)
            await self._take_off(device, app.name)
        runs.is_there = False
        image = await self._change_log.image(app.version.sha256)
        runs.began_ms = self._change_log.now_ms()  # also of one whose installation was cut short and is there
        await device.call(stored_call(device, app.name, image.code, app.version))
        runs.next_ms, runs.is_there = runs_next_ms, True
        runs.runs += 1

    async def _take_off(self, device: Device, name: str) -> bool:
        """False where it was not there."""
        try:
            await device.call(AppUninstall(name))
        except AppNotFound:
            return False
        return True

    async def _has_ended(self, device: Device, app: DesiredApp) -> tuple[int | None, str] | None:
        """The time it took and how it ended; None while it goes on.

        Stock firmware tells neither: there the time of the next run ends the one before.
        """
        states = await device.call(AppStates(), wait=False) if device.supports(AppStates.method) else ()
        state = next((one for one in states if one.name == app.name), None)
        if state is None:
            return None, "replaced"
        if state.state == "trapped" or state.error is not None:
            return None, "trapped"
        if state.state in ("returned", "exited"):
            return None, "returned"
        image = await self._change_log.image(app.version.sha256)
        if not acts_later(image.code):
            return None, "returned"
        return None if state.tells_end else (None, "replaced")
