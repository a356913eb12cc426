"""/v1/devices/NAME/update: an image of xiaozhi's firmware that a person lets one device take, and the way back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, admit
from microclaw.api.device_answers import XiaozhiUpdate, XiaozhiUpdateCancelled
from microclaw.api.parts import HostParts
from microclaw.auth.gate import Permission
from microclaw.devices.device import Device
from microclaw.errors import ConfigError
from microclaw.wire.xiaozhi import SCHEME, credential_of


class UpdateBody(RequestBody):
    version: Annotated[str, Field(max_length=32)]
    sha256: Annotated[str, Field(min_length=64, max_length=64)]


def credential_in(device: Device) -> str | None:
    """The id under which a device with xiaozhi's firmware is known; None for another device."""
    macs = (one.removeprefix(SCHEME) for one in device.endpoints if one.startswith(SCHEME))
    return next((credential_of(mac) for mac in macs), None)


async def xiaozhi_object(parts: HostParts, device: Device) -> dict[str, Any] | None:
    """What `device show` tells of its firmware; None for another device, and while their server is off."""
    updates, credential = parts.xiaozhi(), credential_in(device)
    if updates is None or credential is None:
        return None
    return updates.to_json(await updates.plan(credential))


def xiaozhi_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/devices", tags=["devices"])

    @router.post(
        "/{name}/update",
        summary="Let a device with xiaozhi's firmware take a newer one at its next start",
        responses=answers(XiaozhiUpdate),
    )
    async def update(name: str, body: UpdateBody, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "let devices take a firmware")
        device = parts.devices.get(name)
        updates, credential = parts.xiaozhi(), credential_in(device)
        if credential is None:
            raise ConfigError(
                f"{device.name} has not xiaozhi's firmware: this host cannot update it over the air",
                next_step="microclaw flash writes one by cable (docs/flash.md)",
            )
        if updates is None:
            raise ConfigError("the server for xiaozhi's devices is off", next_step="microclaw status says why")
        image = await updates.check(credential, body.version, body.sha256)  # first: nobody is asked for what is refused
        action = f"let {device.name} take the firmware {image.version}"
        detail = (f"file: {image.file}", f"SHA-256: {image.sha256}", "its firmware checks no signature")
        await admit(parts.gate, by, Permission.RISKY, action, detail=detail)
        person = parts.gate.name_of(by.person_id)
        await updates.agree(credential, body.version, body.sha256, by=person, device=device.name)
        return {"device": device.name, "xiaozhi": updates.to_json(await updates.plan(credential))}

    @router.delete(
        "/{name}/update",
        summary="Take the yes to an update back; what was fetched stays",
        responses=answers(XiaozhiUpdateCancelled),
    )
    async def cancel(name: str, by: RequestCaller) -> dict[str, Any]:
        parts.gate.check_owner(by.person_id, "let devices take a firmware")
        device = parts.devices.get(name)
        updates, credential = parts.xiaozhi(), credential_in(device)
        ended = None if updates is None or credential is None else await updates.cancel(credential)
        return {"device": device.name, "cancelled": None if ended is None else ended.version}

    return router
