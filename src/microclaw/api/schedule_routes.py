"""/v1/schedules and /v1/subagents: later and background work. Owners see everybody's, others their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL, Caller, RequestCaller, admit
from microclaw.api.host_answers import (
    CancelledSubagent,
    NewSchedule,
    OneSchedule,
    RemovedSchedule,
    ScheduleFacts,
    ScheduleList,
    Subagents,
)
from microclaw.auth.gate import Gate, Permission
from microclaw.events import Step
from microclaw.schedules.entry import Schedule
from microclaw.schedules.runner import Runner
from microclaw.store.schedules import Missed, RunRow
from microclaw.tools.scheduling import AddParameters, Scheduling
from microclaw.tools.subagents import Workers, subagent_facts
from microclaw.tools.tool import ToolContext


@dataclass(frozen=True, slots=True)
class ScheduleParts:
    """What the routes work with."""

    gate: Gate
    scheduling: Scheduling
    runner: Runner
    subagents: Workers


class ScheduleBody(RequestBody):
    """`do` in words, or `tool` with its `arguments`."""

    when: Annotated[str, Field(min_length=1, max_length=200)]
    do: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    tool: Annotated[str, Field(max_length=80)] | None = None
    arguments: dict[str, Any] | None = None
    timezone: Annotated[str, Field(max_length=64)] | None = None
    missed: Missed | None = None
    device: Annotated[str, Field(max_length=80)] | None = None


def schedule_router(parts: ScheduleParts) -> APIRouter:
    router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
    scheduling, gate, book = parts.scheduling, parts.gate, parts.scheduling.book

    def facts(schedule: Schedule) -> dict[str, Any]:
        return {**scheduling.facts(schedule), "by": gate.name_of(schedule.person_id)}

    @router.get("", summary="Schedules, oldest first", responses=answers(ScheduleList))
    async def list_schedules(by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.READ, "list schedules")
        return {"zone": book.zone, "schedules": [facts(one) for one in await book.visible(by.person_id)]}

    @router.post("", status_code=201, summary="Make a schedule", responses=answers(NewSchedule, 201))
    async def add(body: ScheduleBody, by: RequestCaller, response: Response) -> dict[str, Any]:
        asked = AddParameters(**body.model_dump())
        context = _context(by, body.device)
        gate.check(by.person_id, Permission.ACT, f"schedule {asked.when_text}")
        plan = await scheduling.plan(asked, context)
        await admit(gate, by, plan.permission, plan.action, detail=plan.detail, chat_id=context.chat_id)
        made = await scheduling.keep(plan, asked, context)
        response.headers["Location"] = f"/v1/schedules/{made.schedule_id}"
        return {**facts(made), "warning": scheduling.warning(made, plan)}

    @router.get("/{number}", summary="A schedule and its latest runs", responses=answers(OneSchedule))
    async def show(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.READ, "look at schedules")
        found = await book.of(number, by.person_id)
        return {**facts(found), "runs": [_run(row) for row in await book.runs(number)]}

    @router.post(
        "/{number}/run",
        status_code=202,
        summary="Run it now; its own times stay",
        responses=answers(ScheduleFacts, 202),
    )
    async def run(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"run schedule {number}")
        return facts(await parts.runner.run_now(number, by.person_id))

    @router.post(
        "/{number}/pause",
        summary="Not due until it is resumed; what is missed is not made up for",
        responses=answers(ScheduleFacts),
    )
    async def pause(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"pause schedule {number}")
        return facts(await book.pause(number, by.person_id))

    @router.post("/{number}/resume", summary="Make a paused one due again", responses=answers(ScheduleFacts))
    async def resume(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"resume schedule {number}")
        return facts(await book.resume(number, by.person_id))

    @router.delete("/{number}", summary="Remove it", responses=answers(RemovedSchedule))
    async def remove(number: int, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"remove schedule {number}")
        gone = await book.remove(number, by.person_id)
        return {"removed": number, "when": gone.said, "what": gone.what}

    return router


def _context(by: Caller, device: str | None) -> ToolContext:
    """A schedule made on the command line reports to the terminal chat."""
    if by.direct:
        return ToolContext(by.person_id, _no_report, device)
    return ToolContext(by.person_id, _no_report, device, CHANNEL, by.source)


def _run(row: RunRow) -> dict[str, Any]:
    return {
        "due": datetime.fromtimestamp(row.due_ms / 1000, UTC).isoformat(timespec="seconds"),
        "state": row.state,
        "asked_model": row.woke,
        "result": row.result,
    }


def _no_report(_: Step) -> None:
    """Steps of making a schedule are not shown."""


def subagent_router(workers: Workers, gate: Gate) -> APIRouter:
    router = APIRouter(prefix="/v1/subagents", tags=["subagents"])

    @router.get("", summary="Those that work, and the latest that ended", responses=answers(Subagents))
    async def list_subagents(by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.READ, "list subagents")
        return {"subagents": [subagent_facts(one) for one in workers.list(by.person_id)]}

    @router.delete(
        "/{subagent_id}", summary="End it; what it has begun is finished", responses=answers(CancelledSubagent)
    )
    async def cancel(subagent_id: str, by: RequestCaller) -> dict[str, Any]:
        gate.check(by.person_id, Permission.ACT, f"cancel subagent {subagent_id[:40]}")
        return {"cancelled": workers.cancel(subagent_id, by.person_id).subagent_id}

    return router
