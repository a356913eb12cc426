"""/v1/apps and /v1/call with a choice of devices: one request acts on many boards and tells what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, TypeVar, get_args

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from microclaw.api.app_routes import (
    InstallBody,
    deploy_request,
    install_permission,
    removal_permission,
)
from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL, RequestCaller, admit, place_of, questions_in
from microclaw.api.deferred_routes import WhenBack, late_place, now_or_later
from microclaw.api.device_routes import CallBody, call_detail, call_one, call_permission
from microclaw.api.jobs import Feed, stream_response
from microclaw.api.parts import HostParts
from microclaw.api.views import deployment_object, removal_object
from microclaw.apps.catalogue import AppCondition
from microclaw.apps.changes import made_by
from microclaw.apps.deferring import Deferral
from microclaw.apps.many import BoardOutcome, SharedStages, on_each
from microclaw.audit import AuditKind
from microclaw.auth.gate import Permission
from microclaw.devices.call_text import call_from, call_words
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.devices.device import Device
from microclaw.devices.selection import Selected, Selection, names_text, select
from microclaw.errors import AppNotFound
from microclaw.events import Step
from microclaw.wire.host_api import Result, StreamEvent, failure_object, failure_of

MAX_CHOSEN: Final = 1000
Words = Annotated[list[str], Field(max_length=MAX_CHOSEN)]
T = TypeVar("T")
DEFERRED: Final = "deferred until it is back"
_TO_START: Final = frozenset({"stopped", "deferred", "returned", "exited", "trapped", "dead"})
_TO_STOP: Final = frozenset(get_args(AppCondition)) - {"stopped"}


class Choice(RequestBody):
    """Exactly one of the three."""

    devices: Words = Field([])
    labels: Annotated[list[str], Field(max_length=16)] = Field([])
    all: bool = False

    def selected(self, parts: HostParts, method: str) -> Selected:
        return select(parts.devices, Selection(tuple(self.devices), tuple(self.labels), self.all), method)


class ManyInstallBody(InstallBody, Choice):
    """A program, and the devices that get it."""


class ManyCallBody(CallBody, Choice):
    """A call, and the devices that are called."""


def many_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])
    keepalive_s = parts.settings.limits.keepalive_s

    @router.post("/v1/apps", summary="Install a program on many devices; a step for each, and the result of all")
    async def install_on_many(
        body: ManyInstallBody, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        chosen = body.selected(parts, AppInstall.method)
        text, place = f"deploy {body.name} to {devices_text(chosen.devices)}", place_of(by)
        permission = await _heaviest(chosen.devices, lambda one: install_permission(parts, body, one.name))
        parts.gate.check(by.person_id, permission, text)
        if body.force:
            parts.gate.note(AuditKind.FORCED, f"{text}, also if its trial fails", by.person_id)

        async def deploy(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.approvals, channel=CHANNEL, chat_id=place):
                await admit(parts.gate, by, permission, text, detail=device_names(chosen.devices), chat_id=place)

            stages = SharedStages(feed.put)

            async def one(device: Device) -> dict[str, Any]:
                request, show = deploy_request(body, device.device_id), partial(stages.show, device.name)

                async def now() -> dict[str, Any]:
                    return deployment_object(await parts.deployer.deploy(request, show, begin=feed.begin))

                def later(why: str) -> Awaitable[Deferral]:
                    return parts.deferrals.install(replace(request, place=late_place(by)), why, show)

                return await now_or_later(device, now, later, when_back=when_back)

            def ended(outcome: BoardOutcome[dict[str, Any]]) -> None:
                value = outcome.value
                if value is not None and not value.get("verified", True):
                    told = f"{outcome.device_name}: it runs, but was not verified: {value['evidence']['text']}"
                    feed.put(Step("verify", told, "failed"))
                else:
                    feed.put(outcome_step(outcome, "" if value is None else outcome_text(value)))

            with made_by(place, by.person_id, by.conversation):
                return Result(results_object(chosen, await on_each(chosen.devices, one, ended)))

        feed = parts.jobs.start(f"deploy {body.name}", deploy, token=by.token, number=by.job, cancellable=True)
        return stream_response(feed, keepalive_s)

    @router.post("/v1/apps/{name}/remove", summary="Take a program off many devices; a step for each")
    async def remove_from_many(
        name: str, body: Choice, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        chosen = body.selected(parts, AppUninstall.method)
        if not body.devices:
            chosen = await having(parts, chosen, name)
        text, place = f"remove {name} from {devices_text(chosen.devices)}", place_of(by)
        parts.gate.check(by.person_id, Permission.ACT, text)

        async def remove(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.approvals, channel=CHANNEL, chat_id=place):
                permission = Permission.ACT
                if not by.direct:
                    permission = await _heaviest(chosen.devices, lambda one: removal_permission(parts, one.name, name))
                await admit(parts.gate, by, permission, text, detail=device_names(chosen.devices), chat_id=place)

            async def one(device: Device) -> dict[str, Any]:
                async def now() -> dict[str, Any]:
                    return removal_object(await parts.deployer.remove(device.device_id, name, _silent))

                def later(why: str) -> Awaitable[Deferral]:
                    return parts.deferrals.uninstall(device.device_id, name, late_place(by), why, _silent)

                return await now_or_later(device, now, later, when_back=when_back)

            def ended(outcome: BoardOutcome[dict[str, Any]]) -> None:
                is_deferred = outcome.value is not None and "deferred" in outcome.value
                feed.put(outcome_step(outcome, DEFERRED if is_deferred else f"{name} is off"))

            with made_by(place, by.person_id, by.conversation):
                return Result(results_object(chosen, await on_each(chosen.devices, one, ended)))

        return stream_response(parts.jobs.start(f"remove {name}", remove, token=by.token, number=by.job), keepalive_s)

    @router.post("/v1/call", summary="Call one method of many devices at once")
    async def call_many(body: ManyCallBody, by: RequestCaller) -> dict[str, Any]:
        call = call_from(body.method, body.arguments)
        chosen = body.selected(parts, call.method)
        text, permission = call_words(call, devices_text(chosen.devices)), call_permission(call.method)
        detail = (*device_names(chosen.devices), *call_detail(body))
        await admit(parts.gate, by, permission, text, detail=detail, tool=call.method)

        async def one(device: Device) -> dict[str, Any]:
            return await call_one(parts, by, device, call, body, is_admitted=True)

        with made_by(place_of(by), by.person_id, by.conversation):
            return results_object(chosen, await on_each(chosen.devices, one))

    return router


def devices_text(devices: Sequence[Device]) -> str:
    shown = names_text(device_names(devices))
    return f"{len(devices)} devices ({shown})" if len(devices) > 1 else shown


async def having(parts: HostParts, chosen: Selected, app: str, *, stopped: bool | None = None) -> Selected:
    """Of devices that nobody named, those that have the program; what is wanted on one that is away counts, too.

    `stopped` chooses those where it can be started (stopped, or ended), or those where it is not stopped.
    """
    listed = [found for found in await parts.catalogue.list_apps() if found.name == app]
    if stopped is not None:
        listed = [found for found in listed if found.condition in (_TO_START if stopped else _TO_STOP)]
    there = {found.device_id for found in listed}
    meant = tuple(device for device in chosen.devices if device.device_id in there)
    if not meant:
        what = {None: "on", True: "stopped on", False: "running on"}[stopped]
        raise AppNotFound(f"{app!r} is {what} none of {len(chosen.devices)} devices", next_step="microclaw app list")
    others = tuple(device.name for device in chosen.devices if device not in meant)
    return Selected(meant, (*chosen.left_out, *others))


def device_names(devices: Sequence[Device]) -> list[str]:
    return [device.name for device in devices]


async def _heaviest(devices: Sequence[Device], weight: Callable[[Device], Awaitable[Permission]]) -> Permission:
    """What the whole act needs; a device that cannot say is asked again when it is acted on."""
    found = Permission.ACT
    for outcome in await on_each(devices, weight):
        if outcome.value is Permission.RISKY or outcome.error is not None:  # what is on it is not known
            found = Permission.RISKY
    return found


def outcome_step(outcome: BoardOutcome[T], done: str) -> Step:
    if outcome.error is None:
        return Step("deploy", f"{outcome.device_name}: {done}")
    error = outcome.error
    return Step("deploy", f"{outcome.device_name}: {error.message}", "failed", next_step=error.next_step)


def outcome_text(value: dict[str, Any]) -> str:
    """The evidence, or that it waits for the device."""
    if "deferred" in value:
        return DEFERRED
    times = value.get("times")
    return f"{value['evidence']['text']}{'; ' + times['text'] if times else ''}"


def _silent(_step: Step) -> None:
    """The stages of one of many are not shown."""


def results_object(chosen: Selected, outcomes: Sequence[BoardOutcome[dict[str, Any]]]) -> dict[str, Any]:
    """`results` has one object a device: its name, and `made` or `error`."""
    rows = [
        {"device": one.device_name, "made": one.value}
        if one.error is None
        else {"device": one.device_name, "error": failure_object(failure_of(one.error))}
        for one in outcomes
    ]
    failed = sum("error" in row for row in rows)
    return {"results": rows, "failed": failed, "left_out": list(chosen.left_out)}
