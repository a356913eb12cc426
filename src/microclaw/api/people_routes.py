"""/v1/approvals, /v1/people, /v1/tokens, /v1/usage. Only an owner on the control socket changes people and tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from microclaw.api.answers import Approval, WaitingApproval, WaitingApprovals, answers, filled
from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL, Caller, RequestCaller, check_local_owner
from microclaw.api.device_answers import Removed
from microclaw.api.parts import HostParts
from microclaw.api.people_answers import NewToken, PasswordSet, PeopleFacts, PersonFacts, TokenFacts, Tokens, Usage
from microclaw.auth.approvals import PendingApproval
from microclaw.auth.people import OWNER, Person, Role, person_behind
from microclaw.auth.sign_ins import MAX_CHARS
from microclaw.auth.tokens import Scope, Token
from microclaw.config.settings import BudgetSettings
from microclaw.errors import UnknownName
from microclaw.events import AskedProgram
from microclaw.models.usage import UsageReport
from microclaw.store.usage import KEPT_DAYS, UsageCount, UsageGroup

if TYPE_CHECKING:
    from microclaw.cluster.questions import RemoteQuestion

WaitSeconds = Annotated[float, Query(ge=0, le=60, description="How long to wait for the act's end, in seconds")]


class DecisionBody(RequestBody):
    approved: bool


def approval_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/approvals", tags=["approvals"])

    @router.get(
        "",
        summary="What waits for a decision; a member sees the own questions",
        responses=answers(WaitingApprovals),
    )
    async def list_approvals(by: RequestCaller) -> dict[str, Any]:
        everybody = _is_owner(parts, by)
        seen = [
            pending for pending in parts.admission.approvals.pending() if everybody or pending.person_id == by.person_id
        ]
        told = [_object(parts, pending, by, parts.admission.approvals.seconds_left(pending)) for pending in seen]
        if parts.elsewhere is not None:
            others = await parts.elsewhere.pending()
            seen_there = [one for one in others if everybody or one.pending.person_id == by.person_id]
            told += [_object(parts, one.pending, by, one.left_s) for one in seen_there]
        return {"approvals": told}

    @router.post(
        "/{approval_id}",
        summary="Decide: the first decision counts; a yes also tells how the act ended",
        responses=answers(Approval),
    )
    async def decide(
        approval_id: str, body: DecisionBody, by: RequestCaller, wait_s: WaitSeconds = 5.0
    ) -> dict[str, Any]:
        there = None
        if parts.elsewhere is None or _waits_here(parts, approval_id) is not None:
            settled = parts.admission.approvals.decide(approval_id, approved=body.approved, by=by.person_id)
        else:
            there = await parts.elsewhere.decide(approval_id, approved=body.approved, by=by.person_id)
            settled = there.pending
        told = {"approval_id": settled.approval_id, "action": settled.action}
        if not body.approved:
            return {**told, "outcome": "declined"}
        return {**told, "outcome": "approved", "end": await _end(parts, approval_id, wait_s, there)}

    @router.get(
        "/{approval_id}",
        summary="One question with its program; whether it still waits, or how the act ended that was said yes to",
        responses=answers(Approval),
    )
    async def one_approval(approval_id: str, by: RequestCaller, wait_s: WaitSeconds = 0.0) -> dict[str, Any]:
        approvals = parts.admission.approvals
        waiting = _waits_here(parts, approval_id)
        pending, there = waiting or approvals.approved(approval_id), None
        if pending is None and parts.elsewhere is not None:
            there = await parts.elsewhere.find(approval_id)
            pending = None if there is None else there.pending
            waiting = None if there is None or not there.left_s else there.pending
        if pending is None or not (_is_owner(parts, by) or pending.person_id == by.person_id):
            raise UnknownName(
                f"there is no approval {approval_id[:40]!r}: it was declined, or its time is over",
                next_step="microclaw approval list",
            )
        left_s = approvals.seconds_left(pending) if there is None else there.left_s
        told = {**_object(parts, pending, by, left_s), "program": _program(pending.program)}
        if waiting is not None:
            return {**told, "outcome": None}
        return {**told, "outcome": "approved", "end": await _end(parts, approval_id, wait_s, there)}

    return router


def _waits_here(parts: HostParts, approval_id: str) -> PendingApproval | None:
    return next((one for one in parts.admission.approvals.pending() if one.approval_id == approval_id), None)


async def _end(parts: HostParts, approval_id: str, wait_s: float, there: RemoteQuestion | None) -> dict[str, Any]:
    if there is None or parts.elsewhere is None:
        end = await parts.admission.approvals.end(approval_id, wait_s)
    else:
        end = await parts.elsewhere.end(there, wait_s)
    if end is None:
        return {"state": "under_way", "next": f"GET /v1/approvals/{approval_id} tells the end"}
    told = {"state": end.state, "why": end.why, "code": end.code, "next": end.next_step}
    return {key: value for key, value in told.items() if value}


def _is_owner(parts: HostParts, by: Caller) -> bool:
    person = parts.admission.people.get(by.person_id)
    return person is not None and person.role == "owner"


def _object(parts: HostParts, pending: PendingApproval, by: Caller, left_s: float) -> dict[str, Any]:
    """`request`: the number of this token's own request that waits for it."""
    own = f"{by.source}." if pending.channel == CHANNEL and not by.direct else None
    person = parts.admission.people.get(pending.person_id)
    return filled(
        WaitingApproval,
        pending,
        person=pending.person_id if person is None else person.name,
        channel=pending.door,
        request=pending.chat_id.removeprefix(own) if own and pending.chat_id.startswith(own) else None,
        expires_s=round(left_s, 1),
    )


