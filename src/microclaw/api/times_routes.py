"""/v1/.../apps/NAME/times: when a program runs, of one device and of many. The act is in apps/upgrade.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from microclaw.api.body import RequestBody, Whole
from microclaw.api.caller import CHANNEL, RequestCaller, admit, place_of, questions_in
from microclaw.api.jobs import Feed
from microclaw.api.many_acts import (
    Choice,
    EachBoard,
    Outcome,
    act_on_many,
    devices_text,
    having,
    outcome_step,
    outcome_text,
)
from microclaw.api.parts import HostParts
from microclaw.api.views import times_set_object
from microclaw.apps.changes import made_by
from microclaw.apps.many import SharedStages
from microclaw.apps.upgrade import NewTimes
from microclaw.auth.gate import Permission
from microclaw.devices.calls import AppInstall
from microclaw.devices.device import Device
from microclaw.errors import ConfigError
from microclaw.events import AskedProgram, Step
from microclaw.wire.host_api import Result, StreamEvent


class TimesBody(RequestBody):
    """A time that is not given stays as it is; null drops it."""

    every_ms: Whole | None = None
    stop_after_ms: Whole | None = None

    def new_times(self) -> NewTimes:
        given = self.model_fields_set & {"every_ms", "stop_after_ms"}
        if not given:
            raise ConfigError("nothing to set", next_step="give --every TIME or --stop-after TIME, or off for one")
        new = NewTimes()
        if "every_ms" in given:
            new["every_ms"] = self.every_ms
        if "stop_after_ms" in given:
            new["stop_after_ms"] = self.stop_after_ms
        return new


class ManyTimesBody(TimesBody, Choice):
    """Times, and the devices whose program gets them."""


def route_times(router: APIRouter, parts: HostParts) -> None:

    @router.post("/v1/devices/{device}/apps/{name}/times", summary="When a program runs; steps as JSON lines")
    async def set_times(device: str, name: str, body: TimesBody, by: RequestCaller) -> StreamingResponse:
        found, new = parts.devices.get(device), body.new_times()
        text, place = f"set when {name} runs on {found.name}", place_of(by)
        parts.admission.gate.check(by.person_id, Permission.ACT, text)

        async def approve(asked: str, detail: Sequence[str], program: AskedProgram | None = None) -> None:
            await admit(parts.admission.gate, by, Permission.ACT, asked, detail=detail, chat_id=place, program=program)

        async def do(feed: Feed) -> StreamEvent:
            asking = questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place)
            with made_by(place, by.person_id, by.conversation), asking:
                approving = None if by.direct else approve
                made = await parts.apps.upgrader.set_times(found.device_id, name, new, feed.put, approve=approving)
                return Result(times_set_object(made))

        return parts.stream(by, f"times of {name}", do)

    @router.post("/v1/apps/{name}/times", summary="When a program runs, on those of many devices that have it")
    async def set_times_on_many(name: str, body: ManyTimesBody, by: RequestCaller) -> StreamingResponse:
        new, chosen = body.new_times(), body.selected(parts, AppInstall.method)
        if not body.devices:
            chosen = await having(parts, chosen, name, stopped=False)

        def begin(feed: Feed) -> EachBoard:
            stages = SharedStages(feed.put)

            async def one(device: Device) -> dict[str, Any]:
                def report(step: Step) -> None:
                    stages.show(device.name, step)

                return times_set_object(await parts.apps.upgrader.set_times(device.device_id, name, new, report))

            def ended(outcome: Outcome) -> None:
                feed.put(outcome_step(outcome, "" if outcome.value is None else outcome_text(outcome.value)))

            return one, ended

        text = f"set when {name} runs on {devices_text(chosen.devices)}"
        return act_on_many(parts, by, chosen, f"times of {name}", text, begin)
