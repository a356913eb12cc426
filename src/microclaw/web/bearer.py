"""Tells requests with a token from those without, and lets only the former to the API. It makes no tokens."""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.policy.person import Person
from microclaw.policy.tokens import Tokens
from microclaw.web.caller import As, Caller
from microclaw.web.failures import failure_response
from microclaw.web.guard import refuse
from microclaw.web.openai_error import PATHS, openai_error
from microclaw.web.stream import REQUEST_HEADER, Failure

WRONG_TOKENS: Final = 10  # of one address within WRONG_TOKENS_S, then its wrong ones are told to wait
WRONG_TOKENS_S: Final = 60.0
MAX_ADDRESSES: Final = 1024
_REQUEST: Final = REQUEST_HEADER.lower().encode()
_NUMBER: Final = re.compile(rb"[0-9a-f]{16,32}")

# What takes its caller's role into account; everything else is the owner's.
FOR_EVERY_ROLE: Final = (
    "/healthz",
    "/metrics",
    "/api",
    "/v1/approvals",
    "/v1/apps",
    "/v1/changes",
    "/v1/chat",
    "/v1/devices",
    "/v1/events",
    "/v1/memory",
    "/v1/models",
    "/v1/pairings",
    "/v1/schedules",
    "/v1/skills",
    "/v1/status",
    "/v1/subagents",
    "/v1/tools",
    "/v1/tries",
    "/v1/undo",
    "/v1/usage",
)


class Bearer:
    """`Authorization: Bearer mc_...` leads to `inside`, no such header to `outside`, a wrong one to 401.

    A right token always comes in: behind a proxy, and on loopback, everybody has one address, and somebody's guesses
    must not shut the others out. A secret of 256 bits needs no lock against guesses.
    """

    def __init__(
        self, *, inside: ASGIApp, outside: ASGIApp, tokens: Tokens, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._inside = inside
        self._outside = outside
        self._tokens = tokens
        self._now_s = now_s
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = [value.decode("latin-1") for key, value in scope["headers"] if key == b"authorization"]
        if not shown and scope["path"] not in PATHS:
            await self._outside(scope, receive, send)
            return
        answer = await self._come_in(scope, shown or [""])
        if isinstance(answer, Caller):
            await As(self._inside, answer)(scope, receive, send)
        else:
            await refuse(answer, receive, send)  # nobody's body is read

    async def _come_in(self, scope: Scope, shown: list[str]) -> Caller | Response:
        scheme, _, secret = shown[0].partition(" ")
        token = await self._tokens.who(secret.strip()) if len(shown) == 1 and scheme.lower() == "bearer" else None
        if token is None:
            return self._opens_nothing(scope, shown)
        if not _is_for(token.person, scope["path"]):
            text = f"{token.person.name} is a {token.person.role}: {scope['path'][:80]} is the owner's"
            return failure_response(Failure("permission_refused", text, "ask the owner of this host"), 403)
        return Caller(token.person.person_id, direct=False, source=token.token_id, request=_number(scope))

    def _opens_nothing(self, scope: Scope, shown: list[str]) -> Response:
        address = str((scope.get("client") or ("?", 0))[0])
        wait_s = self._locked_for(address)
        if wait_s > 0:
            text = f"{WRONG_TOKENS} wrong tokens within a minute from {address}"
            refused = _refusal(scope, 429, Failure("unauthorized", text, f"wait {wait_s:.0f} s"))
            refused.headers["Retry-After"] = f"{wait_s:.0f}"
            return refused
        if any(shown):
            self._note_wrong(address)
        text = "this token opens nothing: it is missing, wrong, over, or was removed"
        refused = _refusal(scope, 401, Failure("unauthorized", text, "microclaw token create NAME"))
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def _locked_for(self, address: str) -> float:
        times = self._wrong.get(address)
        if times is None or len(times) < WRONG_TOKENS:
            return 0.0
        return max(0.0, times[0] + WRONG_TOKENS_S - self._now_s())

    def _note_wrong(self, address: str) -> None:
        self._wrong.setdefault(address, deque(maxlen=WRONG_TOKENS)).append(self._now_s())
        self._wrong.move_to_end(address)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def _number(scope: Scope) -> str:
    """What the request calls itself; "" when it does not, or in another form."""
    named = [value for key, value in scope["headers"] if key == _REQUEST]
    return named[0].decode() if len(named) == 1 and _NUMBER.fullmatch(named[0]) else ""


def _refusal(scope: Scope, status: int, failure: Failure) -> Response:
    if scope["path"] in PATHS:
        return openai_error(status, f"{failure.message} (next: {failure.next_step})", code="invalid_api_key")
    return failure_response(failure, status)


def _is_for(person: Person, path: str) -> bool:
    if person.role == "owner":
        return True
    return any(path == start or path.startswith(f"{start}/") for start in FOR_EVERY_ROLE)