def _program(program: AskedProgram | None) -> dict[str, Any] | None:
    if program is None:
        return None
    edges = [[round(edge.t_ms, 3), edge.pin, edge.level] for edge in program.edges]
    return {**asdict(program), "edges": edges}


class PairPersonBody(RequestBody):
    code: Annotated[str, Field(min_length=1, max_length=32)]
    name: Annotated[str, Field(max_length=400)] | None = None
    role: Role | None = None


class PersonBody(RequestBody):
    name: Annotated[str, Field(min_length=1, max_length=400)]
    role: Role


class RoleBody(RequestBody):
    role: Role


class NewPasswordBody(RequestBody):
    password: Annotated[str, Field(min_length=1, max_length=4 * MAX_CHARS)]


class TokenBody(RequestBody):
    name: Annotated[str, Field(min_length=1, max_length=400)]
    person: Annotated[str, Field(max_length=80)] = OWNER.person_id
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    scope: Scope = "all"


def people_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/people", tags=["people"])
    people, gate = parts.admission.people, parts.admission.gate

    @router.get("", summary="Who this host knows, and who asks to be let in", responses=answers(PeopleFacts))
    async def list_people(by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "list people")
        asking = [
            {"channel": row.place, "name": row.about, "seconds_left": round(left_s)}
            for row, left_s in await people.asking()
        ]
        return {"people": [_person(parts, person) for person in people.list()], "asking": asking}

    @router.post(
        "/pair", status_code=201, summary="Whoever shows this code is let in", responses=answers(PersonFacts, 201)
    )
    async def pair(body: PairPersonBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "let people in")
        person = await people.pair(body.code, body.role, body.name)
        channel, address = people.addresses(person.person_id)[-1]
        await parts.conversations.inbox.outbox.push(channel, address, _welcome(person), person=person.person_id)
        return _person(parts, person)

    @router.post(
        "",
        status_code=201,
        summary="Somebody without a channel: they come in by a link or a password",
        responses=answers(PersonFacts, 201),
    )
    async def add(body: PersonBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "let people in")
        return _person(parts, await people.add(body.name, body.role))

    @router.patch("/{name}", summary="Another role, from the next request on", responses=answers(PersonFacts))
    async def change_role(name: str, body: RoleBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "change roles")
        return _person(parts, await people.change_role(name, body.role))

    @router.delete(
        "/{name}",
        summary="Forget somebody, with their addresses, tokens, password and sessions",
        responses=answers(Removed),
    )
    async def remove(name: str, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "remove people")
        return {"removed": (await people.remove(name)).name}

    @router.put(
        "/{name}/password", summary="A new password; every session of the person ends", responses=answers(PasswordSet)
    )
    async def set_password(name: str, body: NewPasswordBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "set passwords")
        return {"person": (await parts.admission.sign_ins.set_password(name, body.password)).name}

    @router.delete(
        "/{name}/password", summary="No password any more; every session of the person ends", responses=answers(Removed)
    )
    async def remove_password(name: str, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "remove passwords")
        return {"removed": (await parts.admission.sign_ins.remove_password(name)).name}

    return router


