"""/v1/devices/NAME/telemetry and /v1/crashes: what devices measured, and how they failed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field

from microclaw.api.answers import LastValue, answers, filled
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, admit
from microclaw.api.device_answers import (
    ClearedCrashes,
    Crashes,
    CrashFacts,
    CrashReportFacts,
    OneCrash,
    Telemetry,
    TelemetryPoint,
)
from microclaw.api.parts import HostParts
from microclaw.apps.traps import EXCEPTION, trap_words
from microclaw.auth.gate import Permission
from microclaw.clock import now_ms
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError, UnknownName
from microclaw.store.crashes import CrashGroup, CrashReport, CrashTable
from microclaw.store.telemetry import Bucket
from microclaw.telemetry.history import MAX_POINTS, REASONS, TelemetryHistory, unit_of
from microclaw.text import count_text

DEFAULT_SPAN_MS: Final = 2 * 3_600_000
DEFAULT_POINTS: Final = 120
DAY_MS: Final = 86_400_000
Moment = Annotated[int, Query(ge=0, lt=2**53, description="Unix time in ms, of this host's clock")]


class ClearBody(RequestBody):
    crashes: Annotated[list[Annotated[int, Field(ge=1, lt=2**53)]], Field(max_length=500)] | None = None
    device: Annotated[str, Field(max_length=64)] | None = None


def telemetry_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["devices"])

    @router.get(
        "/devices/{name}/telemetry",
        summary="What a device measured, as fine as the time and points allow",
        responses=answers(Telemetry),
    )
    async def telemetry(
        name: str,
        key: Annotated[list[str] | None, Query(max_length=64, description="Only these series")] = None,
        since: Moment | None = None,
        until: Moment | None = None,
        points: Annotated[int, Query(ge=2, le=MAX_POINTS, description="At most so many of a series")] = DEFAULT_POINTS,
    ) -> dict[str, Any]:
        device = parts.devices.get(name)
        known = await parts.history.keys(device.device_id)
        unknown = [one for one in key or () if one not in known]
        if unknown:
            there = f"{device.name} has {', '.join(known)}" if known else f"{device.name} sent no telemetry yet"
            raise UnknownName(f"there is no series {unknown[0]!r:.80}", next_step=there)
        until_ms = now_ms() + 1 if until is None else until
        since_ms = until_ms - DEFAULT_SPAN_MS if since is None else since
        if since_ms >= until_ms:
            raise ConfigError("a time ends after it began", next_step="give an earlier `since`, or a later `until`")
        found = await parts.history.read(device.device_id, tuple(key or known), since_ms, until_ms, points)
        return filled(
            Telemetry,
            found,
            device=device.name,
            series=[
                {"key": one, "unit": unit_of(one), "points": [_point(bucket) for bucket in buckets]}
                for one, buckets in found.series.items()
            ],
            last=last_objects(parts.history, device.device_id),
            refused=refused_objects(parts.history, device.device_id),
        )

    return router


def crash_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/crashes", tags=["devices"])
    devices, crashes = parts.devices, CrashTable(parts.database)

    @router.get("", summary="The kinds of crash that boards reported, the newest first", responses=answers(Crashes))
    async def list_crashes(
        device: Annotated[list[str] | None, Query(max_length=64)] = None, since: Moment = 0
    ) -> dict[str, Any]:
        chosen = None if device is None else [devices.get(name).device_id for name in device]
        groups = await crashes.groups(since_ms=since, devices=chosen)
        return {"crashes": [crash_object(group, devices) for group in groups]}

    @router.get("/{crash_id}", summary="One kind of crash, with its newest reports", responses=answers(OneCrash))
    async def show_crash(crash_id: Annotated[int, Field(ge=1, lt=2**53)]) -> dict[str, Any]:
        group, reports = await crashes.reports(crash_id)
        text, step = _meaning(group, reports)
        return {
            **crash_object(group, devices),
            "text": text,
            "next": step,
            "reports": [_report_object(report, devices) for report in reports],
        }

    @router.post(
        "/clear",
        summary="Forget crashes: of these numbers, of a device, or all of them",
        responses=answers(ClearedCrashes),
    )
    async def clear(body: ClearBody, by: RequestCaller) -> dict[str, Any]:
        chosen = None if body.device is None else devices.get(body.device)
        which = "all crashes" if body.crashes is None else f"crashes {', '.join(map(str, body.crashes[:20]))}"
        of = "" if chosen is None else f" of {chosen.name}"
        await admit(parts.admission.gate, by, Permission.ACT, f"forget {which}{of}")
        count = await crashes.clear(body.crashes, None if chosen is None else [chosen.device_id])
        return {"cleared": count}

    return router


def last_objects(history: TelemetryHistory, device_id: str) -> list[dict[str, Any]]:
    """The last value of each series since the host started."""
    return [filled(LastValue, last, unit=unit_of(last.key)) for last in history.last(device_id)]


def refused_objects(history: TelemetryHistory, device_id: str) -> list[dict[str, Any]]:
    return [
        {"reason": reason, "count": count, "text": f"{count_text(count, 'value')} not kept: {REASONS[reason]}"}
        for reason, count in history.refused(device_id).items()
    ]


def crash_object(group: CrashGroup, devices: Registry) -> dict[str, Any]:
    names = [_name(devices, device_id) for device_id in group.devices]
    return filled(CrashFacts, group, id=group.crash_id, devices=names)


def crashes_of_a_day(groups: tuple[CrashGroup, ...]) -> dict[str, Any]:
    """For the status: how many kinds of crash the last day had, on how many boards."""
    return {"kinds": len(groups), "boards": len({device for group in groups for device in group.devices})}


def telemetry_refusals(history: TelemetryHistory, devices: Registry) -> list[dict[str, Any]]:
    """For the status: what was not kept of which device."""
    return [
        {"device": device.name, **refused}
        for device in devices.list()
        for refused in refused_objects(history, device.device_id)
    ]


def _meaning(group: CrashGroup, reports: tuple[CrashReport, ...]) -> tuple[str | None, str | None]:
    """The crash of a program in plain words, and what to do."""
    if group.kind != "program" or not reports:
        return None, None
    trap, _, said = reports[0].trace.partition("\n")
    if said and trap.startswith(EXCEPTION):
        return f"it trapped at {said}", "correct that line"
    return trap_words(reports[0].trace)


def _report_object(report: CrashReport, devices: Registry) -> dict[str, Any]:
    return filled(CrashReportFacts, report, device=_name(devices, report.device_id), log=list(report.log))


def _name(devices: Registry, device_id: str) -> str:
    return next((device.name for device in devices.list() if device.device_id == device_id), device_id)


def _point(bucket: Bucket) -> dict[str, Any]:
    return filled(TelemetryPoint, bucket, min=bucket.low, max=bucket.high)
