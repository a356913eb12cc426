"""/v1/apps and /v1/call with a choice of devices: one request acts on many boards and tells what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.app_routes import InstallBody, deploy_request, install_permission, removal_permission
from microclaw.api.caller import RequestCaller, admit, place_of
from microclaw.api.deferred_routes import WhenBack, late_place, now_or_later
from microclaw.api.device_answers import CallsOnMany
from microclaw.api.jobs import Feed
from microclaw.api.many_acts import (
    DEFERRED,
    Choice,
    EachBoard,
    Outcome,
    act_on_many,
    device_names,
    devices_text,
    having,
    outcome_step,
    outcome_text,
    results_object,
)
from microclaw.api.parts import HostParts
from microclaw.api.views import deployment_object, removal_object
from microclaw.apps.changes import made_by
from microclaw.apps.deferring import Deferral
from microclaw.apps.device_operations import call_detail, call_one, call_permission
from microclaw.apps.many import SharedStages, on_each
from microclaw.audit import AuditKind
from microclaw.auth.gate import Permission
from microclaw.devices.call_text import call_from, call_words
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.devices.device import Device
from microclaw.events import Step
from microclaw.operations.operation import Call


class ManyInstallBody(InstallBody, Choice):
    """A program, and the devices that get it."""


class ManyCallBody(Choice):
    """A call, and the devices that are called."""

    method: Annotated[str, Field(max_length=64)]
    arguments: dict[str, Any] = Field({})
    wait: bool = True
    force: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=50)] | None = None


def many_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])

    @router.post("/v1/apps", summary="Install a program on many devices; a step for each, and the result of all")
    async def install_on_many(
        body: ManyInstallBody, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        chosen = body.selected(parts, AppInstall.method)
        text = f"deploy {body.name} to {devices_text(chosen.devices)}"
        permission = await _heaviest(chosen.devices, lambda one: install_permission(parts, body, one.name))
        parts.admission.gate.check(by.person_id, permission, text)  # before it is noted what somebody insisted on
        if body.force:
            parts.admission.gate.note(AuditKind.FORCED, f"{text}, also if its trial fails", by.person_id)

        def begin(feed: Feed) -> EachBoard:
            stages = SharedStages(feed.put)

            async def one(device: Device) -> dict[str, Any]:
                request, show = deploy_request(body, device.device_id), partial(stages.show, device.name)

                async def now() -> dict[str, Any]:
                    return deployment_object(await parts.apps.deployer.deploy(request, show, begin=feed.begin))

                def later(why: str) -> Awaitable[Deferral]:
                    return parts.apps.deferrals.install(replace(request, place=late_place(by)), why, show)

                return await now_or_later(device, now, later, when_back=when_back)

            def ended(outcome: Outcome) -> None:
                value = outcome.value
                if value is not None and not value.get("verified", True):
                    told = f"{outcome.device_name}: it runs, but was not verified: {value['evidence']['text']}"
                    feed.put(Step("verify", told, "failed"))
                else:
                    feed.put(outcome_step(outcome, "" if value is None else outcome_text(value)))

            return one, ended

        return act_on_many(
            parts, by, chosen, f"deploy {body.name}", text, begin, permission=permission, cancellable=True
        )

    @router.post("/v1/apps/{name}/remove", summary="Take a program off many devices; a step for each")
    async def remove_from_many(
        name: str, body: Choice, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        chosen = body.selected(parts, AppUninstall.method)
        if not body.devices:
            chosen = await having(parts, chosen, name)
        text = f"remove {name} from {devices_text(chosen.devices)}"

        async def weigh() -> Permission:
            return await _heaviest(chosen.devices, lambda one: removal_permission(parts, one.name, name))

        def begin(feed: Feed) -> EachBoard:
            async def one(device: Device) -> dict[str, Any]:
                async def now() -> dict[str, Any]:
                    return removal_object(await parts.apps.deployer.remove(device.device_id, name, _silent))

                def later(why: str) -> Awaitable[Deferral]:
                    return parts.apps.deferrals.uninstall(device.device_id, name, late_place(by), why, _silent)

                return await now_or_later(device, now, later, when_back=when_back)

            def ended(outcome: Outcome) -> None:
                is_deferred = outcome.value is not None and "deferred" in outcome.value
                feed.put(outcome_step(outcome, DEFERRED if is_deferred else f"{name} is off"))

            return one, ended

        return act_on_many(parts, by, chosen, f"remove {name}", text, begin, weigh=weigh)

    @router.post("/v1/call", summary="Call one method of many devices at once", responses=answers(CallsOnMany))
    async def call_many(body: ManyCallBody, by: RequestCaller) -> dict[str, Any]:
        call = call_from(body.method, body.arguments)
        chosen = body.selected(parts, call.method)
        text, permission = call_words(call, devices_text(chosen.devices)), call_permission(call.method)
        gate = parts.admission.gate
        await admit(gate, by, permission, text, detail=(*device_names(chosen.devices), *call_detail(call)))

        async def approve(text: str, detail: Sequence[str], _: object = None, needs: Permission | None = None) -> None:
            await admit(gate, by, needs or permission, text, detail=detail)

        who = Call(by.person_id, approve, _silent)

        async def one(device: Device) -> dict[str, Any]:
            service, more = parts.services["device"], {"wait": body.wait, "force": body.force}
            made = await call_one(service, who, device, call, **more, timeout_s=body.timeout_s, is_admitted=True)
            return dict(msgspec.to_builtins(made))

        with made_by(place_of(by), by.person_id, by.conversation):
            return results_object(chosen, await on_each(chosen.devices, one))

    return router


async def _heaviest(devices: Sequence[Device], weight: Callable[[Device], Awaitable[Permission]]) -> Permission:
    """What the whole act needs; a device that cannot say is asked again when it is acted on."""
    found = Permission.ACT
    for outcome in await on_each(devices, weight):
        if outcome.value is Permission.RISKY or outcome.error is not None:  # what is on it is not known
            found = Permission.RISKY
    return found


def _silent(_step: Step) -> None:
    """The stages of one of many are not shown."""
