"""Puts a program onto a device and takes it off: every act is a request, and each that is done a change in the log.

To install is to build, check, try, approve, deploy and verify: deploy.py's stages. A stop takes a program off, so that
not even the board's own reset starts it; its image is kept, and a start or a restart installs that, without a build. An
upgrade is an installation on the terms of the version there. One change a device at a time (installer.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import UNSET, UnsetType, structs

from microclaw.apps.change_log import AppVersion, DesiredApp
from microclaw.apps.deploy import Deployer
from microclaw.apps.deployment import ChangeRequest, Deployment, Made, with_terms
from microclaw.apps.installer import Installer
from microclaw.apps.listing import removal_text
from microclaw.apps.run_times import RunTimes, run_times, times_differ_text
from microclaw.apps.stage_text import fail
from microclaw.apps.standing import Standing, standing
from microclaw.apps.verify import state_of
from microclaw.devices.device import Device
from microclaw.errors import DeployRejected, MicroclawError
from microclaw.events import Evidence, Report, Stage, Step
from microclaw.operations.operation import Approve

_STILL_LISTED: Final = "restart the board, then microclaw app list; the host does not put it back"


def upgrade_request(request: ChangeRequest, former: AppVersion) -> ChangeRequest:
    """The request on the terms of the version that is there; one that is not verified gives way to it."""
    return with_terms(structs.replace(request, only_verified=True), former)


class ProgramChanges:
    """Does what a request asks for."""

    def __init__(
        self, installer: Installer, deployer: Deployer, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._installer, self._devices, self._change_log = installer, installer.devices, installer.change_log
        self.deployer = deployer
        self._sleep = sleep

    async def apply(
        self,
        request: ChangeRequest,
        report: Report,
        *,
        undoes: int | None = None,
        begin: Callable[[], None] = lambda: None,
    ) -> Made:
        """Do what is asked for. `begin` is called before anything on the device changes.

        Raises as Deployer.deploy; AppNotFound for a program that is not there, DeployRejected for one that is in
        another state or not of this host. Before it raises, it reports the failed stage.
        """
        device = self._devices.get(request.device)
        match request.act:
            case "install":
                return await self.deployer.deploy(request, report, undoes=undoes, begin=begin)
            case "upgrade":
                former = await self._running(device, request.name)
                return await self.deployer.deploy(upgrade_request(request, former.version), report, begin=begin)
            case "uninstall" | "stop":
                return await self._take_off(device, request, report, undoes, begin)
            case "start" | "restart":
                return await self._begin(device, request, report, undoes, begin)

    async def set_times(
        self,
        device: str,
        name: str,
        report: Report,
        *,
        every_ms: int | UnsetType | None = UNSET,
        stop_after_ms: int | UnsetType | None = UNSET,
        approve: Approve | None = None,
    ) -> Deployment:
        """Other times for a program: its image is tried with them, installed again, and begins again. None drops one.

        Raises as `apply` of an upgrade; ConfigError for times that cannot be.
        """
        target = self._devices.get(device)
        before = (await self._running(target, name)).version
        known = before.times or RunTimes()
        times = run_times(
            known.every_ms if every_ms is UNSET else every_ms,
            known.stop_after_ms if stop_after_ms is UNSET else stop_after_ms,
        )
        report(Step("check", f"{name} on {target.name}: {times_differ_text(before.times, times)}"))
        version = structs.replace(before, times=times)
        request = ChangeRequest(target.device_id, name, version=version, only_verified=True, approve=approve)
        return await self.deployer.deploy(request, report)

    async def _running(self, device: Device, name: str) -> DesiredApp:
        """The program as it is wanted there. Raises what keeps it from being changed."""
        there = await standing(self._change_log, device, name, asks=False)
        if there.desired is None:
            there = there if there.stopped else await standing(self._change_log, device, name)
            raise there.refused("upgrade")
        return there.desired

    async def _take_off(
        self, device: Device, request: ChangeRequest, report: Report, undoes: int | None, begin: Callable[[], None]
    ) -> Made:
        """Off the device, as its own list confirms. A stop keeps the version that runs, or that an undo gives."""
        name, stops = request.name, request.act == "stop"
        stage: Stage = "deploy"
        try:
            async with self._installer.holding(device):
                begin()
                change_id, kept, undoable = await self._installer.take_off(
                    device, name, stops=stops, keep=request.version, undoes=undoes
                )
                stage = "verify"
                text = await removal_text(device, name, self._sleep, next_step=_STILL_LISTED)
        except MicroclawError as exc:
            fail(report, stage, exc)
        how = f"stopped on {device.name}; its image is kept" if stops else f"removed from {device.name}"
        hint = None if undoable else "this host did not install it and has no copy: undo cannot bring it back"
        report(Step("deploy", f"{name} {how}"))
        report(Step("verify", text, next_step=hint))
        sha256, evidence = None if kept is None else kept.sha256, Evidence("reported", text)
        return Made(device.device_id, device.name, name, evidence, change_id, sha256=sha256, undoable=undoable)

    async def _begin(
        self, device: Device, request: ChangeRequest, report: Report, undoes: int | None, begin: Callable[[], None]
    ) -> Deployment:
        """Install a kept image: of a stopped program, or again of one that shall begin again.

        The second is no change that undo reverts. An undo gives the version.
        """
        try:
            there = await standing(self._change_log, device, request.name)
            version = request.version or there.stopped
            if there.running is not None and request.version is None:
                if request.act == "start":
                    await _check_ended(there)
                request, version = structs.replace(request, act="restart"), there.running
            elif version is None or request.act == "restart":
                raise there.refused(request.act)
        except MicroclawError as exc:
            fail(report, "deploy", exc)
        return await self.deployer.deploy(structs.replace(request, version=version), report, undoes=undoes, begin=begin)


async def _check_ended(there: Standing) -> None:
    """Raise DeployRejected when the program runs, as far as the board tells."""
    if not there.is_listed:
        return  # the board has lost it
    name, device = there.name, there.device
    state = await state_of(device, name)
    if state is None or state.state == "running":
        text = f"{name} runs on {device.name} already" if state else f"{device.name} lists {name}, and tells no more"
        raise DeployRejected(text, next_step=f"microclaw app restart {name} -d {device.name}")
