"""Puts apps back on boards that lost them. Never removes an app, and never replaces one that it does not know."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.devices.registry.calls import AppList
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.examine import CheckLine, Examination, examine
from microclaw.errors import DeviceError, DeviceTimeout, DeviceUnreachable, MicroclawError, UnknownName
from microclaw.events import Report, Step
from microclaw.programs.changes.change_log import MAX_SILENCES, DesiredApp
from microclaw.programs.changes.deferring import Deferrals
from microclaw.programs.changes.installer import Installer, recover_changes
from microclaw.programs.changes.many_boards import on_each

if TYPE_CHECKING:
    from microclaw.devices.link.server import LinkServer

INTERVAL_S = 5.0
MAX_INTERVAL_S = 30.0
MAX_PUT_BACKS = 5
PUT_BACK_WINDOW_S = 600.0
"""An app that is lost more often in this time restarts its board, or something else takes it off: it stays off until it
is deployed again, or the host starts again."""
_AT_ONCE = 16
_log = logging.getLogger(__name__)


class DeviceCheck(Struct, frozen=True):
    """The last check of a device. `unreachable_since_ms` is Unix time, None while the device answers.

    That one was away is no `problem`: its link says when it is back, before the next check.
    """

    device_id: str
    device_name: str
    unreachable_since_ms: int | None = None
    put_back: tuple[str, ...] = ()
    problem: str | None = None


class Reconciler:
    """`run()` belongs in the host's TaskGroup. `report` is called for every app that was redeployed.

    `looks_after` says which devices are this host's, by id: in a cluster each is one host's.
    """

    def __init__(
        self,
        installer: Installer,
        deferrals: Deferrals,
        *,
        report: Report,
        alarm: Callable[[str, str], None] = lambda *_: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_s: Callable[[], float] = time.monotonic,
        looks_after: Callable[[str], bool] = lambda _device_id: True,
    ) -> None:
        self._installer = installer
        self._devices = installer.devices
        self._change_log = installer.change_log
        self._looks_after = looks_after
        self._deferrals = deferrals
        self._report = report
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._checks: dict[str, DeviceCheck] = {}
        self._troubled: dict[str, tuple[Backoff, float]] = {}  # by device; with the monotonic second of its next check
        self._alarm = alarm
        self._losses: dict[tuple[str, str, int], list[float]] = {}  # by device, app and deployment

    async def check(self, device_id: str) -> DeviceCheck:
        """Close its open changes, redeploy what it lost, do what waits for it. UnknownName, StoreError."""
        device = self._devices.get(device_id)
        before = self._checks.get(device_id)
        put_back: list[str] = []
        problem: str | None = None
        unreachable_since: int | None = None
        try:
            async with self._installer.holding(device):
                for text in await recover_changes(device, self._change_log):
                    self._report(Step("deploy", text))
                waiting = {act.name for act in await self._deferrals.log.waiting(device_id)}
                problem = await self._put_back_lost(device, put_back, waiting)
            await self._deferrals.do_waiting(device)
        except (DeviceUnreachable, DeviceTimeout) as exc:
            problem = None if device.is_away else exc.message
            unreachable_since = (before and before.unreachable_since_ms) or self._now_ms()
        except DeviceError as exc:
            problem = exc.message
        check = DeviceCheck(device_id, device.name, unreachable_since, tuple(put_back), problem)
        self._checks[device_id] = check
        return check

    async def examine(self, device: Device, link: LinkServer | None) -> Examination:
        """Reach the device now, with what the host knows of it: its credential, and why programs are not redeployed."""
        if link is None:
            paired = None
        else:
            paired = await link.credential_line(device)
        found = self._checks.get(device.device_id)
        kept = None
        if found is not None and found.problem is not None and found.unreachable_since_ms is None:  # that is asked now
            kept = CheckLine("kept", False, found.problem, f"microclaw app list -d {device.name}")
        return await examine(device, also=[line for line in (paired, kept) if line is not None])

    def status(self) -> tuple[DeviceCheck, ...]:
        """The last check of each device with desired apps, by name."""
        return tuple(sorted(self._checks.values(), key=lambda check: check.device_name))

    async def _put_back_lost(self, device: Device, put_back: list[str], waiting: Collection[str]) -> str | None:
        """Install what is wanted and not listed. Returns why one could not be installed, if so.

        Of the programs `waiting` a deferred act is done next: they are left to it.
        """
        wanted: Sequence[DesiredApp] = await self._change_log.desired(device.device_id)
        if not wanted and not waiting:
            return None
        listed = {app.name for app in await device.call(AppList(), wait=False)}
        problems: list[str] = []
        for app in wanted:
            is_lost = app.name not in listed
            if is_lost and app.name in waiting:
                continue
            if is_lost and (why := self._kept_off(device, app, listed)) is not None:
                problems.append(why)
                continue
            if app.suspect_ms is not None:  # it answers with it there, or gets it once more: the next silence counts
                await self._change_log.set_suspect(app.device_id, app.name, is_suspect=False)
            if not is_lost:
                continue
            try:
                await self._installer.put_back(device, app)
            except (DeviceUnreachable, DeviceTimeout):
                raise
            except MicroclawError as exc:
                problems.append(f"{app.name} could not be redeployed: {exc.message}")
                continue
            listed.add(app.name)
            put_back.append(app.name)
            self._report(Step("deploy", f"{device.name} had lost {app.name}: redeployed from the stored image"))
        return next(iter(problems), None)

    def _kept_off(self, device: Device, app: DesiredApp, listed: Collection[str]) -> str | None:
        """Why a lost app is not redeployed; else count one more loss. The alarm of too many is told once."""
        why = redeploy_refusal(app)
        if why is not None:
            return f"{app.name} is not redeployed on {device.name}: {why}"
        if len(listed) >= device.board.firmware.max_apps:
            return f"no room for {app.name}: the board lists {', '.join(sorted(listed))}"
        now_s = self._monotonic_s()
        losses = self._losses.setdefault((app.device_id, app.name, app.since_ms), [])
        why = f"{app.name} is left off: lost more than {MAX_PUT_BACKS} times in {PUT_BACK_WINDOW_S / 60:.0f} minutes"
        if len(losses) > MAX_PUT_BACKS:
            return why
        losses[:] = [*(at_s for at_s in losses if now_s - at_s < PUT_BACK_WINDOW_S), now_s]
        if len(losses) <= MAX_PUT_BACKS:
            return None
        self._alarm(device.name, why)
        return why

    async def check_due(self) -> None:
        """Check every device with desired apps that is due, several at the same time. To be called each interval."""
        wanted = {app.device_id for app in await self._change_log.desired()}
        wanted |= {change.device_id for change in await self._change_log.unfinished()}
        wanted |= {act.device_id for act in await self._deferrals.log.waiting()}
        wanted |= {act.device_id for act in await self._deferrals.log.ended() if not act.told}
        wanted = {device_id for device_id in wanted if self._looks_after(device_id)}
        for gone in self._checks.keys() - wanted:
            del self._checks[gone]
        now = self._monotonic_s()
        # of removed devices the rows stay, in case they come back
        there = [one for one in self._devices.list() if one.device_id in wanted]
        due = [one for one in there if self._troubled.get(one.device_id, (None, now))[1] <= now]
        await on_each(due, self._check_and_schedule, parallel=_AT_ONCE)

    async def _check_and_schedule(self, device: Device) -> None:
        """Check the device; when something is wrong, also a fault of this host, wait longer until its next check."""
        is_well = False
        try:
            check = await self.check(device.device_id)
            is_well = check.problem is None and check.unreachable_since_ms is None
        except UnknownName:  # it was removed meanwhile
            return
        except Exception:
            _log.exception("checking device %s", device.device_id)
        if is_well:
            self._troubled.pop(device.device_id, None)
            return
        backoff = self._troubled.get(device.device_id, (Backoff(min_s=2 * INTERVAL_S, max_s=MAX_INTERVAL_S),))[0]
        self._troubled[device.device_id] = backoff, self._monotonic_s() + backoff.next_wait_s()


def redeploy_refusal(app: DesiredApp) -> str | None:
    """Why an app is not redeployed when its board has lost it; None when it is."""
    if app.suspect_ms is not None and app.silences >= MAX_SILENCES:
        return "the board fell silent with it twice; deploy a corrected one, or drop it with microclaw app uninstall"
    if app.version.claims.forced:
        return "its trial failed and it was forced; force it again, or drop it with microclaw app uninstall"
    return None
