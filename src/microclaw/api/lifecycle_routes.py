"""/v1/.../apps/NAME/stop, start, restart and upgrade, of one device and of many.

The acts are in apps/lifecycle.py and apps/upgrade.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, model_validator

from microclaw.api.app_routes import AppName, InstallBody, OriginBody, deploy_request
from microclaw.api.body import ONE_PROGRAM, RequestBody
from microclaw.api.caller import CHANNEL, Caller, RequestCaller, admit, place_of, questions_in
from microclaw.api.deferred_routes import WhenBack, late_place, now_or_later
from microclaw.api.jobs import Feed
from microclaw.api.many_acts import (
    DEFERRED,
    Choice,
    EachBoard,
    Outcome,
    act_on_many,
    devices_text,
    having,
    outcome_step,
    outcome_text,
)
from microclaw.api.parts import HostParts
from microclaw.api.times_routes import route_times
from microclaw.api.views import switched_object, upgraded_object
from microclaw.apps.building import ProgramLanguage
from microclaw.apps.changes import made_by
from microclaw.apps.deferring import Deferral
from microclaw.apps.deploy import Approve, DeployRequest
from microclaw.apps.expectation_text import MAX_TEXT_CHARS
from microclaw.apps.lifecycle import Lifecycle, Switched
from microclaw.apps.many import SharedStages
from microclaw.auth.gate import Permission
from microclaw.config.settings import Limits
from microclaw.devices.calls import AppInstall
from microclaw.devices.device import Device
from microclaw.errors import ConfigError
from microclaw.events import AskedProgram, Report, Step
from microclaw.wire.host_api import Result, StreamEvent


class UpgradeBody(RequestBody):
    """`source` or `wasm` in base64, as of an installation; heap, timers, watchdog and times stay."""

    model_config = ConfigDict(json_schema_extra=ONE_PROGRAM)

    source: Annotated[str, Field(min_length=1, max_length=Limits().source_chars)] | None = None
    language: ProgramLanguage | None = None
    wasm: str | None = None
    optimization: Annotated[str, Field(pattern=r"^O[0-3sz]$")] = "O3"
    expect: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    origin: OriginBody | None = None

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        if (self.source is None) == (self.wasm is None):
            raise ValueError("give source or wasm, exactly one of the two")
        return self

    def request(self, name: str, device: str, approve: Approve | None = None) -> DeployRequest:
        given = InstallBody(
            name=name,
            source=self.source,
            language=self.language,
            wasm=self.wasm,
            optimization=self.optimization,
            expect=self.expect,
            origin=self.origin,
        )
        return deploy_request(given, device, approve=approve)


class ManyUpgradeBody(UpgradeBody, Choice):
    """A program's new version, and the devices that get it where they have it."""


Switch: TypeAlias = Literal["stop", "start", "restart"]
_Act: TypeAlias = Callable[[Lifecycle, str, str, Report], Awaitable[Switched]]
_ACTS: Final[Mapping[Switch, _Act]] = {
    "stop": lambda lifecycle, device, name, report: lifecycle.stop(device, name, report),
    "start": lambda lifecycle, device, name, report: lifecycle.start(device, name, report),
    "restart": lambda lifecycle, device, name, report: lifecycle.restart(device, name, report),
}


def lifecycle_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])
    _route_upgrades(router, parts)
    route_times(router, parts)
    _route_switches(router, parts)
    return router


