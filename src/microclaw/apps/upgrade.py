"""A new version of a program where this host has it running. The stages are deploy.py's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

from msgspec import structs

from microclaw.apps.changes import AppVersion, version_of
from microclaw.apps.deploy import Deployer, Deployment, DeployRequest
from microclaw.apps.deployment import with_terms
from microclaw.apps.installer import Installer, not_found
from microclaw.apps.run_times import RunTimes, run_times, times_differ_text
from microclaw.devices.calls import AppList
from microclaw.devices.device import Device
from microclaw.errors import DeployRejected, MicroclawError
from microclaw.events import ProgramKind, Report, Step
from microclaw.operations.operation import Approve


class NewTimes(TypedDict, total=False):
    """What is given of them; None drops one."""

    every_ms: int | None
    stop_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The deployment of the new version, and the one that it replaced, which was there since `since_ms`."""

    deployment: Deployment
    former: AppVersion
    former_bytes: int
    since_ms: int

    @property
    def text(self) -> str:
        """ "blink on desk: 3f2a1b90 (756 B) -> 9c0d11aa (801 B)"."""
        made, former = self.deployment, self.former
        new = f"{made.image.sha256[:8]} ({made.image.size_bytes:,} B)"
        same = ", the same bytes" if made.image.sha256 == former.sha256 else ""
        return f"{made.name} on {made.device_name}: {former.sha256[:8]} ({self.former_bytes:,} B) -> {new}{same}"


@dataclass(frozen=True, slots=True)
class UnchangedTimes:
    """The program has these times already: nothing was done."""

    device_name: str
    name: str
    kind: ProgramKind
    times: RunTimes | None

    @property
    def text(self) -> str:
        """ "blink on desk has these times already (every 10 min): nothing to do"."""
        runs = self.times.text() if self.times else "none, it runs on"
        return f"{self.name} on {self.device_name} has these times already ({runs}): nothing to do"


def upgrade_request(request: DeployRequest, device: Device, former: AppVersion) -> DeployRequest:
    """The request on the terms of the version that is there, and only for good if it is verified."""
    return with_terms(replace(request, device=device.device_id, only_verified=True), former)


class Upgrader:
    def __init__(self, installer: Installer, deployer: Deployer) -> None:
        self._devices, self._change_log = installer.devices, installer.change_log
        self._deployer = deployer

    async def upgrade(
        self, request: DeployRequest, report: Report, *, begin: Callable[[], None] = lambda: None
    ) -> Upgraded:
        """Deploy in place of the version that is there, with its heap, timers and watchdog.

        A new version that the board does not show as its trial did is taken off, and the former one is put back.
        Raises as Deployer.deploy; AppNotFound and DeployRejected for a program that is not there, is stopped, or was
        not installed from here.
        """
        device = self._devices.get(request.device)
        wanted = await self._change_log.desired(device.device_id)
        before = next((app for app in wanted if app.name == request.name), None)
        if before is None:
            raise await self._not_here(device, request.name)
        former = before.version
        stored = await self._change_log.image(former.sha256)
        made = await self._deployer.deploy(upgrade_request(request, device, former), report, begin=begin)
        return Upgraded(made, former, len(stored.code), before.since_ms)

    async def set_times(
        self, device: str, name: str, new: NewTimes, report: Report, *, approve: Approve | None = None
    ) -> Deployment | UnchangedTimes:
        """Other times for a program: its image is tried with them, installed again, and begins anew.

        Raises as Deployer.deploy, and as `upgrade` for a program that is not there; ConfigError for times that cannot
        be.
        """
        target = self._devices.get(device)
        before = version_of(name, await self._change_log.desired(target.device_id))
        if before is None:
            raise await self._not_here(target, name)
        known = before.times or RunTimes()
        times = run_times(new.get("every_ms", known.every_ms), new.get("stop_after_ms", known.stop_after_ms))
        if times == before.times:
            return UnchangedTimes(target.name, name, before.kind, times)
        report(Step("check", f"{name} on {target.name}: {times_differ_text(before.times, times)}"))
        like = DeployRequest(target.device_id, name, only_verified=True, approve=approve)
        version = structs.replace(before, times=times)
        return await self._deployer.put_version(target.device_id, name, version, report, like=like)

    async def _not_here(self, device: Device, name: str) -> MicroclawError:
        if version_of(name, await self._change_log.stopped(device.device_id)) is not None:
            return stopped_error(device, name)
        listed = [app.name for app in await device.call(AppList())]
        if name not in listed:
            return not_found(device, name, listed)
        return DeployRejected(
            f"{name} on {device.name} was not installed from here: there is no copy that could be put back",
            next_step=f"replace it knowingly: microclaw run FILE --name {name} --replace -d {device.name}",
        )


def stopped_error(device: Device, name: str) -> DeployRejected:
    return DeployRejected(
        f"{name} is stopped on {device.name}: a change of it must be seen to run",
        next_step=f"start it first: microclaw app start {name} -d {device.name}",
    )