def token_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/tokens", tags=["people"])
    tokens, gate = parts.admission.tokens, parts.admission.gate

    @router.get("", summary="Tokens, never their secrets", responses=answers(Tokens))
    async def list_tokens(by: RequestCaller) -> dict[str, Any]:
        gate.check_owner(by.person_id, "list tokens")
        return {"tokens": [_token(token) for token in await tokens.list()]}

    @router.post(
        "", status_code=201, summary="A new token; its secret is in this answer alone", responses=answers(NewToken, 201)
    )
    async def create(body: TokenBody, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "make tokens")
        person = parts.admission.people.named(body.person)
        secret = await tokens.create(body.name, person.person_id, days=body.days, scope=body.scope)
        made = next(token for token in await tokens.list() if token.name == body.name)
        return {**_token(made), "secret": secret}

    @router.delete("/{name}", summary="End a token", responses=answers(Removed))
    async def remove(name: str, by: RequestCaller) -> dict[str, Any]:
        check_local_owner(gate, by, "end tokens")
        return {"removed": (await tokens.remove(name)).name}

    return router


def _welcome(person: Person) -> str:
    """The first words to somebody who was let in: a private chat's id is its person's (Telegram Bot API, Chat)."""
    if person.role == "read-only":
        return f"Welcome, {person.name}: you may look at the boards, in a browser or with a token, and not chat here."
    may = "look at the boards" if person.role == "guest" else "work with the boards"
    return f"Welcome, {person.name}: you may {may} now. Say what you want, for example: what can you do?"


def _person(parts: HostParts, person: Person) -> dict[str, Any]:
    addresses = [
        {"channel": channel, "id": external_id}
        for channel, external_id in parts.admission.people.addresses(person.person_id)
    ]
    return filled(PersonFacts, person, addresses=addresses)


def _token(token: Token) -> dict[str, Any]:
    return filled(TokenFacts, token, person=token.person.name, role=token.person.role)


def usage_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/usage", tags=["usage"])

    def named(person_id: str) -> str:
        person = parts.admission.people.get(person_id)
        return person_id if person is None else person.name

    @router.get("", summary="Requests, tokens and money of the last days", responses=answers(Usage))
    async def usage(
        by: RequestCaller,
        group: Annotated[UsageGroup, Query(alias="by")] = "day",
        days: Annotated[int, Query(ge=1, le=KEPT_DAYS)] = 30,
    ) -> dict[str, Any]:
        everybody = _is_owner(parts, by)
        report = await parts.usage.report(group, days, person=None if everybody else person_behind(by.person_id))
        return {
            "by": group,
            "days": days,
            "since": report.since.isoformat(),
            "groups": [
                {group: named(name) if group == "person" else name, **_counts(count)} for name, count in report.groups
            ],
            "total": _counts(sum((count for _, count in report.groups), start=UsageCount())),
            "today": _counts(report.today),
            "budget": _budget(parts.settings.budget, report, everybody=everybody),
        }

    return router


def _counts(count: UsageCount) -> dict[str, int | float]:
    counted = asdict(count)
    del counted["cost_nano_usd"]
    return {**counted, "cost_usd": round(count.cost_usd, 6)}


def _budget(limits: BudgetSettings, report: UsageReport, *, everybody: bool) -> dict[str, Any]:
    """The limits of today that `today` counts against, and when it ends."""
    return {
        "day_usd": limits.day_usd if everybody else limits.person_day_usd,
        "day_tokens": limits.day_tokens if everybody else limits.person_day_tokens,
        "person_day_usd": limits.person_day_usd,
        "person_day_tokens": limits.person_day_tokens,
        "resets_at": report.resets_at.isoformat(),
    }
