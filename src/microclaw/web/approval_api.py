"""/v1/approvals: what waits for a yes or a no, and the decision. The question itself is asked in policy."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from microclaw.policy.approval import Pending
from microclaw.policy.person import Role
from microclaw.web.caller import CHANNEL, By, Caller
from microclaw.web.parts import HostParts


class DecisionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    approved: bool


def approval_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/approvals", tags=["approvals"])

    @router.get("", summary="What waits for a decision; a member sees the own questions")
    async def list_approvals(by: By) -> dict[str, Any]:
        seen = [pending for pending in parts.approvals.pending() if _may_see(parts, by, pending)]
        return {"approvals": [_object(parts, pending, by) for pending in seen]}

    @router.post("/{approval_id}", summary="Decide: the first decision counts")
    async def decide(approval_id: str, body: DecisionBody, by: By) -> dict[str, Any]:
        settled = parts.approvals.decide(approval_id, approved=body.approved, by=by.principal)
        outcome = "approved" if body.approved else "declined"
        return {"approval_id": settled.approval_id, "outcome": outcome, "action": settled.action}

    return router


def _may_see(parts: HostParts, by: Caller, pending: Pending) -> bool:
    return pending.principal == by.principal or _role(parts, by.principal) == "owner"


def _role(parts: HostParts, person_id: str) -> Role | None:
    person = parts.people.get(person_id)
    return None if person is None else person.role


def _object(parts: HostParts, pending: Pending, by: Caller) -> dict[str, Any]:
    """`request`: which of this very token's requests waits for it, by its number."""
    own = f"{by.source}." if pending.channel == CHANNEL and not by.direct else None
    person = parts.people.get(pending.principal)
    return {
        "approval_id": pending.approval_id,
        "action": pending.action,
        "detail": list(pending.detail),
        "person": pending.principal if person is None else person.name,
        "channel": pending.channel,
        "risky": pending.risky,
        "request": pending.chat_id.removeprefix(own) if own and pending.chat_id.startswith(own) else None,
        "expires_s": round(parts.approvals.seconds_left(pending), 1),
    }
