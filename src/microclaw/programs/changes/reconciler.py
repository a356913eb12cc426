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
from microclaw.programs.changes.trapped_programs import TrappedPrograms

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

    A device that was away is no `problem`: its link reports when it is back, before the next check.
    """

    device_id: str
    device_name: str
    unreachable_since_ms: int | None = None
    put_back: tuple[str, ...] = ()
    problem: str | None = None


class Reconciler:
    """Checks devices at each call. `report` is called for every app that was redeployed.

    `looks_after` says which devices are this host's, by id: in a cluster each belongs to one host.
    """

    def __init__(
        self,
        installer: Installer,
        deferrals: Deferrals,
        traps: TrappedPrograms,
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
        self._traps = traps
        self._report = report
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._checks: dict[str, DeviceCheck] = {}
        self._troubled: dict[str, _Trouble] = {}  # by device
        self._alarm = alarm
        self._losses: dict[tuple[str, str, int], list[float]] = {}  # by device, app and deployment

    async def check(self, device_id: str) -> DeviceCheck:
        """Close its open changes, redeploy what it lost, do what waits, note what trapped. UnknownName, StoreError."""
        device = self._devices.get(device_id)
        before = self._checks.get(device_id)
        put_back: list[str] = []
        problem: str | None = None
        unreachable_since_ms: int | None = None
        try:
            async with self._installer.holding(device):
                for text in await recover_changes(device, self._change_log):
                    self._report(Step("deploy", text))
                waiting = {act.name for act in await self._deferrals.log.waiting(device_id)}
                problem = await self._put_back_lost(device, put_back, waiting)
            await self._deferrals.do_waiting(device)
            await self._traps.look(device)
        except (DeviceUnreachable, DeviceTimeout) as exc:
            problem = None if device.is_away else exc.message
            if before is not None:
                unreachable_since_ms = before.unreachable_since_ms
            if unreachable_since_ms is None:
                unreachable_since_ms = self._now_ms()
        except DeviceError as exc:
            problem = exc.message
        check = DeviceCheck(device_id, device.name, unreachable_since_ms, tuple(put_back), problem)
        self._checks[device_id] = check
        return check

    async def examine(self, device: Device, link: LinkServer | None) -> Examination:
        """Reach the device now. Also report its credential here, and why its programs are not redeployed."""
        lines: list[CheckLine] = []
        if link is not None:
            credential_line = await link.credential_line(device)
            if credential_line is not None:
                lines.append(credential_line)
        check = self._checks.get(device.device_id)
        # The examination itself finds out whether the device answers.
        if check is not None and check.problem is not None and check.unreachable_since_ms is None:
            next_step = f"microclaw app list -d {device.name}"
            lines.append(CheckLine("kept", ok=False, text=check.problem, next_step=next_step))
        return await examine(device, also=lines)

    def status(self) -> tuple[DeviceCheck, ...]:
        """Return the last check of each device with desired apps, by name."""
        return tuple(sorted(self._checks.values(), key=lambda check: check.device_name))

    async def _put_back_lost(self, device: Device, put_back: list[str], waiting: Collection[str]) -> str | None:
        """Install what is wanted and not listed. Return why an app could not be installed, if so.

        A deferred act on the programs `waiting` is done next: they are left to it.
        """
        wanted: Sequence[DesiredApp] = await self._change_log.desired(device.device_id)
        if not wanted and not waiting:
            return None
        listed = {app.name for app in await device.call(AppList(), wait=False)}
        problems: list[str] = []
        for app in await self._leave_off_done(wanted, listed):
            is_lost = app.name not in listed
            if is_lost and app.name in waiting:
                continue
            if is_lost:
                refusal = self._refusal_of_lost(device, app, listed)
                if refusal is not None:
                    problems.append(refusal)
                    continue
            # The board answers with it there, or gets it once more: the next silence counts.
            if app.suspect_ms is not None:
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
        return problems[0] if problems else None

    async def _leave_off_done(self, wanted: Sequence[DesiredApp], listed: Collection[str]) -> list[DesiredApp]:
        """Keep lost apps stopped that do not begin again when their board restarts. Return the other apps."""
        others = []
        for app in wanted:
            if app.claims.autostart or app.name in listed:
                others.append(app)
            else:
                await self._change_log.set_stopped(app.device_id, app.name)
        return others

    def _refusal_of_lost(self, device: Device, app: DesiredApp, listed: Collection[str]) -> str | None:
        """Return why a lost app is not redeployed; else count one more loss. The alarm of too many is given once."""
        refusal = redeploy_refusal(app)
        if refusal is not None:
            return f"{app.name} is not redeployed on {device.name}: {refusal}"
        if len(listed) >= device.board.firmware.max_apps:
            return f"no room for {app.name}: the board lists {', '.join(sorted(listed))}"
        now_s = self._monotonic_s()
        losses = self._losses.setdefault((app.device_id, app.name, app.since_ms), [])
        too_many = (
            f"{app.name} is left off: lost more than {MAX_PUT_BACKS} times in {PUT_BACK_WINDOW_S / 60:.0f} minutes"
        )
        if len(losses) > MAX_PUT_BACKS:
            return too_many
        losses[:] = [at_s for at_s in losses if now_s - at_s < PUT_BACK_WINDOW_S]
        losses.append(now_s)
        if len(losses) <= MAX_PUT_BACKS:
            return None
        self._alarm(device.name, too_many)
        return too_many

    async def check_due(self) -> None:
        """Check every device with desired apps that is due, several at the same time. To be called each interval."""
        wanted = await self._devices_to_check()
        for device_id in self._checks.keys() - wanted:
            del self._checks[device_id]
        now_s = self._monotonic_s()
        due = []
        # The rows of removed devices stay, in case they come back.
        for device in self._devices.list():
            trouble = self._troubled.get(device.device_id)
            if device.device_id in wanted and (trouble is None or trouble.next_check_s <= now_s):
                due.append(device)
        await on_each(due, self._check_and_schedule, parallel=_AT_ONCE)

    async def _devices_to_check(self) -> set[str]:
        """Return the ids of this host's devices with desired apps, open changes, or deferred acts."""
        wanted = {app.device_id for app in await self._change_log.desired()}
        wanted.update(change.device_id for change in await self._change_log.unfinished())
        wanted.update(act.device_id for act in await self._deferrals.log.waiting())
        for act in await self._deferrals.log.ended():
            if not act.told:
                wanted.add(act.device_id)
        return set(filter(self._looks_after, wanted))

    async def _check_and_schedule(self, device: Device) -> None:
        """Check the device; when something is wrong, also a fault of this host, wait longer until its next check."""
        is_well = False
        try:
            check = await self.check(device.device_id)
            is_well = check.problem is None and check.unreachable_since_ms is None
        # The device was removed meanwhile.
        except UnknownName:
            return
        except Exception:
            _log.exception("checking device %s", device.device_id)
        if is_well:
            self._troubled.pop(device.device_id, None)
            return
        trouble = self._troubled.setdefault(device.device_id, _Trouble())
        trouble.next_check_s = self._monotonic_s() + trouble.backoff.next_wait_s()


class _Trouble:
    """The waiting of a device with a problem. `next_check_s` is a monotonic time."""

    def __init__(self) -> None:
        self.backoff = Backoff(min_s=2 * INTERVAL_S, max_s=MAX_INTERVAL_S)
        self.next_check_s = 0.0


def redeploy_refusal(app: DesiredApp) -> str | None:
    """Return why an app is not redeployed when its board has lost it, or None if it is."""
    if app.suspect_ms is not None and app.silences >= MAX_SILENCES:
        return "the board fell silent with it twice; deploy a corrected one, or drop it with microclaw app uninstall"
    if app.version.claims.forced:
        return "its trial failed and it was forced; force it again, or drop it with microclaw app uninstall"
    return None
