"""/v1/devices: pair, provision, revoke, label, notify: what a person does about a device's own connection."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from microclaw.errors import ConfigError
from microclaw.faces.link.plane import DevicePlane
from microclaw.policy.gate import Permission
from microclaw.web.caller import By, Caller, admit, check_own_hand
from microclaw.web.parts import HostParts
from microclaw.web.views import device_object, pairing_objects


class PairBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(min_length=1, max_length=32)]
    name: str | None = None
    device: str | None = None


class ProvisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    board: str | None = None
    secret: bool = True
    host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    qr: bool = False


class LabelsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    labels: Annotated[list[str], Field(max_length=16)]


class NotifyBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=2000)]
    speak: bool = False
    expires_s: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] | None = None


def link_router(parts: HostParts) -> APIRouter:
    outer = APIRouter(tags=["devices"])
    router = APIRouter(prefix="/v1/devices")

    def link() -> DevicePlane:
        if parts.link is None:
            raise ConfigError("this host runs without a device plane", next_step="microclaw up --link 127.0.0.1:8443")
        return parts.link

    def check_owner(by: Caller, action: str) -> None:
        parts.gate.check_owner(by.principal, action)

    @router.post("/pair", status_code=201, summary="The device that shows this code is ours")
    async def pair(body: PairBody, by: By) -> dict[str, Any]:
        check_own_hand(parts.gate, by, "pair devices")
        device = await link().pair(body.code, name=body.name, device=body.device)
        return device_object(device, parts.link)

    @router.post("/provision", summary="What a new device needs to find this host and be paired")
    async def provision(body: ProvisionBody, by: By) -> dict[str, Any]:
        check_own_hand(parts.gate, by, "provision devices")
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

    @outer.get("/v1/pairings", summary="Devices that show a code and wait for a person; never the codes")
    async def pairings() -> dict[str, Any]:
        return {"pairings": pairing_objects(link())}

    @router.post("/{name}/revoke", summary="Nothing that the device has opens anything any more")
    async def revoke(name: str, by: By) -> dict[str, Any]:
        check_owner(by, "revoke devices")
        ended = await link().revoke(name)
        return {"device": parts.devices.get(name).name, "revoked": ended}

    @router.put("/{name}/labels", summary="Replace a device's labels")
    async def label(name: str, body: LabelsBody, by: By) -> dict[str, Any]:
        await admit(parts.gate, by, Permission.ACT, f"label {name}", detail=body.labels)
        return device_object(await parts.devices.label(name, body.labels), parts.link)

    @router.post("/{name}/notify", summary="Tell the device something: now, or when it comes back")
    async def notify(name: str, body: NotifyBody, by: By) -> dict[str, Any]:
        await admit(parts.gate, by, Permission.ACT, f"tell {name}", detail=(body.text,))
        noted = await link().notify(name, body.text, speak=body.speak, expires_s=body.expires_s)
        return {"device": parts.devices.get(name).name, "state": noted}

    outer.include_router(router)
    return outer
