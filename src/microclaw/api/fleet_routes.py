"""/v1/fleet: what shall run on many devices, in one request: what differs, the acts, and what is wanted now."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, Self, TypeAlias

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from msgspec import to_builtins
from pydantic import ConfigDict, Field, model_validator

from microclaw.api.answers import answers
from microclaw.api.body import ONE_PROGRAM, RequestBody, Whole
from microclaw.api.caller import CHANNEL, RequestCaller, admit, place_of, questions_in
from microclaw.api.device_answers import WantedApps, WantedProgram
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.apps.app_terms import Origin
from microclaw.apps.building import ProgramLanguage, stored_program
from microclaw.apps.changes import AppVersion, made_by, version_of
from microclaw.apps.deployment import DeployRequest
from microclaw.apps.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.apps.firmware_fit import DEFAULT_HEAP_BYTES, fit_claim
from microclaw.apps.fleet import MAX_ACTS, DeviceActs, Fleet, FleetProgram, FleetRow, digest
from microclaw.apps.late_proof import Place
from microclaw.apps.results import Deployed, Removed
from microclaw.apps.run_times import run_times
from microclaw.auth.gate import Permission
from microclaw.boards.profile import BoardProfile
from microclaw.config.settings import Limits
from microclaw.devices.device import Device
from microclaw.devices.selection import names_text
from microclaw.errors import AppNotFound, BuildError, ConfigError, DeployRejected, PermissionRefused, UnknownName
from microclaw.store.apps import ImageRow
from microclaw.wasm.source_language import SUFFIX, Language
from microclaw.wire.host_api import Result, StreamEvent, failure_object, failure_of

MAX_DEVICES: Final = 1_000
MAX_PROGRAMS: Final = 1_000
LEVELS: Final = ("O3", "Os", "O2", "O1", "Oz", "O0")
_NOTHING_RISKY: Final[dict[str, Any]] = {
    "allOf": [{"properties": {name: {"const": False} for name in ("force", "replace")}}]
}
_Devices = Annotated[list[str], Field(max_length=MAX_DEVICES)]


_Word: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}$")]


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

    name: Annotated[str, Field(min_length=1, max_length=126)]
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


class FleetProgramBody(InstallBody):
    """A program and the ids or names of the devices that shall run it."""

    model_config = ConfigDict(json_schema_extra={**ONE_PROGRAM, **_NOTHING_RISKY})

    devices: _Devices

    @model_validator(mode="after")
    def _nothing_risky(self) -> Self:
        if self.force or self.replace:
            raise ValueError("a fleet neither forces a program nor takes over another host's: install that one alone")
        return self


class FleetBody(RequestBody):
    """`devices`: all that the fleet is about; what else runs on them is extra."""

    programs: Annotated[list[FleetProgramBody], Field(max_length=MAX_PROGRAMS)]
    devices: _Devices


class ApplyBody(FleetBody):
    """`digest`: of the differences that a person agreed to; others are refused."""

    prune: bool = False
    when_back: bool = False
    digest: str | None = None


def fleet_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["fleet"])
    fleet = Fleet(parts.apps)

    @router.post("/v1/fleet/diff", summary="What differs between what shall run and what is wanted; as JSON lines")
    async def diff(body: FleetBody, by: RequestCaller) -> StreamingResponse:
        parts.admission.gate.check(by.person_id, Permission.READ, "compare a fleet")
        programs, devices = _programs(parts, body), _devices(parts, body)

        async def compare(_feed: Feed) -> StreamEvent:
            rows = await fleet.compare(programs, devices)
            return Result({"rows": [_row_object(row) for row in rows], "digest": digest(rows)})

        return parts.stream(by, "compare a fleet", compare, cancellable=True)

    @router.post("/v1/fleet/apply", summary="Install, replace and take off until nothing differs; a step for each act")
    async def apply(body: ApplyBody, by: RequestCaller) -> StreamingResponse:
        text, place = f"apply a fleet of {len(body.devices)} devices", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)
        programs, devices = _programs(parts, body), _devices(parts, body)

        async def do(feed: Feed) -> StreamEvent:
            rows = await fleet.compare(programs, devices)
            _check(rows, body)
            with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
                detail = _act_texts(rows, prune=body.prune)
                if detail:
                    await admit(parts.admission.gate, by, Permission.ACT, text, detail=detail, chat_id=place)
            if not by.direct and digest(await fleet.compare(programs, devices)) != digest(rows):
                raise PermissionRefused("something was changed while somebody was asked", next_step="ask again")
            with made_by(place, by.person_id, by.conversation):
                place_later = Place(by.person_id, "terminal", "terminal") if by.direct else True
                when_back = body.when_back and place_later
                acts = await fleet.apply(rows, feed.put, prune=body.prune, when_back=when_back, begin=feed.begin)
            return Result(_results(devices, acts))

        return parts.stream(by, "apply a fleet", do, cancellable=True)

    @router.get("/v1/fleet", summary="What is wanted on the devices now", responses=answers(WantedApps))
    async def wanted(by: RequestCaller) -> dict[str, Any]:
        parts.admission.gate.check(by.person_id, Permission.READ, "list what is wanted")
        known = {device.device_id: device for device in parts.devices.list()}
        found = [(known[app.device_id], app) for app in await parts.apps.catalogue.wanted() if app.device_id in known]
        return {"apps": [{**_version_object(device, app.version), "name": app.name} for device, app in found]}

    @router.get(
        "/v1/fleet/{device}/{name}",
        summary="A wanted program in the form in which it can be installed again",
        responses=answers(WantedProgram),
    )
    async def program(device: str, name: str, by: RequestCaller) -> dict[str, Any]:
        parts.admission.gate.check(by.person_id, Permission.READ, f"read {name}")
        found = parts.devices.get(device)
        version = version_of(name, [a for a in await parts.apps.catalogue.wanted() if a.device_id == found.device_id])
        if version is None:
            raise AppNotFound(f"{name!r} is not wanted on {found.name}", next_step="microclaw app list")
        stored = await parts.apps.catalogue.image(version.sha256)
        if version.kind == "py":
            image = stored_program(stored.code, stored.source, stored.meta)
            return {"suffix": ".py", "source": image.source, "heap_bytes": fit_claim(image, DEFAULT_HEAP_BYTES)}
        return {**await _rebuilt(parts, stored, found.board, name), "heap_bytes": DEFAULT_HEAP_BYTES}

    return router


def deploy_request(body: InstallBody, device: str) -> DeployRequest:
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
        origin=None if body.origin is None else body.origin.origin(),
        times=run_times(body.every_ms, body.stop_after_ms),
    )


def _wasm(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(f"wasm is not base64: {exc}", next_step="encode the module's bytes as base64") from exc


def _programs(parts: HostParts, body: FleetBody) -> list[FleetProgram]:
    return [
        FleetProgram(deploy_request(one, ""), tuple(parts.devices.get(name).device_id for name in one.devices))
        for one in body.programs
    ]


def _devices(parts: HostParts, body: FleetBody) -> list[Device]:
    return list(dict.fromkeys(parts.devices.get(name) for name in body.devices))


def _check(rows: Sequence[FleetRow], body: ApplyBody) -> None:
    """Raise what keeps the whole apply from being begun."""
    if body.digest is not None and body.digest != digest(rows):
        raise ConfigError(
            "the differences are not those that were shown: something was changed meanwhile; nothing was done",
            next_step="look again: microclaw diff -f FILE",
        )
    for row in rows:
        if (why := row.refusal(prune=body.prune)) is not None:
            text = f"{row.name} cannot be installed on {row.device.name}: {why.message}"
            raise DeployRejected(text, next_step=why.next_step)
    acts = sum(row.is_act(prune=body.prune) for row in rows)
    if acts > MAX_ACTS:
        raise ConfigError(
            f"{acts:,} changes in one request; at most {MAX_ACTS:,}, so that one undo takes all of them back",
            next_step="choose fewer devices: -l LABEL or -d NAME",
        )


def _act_texts(rows: Sequence[FleetRow], *, prune: bool) -> list[str]:
    """A line for each program: what is done with it where."""
    devices: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.is_act(prune=prune):
            devices.setdefault(("take off" if row.act == "extra" else row.act, row.name), []).append(row.device.name)
    return [f"{act} {name}: {names_text(names)}" for (act, name), names in devices.items()]


def _row_object(row: FleetRow) -> dict[str, Any]:
    return {
        "device": row.device.name,
        "name": row.name,
        "act": row.act,
        "differs": list(row.differs),
        "sha256": row.sha256,
        "foreign": row.foreign,
        "condition": row.condition,
        "error": None if row.error is None else failure_object(failure_of(row.error)),
        "blocked": None if row.blocked is None else failure_object(failure_of(row.blocked)),
    }


def _results(devices: Sequence[Device], acts: dict[str, DeviceActs]) -> dict[str, Any]:
    """`results` has one object a device with acts: `made`, and `error` where something failed."""
    rows: list[dict[str, Any]] = []
    for device in devices:
        if (done := acts.get(device.device_id)) is None:
            continue
        made = {
            "deployed": [to_builtins(Deployed.deployment(one)) for one in done.deployed],
            "removed": [to_builtins(Removed.of(one)) for one in done.removed],
            "deferred": [to_builtins(Deployed.later(one)) for one in done.deferred],
            "cancelled": list(done.cancelled),
            "left": list(done.left),
            "verified": all(one.verified for one in done.deployed),
        }
        error = {} if done.error is None else {"error": failure_object(failure_of(done.error))}
        rows.append({"device": device.name, "made": made, **error})
    return {"results": rows, "failed": sum("error" in row for row in rows), "left_out": []}


def _version_object(device: Device, version: AppVersion) -> dict[str, Any]:
    return {
        "device": device.name,
        "board": device.board.board_id,
        "sha256": version.sha256,
        "kind": version.kind,
        "heap_bytes": version.heap_bytes,
        "timers": version.timers,
        "watchdog_ms": version.watchdog_ms,
        "every_ms": None if version.times is None else version.times.every_ms,
        "stop_after_ms": None if version.times is None else version.times.stop_after_ms,
    }


async def _rebuilt(parts: HostParts, stored: ImageRow, board: BoardProfile, name: str) -> dict[str, Any]:
    """The source with the language and optimisation that make these very bytes of it; else the bytes."""
    languages: tuple[Language, ...] = ("c", "c++", "sketch")
    for level in LEVELS if stored.source is not None else ():
        for language in languages:
            assert stored.source is not None
            try:
                image = await parts.apps.compile(stored.source, board, name, level, language, ("wasm",))
            except (BuildError, UnknownName):
                continue
            if image.sha256 == stored.sha256:
                return {"suffix": SUFFIX[language], "source": stored.source, "optimization": level}
    return {"suffix": ".wasm", "wasm": base64.b64encode(stored.code).decode()}
