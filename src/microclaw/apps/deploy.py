"""Compile, check, try, deploy, verify: the one way a program gets onto a device, each stage reported as a Step."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from msgspec import structs

from microclaw.apps.changes import AppVersion, ChangeLog, DesiredApp
from microclaw.apps.installer import Installation, Installer, check_pins_free, recover_changes
from microclaw.apps.stage_text import (
    accept_text,
    check_text,
    compile_text,
    deployment_detail,
    deployment_text,
    fail,
    report_failure,
)
from microclaw.apps.trial import Compile, Devices, ReadModule, Trial, TrialInput, TrialOptions, Try
from microclaw.apps.verify import Verification, verify
from microclaw.devices.calls import AppInstall, AppList
from microclaw.devices.device import Device
from microclaw.errors import (
    BuildError,
    DeployRejected,
    DeviceError,
    MicroclawError,
    UnknownName,
)
from microclaw.events import Evidence, Report, Stage, Step
from microclaw.wasm.image import Image

MAX_NAME_LENGTH = 63
_APP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Approve: TypeAlias = Callable[[str, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A program for a device: C source or wasm bytes, exactly one of the two.

    `device` is a device's name or id. `replace` allows to take over a name that an app holds which this host did not
    install; an app of this host is upgraded without it. `approve` is asked once the trial went well, with what would
    happen, before anything changes; it raises for a no.
    """

    device: str
    name: str
    source: str | None = None
    wasm: bytes | None = None
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    optimization: str = "O3"
    replace: bool = False
    try_for_ms: float = 10_000
    inputs: tuple[TrialInput, ...] = ()
    approve: Approve | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A program that a device accepted; `verified` says whether the evidence agrees with the trial."""

    device_id: str
    device_name: str
    name: str
    image: Image
    trial: Trial
    evidence: Evidence
    verified: bool
    replaced: bool
    change_id: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A program taken off a device, confirmed by the device's own list; `undoable` when its image is kept."""

    device_id: str
    device_name: str
    name: str
    evidence: Evidence
    undoable: bool
    change_id: int


