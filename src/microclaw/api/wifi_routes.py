"""/v1/devices/NAME/wifi: the Wi-Fi networks that a board knows, a new one, one less. Owners alone; no model has it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, SecretStr

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, admit
from microclaw.api.device_answers import WifiBegun, WifiForgotten, WifiNetworksFacts
from microclaw.api.parts import HostParts
from microclaw.audit import AuditKind
from microclaw.auth.gate import Permission
from microclaw.devices.calls import WifiForget, WifiList, WifiSet, WifiTrial
from microclaw.devices.device import Device
from microclaw.errors import DeviceTimeout, DeviceUnreachable
from microclaw.text import clean_text

_LIST_S = 5.0
_MAX_SSID_CHARS = 32
_MAX_WHY_CHARS = 200

Ssid = Annotated[str, Field(min_length=1, max_length=_MAX_SSID_CHARS)]


class WifiBody(RequestBody):
    ssid: Ssid
    password: Annotated[SecretStr, Field(min_length=8, max_length=63)] | None = None
    later: bool = False  # only note it


class ForgetBody(RequestBody):
    ssid: Ssid


def wifi_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/devices/{name}/wifi", tags=["devices"])
    gate = parts.admission.gate

    @router.get(
        "",
        summary="The networks that the board knows, and how the trial of a new one ended",
        responses=answers(WifiNetworksFacts),
    )
    async def list_networks(name: str, by: RequestCaller) -> dict[str, Any]:
        device = parts.devices.get(name)
        gate.check_owner(by.person_id, "see the Wi-Fi networks of devices")
        device.transport_for(WifiList.method)
        try:
            found = await device.call(WifiList(), _LIST_S, wait=False)
        except (DeviceUnreachable, DeviceTimeout):
            return {"device": device.name, "online": False, "networks": [], "ssid": None, "trial": None}
        return {
            "device": device.name,
            "online": True,
            "networks": [_shown(ssid) for ssid in found.networks],
            "ssid": None if found.ssid is None else _shown(found.ssid),
            "trial": None if found.trial is None else _trial_object(found.trial),
        }

    @router.post(
        "",
        summary="Another network: tried first, and given up when the host is not reached over it",
        responses=answers(WifiBegun),
    )
    async def set_network(name: str, body: WifiBody, by: RequestCaller) -> dict[str, Any]:
        device = parts.devices.get(name)
        await _admit(device, f"give {device.name} the Wi-Fi {_shown(body.ssid)}", WifiSet.method, by)
        password = None if body.password is None else body.password.get_secret_value()
        trial = await device.call(WifiSet(body.ssid, password, body.later), wait=False)
        gate.note(AuditKind.DEVICE_CHANGED, f"Wi-Fi {_shown(body.ssid)}", by.person_id, about=device.name)
        return {"device": device.name, **_trial_object(trial)}

    @router.post(
        "/forget", summary="A network less; never the one that the board is in", responses=answers(WifiForgotten)
    )
    async def forget_network(name: str, body: ForgetBody, by: RequestCaller) -> dict[str, Any]:
        device = parts.devices.get(name)
        await _admit(device, f"have {device.name} forget the Wi-Fi {_shown(body.ssid)}", WifiForget.method, by)
        await device.call(WifiForget(body.ssid), wait=False)
        gate.note(AuditKind.DEVICE_CHANGED, f"Wi-Fi {_shown(body.ssid)} forgotten", by.person_id, about=device.name)
        return {"device": device.name, "forgotten": _shown(body.ssid)}

    async def _admit(device: Device, action: str, method: str, by: RequestCaller) -> None:
        gate.check_owner(by.person_id, "change the Wi-Fi of devices")
        device.transport_for(method)  # first: nobody is asked for what cannot be
        await admit(gate, by, Permission.RISKY, action)

    return router


def _trial_object(trial: WifiTrial) -> dict[str, Any]:
    why = None if trial.why is None else clean_text(trial.why, one_line=True, limit=_MAX_WHY_CHARS)
    return {"ssid": _shown(trial.ssid), "state": trial.state, "why": why, "seconds": trial.seconds}


def _shown(ssid: str) -> str:
    """A name that the board, or whoever is near it, chose."""
    return clean_text(ssid, one_line=True, limit=_MAX_SSID_CHARS)
