"""/v1/subagents: who works in the background. An owner sees everybody's, others their own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from microclaw.policy.gate import Gate, Permission
from microclaw.tools.subagents import Workers, subagent_facts
from microclaw.web.caller import By


def subagent_router(workers: Workers, gate: Gate) -> APIRouter:
    router = APIRouter(prefix="/v1/subagents", tags=["subagents"])

    @router.get("", summary="Those that work, and the latest that ended")
    async def list_subagents(by: By) -> dict[str, Any]:
        gate.check(by.principal, Permission.READ, "list subagents")
        return {"subagents": [subagent_facts(one) for one in workers.list(by.principal)]}

    @router.delete("/{subagent_id}", summary="End it; what it has begun is finished")
    async def cancel(subagent_id: str, by: By) -> dict[str, Any]:
        gate.check(by.principal, Permission.ACT, f"cancel subagent {subagent_id[:40]}")
        return {"cancelled": workers.cancel(subagent_id, by.principal).subagent_id}

    return router
