"""/v1/devices/NAME/explore: what the firmware of a board has. The act is in apps/explorer.py."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from microclaw.api.caller import CHANNEL, RequestCaller, admit, place_of, questions_in
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.apps.explorer import Exploration
from microclaw.auth.gate import Permission
from microclaw.wire.host_api import Result, StreamEvent


def explore_router(parts: HostParts) -> APIRouter:
    router = APIRouter(tags=["devices"])

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

    return router


def exploration_object(found: Exploration) -> dict[str, Any]:
    return {
        "device": found.device_name,
        "natives": sorted(found.findings.natives),
        "lacking_natives": sorted(found.findings.lacking_natives),
        "nodes": sorted(found.findings.nodes),
        "lacking_nodes": sorted(found.findings.lacking_nodes),
        "unknown": list(found.unknown),
        "firmware": list(found.words),
    }
