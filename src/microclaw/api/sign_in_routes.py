"""/v1/signin, /v1/signout, /v1/me: how a browser comes in and goes, and who a caller is."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from typing_extensions import TypedDict

from microclaw.api.access import OF_ROLE
from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, client_address
from microclaw.api.cookies import session_cookie
from microclaw.api.failures import failure_response
from microclaw.auth.people import People, Role
from microclaw.auth.sign_ins import MAX_CHARS, OpenedSession, SignIns, TooManyTries, csrf_token
from microclaw.errors import PermissionRefused
from microclaw.store.sign_ins import LONGEST_MS
from microclaw.wire.host_api import TOO_MANY, Failure


class CodeBody(RequestBody):
    code: Annotated[str, Field(min_length=1, max_length=128)]


class PasswordBody(RequestBody):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    password: Annotated[str, Field(min_length=1, max_length=4 * MAX_CHARS)]


class OpenedSignIn(TypedDict):
    """`csrf` goes with each change; the cookie is in `Set-Cookie`."""

    name: str
    role: Role
    id: str
    ends_ms: int
    csrf: str


class Myself(TypedDict):
    """`may`: the least access that this role has (x-access of the routes); `by`: how the caller came in."""

    person_id: str
    name: str
    role: Role
    may: str
    by: Literal["socket", "session", "token"]
    id: str
    csrf: str | None


class EndedSignIn(TypedDict):
    ended: str


def coming_in_router(sign_ins: SignIns) -> APIRouter:
    """What needs no token and no session."""
    router = APIRouter(prefix="/v1/signin", tags=["people"])

    @router.post(
        "/code",
        summary="Sign in by the code of a link: once, within ten minutes of its making",
        responses=answers(OpenedSignIn),
    )
    async def by_code(body: CodeBody, request: Request) -> JSONResponse:
        try:
            opened = await sign_ins.with_code(body.code, **_browser(request))
        except TooManyTries as exc:
            return _locked(exc)
        text = "this link is wrong, was used already, or its ten minutes are over"
        return _welcome(request, opened) if opened else _wrong(text, "microclaw open, on the host's machine")

    @router.post("/password", summary="Sign in by a person's name and password", responses=answers(OpenedSignIn))
    async def by_password(body: PasswordBody, request: Request) -> JSONResponse:
        try:
            opened = await sign_ins.with_password(body.name, body.password, **_browser(request))
        except TooManyTries as exc:
            return _locked(exc)
        text = "the name or the password is wrong"
        step = "try again, or sign in by a link: microclaw open, on the host's machine"
        return _welcome(request, opened) if opened else _wrong(text, step)

    return router


def session_router(sign_ins: SignIns, people: People) -> APIRouter:
    """Who a caller is, and the end of a session by itself."""
    router = APIRouter(prefix="/v1", tags=["people"])

    @router.get(
        "/me",
        summary="Who this token or session is; `csrf` goes with each change of a session",
        responses=answers(Myself),
    )
    async def me(by: RequestCaller) -> dict[str, Any]:
        person = people.get(by.person_id)
        if person is None:
            raise PermissionRefused("this person is not known here any more")
        way = "socket" if by.direct else "session" if by.csrf else "token"
        may = OF_ROLE[person.role].name.lower()
        return {"person_id": person.person_id, "name": person.name, "role": person.role, "may": may, "by": way,
                "id": by.source, "csrf": by.csrf or None}  # fmt: skip

    @router.post("/signout", summary="End this session", responses=answers(EndedSignIn))
    async def sign_out(by: RequestCaller, request: Request) -> JSONResponse:
        if not by.csrf:
            raise PermissionRefused("this is no session", next_step="end a token with microclaw person rm-token NAME")
        await sign_ins.end(by.source)
        return JSONResponse({"ended": by.source}, headers={"Set-Cookie": session_cookie(request.scope, "", 0)})

    return router


def _browser(request: Request) -> dict[str, str]:
    return {"address": client_address(request.scope), "agent": request.headers.get("user-agent", "")}


def _welcome(request: Request, opened: OpenedSession) -> JSONResponse:
    one = opened.sign_in
    value = {"name": one.person.name, "role": one.person.role, "id": one.sign_in_id, "ends_ms": one.ends_ms}
    cookie = session_cookie(request.scope, opened.secret, LONGEST_MS // 1000)
    return JSONResponse({**value, "csrf": csrf_token(opened.secret)}, headers={"Set-Cookie": cookie})


def _wrong(text: str, next_step: str) -> JSONResponse:
    return failure_response(Failure("unauthorized", text, next_step), 401)


def _locked(error: TooManyTries) -> JSONResponse:
    wait_s = math.ceil(error.wait_s)
    failure = Failure(TOO_MANY, "too many wrong tries within a minute", f"wait {wait_s} s, or: microclaw open")
    answer = failure_response(failure, 429)
    answer.headers["Retry-After"] = str(wait_s)
    return answer
