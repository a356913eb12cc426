"""/v1/apps, /v1/changes, /v1/undo: programs on devices and what was changed. The stages are in apps/."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Self, TypeAlias

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, model_validator

from microclaw.agent.attempts import latest_attempts
from microclaw.api.answers import Apps, AppWithSource, Changes, answers
from microclaw.api.body import ONE_PROGRAM, RequestBody, Whole
from microclaw.api.caller import CHANNEL, Caller, RequestCaller, admit, place_of, questions_in
from microclaw.api.deferred_routes import WhenBack, late_place, now_or_later, permission_of
from microclaw.api.device_answers import JobCancelled, Tries
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.api.views import (
    app_object,
    change_object,
    deployment_object,
    exploration_object,
    removal_object,
    undone_object,
)
from microclaw.apps.app_terms import Origin
from microclaw.apps.building import ProgramLanguage
from microclaw.apps.changes import made_by
from microclaw.apps.deferring import Deferral
from microclaw.apps.deploy import Approve, DeployRequest
from microclaw.apps.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.apps.late_proof import Place
from microclaw.apps.run_times import run_times
from microclaw.apps.undo import UndoChoice
from microclaw.apps.undoable import change_text
from microclaw.audit import AuditKind
from microclaw.auth.gate import Permission
from microclaw.config.settings import Limits
from microclaw.errors import ConfigError, PermissionRefused, UnknownName
from microclaw.events import AskedProgram
from microclaw.wire.host_api import Result, StreamEvent

_Word: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}$")]

_NAME_CHARS: Final = 126  # the firmware takes no longer ones
AppName: TypeAlias = Annotated[str, Path(min_length=1, max_length=_NAME_CHARS)]
"""A program's name in the path of a route that installs it."""


class OriginBody(RequestBody):
    """The entry of a catalogue that a program is, with the values that were put in; `catalog` is its folder."""

    entry: _Word
    version: Annotated[str, Field(pattern=r"^\d{1,5}\.\d{1,5}\.\d{1,5}$")]
    catalog: Annotated[str, Field(min_length=1, max_length=1024)]
    params: Annotated[dict[_Word, Whole | _Word], Field(max_length=64)] = Field({})

    def origin(self) -> Origin:
        return Origin(self.entry, self.version, self.catalog, tuple(sorted(self.params.items())))


class InstallBody(RequestBody):
    """C or C++ `source` or `wasm` in base64, exactly one of the two. Without `language` the source says it."""

    model_config = ConfigDict(json_schema_extra=ONE_PROGRAM)

    name: Annotated[str, Field(min_length=1, max_length=_NAME_CHARS)]
    source: Annotated[str, Field(min_length=1, max_length=Limits().source_chars)] | None = None
    language: ProgramLanguage | None = None
    wasm: str | None = None
    heap_bytes: Annotated[int, Field(ge=256, le=16 << 20)] = 8192
    timers: Annotated[int, Field(ge=1, le=255)] = 20
    watchdog_ms: Annotated[int, Field(ge=1000, le=86_400_000)] = 180_000
    optimization: Annotated[str, Field(pattern=r"^O[0-3sz]$")] = "O3"
    replace: Annotated[
        bool,
        Field(
            description="Also replace a program of this name that this host did not install. Its own is replaced "
            "in any case."
        ),
    ] = False
    force: bool = False  # also when its trial fails
    expect: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    origin: OriginBody | None = None
    every_ms: Whole | None = None  # begun anew so often; null: it runs on
    stop_after_ms: Whole | None = None  # each run

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        if (self.source is None) == (self.wasm is None):
            raise ValueError("give source or wasm, exactly one of the two")
        return self


class UndoBody(RequestBody):
    change_id: Annotated[Whole, Field(ge=1)] | None = None
    device: str | None = None
    anyone: bool = False


def app_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])
    _route_apps(router, parts)
    _route_changes(router, parts)
    _route_jobs(router, parts)
    return router


