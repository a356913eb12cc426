"""/v1/devices: list, add, rename, show, call, edges."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from msgspec import to_builtins
from pydantic import Field

from microclaw.api.answers import DeviceFacts, Devices, OneDevice, answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import Caller, RequestCaller, admit, check_local_owner, place_of
from microclaw.api.check_routes import refuse_own
from microclaw.api.device_answers import (
    CallAnswer,
    Edges,
    NotedDevice,
    Pairings,
    ProvisionedBoards,
    ProvisionedDevice,
    Removed,
    RevokedDevice,
)
from microclaw.api.parts import HostParts
from microclaw.api.views import device_object, is_voice_only, layout_object, pairing_objects, pin_objects
from microclaw.apps.changes import made_by
from microclaw.apps.direct_io import PinChange
from microclaw.audit import AuditKind
from microclaw.auth.gate import Permission
from microclaw.auth.provisioning import Provision
from microclaw.boards.firmware import described_text, parse_firmware
from microclaw.boards.today import family_of, today_object
from microclaw.devices.call_text import call_from, call_words, result_value
from microclaw.devices.calls import Call, DeviceRestart, EdgesRead, GpioSet, PwmSet
from microclaw.devices.device import Device
from microclaw.errors import ConfigError
from microclaw.events import Evidence
from microclaw.link_server.server import LinkServer
from microclaw.telemetry.operations import last_values
from microclaw.wire.host_api import evidence_object

ACTING = frozenset({"gpio.set", "pwm.set", "apps.request", "apps.start", "apps.stop", "apps.undo"})
RISKY = frozenset({"device.restart"})  # a board forgets what it cannot bring back
MAX_LISTED = 1_000  # devices in one answer: the event loop makes it in one piece

Cursor = Annotated[int, Query(ge=0, lt=2**53)]  # what every reader of JSON keeps exact


class DeviceBody(RequestBody):
    name: str
    board: str
    transports: Annotated[list[str], Field(min_length=1, max_length=8)]
    labels: list[str] = Field([], max_length=16)
    firmware: list[str] = Field([], max_length=64)  # the words of a description (docs/firmware.md)


class FirmwareBody(RequestBody):
    firmware: Annotated[list[str], Field(max_length=64)]


class EndpointsBody(RequestBody):
    transports: Annotated[list[str], Field(min_length=1, max_length=8)]


class MergeBody(RequestBody):
    other: str


class RenameBody(RequestBody):
    name: str


class CallBody(RequestBody):
    method: Annotated[str, Field(max_length=64)]
    arguments: dict[str, Any] = Field({})
    wait: bool = True  # for a device that is away
    force: bool = False  # also on a pin that a program has
    timeout_s: Annotated[float, Field(gt=0, le=50)] | None = None


def device_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/devices", tags=["devices"])
    _route_entries(router, parts)
    _route_calls(router, parts)
    return router


def _route_entries(router: APIRouter, parts: HostParts) -> None:
    devices, gate = parts.devices, parts.admission.gate

    @router.get("", summary="The devices by name, and those that wait to be paired", responses=answers(Devices))
    async def list_devices(
        after: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
    ) -> dict[str, Any]:
        revoked = frozenset[str]() if parts.link is None else await parts.link.revoked()
        rest = [device for device in devices.list() if device.name > after]
        return {
            "devices": [
                {**device_object(device, parts.link), "revoked": device.device_id in revoked} for device in rest[:limit]
            ],
            "next": rest[limit - 1].name if len(rest) > limit else None,
            "pairings": await pairing_objects(parts.link),
        }

    @router.post("", status_code=201, summary="Add a device by its transports", responses=answers(DeviceFacts, 201))
    async def add_device(body: DeviceBody, by: RequestCaller, response: Response) -> dict[str, Any]:
        gate.check_owner(by.person_id, "add devices")  # a transport is an address or a file that this host then opens
        await refuse_own(parts, body.transports)
        detail = (*body.transports, *body.firmware)
        await admit(gate, by, Permission.ACT, f"add the device {body.name}", detail=detail)
        firmware = parse_firmware(body.firmware)
        added = await devices.add(
            body.name,
            body.board,
            body.transports,
            body.labels,
            firmware,
            reached=False,
            by=gate.name_of(by.person_id),
        )
        response.headers["Location"] = f"/v1/devices/{quote(added.name)}"
        return device_object(added, parts.link)

    @router.get("/{name}", summary="One device, and what works on such boards today", responses=answers(OneDevice))
    async def show_device(name: str) -> dict[str, Any]:
        device = devices.get(name)
        board, is_voice = device.board, is_voice_only(device)
        shown = device_object(device, parts.link)
        firmware = None if shown["link"] is None else shown["link"]["firmware"] or ""
        family = None if is_voice else family_of(board.board_id, board.chip, device.kinds, firmware)
        today = None if family is None else today_object(family, device.capabilities)
        checks = parts.apps.reconciler.status()
        problem = next((check.problem for check in checks if check.device_id == device.device_id), None)
        last = to_builtins(last_values(parts.history, device.device_id))
        shown["revoked"] = parts.link is not None and device.device_id in await parts.link.revoked()
        shown |= {"pins": pin_objects(board, device.labels), "layout": layout_object(board)}
        return {**shown, "today": today, "problem": problem, "telemetry": last}

    @router.patch("/{name}", summary="Rename a device", responses=answers(DeviceFacts))
    async def rename_device(name: str, body: RenameBody, by: RequestCaller) -> dict[str, Any]:
        await admit(gate, by, Permission.ACT, f"rename {name} to {body.name}")
        return device_object(await devices.rename(name, body.name, by=gate.name_of(by.person_id)), parts.link)

    @router.delete("/{name}", summary="Forget a device; what runs on it goes on", responses=answers(Removed))
    async def remove_device(name: str, by: RequestCaller) -> dict[str, Any]:
        device = devices.get(name)
        await admit(gate, by, Permission.RISKY, f"forget the device {device.name}")
        # by its id: what was shown, though names changed while somebody thought
        await devices.remove(device.device_id, by=gate.name_of(by.person_id))
        if parts.link is not None:
            await parts.link.forget(device, by=gate.name_of(by.person_id))
        return {"removed": device.name}

    @router.post("/{name}/transports", summary="More ways into a device", responses=answers(DeviceFacts))
    async def add_transports(name: str, body: EndpointsBody, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "add transports to devices")
        await refuse_own(parts, body.transports)
        await admit(gate, by, Permission.ACT, f"give {name} more transports", detail=body.transports)
        endpoints = (*devices.get(name).endpoints, *body.transports)
        return device_object(await devices.set_transports(name, endpoints, by=gate.name_of(by.person_id)), parts.link)

    @router.put(
        "/{name}/firmware",
        summary="Say what the firmware on the board has; what runs there is not touched",
        responses=answers(DeviceFacts),
    )
    async def describe_firmware(name: str, body: FirmwareBody, by: RequestCaller) -> dict[str, Any]:
        device, firmware = devices.get(name), parse_firmware(body.firmware)
        text = f"describe the firmware of {device.name}"
        await admit(gate, by, Permission.ACT, text, detail=(described_text(firmware.words),))
        described = await devices.describe_firmware(device.device_id, firmware, by=gate.name_of(by.person_id))
        return device_object(described, parts.link)

    @router.post(
        "/{name}/merge",
        summary="Another entry is the same board: its transports and labels go to this one",
        responses=answers(DeviceFacts),
    )
    async def merge_devices(name: str, body: MergeBody, by: RequestCaller) -> dict[str, Any]:
        kept, gone = devices.check_merge(name, body.other)  # first: nobody is asked for what is refused
        await admit(gate, by, Permission.RISKY, f"make {gone.name} one with {kept.name}")
        merged = await devices.merge(kept.device_id, gone.device_id, by=gate.name_of(by.person_id))
        return device_object(merged, parts.link)


def _route_calls(router: APIRouter, parts: HostParts) -> None:
    devices = parts.devices

    @router.post("/{name}/call", summary="Call one method at once", responses=answers(CallAnswer))
    async def call_device(name: str, body: CallBody, by: RequestCaller) -> dict[str, Any]:
        call = call_from(body.method, body.arguments)
        with made_by(place_of(by), by.person_id, by.conversation):
            return await call_one(parts, by, devices.get(name), call, body)

    @router.get("/{name}/edges", summary="Level changes the board counted, since a cursor", responses=answers(Edges))
    async def read_edges(name: str, cursor: Cursor = 0) -> dict[str, Any]:
        page = await devices.get(name).call(EdgesRead(cursor=cursor))
        return {
            "edges": [[e.t_ms, e.pin, e.level] for e in page.edges],
            "cursor": page.cursor,
            "dropped": page.dropped,
            "now_ms": page.now_ms,
        }


async def call_one(
    parts: HostParts, by: Caller, device: Device, call: Call[Any], body: CallBody, *, is_admitted: bool = False
) -> dict[str, Any]:
    """Do the call if the caller may; `is_admitted`: whoever has to be asked said yes to it on many devices."""
    permission = call_permission(call.method)
    insisted: tuple[str, ...] = ()
    action = call_words(call, device.name)
    parts.admission.gate.check(by.person_id, permission, action)
    conflict = await parts.apps.direct_io.conflict(device.device_id, call)  # first: nobody is asked for what is refused
    if conflict is not None:
        if not body.force or conflict.is_final:
            conflict.raise_refused(_insist_step(device.name, call.method))
        permission, insisted = Permission.RISKY, (conflict.text,)
    if not is_admitted or conflict is not None:
        detail = (*insisted, *call_detail(body))
        await admit(parts.admission.gate, by, permission, action, detail=detail, tool=call.method)
    if conflict is not None:
        parts.admission.gate.note(AuditKind.FORCED, f"{call.method}: {conflict.text}", by.person_id, about=device.name)
    if not body.wait:
        device.check_present(call)
    if permission is not Permission.READ and not isinstance(call, GpioSet | PwmSet):  # those are changes, with a line
        parts.admission.gate.note(AuditKind.CALL_ACTED, call.method, by.person_id, about=device.name)
    return await _call(parts, device.device_id, call, body.timeout_s, insisted)


def call_detail(body: CallBody) -> list[str]:
    return [f"{key}: {value!r:.200}" for key, value in body.arguments.items()]


def call_permission(method: str) -> Permission:
    if method in RISKY:
        return Permission.RISKY
    return Permission.ACT if method in ACTING else Permission.READ


def _insist_step(device: str, method: str) -> str:
    return f"or insist: microclaw exec --force {device} {method} ..."


async def _call(
    parts: HostParts, name: str, call: Call[Any], timeout_s: float | None, insisted: tuple[str, ...]
) -> dict[str, Any]:
    """A call that sets a pin goes through direct I/O, so that it can be undone; others go straight to the device."""
    match call:
        case GpioSet(pin=pin, level=level):
            return _acted(await parts.apps.direct_io.set_pin(name, pin, level, insist=insisted))
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            return _acted(await parts.apps.direct_io.set_pwm(name, pin, duty, frequency_hz, insist=insisted))
        case DeviceRestart():
            restart = await parts.devices.get(name).call(call, timeout_s)
            evidence = Evidence("reported", f"it came back in another boot {restart.seconds:g} s after it was asked")
            return {"result": result_value(restart), "evidence": evidence_object(evidence)}
        case _:
            return {"result": result_value(await parts.devices.get(name).call(call, timeout_s))}


def _acted(pin_change: PinChange) -> dict[str, Any]:
    return {
        "result": result_value(pin_change.state),
        "evidence": evidence_object(pin_change.evidence),
        "change_id": pin_change.change_id,
        "warning": pin_change.warning,
    }


class PairBody(RequestBody):
    code: Annotated[str, Field(min_length=1, max_length=32)]
    name: str | None = None
    device: str | None = None
    board: str | None = None


class ProvisionBody(RequestBody):
    name: str
    board: str | None = None
    secret: bool = True
    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    qr: bool = False


class BatchBody(RequestBody):
    """`count` boards to come, called PREFIX001 and so on: numbers whose names are free."""

    count: Annotated[int, Field(ge=1, le=500)]
    prefix: Annotated[str, Field(min_length=1, max_length=24)] = "board-"
    board: str | None = None
    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    days: Annotated[int, Field(ge=1, le=366)] = 90


class LabelsBody(RequestBody):
    labels: Annotated[list[str], Field(max_length=16)]


class NotifyBody(RequestBody):
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    speak: bool = False
    expires_s: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] | None = None


def link_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["devices"])

    def link() -> LinkServer:
        if parts.link is None:
            raise ConfigError("this host has no link for devices", next_step="microclaw up --link 127.0.0.1:8443")
        return parts.link

    @router.post(
        "/devices/pair",
        status_code=201,
        summary="The device that shows this code is ours",
        responses=answers(DeviceFacts, 201),
    )
    async def pair(body: PairBody, by: RequestCaller, response: Response) -> dict[str, Any]:
        check_local_owner(parts.admission.gate, by, "pair devices")
        who = parts.admission.gate.name_of(by.person_id)
        device = await link().pair(body.code, name=body.name, device=body.device, board=body.board, by=who)
        response.headers["Location"] = f"/v1/devices/{quote(device.name)}"
        return device_object(device, parts.link)

    @router.post(
        "/devices/provision",
        summary="What a new device needs to find this host and be paired",
        responses=answers(ProvisionedDevice),
    )
    async def provision(body: ProvisionBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(parts.admission.gate, by, "provision devices")
        made = await link().provision(body.name, board=body.board, with_secret=body.secret, host=body.host)
        return {
            "name": body.name,
            "host": made.host,
            "only_local": link().is_local,
            "port": made.port,
            "ca_sha256": made.ca_sha256,
            "secret": made.secret,
            "expires_ms": made.expires_ms,
            "text": made.to_text(),
            "file": made.to_json(),
            "qr": await asyncio.to_thread(made.qr) if body.qr else None,
        }

    @router.post(
        "/devices/provision-batch",
        summary="The same for many new devices, each with a name and a secret",
        responses=answers(ProvisionedBoards),
    )
    async def provision_batch(body: BatchBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(parts.admission.gate, by, "provision devices")
        life_ms = body.days * 24 * 3_600_000
        made = await link().provision_many(body.prefix, body.count, board=body.board, host=body.host, life_ms=life_ms)
        return {
            "boards": [_batch_object(one) for one in made],
            "expires_ms": made[0].expires_ms,
            "only_local": link().is_local,
        }

    @router.get(
        "/pairings",
        summary="Devices that show a code and wait for a person; never the codes",
        responses=answers(Pairings),
    )
    async def pairings() -> dict[str, Any]:
        return {"pairings": await pairing_objects(link())}

    @router.post(
        "/devices/{name}/revoke",
        summary="Nothing that the device has opens anything any more",
        responses=answers(RevokedDevice),
    )
    async def revoke(name: str, by: RequestCaller) -> dict[str, Any]:
        parts.admission.gate.check_owner(by.person_id, "revoke devices")
        ended = await link().revoke(name, by=parts.admission.gate.name_of(by.person_id))
        return {"device": parts.devices.get(name).name, "revoked": ended}

    @router.put("/devices/{name}/labels", summary="Replace a device's labels", responses=answers(DeviceFacts))
    async def label(name: str, body: LabelsBody, by: RequestCaller) -> dict[str, Any]:
        await admit(parts.admission.gate, by, Permission.ACT, f"label {name}", detail=body.labels)
        labelled = await parts.devices.label(name, body.labels, by=parts.admission.gate.name_of(by.person_id))
        return device_object(labelled, parts.link)

    @router.post(
        "/devices/{name}/notify",
        summary="Tell the device something: now, or when it comes back",
        responses=answers(NotedDevice),
    )
    async def notify(name: str, body: NotifyBody, by: RequestCaller) -> dict[str, Any]:
        await admit(parts.admission.gate, by, Permission.ACT, f"tell {name}", detail=(body.text,))
        noted = await link().notify(name, body.text, speak=body.speak, expires_s=body.expires_s)
        return {"device": parts.devices.get(name).name, "state": noted}

    return router


def _batch_object(made: Provision) -> dict[str, Any]:
    """One board of a batch: what its label and the table say. `expires` is a day (UTC)."""
    expires = datetime.fromtimestamp((made.expires_ms or 0) / 1000, UTC)
    keys = ("name", "host", "port", "ca_sha256", "secret")
    return {**{key: getattr(made, key) for key in keys}, "line": made.uri, "expires": expires.date().isoformat()}
