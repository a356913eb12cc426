"""/v1/rollouts: updates of many boards in stages. Owners alone."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from microclaw.api.answers import answers, filled
from microclaw.api.caller import RequestCaller, admit
from microclaw.api.firmware_answers import (
    BegunRollout,
    OneRollout,
    RolloutBoard,
    RolloutFacts,
    RolloutFailure,
    RolloutList,
)
from microclaw.api.firmware_routes import chosen_devices
from microclaw.api.many_acts import Choice, device_names
from microclaw.api.parts import HostParts
from microclaw.auth.gate import Permission
from microclaw.devices.selection import names_text
from microclaw.ota.rollout import DEVICE_STATES
from microclaw.ota.rollout_plan import DEFAULT_STAGES, RolloutPlan, read_window
from microclaw.ota.rollout_service import RolloutOrder
from microclaw.ota.rollouts import OpenRollout, failures

MAX_FAILURES_SHOWN: Final = 50
Number = Annotated[int, Field(ge=1, lt=2**53)]


class RolloutBody(Choice):
    """What is left out is as RolloutPlan has it. `window`: "02:00-05:00", the host's local time."""

    version: Annotated[str, Field(min_length=1, max_length=40)]
    outdated: bool = False
    revisions: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=32)], ...], Field(max_length=16, strict=False)
    ] = ()
    stages: Annotated[str, Field(min_length=1, max_length=100)] = DEFAULT_STAGES
    healthy_share: float | None = None
    max_crashes: int | None = None
    device_s: float | None = None
    soak_s: float | None = None
    absent_s: float | None = None
    under_way: int | None = None
    per_minute: int | None = None
    window: Annotated[str, Field(max_length=11)] | None = None

    def limits(self) -> dict[str, object]:
        """The fields of RolloutPlan that are said."""
        names = ("healthy_share", "max_crashes", "device_s", "soak_s", "absent_s", "under_way", "per_minute")
        said = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return said if self.window is None else {**said, "window": read_window(self.window)}


def rollout_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/rollouts", tags=["firmware"])
    service, gate = parts.rollouts, parts.admission.gate

    @router.get("", summary="Rollouts, the newest first", responses=answers(RolloutList))
    async def list_rollouts(by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see rollouts")
        return {"rollouts": [rollout_object(parts, one) for one in await service.rollouts.all()]}

    @router.get("/{number}", summary="One rollout, with its boards", responses=answers(OneRollout))
    async def show(number: Number, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "see rollouts")
        return _with_boards(parts, await service.rollouts.get(number))

    @router.post(
        "",
        status_code=201,
        summary="Begin to update boards in stages; it stops by itself when a gate fails",
        responses=answers(BegunRollout, 201),
    )
    async def start(body: RolloutBody, by: RequestCaller, response: Response) -> dict[str, Any]:
        gate.check_owner(by.person_id, "roll updates out")
        RolloutPlan((1,), **body.limits())  # type: ignore[arg-type]  # a wrong limit is told before anybody is asked
        await parts.rollouts.publisher.find(body.version)  # likewise
        chosen = chosen_devices(parts, body)
        names = device_names(chosen)
        action = f"roll {body.version} out to {names_text(names)}"
        await admit(gate, by, Permission.RISKY, action, detail=names[:MAX_FAILURES_SHOWN])
        order = RolloutOrder(body.version, body.stages, body.outdated, body.limits(), body.revisions)
        begun = await service.begin(order, chosen, by.person_id)
        left_out = [{"device": name, "reason": why} for name, why in begun.left_out]
        response.headers["Location"] = f"/v1/rollouts/{begun.one.rollout_id}"
        return {**rollout_object(parts, begun.one), "left_out": left_out}

    @router.post("/{number}/undo", summary="Take its boards back to what they ran", responses=answers(RolloutList))
    async def undo(number: Number, by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "take rollouts back")
        one = await service.rollouts.get(number)
        await admit(gate, by, Permission.RISKY, f"take back rollout {number} of {one.version}")
        begun = await service.undo(number, by.person_id)
        return {"rollouts": [rollout_object(parts, each) for each in begun]}

    @router.post(
        "/{number}/{act}",
        summary="`pause`: no more offers; `resume`; `stop`: for good",
        responses=answers(RolloutFacts),
    )
    async def change(number: Number, act: Literal["pause", "resume", "stop"], by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "steer rollouts")
        acts = {"pause": service.rollouts.pause, "resume": service.rollouts.resume, "stop": service.rollouts.stop}
        await admit(gate, by, Permission.ACT, f"{act} rollout {number}")
        return rollout_object(parts, await acts[act](number))

    return router


def rollout_object(parts: HostParts, one: OpenRollout) -> dict[str, Any]:
    rollout, progress, plan = one.rollout, one.rollout.progress, one.rollout.plan
    bad = failures(rollout)[:MAX_FAILURES_SHOWN]
    return filled(
        RolloutFacts,
        progress,
        rollout=one.rollout_id,
        version=one.version,
        channel=one.channel,
        undoes=one.undoes,
        began_ms=one.began_ms,
        began_by=parts.admission.gate.name_of(one.person_id),
        stage=progress.stage + 1,
        stages=list(plan.stages),
        count=len(rollout.devices),
        counts={state: rollout.count(state) for state in DEVICE_STATES},
        window=None if plan.window is None else str(plan.window),
        failures=[filled(RolloutFailure, each, device=_name(parts, each.device_id)) for each in bad],
    )


def _with_boards(parts: HostParts, one: OpenRollout) -> dict[str, Any]:
    rows = one.rollout.devices.values()
    boards = [filled(RolloutBoard, each, device=_name(parts, each.device_id)) for each in rows]
    return {**rollout_object(parts, one), "boards": boards}


def _name(parts: HostParts, device_id: str) -> str:
    """Its name now; its id where it was removed."""
    return next((one.name for one in parts.devices.list() if one.device_id == device_id), device_id)
