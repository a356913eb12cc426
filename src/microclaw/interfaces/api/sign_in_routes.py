"""/v1/signin, /v1/signout, /v1/me: how a browser signs in and out, and the caller's identity."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from microclaw.errors import PermissionRefused
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.sign_ins import MAX_CHARS, OpenedSession, SignIns, TooManyTries, csrf_token
from microclaw.host.operations.operation import Access
from microclaw.host.store.people import Role
from microclaw.host.store.sign_ins import LONGEST_MS
from microclaw.interfaces.api.access import ACCESS_BY_ROLE
from microclaw.interfaces.api.caller import Caller, client_address
from microclaw.interfaces.api.credentials import session_cookie
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.interfaces.api.failures import Refused
from microclaw.wire.host_api import TOO_MANY


class OpenedSignIn(Struct, frozen=True, kw_only=True):
    """A new session. `csrf` goes with each change; the cookie is in `Set-Cookie`."""

    name: str
    role: str
    id: str
    ends_ms: int
    csrf: str


@custom_route("signin.code", http="POST /v1/signin/code", access=Access.OPEN)
async def by_code(
    sign_ins: SignIns, asked: RouteRequest, code: Annotated[str, Meta(min_length=1, max_length=128)]
) -> OpenedSignIn:
    """Sign in by the code of a link: once, within ten minutes of its making."""
    wrong = "this link is wrong, was used already, or its ten minutes are over"
    answer: OpenedSignIn = await _opened(asked, sign_ins.with_code(code, **_browser(asked)), wrong)
    return answer


@custom_route("signin.password", http="POST /v1/signin/password", access=Access.OPEN)
async def by_password(
    sign_ins: SignIns,
    asked: RouteRequest,
    name: Annotated[str, Meta(min_length=1, max_length=80)],
    password: Annotated[str, Meta(min_length=1, max_length=4 * MAX_CHARS)],
) -> OpenedSignIn:
    """Sign in by a person's name and password."""
    opening = sign_ins.with_password(name, password, **_browser(asked))
    answer: OpenedSignIn = await _opened(asked, opening, "the name or the password is wrong")
    return answer


class Myself(Struct, frozen=True, kw_only=True):
    """The caller. `may`: the access level of this role (x-access of the routes); `by`: the kind of its credential."""

    person_id: str
    name: str
    role: Role
    may: str
    by: Literal["socket", "session", "token"]
    id: str
    csrf: str | None


@custom_route("caller.me", http="GET /v1/me", access=Access.LOOK)
async def me(admission: Admission, asked: RouteRequest) -> Myself:
    """Return the owner of this token or session; `csrf` goes with each change of a session."""
    by = asked.by
    person = admission.people.get(by.person_id)
    if person is None or person.role == "automation":
        raise PermissionRefused("this person is not known here any more")
    return Myself(
        person_id=person.person_id,
        name=person.name,
        role=person.role,
        may=ACCESS_BY_ROLE[person.role].name.lower(),
        by=_credential_kind(by),
        id=by.source,
        csrf=by.csrf or None,
    )


def _credential_kind(by: Caller) -> Literal["socket", "session", "token"]:
    if by.direct:
        return "socket"
    return "session" if by.csrf else "token"


class EndedSignIn(Struct, frozen=True, kw_only=True):
    ended: str


@custom_route("caller.signout", http="POST /v1/signout", access=Access.LOOK)
async def sign_out(admission: Admission, asked: RouteRequest) -> EndedSignIn:
    """End this session."""
    if not asked.by.csrf:
        step = "end a token with microclaw person tokens --rm NAME"
        raise PermissionRefused("this is not a session", next_step=step)
    await admission.sign_ins.end(asked.by.source)
    answer: EndedSignIn = _with_cookie(asked, EndedSignIn(ended=asked.by.source), "", 0)
    return answer


def _browser(asked: RouteRequest) -> dict[str, str]:
    return {"address": client_address(asked.request.scope), "agent": asked.request.headers.get("user-agent", "")}


async def _opened(asked: RouteRequest, opening: Awaitable[OpenedSession | None], wrong: str) -> Any:
    step = "microclaw status --open, on the host's machine"
    try:
        session = await opening
    except TooManyTries as exc:
        wait_s = math.ceil(exc.wait_s)
        text = "too many wrong tries within a minute"
        step = f"wait {wait_s} s, or: {step}"
        return Refused(429, TOO_MANY, text, step, {"Retry-After": str(wait_s)}).response()
    if session is None:
        return Refused(401, "unauthorized", wrong, f"sign in by a link: {step}").response()
    sign_in = session.sign_in
    facts = OpenedSignIn(
        name=sign_in.person.name,
        role=sign_in.person.role,
        id=sign_in.sign_in_id,
        ends_ms=sign_in.ends_ms,
        csrf=csrf_token(session.secret),
    )
    return _with_cookie(asked, facts, session.secret, LONGEST_MS // 1000)


def _with_cookie(asked: RouteRequest, value: Struct, secret: str, age_s: int) -> Any:
    headers = {"Set-Cookie": session_cookie(asked.request.scope, secret, age_s)}
    return Response(msgspec.json.encode(value), headers=headers, media_type="application/json")