def _route_upgrades(router: APIRouter, parts: HostParts) -> None:

    @router.post("/v1/devices/{device}/apps/{name}/upgrade", summary="A new version of a program; steps as JSON lines")
    async def upgrade_app(
        device: str, name: AppName, body: UpgradeBody, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        found = parts.devices.get(device)
        text, place = f"upgrade {name} on {found.name}", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)

        async def approve(asked: str, detail: Sequence[str], program: AskedProgram | None = None) -> None:
            await admit(parts.admission.gate, by, Permission.ACT, asked, detail=detail, chat_id=place, program=program)

        request = body.request(name, found.device_id, None if by.direct else approve)

        async def do(feed: Feed) -> StreamEvent:
            async def now() -> dict[str, Any]:
                return upgraded_object(await parts.apps.upgrader.upgrade(request, feed.put, begin=feed.begin))

            def later(why: str) -> Awaitable[Deferral]:
                return parts.apps.deferrals.upgrade(replace(request, place=late_place(by)), why, feed.put)

            asking = questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place)
            with made_by(place, by.person_id, by.conversation), asking:
                return Result(await now_or_later(found, now, later, when_back=when_back))

        return parts.stream(by, f"upgrade {name}", do, cancellable=True)

    @router.post("/v1/apps/{name}/upgrade", summary="A new version of a program on those of many devices that have it")
    async def upgrade_on_many(
        name: AppName, body: ManyUpgradeBody, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        chosen = body.selected(parts, AppInstall.method)
        if not body.devices:
            chosen = await having(parts, chosen, name, stopped=False)
        text = f"upgrade {name} on {devices_text(chosen.devices)}"

        def begin(feed: Feed) -> EachBoard:
            stages = SharedStages(feed.put)

            async def one(device: Device) -> dict[str, Any]:
                def report(step: Step) -> None:
                    stages.show(device.name, step)
                    if step.stage == "deploy" and step.state == "done":  # it names the device
                        feed.put(step)

                request = body.request(name, device.device_id)

                async def now() -> dict[str, Any]:
                    return upgraded_object(await parts.apps.upgrader.upgrade(request, report, begin=feed.begin))

                def later(why: str) -> Awaitable[Deferral]:
                    return parts.apps.deferrals.upgrade(
                        replace(request, place=late_place(by)), why, partial(stages.show, device.name)
                    )

                return await now_or_later(device, now, later, when_back=when_back)

            def ended(outcome: Outcome) -> None:
                value = outcome.value
                if value is None or "deferred" in value:
                    feed.put(outcome_step(outcome, DEFERRED))
                else:
                    feed.put(outcome_step(outcome, f"{value['text']}: {value['evidence']['text']}"))

            return one, ended

        return act_on_many(parts, by, chosen, f"upgrade {name}", text, begin, cancellable=True)


def _route_switches(router: APIRouter, parts: HostParts) -> None:

    @router.post("/v1/devices/{device}/apps/{name}/{switch}", summary="Stop, start or restart a program; steps")
    async def switch_app(
        device: str, name: str, switch: Switch, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        _check_when_back(switch, when_back=when_back)
        found = parts.devices.get(device)
        text, place = f"{switch} {name} on {found.name}", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)

        async def do(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
                await admit(parts.admission.gate, by, Permission.ACT, text, chat_id=place)
            with made_by(place, by.person_id, by.conversation):
                return Result(await _switch(parts, found, name, switch, by, feed.put, when_back=when_back))

        return parts.stream(by, f"{switch} {name}", do)

    @router.post("/v1/apps/{name}/{switch}", summary="Stop, start or restart a program on many devices")
    async def switch_on_many(
        name: str, switch: Switch, body: Choice, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        _check_when_back(switch, when_back=when_back)
        chosen = body.selected(parts, AppInstall.method)
        if not body.devices:
            chosen = await having(parts, chosen, name, stopped=switch == "start")
        text = f"{switch} {name} on {devices_text(chosen.devices)}"

        def begin(feed: Feed) -> EachBoard:
            async def one(device: Device) -> dict[str, Any]:
                return await _switch(parts, device, name, switch, by, lambda _step: None, when_back=when_back)

            def ended(outcome: Outcome) -> None:
                value = outcome.value
                if value is not None and not value.get("verified", True):
                    feed.put(Step("verify", f"{outcome.device_name}: {value['evidence']['text']}", "failed"))
                else:
                    feed.put(outcome_step(outcome, "" if value is None else outcome_text(value)))

            return one, ended

        return act_on_many(parts, by, chosen, f"{switch} {name}", text, begin)


async def _switch(
    parts: HostParts, device: Device, name: str, switch: Switch, by: Caller, report: Report, *, when_back: bool
) -> dict[str, Any]:
    async def now() -> dict[str, Any]:
        return switched_object(await _ACTS[switch](parts.apps.lifecycle, device.device_id, name, report))

    if switch == "restart":
        return await now()
    defer = parts.apps.deferrals.stop if switch == "stop" else parts.apps.deferrals.start

    def later(why: str) -> Awaitable[Deferral]:
        return defer(device.device_id, name, late_place(by), why, report)

    return await now_or_later(device, now, later, when_back=when_back)


def _check_when_back(switch: Switch, *, when_back: bool) -> None:
    if when_back and switch == "restart":
        raise ConfigError(
            "a restart is not deferred: a board that comes back starts its programs",
            next_step="stop or start it with when_back, or restart it when it answers",
        )
