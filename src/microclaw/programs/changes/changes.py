"""Puts a program onto a device and takes it off: every act is a request, and each that is done a change in the log.

To install is to build, check, try, approve, deploy and verify, and each reports a Step. A stop takes a program off, so
that not even the board's own reset starts it; its image is kept, and a start or a restart installs that, without a
build. An upgrade is an installation on the terms of the version there. One change a device at a time (installer.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, TypeAlias

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppInstall, AppStates
from microclaw.devices.registry.device import Device
from microclaw.errors import BuildError, DeployRejected, DeviceError, MicroclawError
from microclaw.events import PROGRAM_KINDS, Evidence, Report, Stage, Step
from microclaw.hardware.boards.pins import check_pin
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.host.operations.operation import Permission
from microclaw.host.store.schedules import ScheduleTable
from microclaw.programs.board_list import removal_text
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
    stored_wired_parts,
    with_named_hosts,
)
from microclaw.programs.changes.authors import with_author
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.claims import check_free, driven_pins, network_needs, pin_roles, to_come, tried_version
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
from microclaw.programs.changes.installer import Installation, Installer, check_claims, check_install
from microclaw.programs.changes.pin_cautions import PinCautions
from microclaw.programs.changes.program_state import ProgramState, look_at_program, running_version
from microclaw.programs.changes.scheduled_pins import scheduled_pins_text
from microclaw.programs.changes.stage_text import (
    accept_text,
    built,
    check_texts,
    deployment_detail,
    fail,
    question_text,
    report_failure,
    trial_detail,
    verification_steps,
)
from microclaw.programs.named_hosts import check_not_own
from microclaw.programs.proof.edge_comparison import Verification
from microclaw.programs.proof.trial import Trial, TrialOptions, Try
from microclaw.programs.proof.trial_failure import trial_error
from microclaw.programs.proof.verify import Watch
from microclaw.programs.run_times import RunTimes, check_times, run_times, times_differ_text
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.wire.wasmachine.program_log import carries_log

NewTime: TypeAlias = int | UnsetType | None
_DIFFERS: Final = "correct it: the board is wired otherwise than the trial, or does not do the same"
_NO_COPY: Final = "this host did not install it and has no copy: undo cannot bring it back"
_STILL_LISTED: Final = "restart the board, then microclaw app list; the host does not put it back"


class ProgramChanges:
    """Does what a request asks for. Every change is in the change log; a device has one at a time."""

    def __init__(
        self,
        installer: Installer,
        cautions: PinCautions,
        *,
        compile: Compile,
        try_image: Try,
        read_module: ReadModule = read_image,
        own_ports: Collection[int] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._installer = installer
        self._cautions = cautions
        self._devices = installer.devices
        self._change_log = installer.change_log
        self._schedules = ScheduleTable(self._change_log.database)
        self._compile = compile
        self._read_module = read_module
        self._try_image = try_image
        self._own_ports = own_ports
        self._sleep = sleep

    async def apply(self, request: ChangeRequest, report: Report) -> ChangeResult:
        """Carry out the request.

        Raises as `deploy`; AppNotFound for a program that is not there, DeployRejected for one that is in another state
        or not of this host.
        """
        if request.act in ("uninstall", "stop"):
            return await self._take_off(self._devices.get(request.device), request, report)
        return await self.deploy(request, report)

    async def deploy(self, request: ChangeRequest, report: Report) -> Deployment:
        """Install, upgrade, start or restart a program: compile, check, try, approve, deploy, verify.

        A version whose image is stored is not compiled, and has its own terms.

        Raises BuildError, TrialFailed, PinRefused, DeployRejected and its kinds, DeviceError, UnknownName. Before it
        raises, it reports the failed stage as a Step with state "failed" and its next step.
        """
        device = self._devices.get(request.device)
        there: ProgramState | None = None
        terms = request.version
        if request.act == "upgrade":
            terms = await running_version(self._change_log, device, request.name)
            request = replace(request, only_verified=True, based_on=terms)
        elif request.act in ("start", "restart"):
            try:
                there = await look_at_program(self._change_log, device, request.name)
                terms = there.kept_version(request.act, request.version)
            except MicroclawError as exc:
                fail(report, "deploy", exc)
            # What this host wants there begins again: undo does not revert that.
            if request.version is None and there.running is not None:
                request = replace(request, act="restart", based_on=terms)
            request = replace(request, version=terms)
        if request.version is not None:
            request = await self._with_kept(device, request, request.version)
        if terms is not None:
            request = with_terms(request, terms)
        prepared = await self.prepare(request, report, there)
        deployment = await self._install(prepared, report)
        pins = pin_roles(prepared.version)
        warning = await scheduled_pins_text(self._schedules, device.device_id, pins)
        return replace(deployment, warning=warning)

    async def set_times(
        self, request: ChangeRequest, report: Report, every_ms: NewTime = UNSET, stop_after_ms: NewTime = UNSET
    ) -> Deployment:
        """Give a program other times: its image is tried with them, installed again, and begins again. None drops one.

        Raises as `apply` of an upgrade; ConfigError for times that cannot be.
        """
        device = self._devices.get(request.device)
        before = await running_version(self._change_log, device, request.name)
        times = before.times or RunTimes()
        if every_ms is not UNSET:
            times = replace(times, every_ms=every_ms)
        if stop_after_ms is not UNSET:
            times = replace(times, stop_after_ms=stop_after_ms)
        new_times = run_times(times.every_ms, times.stop_after_ms)
        report(Step("check", f"{request.name} on {device.name}: {times_differ_text(before.times, new_times)}"))
        version = replace(before, times=new_times)
        request = replace(request, version=version, only_verified=True, based_on=before)
        return await self.deploy(request, report)

    async def _with_kept(self, device: Device, request: ChangeRequest, version: AppVersion) -> ChangeRequest:
        """Return the request with what is kept with a stored version: its origin, and that the person forced it."""
        is_forced = await self._change_log.has_forced(device.device_id, request.name, version)
        return replace(request, origin=version.origin, force=request.force or is_forced)

    async def _take_off(self, device: Device, request: ChangeRequest, report: Report) -> ChangeResult:
        """Take it off the device, as its own list confirms. A stop keeps the version that runs, or of an undo."""
        name = request.name
        stage: Stage = "deploy"
        try:
            async with self._installer.holding(device):
                request.begin()
                there = await look_at_program(self._change_log, device, name)
                change_id, kept, is_undoable = await self._installer.take_off(there, request)
                stage = "verify"
                text = await removal_text(there.device, there.name, self._sleep, next_step=_STILL_LISTED)
        except MicroclawError as exc:
            fail(report, stage, exc)
        if request.act == "stop":
            outcome = f"stopped on {device.name}; its image is kept"
        else:
            outcome = f"removed from {device.name}"
        report(Step("deploy", f"{name} {outcome}"))
        report(Step("verify", text, next_step=None if is_undoable else _NO_COPY))
        return ChangeResult(
            device_id=device.device_id,
            device_name=device.name,
            name=name,
            evidence=Evidence("reported", text),
            change_id=change_id,
            sha256=None if kept is None else kept.sha256,
            undoable=is_undoable,
        )

    async def build(self, device: Device, request: ChangeRequest, report: Report) -> ProgramImage:
        """Make its source, its bytes or its stored version an image that the device takes, and report the stages."""
        check_app_name(request.name)
        if request.version is not None:
            return await self._stored_image(device, request, request.version, report)
        if request.wasm is not None:
            module = await self._read(device, request, request.wasm, None, report)
            try:
                return with_named_hosts(module, request.hosts)
            except BuildError as exc:
                fail(report, "check", exc)
        assert request.source is not None
        level = request.optimization
        program = self._compile(
            request.source, device.board, request.name, level, request.language, device.kinds, hosts=request.hosts
        )
        try:
            return await built(program, level, report)
        except DeployRejected as exc:
            # It is in a language that this device does not take.
            missing_kinds = set(PROGRAM_KINDS).difference(device.kinds)
            for other in self._devices.list():
                if missing_kinds.issubset(other.kinds):
                    raise DeployRejected(
                        exc.message, next_step=f"choose a device that takes it: -d {other.name}"
                    ) from exc
            raise

    async def _stored_image(
        self, device: Device, request: ChangeRequest, version: AppVersion, report: Report
    ) -> ProgramImage:
        """Return the image of a kept version, with the network that was allowed to it."""
        stored = await self._change_log.image(version.sha256)
        check_kind(version.kind, device.kinds)
        network = version.claims.network
        if version.kind == "py":
            return replace(stored_program(stored.code, stored.source, stored.meta), network=network)
        wired = stored_wired_parts(stored.meta)
        module = await self._read(device, request, stored.code, stored.source, report)
        return replace(module, wired=wired, network=network)

    async def _read(
        self, device: Device, request: ChangeRequest, wasm: bytes, source: str | None, report: Report
    ) -> WasmImage:
        check_kind("wasm", device.kinds)
        try:
            return await asyncio.to_thread(self._read_module, wasm, device.board, request.name, source)
        except MicroclawError as exc:
            fail(report, "check", exc)

    async def prepare(
        self, request: ChangeRequest, report: Report, there: ProgramState | None = None
    ) -> PreparedChange:
        """Build it, check it, try it and ask for the approval; nothing on the device changes. Raises as `deploy`.

        `there` is a look at the device, if it was taken already. One without a list is of a device that does not
        answer, with what is wanted there when it is back.
        """
        device = self._devices.get(request.device)
        # Before any work is done for a device that takes no programs.
        device.transport_for(AppInstall.method)
        image = await self.build(device, request, report)
        board = device.board
        stage: Stage = "check"
        try:
            heap_bytes, timers = fit_limits(board, fit_claim(image, request.heap_bytes), request.timers)
            check_times(request.times, image.kind)
            check_wiring(request.wiring or Wiring(), board)
            await asyncio.to_thread(check_not_own, image.network.hosts, self._own_ports)
            request = replace(request, heap_bytes=heap_bytes, timers=timers)
            if there is None:
                there = await look_at_program(self._change_log, device, request.name)
            check_install(there, request.version or to_come(there, image).version, take_over=request.replace)
            for text in check_texts(request, image, there):
                report(Step("check", text))
            stage = "try"
            trial = await self._try(request, there, image, report)
            # A pin computed at run time shows only in the trial.
            stage = "check"
            version = tried_version(request, image, trial)
            check_claims(there, version)
            version = replace(version, claims=with_author(version.claims, request, image))
            stage = "approve"
            await self._ask(request, there, image, version, trial)
        except MicroclawError as exc:
            fail(report, stage, exc)
        return PreparedChange(request, device, image, trial, version, there.running, board)

    async def _ask(
        self, request: ChangeRequest, there: ProgramState, image: ProgramImage, version: AppVersion, trial: Trial
    ) -> None:
        """Ask for the approval, also for driven pins that need care. A kept version was asked for when it was new.

        Raises PermissionRefused.
        """
        if request.approve is None:
            return
        needs = network_needs(request, image, there)
        cautions: dict[int, str] = {}
        if request.version is None:
            cautions = await self._cautions.open_cautions(there.device, version.pins)
        if cautions:
            needs = Permission.RISKY
        caution_texts = tuple(cautions.values())
        warnings = [f"warning: {text}" for text in caution_texts]
        detail = (*warnings, *deployment_detail(there, image, version, trial))
        program = await asked_program(self._change_log, there, image, trial, caution_texts)
        await request.approve(question_text(there, image, caution_texts), detail, program, needs)
        await self._cautions.keep_yes(there.device, cautions)

    async def _try(self, request: ChangeRequest, there: ProgramState, image: ProgramImage, report: Report) -> Trial:
        """Try it on a virtual board of the same kind. Raises TrialFailed, PinRefused."""
        board = there.device.board
        report(Step("try", "on a throw-away virtual board", "running"))
        options = TrialOptions(
            request.try_for_ms,
            expectations=request.expectations,
            heap_bytes=request.heap_bytes,
            timers=request.timers,
            times=request.times,
            wiring=request.wiring,
            record=there.device.record,
        )
        trial = await self._try_image(image, board, options)
        if trial.ok:
            report(Step("try", trial.summary(), detail=trial_detail(trial), screens=trial.pictures))
            return trial
        if not request.force:
            raise trial_error(trial)
        for pin in driven_pins(trial):
            check_pin(board, pin, "output")
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
                there = await look_at_program(self._change_log, device, request.name)
                check_free(there, prepared.version)
                _check_unchanged(prepared, there)
                request.begin()
                installation = await self._installer.put(there, request, image.code, prepared.version, report)
                text = accept_text(there, image.kind, replaced=installation.replaced)
                report(Step("deploy", text, took_ms=installation.took_ms))
                stage = "verify"
                verification = await self._watch(prepared, installation, report)
        except MicroclawError as exc:
            fail(report, stage, exc)
        for step in verification_steps(verification, prepared):
            report(step)
        deployment = Deployment(
            device_id=device.device_id,
            device_name=device.name,
            name=request.name,
            evidence=verification.evidence,
            change_id=installation.change_id,
            agrees=verification.agrees,
            sha256=image.sha256,
            image=image,
            heap_bytes=prepared.version.heap_bytes,
            trial=prepared.trial,
            replaced=installation.replaced,
            expected=verification.expected,
            expectations=request.expectations,
        )
        await keep_proof(self._change_log, deployment)
        return deployment

    async def _watch(self, prepared: PreparedChange, installation: Installation, report: Report) -> Verification:
        """Verify, then complete the change. A program that does nothing is withdrawn, and raises DeployRejected."""
        device = prepared.device
        name = prepared.request.name
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
        try:
            verification = await watch.verify()
        except asyncio.CancelledError:
            # The device accepted it.
            await self._change_log.end(installation.change_id, "done")
            raise
        dead = verification.dead
        if dead is None and not verification.agrees and prepared.request.only_verified:
            dead = f"it was not verified: {verification.evidence.text}", verification.next_step or _DIFFERS
        if dead is None:
            await self._change_log.end(installation.change_id, "done")
            return verification
        error, next_step = dead
        try:
            is_former_back = await self._installer.withdraw(device, name, installation, report)
        except DeviceError as exc:
            report_failure(report, "deploy", exc)
            error += "; it may still be there"
        else:
            error += f"; the former {name} is back" if is_former_back else "; it was taken off"
        raise DeployRejected(f"{device.name} accepted {name}, but {error}", next_step=next_step)


def _check_unchanged(prepared: PreparedChange, there: ProgramState) -> None:
    """Raise DeployRejected if somebody changed the board's description, or the program, since it was checked."""
    device = prepared.device
    request = prepared.request
    if device.board.firmware != prepared.board.firmware:
        raise DeployRejected(f"the firmware of {device.name} was described again", next_step="deploy it again")
    # A start is of the version that was stopped when it was ordered.
    if request.act == "start":
        is_changed = there.stopped != request.version
    elif request.based_on is not None:
        is_changed = there.running != request.based_on
    else:
        is_changed = request.approve is not None and there.running != prepared.before
    if is_changed:
        text = f"{request.name} on {device.name} was changed by somebody else meanwhile"
        raise DeployRejected(text, next_step="ask for it again")
