"""/v1/.../apps/NAME/cancel, and `when_back`: what a request does about a device that does not answer.

The acts themselves are apps/deferring.py's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Query

from microclaw.api.answers import answers
from microclaw.api.caller import Caller, RequestCaller, admit
from microclaw.api.device_answers import DeferralCancelled
from microclaw.api.parts import HostParts
from microclaw.api.views import deferral_object, deferred_act_object
from microclaw.apps.deferring import Deferral, away, offer_when_back
from microclaw.apps.late_proof import Place
from microclaw.auth.gate import Permission
from microclaw.devices.device import Device
from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError

WhenBack: TypeAlias = Annotated[
    bool, Query(description="Defer the act where a device does not answer: it is done when the device is back.")
]


def deferred_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])

    @router.post(
        "/v1/devices/{device}/apps/{name}/cancel",
        summary="Drop what is deferred until the device is back",
        responses=answers(DeferralCancelled),
    )
    async def cancel(device: str, name: str, by: RequestCaller) -> dict[str, Any]:
        found = parts.devices.get(device)
        await admit(parts.admission.gate, by, Permission.ACT, f"cancel what is deferred for {name} on {found.name}")
        act = await parts.apps.deferrals.cancel(found.device_id, name)
        return {"device": found.name, "name": act.name, "deferred": deferred_act_object(act)}

    return router


def late_place(by: Caller) -> Place | None:
    """Where the outcome is told: the terminal's chat. A program with a token reads the status and the events."""
    return Place(by.person_id, "terminal", "terminal") if by.direct else None


async def now_or_later(
    device: Device,
    now: Callable[[], Awaitable[dict[str, Any]]],
    later: Callable[[str], Awaitable[Deferral]],
    *,
    when_back: bool,
) -> dict[str, Any]:
    """Do it; where `when_back` is wanted and the device does not answer, defer it. `later` gets the reason."""
    if when_back and (why := await away(device)) is not None:
        return deferral_object(await later(why))
    async with offering_when_back():
        return await now()


@asynccontextmanager
async def offering_when_back() -> AsyncIterator[None]:
    """Inside, the error of a device that did not answer, and that nothing was begun on, names the way out."""
    try:
        yield
    except MicroclawError as exc:
        offer_when_back(exc)
        raise


async def permission_of(asked: Awaitable[Permission], *, when_back: bool) -> Permission:
    """What the act needs; the heaviest where a device that does not answer cannot say what is on it."""
    try:
        async with offering_when_back():
            return await asked
    except (DeviceUnreachable, DeviceTimeout):
        if when_back:
            return Permission.RISKY
        raise