class Deployer:
    """Puts programs onto devices and takes them off, one change a device at a time, every change journaled."""

    def __init__(
        self,
        *,
        devices: Devices,
        change_log: ChangeLog,
        installer: Installer,
        compile: Compile,
        read_module: ReadModule,
        try_image: Try,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._devices = devices
        self._change_log = change_log
        self._installer = installer
        self._compile = compile
        self._read_module = read_module
        self._try_image = try_image
        self._sleep = sleep

    async def deploy(self, request: DeployRequest, report: Report) -> Deployment:
        """Compile, check, try, deploy, verify.

        Raises BuildError, TrialFailed, PinRefused, DeployRejected and its kinds, DeviceError, UnknownName; before a
        raise the failed stage is reported as a Step with state "failed" and its next step.
        """
        device = self._devices.get(request.device)
        check_app_name(request.name)
        device.transport_for(AppInstall.method)  # before any work is done for a device that takes no programs
        image = await self._build(device, request, report)
        version = AppVersion(image.sha256, request.heap_bytes, request.timers, request.watchdog_ms, image.pins)
        return await self._bring(
            device,
            request.name,
            image,
            version,
            report,
            request.inputs,
            request.try_for_ms,
            take_over=request.replace,
            approve=request.approve,
        )

    async def put_version(
        self, device_id: str, name: str, version: AppVersion, report: Report, *, undoes: int | None = None
    ) -> Deployment:
        """Let `name` be a version whose image is kept: check, try, deploy, verify. Raises as `deploy`."""
        device = self._devices.get(device_id)
        stored = await self._change_log.image(version.sha256)
        image = self._read(device, stored.wasm, name, stored.source, report)
        return await self._bring(device, name, image, version, report, undoes=undoes)

    async def remove(self, device: str, name: str, report: Report, *, undoes: int | None = None) -> Removal:
        """Take an app off a device and no longer want it there. Raises AppNotFound when neither knows it."""
        target = self._devices.get(device)
        try:
            async with self._installer.holding(target):
                change_id, undoable = await self._installer.take_off(target, name, undoes=undoes)
                left = [app.name for app in await target.call(AppList())]
        except MicroclawError as exc:
            fail(report, "deploy", exc)
        report(Step("deploy", f"{name} removed from {target.name}"))
        runs = f"{', '.join(sorted(left))} still on it" if left else "no app left on it"
        evidence = Evidence("reported", f"{target.name} no longer lists {name}; {runs}")
        hint = None if undoable else "this host did not install it and has no copy: undo cannot bring it back"
        report(Step("verify", evidence.text, next_step=hint))
        return Removal(target.device_id, target.name, name, evidence, undoable, change_id)

    async def recover(self) -> tuple[str, ...]:
        """Settle the changes that a crash left open by asking their devices; one sentence for each.

        A device that does not answer keeps its changes open; the reconciler settles them when it is back.
        """
        told: list[str] = []
        for device_id in sorted({change.device_id for change in await self._change_log.unfinished()}):
            try:
                device = self._devices.get(device_id)
                async with self._installer.holding(device):
                    told += await recover_changes(device, self._change_log)
            except (DeviceError, UnknownName) as exc:
                told.append(f"changes of device {device_id} stay open: {exc.message}")
        return tuple(told)

    async def _build(self, device: Device, request: DeployRequest, report: Report) -> Image:
        if (request.source is None) == (request.wasm is None):
            raise DeployRejected("a deployment needs source or wasm, one of the two", next_step="give one of them")
        if request.wasm is not None:
            return self._read(device, request.wasm, request.name, None, report)
        assert request.source is not None
        started = time.perf_counter()
        try:
            image = await self._compile(
                request.source, device.board, name=request.name, optimization=request.optimization
            )
        except BuildError as exc:
            fail(report, "check" if exc.stage == "check" else "compile", exc)
        except MicroclawError as exc:
            fail(report, "compile", exc)
        took_ms = (time.perf_counter() - started) * 1000
        warnings = tuple(line for found in image.warnings for line in found.render().splitlines())
        report(Step("compile", compile_text(image, request.optimization), detail=warnings, took_ms=took_ms))
        return image

    def _read(self, device: Device, wasm: bytes, name: str, source: str | None, report: Report) -> Image:
        try:
            return self._read_module(wasm, device.board, name=name, source=source)
        except MicroclawError as exc:
            fail(report, "check", exc)

    async def _bring(
        self,
        device: Device,
        name: str,
        image: Image,
        version: AppVersion,
        report: Report,
        inputs: tuple[TrialInput, ...] = (),
        try_for_ms: float = 10_000,
        *,
        take_over: bool = False,
        undoes: int | None = None,
        approve: Approve | None = None,
    ) -> Deployment:
        wanted = await self._change_log.desired(device.device_id)
        before = _version_of(name, wanted)
        stage: Stage = "check"
        try:
            check_pins_free(device, name, image.pins, wanted)
            report(Step("check", check_text(image, version.heap_bytes)))
            stage = "try"
            options = TrialOptions(try_for_ms, inputs, heap_bytes=version.heap_bytes, timers=version.timers)
            trial = await self._try(device, image, options, report)
            # A pin computed at run time shows only here.
            check_pins_free(device, name, trial.driven, wanted)
            version = structs.replace(version, pins=trial.driven)
            if approve is not None:
                stage = "approve"
                lost = take_over and before is None and any(app.name == name for app in await device.call(AppList()))
                text = deployment_text(device, name, replaces=lost or before is not None)
                await approve(text, deployment_detail(device, name, image, version, trial, lost=lost))
        except MicroclawError as exc:
            fail(report, stage, exc)
        shown = None if approve is None else (before,)
        installation, found = await self._put(
            device, name, image, version, trial, report, take_over=take_over, undoes=undoes, shown=shown
        )
        report(_verified(found, device))
        return Deployment(
            device.device_id,
            device.name,
            name,
            image,
            trial,
            found.evidence,
            found.agrees,
            installation.replaced,
            installation.change_id,
        )

    async def _put(
        self,
        device: Device,
        name: str,
        image: Image,
        version: AppVersion,
        trial: Trial,
        report: Report,
        *,
        take_over: bool,
        undoes: int | None,
        shown: tuple[AppVersion | None] | None,
    ) -> tuple[Installation, Verification]:
        """Onto the device, and watched there, with nobody else changing it. `shown`: what a yes was to replace."""
        stage: Stage = "deploy"
        try:
            await self._change_log.keep_image(image)
            async with self._installer.holding(device):
                # Again: another deployment may have taken the pin while this one was tried.
                wanted = await self._change_log.desired(device.device_id)
                check_pins_free(device, name, trial.driven, wanted)
                if shown not in (None, (_version_of(name, wanted),)):
                    raise DeployRejected(
                        f"{name} on {device.name} was changed by somebody else meanwhile", next_step="ask for it again"
                    )
                installation = await self._installer.put(
                    device, name, image.wasm, version, report, take_over=take_over, undoes=undoes
                )
                text = accept_text(name, device) + (", in place of the former one" if installation.replaced else "")
                report(Step("deploy", text, took_ms=installation.took_ms))
                stage = "verify"
                found = await self._watch(device, name, trial, installation, report)
        except MicroclawError as exc:
            fail(report, stage, exc)
        return installation, found

    async def _try(self, device: Device, image: Image, options: TrialOptions, report: Report) -> Trial:
        report(Step("try", "on a throw-away virtual board", "running"))
        trial = await self._try_image(image, device.board, options)
        if trial.ok:
            report(Step("try", trial.summary(), detail=tuple(f"warning: {text}" for text in trial.warnings)))
        trial.raise_if_failed()
        return trial

    async def _watch(
        self, device: Device, name: str, trial: Trial, installation: Installation, report: Report
    ) -> Verification:
        """Verify, then complete the change; a program that turned out dead is withdrawn instead."""
        try:
            found = await verify(device, name, trial, installation.baseline, sleep=self._sleep)
        except asyncio.CancelledError:
            await self._change_log.complete(
                installation.change_id
            )  # the device accepted it; only the watching was cut short
            raise
        if found.dead is not None:
            await self._withdraw_dead(device, name, installation, found.dead, report)
        await self._change_log.complete(installation.change_id)
        return found

    async def _withdraw_dead(
        self, device: Device, name: str, installation: Installation, dead: tuple[str, str], report: Report
    ) -> NoReturn:
        """The firmware took it and it does nothing: free its place, then say so."""
        error, next_step = dead
        try:
            await self._installer.withdraw(device, name, installation, report)
        except DeviceError as exc:
            report_failure(report, "deploy", exc)
        raise DeployRejected(f"{device.name} accepted {name}, but {error}", next_step=next_step)


def check_app_name(name: str) -> None:
    """Raise DeployRejected for a name that the firmware or a person's shell would stumble over."""
    if len(name) > MAX_NAME_LENGTH or not _APP_NAME.fullmatch(name):
        raise DeployRejected(
            f"{name[:MAX_NAME_LENGTH]!r} is no name for an app",
            next_step=f"use letters, digits, - and _, at most {MAX_NAME_LENGTH}, starting with a letter or digit",
        )


def _version_of(name: str, wanted: Sequence[DesiredApp]) -> AppVersion | None:
    return next((app.version for app in wanted if app.name == name), None)


def _verified(found: Verification, device: Device) -> Step:
    if found.agrees:
        return Step("verify", found.evidence.text)
    return Step(
        "verify",
        found.evidence.text,
        "failed",
        next_step=found.next_step
        or f"it is installed; watch it: microclaw logs {device.name}, or take it off: microclaw app undo",
    )
