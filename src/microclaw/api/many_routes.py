"""/v1/call with a choice of devices: one request calls many boards and tells what became of each."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from microclaw.api.answers import answers
from microclaw.api.caller import RequestCaller, admit, place_of
from microclaw.api.device_answers import CallsOnMany
from microclaw.api.device_routes import CallBody, call_detail, call_one, call_permission
from microclaw.api.many_acts import Choice, device_names, devices_text, results_object
from microclaw.api.parts import HostParts
from microclaw.apps.changes import made_by
from microclaw.apps.many import on_each
from microclaw.devices.call_text import call_from, call_words
from microclaw.devices.device import Device


class ManyCallBody(CallBody, Choice):
    """A call, and the devices that are called."""


def many_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["apps"])

    @router.post("/v1/call", summary="Call one method of many devices at once", responses=answers(CallsOnMany))
    async def call_many(body: ManyCallBody, by: RequestCaller) -> dict[str, Any]:
        call = call_from(body.method, body.arguments)
        chosen = body.selected(parts, call.method)
        text, permission = call_words(call, devices_text(chosen.devices)), call_permission(call.method)
        detail = (*device_names(chosen.devices), *call_detail(body))
        await admit(parts.admission.gate, by, permission, text, detail=detail, tool=call.method)

        async def one(device: Device) -> dict[str, Any]:
            return await call_one(parts, by, device, call, body, is_admitted=True)

        with made_by(place_of(by), by.person_id, by.conversation):
            return results_object(chosen, await on_each(chosen.devices, one))

    return router