def _route_apps(router: APIRouter, parts: HostParts) -> None:

    @router.get("/v1/apps", summary="What runs where", responses=answers(Apps))
    async def list_apps(device: str | None = None) -> dict[str, Any]:
        return {"apps": [app_object(listing) for listing in await parts.apps.catalogue.list_apps(device)]}

    @router.get(
        "/v1/devices/{device}/apps/{name}",
        summary="One program, with its source and proof where known",
        responses=answers(AppWithSource),
    )
    async def show_app(device: str, name: str) -> dict[str, Any]:
        """`proof`: what was expected, and the edges of the trial and of the board, in ms since the installation.

        `before`: the version that was there before it, and what changed in the source since.
        """
        listing = await parts.apps.catalogue.show(device, name)
        before = await parts.apps.catalogue.before(listing)
        return {
            **app_object(listing),
            "source": listing.source,
            "proof": await parts.apps.catalogue.proof(listing),
            "before": None if before is None else asdict(before),
        }

    @router.post("/v1/devices/{device}/apps", summary="Build, check, try, install, verify; steps as JSON lines")
    async def install_app(
        device: str, body: InstallBody, by: RequestCaller, when_back: WhenBack = False
    ) -> StreamingResponse:
        found = parts.devices.get(device)
        permission = await permission_of(install_permission(parts, body, found.name), when_back=when_back)
        parts.admission.gate.check(by.person_id, permission, f"deploy {body.name} to {found.name}")
        if body.force:
            text = f"deploy {body.name}, also if its trial fails"
            parts.admission.gate.note(AuditKind.FORCED, text, by.person_id, about=found.name)
        place = place_of(by)
        request = deploy_request(
            body,
            found.device_id,
            place=late_place(by),
            approve=None if by.direct else _approving(parts, by, permission, place),
        )

        async def deploy(feed: Feed) -> StreamEvent:
            async def now() -> dict[str, Any]:
                return deployment_object(await parts.apps.deployer.deploy(request, feed.put, begin=feed.begin))

            def later(why: str) -> Awaitable[Deferral]:
                return parts.apps.deferrals.install(request, why, feed.put)

            asking = questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place)
            with made_by(place, by.person_id, by.conversation), asking:
                return Result(await now_or_later(found, now, later, when_back=when_back))

        return parts.stream(by, f"deploy {body.name}", deploy, cancellable=True)

    @router.post(
        "/v1/devices/{device}/explore", summary="What the firmware has, by a program that is there for a moment"
    )
    async def explore(device: str, by: RequestCaller) -> StreamingResponse:
        found = parts.devices.get(device)
        text, place = f"explore {found.name} with a program of the host's", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)

        async def exploring(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
                await admit(parts.admission.gate, by, Permission.ACT, text, chat_id=place)
            return Result(exploration_object(await parts.apps.explorer.explore(found.device_id, feed.put)))

        return parts.stream(by, f"explore {found.name}", exploring)

    @router.delete("/v1/devices/{device}/apps/{name}", summary="Take a program off; steps as JSON lines")
    async def remove_app(device: str, name: str, by: RequestCaller, when_back: WhenBack = False) -> StreamingResponse:
        found = parts.devices.get(device)
        text, place = f"remove {name} from {found.name}", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)

        async def remove(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
                permission = Permission.ACT
                if not by.direct:
                    asked = removal_permission(parts, found.name, name)
                    permission = await permission_of(asked, when_back=when_back)
                await admit(parts.admission.gate, by, permission, text, chat_id=place)

            async def now() -> dict[str, Any]:
                return removal_object(await parts.apps.deployer.remove(found.device_id, name, feed.put))

            def later(why: str) -> Awaitable[Deferral]:
                return parts.apps.deferrals.uninstall(found.device_id, name, late_place(by), why, feed.put)

            with made_by(place, by.person_id, by.conversation):
                return Result(await now_or_later(found, now, later, when_back=when_back))

        return parts.stream(by, f"remove {name}", remove)


def _route_jobs(router: APIRouter, parts: HostParts) -> None:
    @router.post(
        "/v1/jobs/{number}/cancel",
        summary="End what your request with this number does, before it changes",
        responses=answers(JobCancelled),
    )
    async def cancel_job(number: str, by: RequestCaller) -> dict[str, Any]:
        state = parts.jobs.cancel(by.job_key(number))
        if state == "unknown" and parts.requests_elsewhere is not None and not by.direct:
            state = await parts.requests_elsewhere.cancel(by.job_key(number))
        return {"state": state}


def _route_changes(router: APIRouter, parts: HostParts) -> None:

    @router.get("/v1/changes", summary="What was changed, newest first", responses=answers(Changes))
    async def list_changes(
        device: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> dict[str, Any]:
        device_id = None if device is None else parts.devices.get(device).device_id
        found = await parts.apps.undo.changes(device_id, limit)
        return {"changes": [change_object(change, _name(parts, change.device_id)) for change in found]}

    @router.get(
        "/v1/tries",
        summary="Programs that models wrote, and what was wrong with them, newest first",
        responses=answers(Tries),
    )
    async def list_tries(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> dict[str, Any]:
        return {"tries": [asdict(tried) for tried in await latest_attempts(parts.conversations.journal, limit)]}

    @router.post("/v1/undo", summary="Take back a change, or all of the newest request; steps as JSON lines")
    async def undo(body: UndoBody, by: RequestCaller) -> StreamingResponse:
        device_id = None if body.device is None else parts.devices.get(body.device).device_id
        text = "undo what was done last" if body.change_id is None else f"undo change {body.change_id}"
        parts.admission.gate.check(by.person_id, Permission.ACT, text)
        place = place_of(by)
        choice = UndoChoice(by.person_id, body.change_id, device_id, anyone=body.anyone)

        async def take_back(feed: Feed) -> StreamEvent:
            with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
                shown = await parts.apps.undo.chosen(choice)
                detail = [f"takes back: {change_text(change)}" for change in shown]
                await admit(parts.admission.gate, by, Permission.ACT, text, detail=detail, chat_id=place)
                if not by.direct and await parts.apps.undo.chosen(choice) != shown:
                    raise PermissionRefused("something was changed while somebody was asked", next_step="ask again")
            with made_by(place, by.person_id, by.conversation):
                made = await parts.apps.undo.undo(choice, feed.put)
            return Result(undone_object(made))

        return parts.stream(by, "undo", take_back)


def deploy_request(
    body: InstallBody, device: str, *, place: Place | None = None, approve: Approve | None = None
) -> DeployRequest:
    """What the body asks for, on this device."""
    return DeployRequest(
        device=device,
        name=body.name,
        source=body.source,
        language=body.language,
        wasm=None if body.wasm is None else _wasm(body.wasm),
        heap_bytes=body.heap_bytes,
        timers=body.timers,
        watchdog_ms=body.watchdog_ms,
        optimization=body.optimization,
        replace=body.replace,
        force=body.force,
        expectations=None if body.expect is None else parse_expectations(body.expect),
        place=place,
        origin=None if body.origin is None else body.origin.origin(),
        times=run_times(body.every_ms, body.stop_after_ms),
        approve=approve,
    )


async def install_permission(parts: HostParts, body: InstallBody, device: str) -> Permission:
    if body.force:
        return Permission.RISKY
    return await removal_permission(parts, device, body.name) if body.replace else Permission.ACT


def _approving(parts: HostParts, by: Caller, permission: Permission, place: str) -> Approve:
    async def approve(text: str, detail: Sequence[str], program: AskedProgram | None = None) -> None:
        await admit(parts.admission.gate, by, permission, text, detail=detail, chat_id=place, program=program)

    return approve


async def removal_permission(parts: HostParts, device: str, name: str) -> Permission:
    """There is no copy of a program that this host did not install, so to remove it is risky."""
    listed = await parts.apps.catalogue.list_apps(device)
    foreign = any(app.name == name and app.foreign for app in listed)
    return Permission.RISKY if foreign else Permission.ACT


def _wasm(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(f"wasm is not base64: {exc}", next_step="encode the module's bytes as base64") from exc


def _name(parts: HostParts, device_id: str) -> str:
    try:
        return parts.devices.get(device_id).name
    except UnknownName:
        return device_id  # a device that was forgotten since
