"""Puts a program onto a device and takes it off: every act is a request, and each that is done a change in the log.

To install is to build, check, try, approve, deploy and verify, and each reports a Step. A stop takes a program off, so
that not even the board's own reset starts it; its image is kept, and a start or a restart installs that, without a
build. An upgrade is an installation on the terms of the version there. One change a device at a time (installer.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppInstall, AppStates
from microclaw.devices.registry.device import Device
from microclaw.errors import DeployRejected, DeviceError, MicroclawError
from microclaw.events import Evidence, Report, Stage, Step
from microclaw.hardware.boards.pins import check_pin
from microclaw.programs.building import (
    Compile,
    ProgramImage,
    ReadModule,
    check_app_name,
    check_kind,
    fit_claim,
    fit_limits,
    in_source_lines,
    read_image,
    stored_program,
)
from microclaw.programs.changes.authors import with_author
from microclaw.programs.changes.change_log import AppVersion, DesiredApp
from microclaw.programs.changes.claims import check_free, check_named, claims_of, driven_pins, with_foreign_apps
from microclaw.programs.changes.deployment import (
    INSTALLED_ALL_THE_SAME,
    ChangeRequest,
    ChangeResult,
    Deployment,
    PreparedChange,
    asked_program,
    keep_proof,
    with_terms,
)
from microclaw.programs.changes.installer import Installation, Installer
from microclaw.programs.changes.program_state import removal_text, standing
from microclaw.programs.changes.stage_text import (
    RUNS_AGAIN,
    accept_text,
    built,
    check_text,
    deployment_detail,
    fail,
    report_failure,
    trial_detail,
    verification_step,
)
from microclaw.programs.changes.verify import Watch, state_of
from microclaw.programs.proof.edge_comparison import Verification
from microclaw.programs.proof.expectation_result import seen_on_board
from microclaw.programs.proof.trial import Trial, TrialOptions, Try
from microclaw.programs.proof.trial_failure import trial_error
from microclaw.programs.run_times import RunTimes, check_times, kept_text, run_times, times_differ_text
from microclaw.wire.wasmachine.program_log import carries_log

NewTime: TypeAlias = int | UnsetType | None
_DIFFERS: Final = "correct it: the board is wired otherwise than the trial, or does not do the same"
_STILL_LISTED: Final = "restart the board, then microclaw app list; the host does not put it back"


class ProgramChanges:
    """Does what a request asks for. Every change is in the change log; a device has one at a time."""

    def __init__(
        self,
        installer: Installer,
        *,
        compile: Compile,
        try_image: Try,
        read_module: ReadModule = read_image,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._installer = installer
        self._devices = installer.devices
        self._change_log = installer.change_log
        self._compile = compile
        self._read_module = read_module
        self._try_image = try_image
        self._sleep = sleep

    async def apply(self, request: ChangeRequest, report: Report) -> ChangeResult:
        """Do what is asked for.

        Raises as `deploy`; AppNotFound for a program that is not there, DeployRejected for one that is in another state
        or not of this host.
        """
        if request.act in ("uninstall", "stop"):
            return await self._take_off(self._devices.get(request.device), request, report)
        return await self.deploy(request, report)

    async def deploy(self, request: ChangeRequest, report: Report) -> Deployment:
        """An install, upgrade, start or restart: compile, check, try, approve, deploy, verify.

        A version whose image is stored is not compiled, and has its own terms.

        Raises BuildError, TrialFailed, PinRefused, DeployRejected and its kinds, DeviceError, UnknownName. Before it
        raises, it reports the failed stage as a Step with state "failed" and its next step.
        """
        device = self._devices.get(request.device)
        if request.act == "upgrade":
            request = upgrade_request(request, await self._running(device, request.name))
        elif request.act in ("start", "restart"):
            request = await self._kept(device, request, report)
        if request.version is not None:
            request = with_terms(replace(request, origin=request.version.origin), request.version)
        return await self._install(await self.prepare(request, report), report)

    async def set_times(
        self, request: ChangeRequest, report: Report, every_ms: NewTime = UNSET, stop_after_ms: NewTime = UNSET
    ) -> Deployment:
        """Other times for a program: its image is tried with them, installed again, and begins again. None drops one.

        Raises as `apply` of an upgrade; ConfigError for times that cannot be.
        """
        device = self._devices.get(request.device)
        before = await self._running(device, request.name)
        known = before.times or RunTimes()
        times = run_times(
            known.every_ms if every_ms is UNSET else every_ms,
            known.stop_after_ms if stop_after_ms is UNSET else stop_after_ms,
        )
        report(Step("check", f"{request.name} on {device.name}: {times_differ_text(before.times, times)}"))
        return await self.deploy(replace(request, version=replace(before, times=times), only_verified=True), report)

    async def _running(self, device: Device, name: str) -> AppVersion:
        """The program as it is wanted there. Raises what keeps it from being changed."""
        there = await standing(self._change_log, device, name, asks=False)
        if there.running is None:
            if not there.stopped:
                there = await standing(self._change_log, device, name)
            raise there.refused("upgrade")
        return there.running

    async def _kept(self, device: Device, request: ChangeRequest, report: Report) -> ChangeRequest:
        """The request to install a kept image: of a stopped program, or again of one that shall begin again.

        The second is no change that undo reverts. An undo gives the version.
        """
        name = request.name
        try:
            there = await standing(self._change_log, device, name)
            if there.running is not None and request.version is None:
                if request.act == "start" and there.is_listed:  # else the board has lost it
                    state = await state_of(device, name)
                    if state is None or state.state == "running":
                        text = f"{device.name} lists {name}, and tells no more"
                        if state:
                            text = f"{name} runs on {device.name} already"
                        raise DeployRejected(text, next_step=f"microclaw app restart {name} -d {device.name}")
                return replace(request, act="restart", version=there.running)
            version = request.version or there.stopped
            if version is None or request.act == "restart":
                raise there.refused(request.act)
            return replace(request, version=version)
        except MicroclawError as exc:
            fail(report, "deploy", exc)

    async def _take_off(self, device: Device, request: ChangeRequest, report: Report) -> ChangeResult:
        """Off the device, as its own list confirms. A stop keeps the version that runs, or that an undo gives."""
        name = request.name
        stops = request.act == "stop"
        stage: Stage = "deploy"
        try:
            async with self._installer.holding(device):
                request.begin()
                change_id, kept, undoable = await self._installer.take_off(device, request)
                stage = "verify"
                text = await removal_text(device, name, self._sleep, next_step=_STILL_LISTED)
        except MicroclawError as exc:
            fail(report, stage, exc)
        if stops:
            how = f"stopped on {device.name}; its image is kept"
        else:
            how = f"removed from {device.name}"
        hint = None if undoable else "this host did not install it and has no copy: undo cannot bring it back"
        report(Step("deploy", f"{name} {how}"))
        report(Step("verify", text, next_step=hint))
        sha256 = None if kept is None else kept.sha256
        evidence = Evidence("reported", text)
        return ChangeResult(device.device_id, device.name, name, evidence, change_id, sha256=sha256, undoable=undoable)

    async def build(self, device: Device, request: ChangeRequest, report: Report) -> ProgramImage:
        """Its source, its bytes or its stored version as an image that the device takes; the stages are reported."""
        wasm = request.wasm
        source = None
        version = request.version
        if version is not None:
            stored = await self._change_log.image(version.sha256)
            check_kind(version.kind, device.kinds)
            if version.kind == "py":
                return stored_program(stored.code, stored.source, stored.meta)
            wasm = stored.code
            source = stored.source
        if wasm is not None:
            check_kind("wasm", device.kinds)
            try:
                return await asyncio.to_thread(self._read_module, wasm, device.board, request.name, source)
            except MicroclawError as exc:
                fail(report, "check", exc)
        assert request.source is not None
        board = device.board
        kinds = device.kinds
        level = request.optimization
        return await built(
            self._compile(request.source, board, request.name, level, request.language, kinds), level, report
        )

    async def prepare(
        self, request: ChangeRequest, report: Report, *, later: Sequence[DesiredApp] | None = None
    ) -> PreparedChange:
        """Build it, check it, try it and ask for the approval; nothing on the device changes. Raises as `deploy`.

        `later`: what will be wanted on a device that does not answer when it is back; it is not asked then.
        """
        device = self._devices.get(request.device)
        name = request.name
        check_app_name(name)
        device.transport_for(AppInstall.method)  # before any work is done for a device that takes no programs
        image = await self.build(device, request, report)
        board = device.board
        is_new = request.source is not None or request.wasm is not None
        stage: Stage = "check"
        try:
            check_times(request.times, image.kind)
            heap_bytes, timers = fit_limits(board, fit_claim(image, request.heap_bytes), request.timers)
            request = replace(request, heap_bytes=heap_bytes, timers=timers)
            there = await standing(self._change_log, device, name, asks=later is None)
            if later is not None:
                there = replace(there, wanted=later)
            before = there.running
            if later is not None:
                others = there.wanted
            else:
                others = await with_foreign_apps(device, there.wanted)
            await self._installer.check_place(there, take_over=request.replace)
            await check_named(device, name, image, others)
            report(Step("check", check_text(image, request.heap_bytes)))
            if before is not None and before.times is not None and is_new and request.times is None:
                report(Step("check", f"warning: it ran {before.times.text()}; from now on it runs on: give them again"))
            stage = "try"
            trial = await self._try(request, device, image, report)
            stage = "check"  # a pin computed at run time shows only in the trial
            claims = with_author(claims_of(image, trial), request, image)
            seen = driven_pins(trial), claims
            terms = (image.sha256, request.heap_bytes, request.timers, request.watchdog_ms)
            version = AppVersion(*terms, *seen, image.kind, request.origin, request.times)
            await check_free(device, name, version, others)
            if request.approve is not None:
                stage = "approve"
                text = f"put {name} on {device.name}"
                if there.is_foreign or before is not None:
                    text += f", in place of the {name} that is there"
                text += "" if later is None else ", when it is back"
                shown = deployment_detail(device, name, image, version, trial, there)
                program = await asked_program(self._change_log, device, name, image, trial, before)
                await request.approve(text, shown, program)
        except MicroclawError as exc:
            fail(report, stage, exc)
        return PreparedChange(request, device, image, trial, version, before, board)

    async def _try(self, request: ChangeRequest, device: Device, image: ProgramImage, report: Report) -> Trial:
        report(Step("try", "on a throw-away virtual board", "running"))
        terms = (request.expectations, request.heap_bytes, request.timers)
        options = TrialOptions(request.try_for_ms, (), *terms, times=request.times)
        trial = await self._try_image(image, device.board, options)
        if trial.ok:
            report(Step("try", trial.summary(), detail=trial_detail(trial)))
            return trial
        if not request.force:
            raise trial_error(trial)
        for pin in driven_pins(trial):
            check_pin(device.board, pin, "output")
        report(Step("try", f"the trial failed: {trial.error}", "failed", next_step=INSTALLED_ALL_THE_SAME))
        return trial

    async def _install(self, prepared: PreparedChange, report: Report) -> Deployment:
        """Install it and watch it, while nobody else changes the device."""
        device = prepared.device
        request = prepared.request
        image = prepared.image
        stage: Stage = "deploy"
        try:
            await self._change_log.keep_image(image)
            async with self._installer.holding(device):
                await self._check_unchanged(prepared)
                request.begin()
                installation = await self._installer.put(device, request, image.code, prepared.version, report)
                text = accept_text(request.name, device, replaced=installation.replaced)
                report(Step("deploy", text, took_ms=installation.took_ms))
                stage = "verify"
                found = await self._watch(prepared, installation, report)
        except MicroclawError as exc:
            fail(report, stage, exc)
        expected = seen_on_board(prepared.trial.expected, found.evidence, found.pins)
        report(verification_step(found, device, request.name, expected))
        if request.times is not None:
            first = "" if request.times.every_ms is None else "; seen so far: the first run, no later one"
            report(Step("verify", f"{kept_text(request.times)}{first}"))
        if prepared.version.claims.ended:
            report(Step("verify", RUNS_AGAIN))
        made = Deployment(
            device.device_id,
            device.name,
            request.name,
            found.evidence,
            installation.change_id,
            found.agrees,
            image.sha256,
            image=image,
            trial=prepared.trial,
            replaced=installation.replaced,
            expected=expected,
        )
        await keep_proof(self._change_log, made)
        return made

    async def _check_unchanged(self, prepared: PreparedChange) -> None:
        """Another deployment may have taken a pin, or the name, while this one was tried and approved."""
        device = prepared.device
        name = prepared.request.name
        if device.board.firmware != prepared.board.firmware:
            raise DeployRejected(f"the firmware of {device.name} was described again", next_step="deploy it again")
        there = await standing(self._change_log, device, name, asks=False)
        version = prepared.version
        request = prepared.request
        await check_free(device, name, version, await with_foreign_apps(device, there.wanted))
        begins = request.act in ("start", "restart")  # the version that was there when it was asked for
        if not begins and request.approve is None:
            return
        now = there.stopped if request.act == "start" else there.running
        if now != (request.version if begins else prepared.before):
            raise DeployRejected(
                f"{name} on {device.name} was changed by somebody else meanwhile", next_step="ask for it again"
            )

    async def _watch(self, prepared: PreparedChange, installation: Installation, report: Report) -> Verification:
        """Verify, then complete the change. A program that does nothing is withdrawn, and raises DeployRejected."""
        device = prepared.device
        name = prepared.request.name
        try:
            image = prepared.image
            watch = Watch(
                device=device,
                name=name,
                trial=prepared.trial,
                before=installation.baseline,
                sha256=image.sha256,
                told=partial(in_source_lines, image),
                sleep=self._sleep,
                # A board that tells of programs itself also passes on what they print.
                keeps_lines=device.supports(AppStates.method) or carries_log(image.code),
            )
            found = await watch.verify()
        except asyncio.CancelledError:
            await self._change_log.end(installation.change_id, "done")  # the device accepted it
            raise
        dead = found.dead
        if dead is None and not found.agrees and prepared.request.only_verified:
            dead = f"it was not verified: {found.evidence.text}", found.next_step or _DIFFERS
        if dead is None:
            await self._change_log.end(installation.change_id, "done")
            return found
        error, next_step = dead
        try:
            if await self._installer.withdraw(device, name, installation, report):
                error += f"; the former {name} is back"
        except DeviceError as exc:
            report_failure(report, "deploy", exc)
        raise DeployRejected(f"{device.name} accepted {name}, but {error}", next_step=next_step)


def upgrade_request(request: ChangeRequest, former: AppVersion) -> ChangeRequest:
    """The request on the terms of the version that is there; one that is not verified gives way to it."""
    return with_terms(replace(request, only_verified=True), former)
