"""/v1/devices: list, add, rename, show, call, logs, edges."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from microclaw.apps.explore import Acted
from microclaw.apps.together import made_by
from microclaw.devices.calls import Call, EdgesRead, GpioSet, LogsRead, PwmSet
from microclaw.policy.gate import Permission
from microclaw.web.caller import By, admit
from microclaw.web.calls import call_from, result_value
from microclaw.web.parts import HostParts
from microclaw.web.stream import evidence_object
from microclaw.web.views import device_object, pairing_objects

ACTING = frozenset({"gpio.set", "pwm.set", "apps.request", "apps.start", "apps.stop", "apps.undo"})
RISKY = frozenset({"device.restart"})  # a board forgets what it cannot bring back

Cursor = Annotated[int, Query(ge=0)]


class DeviceBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    board: str
    faces: Annotated[list[str], Field(min_length=1, max_length=8)]
    labels: Annotated[list[str], Field(max_length=16)] = []


class FacesBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    faces: Annotated[list[str], Field(min_length=1, max_length=8)]


class MergeBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    other: str


class RenameBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class CallBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    method: Annotated[str, Field(max_length=64)]
    arguments: dict[str, Any] = {}
    wait: bool = True  # for a device that is away
    timeout_s: Annotated[float, Field(gt=0, le=50)] | None = None


def device_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/devices", tags=["devices"])
    _route_entries(router, parts)
    _route_calls(router, parts)
    return router


def _route_entries(router: APIRouter, parts: HostParts) -> None:
    devices, gate = parts.devices, parts.gate

    @router.get("", summary="Every device, and those that wait to be paired")
    async def list_devices() -> dict[str, Any]:
        return {
            "devices": [device_object(device, parts.link) for device in devices.list()],
            "pairings": pairing_objects(parts.link) if parts.link is not None else [],
        }

    @router.post("", status_code=201, summary="Add a device by its faces")
    async def add_device(body: DeviceBody, by: By) -> dict[str, Any]:
        gate.check_owner(by.principal, "add devices")  # a face is an address or a file that this host then opens
        await admit(gate, by, Permission.ACT, f"add the device {body.name}", detail=body.faces)
        return device_object(await devices.add(body.name, body.board, body.faces, body.labels), parts.link)

    @router.get("/{name}", summary="One device")
    async def show_device(name: str) -> dict[str, Any]:
        return device_object(devices.get(name), parts.link)

    @router.patch("/{name}", summary="Rename a device")
    async def rename_device(name: str, body: RenameBody, by: By) -> dict[str, Any]:
        await admit(gate, by, Permission.ACT, f"rename {name} to {body.name}")
        return device_object(await devices.rename(name, body.name), parts.link)

    @router.delete("/{name}", summary="Forget a device; what runs on it goes on")
    async def remove_device(name: str, by: By) -> dict[str, Any]:
        device = devices.get(name)
        await admit(gate, by, Permission.RISKY, f"forget the device {device.name}")
        await devices.remove(device.device_id)  # what was shown, though names changed while somebody thought
        if parts.link is not None:
            await parts.link.forget(device)
        return {"removed": device.name}

    @router.post("/{name}/faces", summary="More ways into a device")
    async def add_faces(name: str, body: FacesBody, by: By) -> dict[str, Any]:
        gate.check_owner(by.principal, "add faces to devices")
        await admit(gate, by, Permission.ACT, f"give {name} more faces", detail=body.faces)
        return device_object(await devices.set_faces(name, (*devices.get(name).face_ids, *body.faces)), parts.link)

    @router.post("/{name}/merge", summary="Another entry is the same board: its faces and labels go to this one")
    async def merge_devices(name: str, body: MergeBody, by: By) -> dict[str, Any]:
        kept, gone = devices.get(name), devices.get(body.other)
        await admit(gate, by, Permission.RISKY, f"make {gone.name} one with {kept.name}")
        return device_object(await devices.merge(kept.device_id, gone.device_id), parts.link)


def _route_calls(router: APIRouter, parts: HostParts) -> None:
    devices = parts.devices

    @router.post("/{name}/call", summary="Call one method at once")
    async def call_device(name: str, body: CallBody, by: By) -> dict[str, Any]:
        device = devices.get(name)
        call = call_from(body.method, body.arguments)
        detail = [f"{key}: {value!r:.200}" for key, value in body.arguments.items()]
        await admit(parts.gate, by, _permission(call.method), f"{call.method} on {device.name}", detail=detail)
        if not body.wait:
            device.check_present(call)
        with made_by(f"{by.source}.{secrets.token_hex(4)}"):
            return await _call(parts, device.device_id, call, body.timeout_s)

    @router.get("/{name}/logs", summary="What the device's programs printed, since a cursor")
    async def read_logs(name: str, cursor: Cursor = 0) -> dict[str, Any]:
        page = await devices.get(name).call(LogsRead(cursor=cursor))
        return dict(result_value(page))

    @router.get("/{name}/edges", summary="Level changes the board counted, since a cursor")
    async def read_edges(name: str, cursor: Cursor = 0) -> dict[str, Any]:
        page = await devices.get(name).call(EdgesRead(cursor=cursor))
        return {
            "edges": [[e.t_ms, e.pin, e.level] for e in page.edges],
            "cursor": page.cursor,
            "dropped": page.dropped,
            "now_ms": page.now_ms,
        }


def _permission(method: str) -> Permission:
    if method in RISKY:
        return Permission.RISKY
    return Permission.ACT if method in ACTING else Permission.READ


async def _call(parts: HostParts, name: str, call: Call[Any], timeout_s: float | None) -> dict[str, Any]:
    """What sets a pin goes through the explorer, so that it can be undone; anything else straight to the device."""
    match call:
        case GpioSet(pin=pin, level=level):
            return _acted(await parts.explorer.set_pin(name, pin, level))
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            return _acted(await parts.explorer.set_pwm(name, pin, duty, frequency_hz))
        case _:
            return {"result": result_value(await parts.devices.get(name).call(call, timeout_s))}


def _acted(acted: Acted) -> dict[str, Any]:
    return {
        "result": result_value(acted.state),
        "evidence": evidence_object(acted.evidence),
        "change_id": acted.change_id,
        "warning": acted.warning,
    }
