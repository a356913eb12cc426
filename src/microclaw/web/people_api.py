"""/v1/people, /v1/tokens: who this host lets in, and by which tokens. The owner's, changed by no token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from microclaw.policy.person import OWNER, Person, Role
from microclaw.policy.tokens import Token
from microclaw.web.caller import By, check_own_hand
from microclaw.web.parts import HostParts


class PairPersonBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(min_length=1, max_length=32)]
    name: Annotated[str, Field(max_length=80)] | None = None
    role: Role | None = None


class TokenBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80)]
    person: Annotated[str, Field(max_length=80)] = OWNER.person_id
    days: Annotated[int, Field(ge=1, le=3650)] | None = None


def people_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/people", tags=["people"])
    people, gate = parts.people, parts.gate

    @router.get("", summary="Who this host knows, and who asks to be let in")
    async def list_people(by: By) -> dict[str, Any]:
        gate.check_owner(by.principal, "list people")
        asking = [
            {"channel": each.channel, "name": each.display_name, "seconds_left": round(each.seconds_left)}
            for each in people.asking()
        ]
        return {"people": [_person(parts, person) for person in people.list()], "asking": asking}

    @router.post("/pair", status_code=201, summary="Whoever shows this code is let in")
    async def pair(body: PairPersonBody, by: By) -> dict[str, Any]:
        check_own_hand(gate, by, "let people in")
        return _person(parts, await people.pair(body.code, body.role, body.name))

    @router.delete("/{name}", summary="Forget somebody, with their addresses and tokens")
    async def remove(name: str, by: By) -> dict[str, Any]:
        check_own_hand(gate, by, "remove people")
        return {"removed": (await people.remove(name)).name}

    return router


def token_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/tokens", tags=["people"])
    tokens, gate = parts.tokens, parts.gate

    @router.get("", summary="Tokens, never their secrets")
    async def list_tokens(by: By) -> dict[str, Any]:
        gate.check_owner(by.principal, "list tokens")
        return {"tokens": [_token(token) for token in await tokens.list()]}

    @router.post("", status_code=201, summary="A new token; its secret is in this answer alone")
    async def create(body: TokenBody, by: By) -> dict[str, Any]:
        check_own_hand(gate, by, "make tokens")
        person = parts.people.named(body.person)
        secret = await tokens.create(body.name, person.person_id, days=body.days)
        made = next(token for token in await tokens.list() if token.name == body.name)
        return {**_token(made), "secret": secret}

    @router.delete("/{name}", summary="End a token")
    async def remove(name: str, by: By) -> dict[str, Any]:
        check_own_hand(gate, by, "end tokens")
        return {"removed": (await tokens.remove(name)).name}

    return router


def _person(parts: HostParts, person: Person) -> dict[str, Any]:
    addresses = [
        {"channel": channel, "id": external_id} for channel, external_id in parts.people.addresses(person.person_id)
    ]
    return {"person_id": person.person_id, "name": person.name, "role": person.role, "addresses": addresses}


def _token(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "person": token.person.name,
        "role": token.person.role,
        "made_ms": token.made_ms,
        "expires_ms": token.expires_ms,
        "used_ms": token.used_ms,
    }
