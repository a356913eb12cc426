"""Who sends a request: checks its token or session and gives the API the caller. It makes neither."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NoReturn

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.api.access import OF_ROLE, access_of
from microclaw.api.cookies import cookies_of, session_cookie
from microclaw.api.failures import failure_response
from microclaw.api.jobs import Feed
from microclaw.api.request_check import refuse
from microclaw.apps.changes import conversation_of, turn_now
from microclaw.audit import AuditEvent, AuditKind
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.codes import WrongTokens
from microclaw.auth.gate import Gate, Permission
from microclaw.auth.people import OWNER, Person, person_behind
from microclaw.auth.sign_ins import SignIns, csrf_token
from microclaw.auth.tokens import SESSION_PREFIX, PersonTokens
from microclaw.errors import PermissionRefused
from microclaw.events import ApprovalSettled, AskedProgram
from microclaw.operations.operation import Access
from microclaw.text import role_words
from microclaw.wire.host_api import REQUEST_HEADER, TOO_MANY, Failure

CHANNEL: Final = "api"  # the channel of approvals that programs wait for
CALLER_KEY: Final = "microclaw.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """`direct`: a person at the command line of this machine, who is not asked again. `source` is the token's id, or
    the session's.

    `request` is the request's own number, which its approvals carry.
    """

    person_id: str
    direct: bool
    source: str
    request: str = ""
    csrf: str = ""  # of a browser's session: what it sends with each change
    role: str = field(default=OWNER.role, compare=False)  # what the token or session came in as

    @property
    def conversation(self) -> str:
        """What its requests outside of a chat belong to: all of a token's are one conversation."""
        return conversation_of("terminal" if self.direct else CHANNEL, self.source)

    @property
    def token(self) -> str | None:
        """The token's or session's id; None on the control socket."""
        return None if self.direct else self.source

    def scoped(self, chat_id: str) -> str:
        """A chat of this token alone; a browser's is the person's, in each browser; on the socket the chat itself."""
        if self.direct:
            return chat_id
        return f"{SESSION_PREFIX}{self.person_id}.{chat_id}" if self.csrf else f"{self.source}.{chat_id}"

    @property
    def job(self) -> str:
        """What the request's job is found by; "" where the request has no number."""
        return self.job_key(self.request) if self.request else ""

    def job_key(self, number: str) -> str:
        """A request's number, of this token alone."""
        return f"{self.source}.{number}"

    def asks_in(self, chat_id: str = "") -> str:
        """The chat id of an approval: this chat, else the request's number where it has one."""
        if chat_id not in ("", self.source):
            return chat_id
        return f"{self.source}.{self.request}" if self.request else self.source


NOBODY: Final = Caller("", direct=False, source="")
"""Who sends a request without a token, where none is needed."""
LOCAL_OWNER: Final = Caller(OWNER.person_id, direct=True, source="socket")


def as_caller(app: ASGIApp, caller: Caller) -> ASGIApp:
    """The app, every request of which is this caller's."""

    async def of_caller(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, CALLER_KEY: caller}, receive, send)

    return of_caller


async def caller_of(
    request: HTTPConnection,
) -> Caller:  # a plain function would be run in a thread of its own each time
    """The request's caller. A request without one is refused: it must not count as the owner's."""
    caller = request.scope.get(CALLER_KEY)
    if not isinstance(caller, Caller):
        raise PermissionRefused(
            "this request has no caller", next_step="send a token: microclaw person tokens --add NAME"
        )
    return caller if caller.request else replace(caller, request=request_number(request.scope))


async def admit(
    gate: Gate,
    caller: Caller,
    permission: Permission,
    action: str,
    *,
    detail: Sequence[str] = (),
    chat_id: str = "",
    tool: str = "",
    program: AskedProgram | None = None,
) -> None:
    """Return when `caller` may do it. A command on this machine is its own approval; a program's action asks first.

    `tool` is what the security log names: the method that is called; else the action's first word.
    """
    if caller.direct:
        gate.check(caller.person_id, permission, action)
        return
    place = caller.asks_in(chat_id)
    await gate.admit(
        caller.person_id, permission, action, detail=detail, channel=CHANNEL, chat_id=place, tool=tool, program=program
    )


def check_local_owner(gate: Gate, caller: Caller, action: str) -> None:
    """Raise PermissionRefused unless an owner does it on the control socket.

    For actions whose result outlives a token (tokens, people, a device's secret) or that reach any file here.
    """
    gate.check_owner(caller.person_id, action)
    if not caller.direct:
        gate.note(AuditKind.TOKEN_MISUSED, f"no token may {action}", caller.person_id, about=caller.source)
        raise PermissionRefused(f"no token may {action}", next_step="do it on the host's own command line")


def place_of(by: Caller) -> str:
    """Where this one request's questions are asked."""
    return f"{by.source}.{secrets.token_hex(4)}"


@contextmanager
def questions_in(
    feed: Feed, approvals: Approvals, *, channel: str, chat_id: str, request: str | None = None
) -> Iterator[None]:
    """Inside, the feed also gets the approvals that wait in this chat, or those of a `request` in it, and how they end.

    They are withdrawn when the feed's reader goes: nobody would learn what became of the act.
    """

    def tell(news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if (pending.channel, pending.chat_id) != (channel, chat_id) or request not in (None, turn_now()):
            return  # listeners are called in the asker's own task
        if isinstance(news, PendingApproval):
            feed.put(approvals.question(news))
            feed.when_left(news.approval_id, partial(approvals.withdraw, news.approval_id))
        else:
            feed.when_left(pending.approval_id, None)
            feed.put(ApprovalSettled(pending.approval_id, news.outcome, news.by))

    stop = approvals.listen(tell)
    try:
        yield
    finally:
        stop()


WRONG_TOKENS: Final = 10  # of one address within a minute; then it has to wait
_OFFERED: Final = "bearer."
_LEAST: Final = {
    Access.LOOK: "for read-only people and up",
    Access.ASK: "for guests and up",
    Access.ACT: "for members and up",
    Access.OWN: "the owner's",
}
_REQUEST: Final = REQUEST_HEADER.lower().encode()
_NUMBER: Final = re.compile(rb"[0-9a-f]{16,32}")

# Each part is a word or a number, so none of them is a token: the security log shows the path as it is.
_PLAIN_PATH: Final = re.compile(r"(/(v1|[a-z_-]{1,24}|[0-9]{1,9}))+")

FOR_TOKENS: Final = "/v1/"  # below it also what is not there is 401
CSRF_HEADER: Final = "Microclaw-CSRF"
_CSRF: Final = CSRF_HEADER.lower().encode()
_SAFE: Final = frozenset({"GET", "HEAD"})


class BearerAuth:
    """`Authorization: Bearer mc_...`, or the cookie of a session, leads to `inside`; neither of them to `outside`.

    A wrong one is 401. `outside` None: one is needed. `access` knows what each route asks for. A browser, which
    can set no header of a WebSocket, offers `bearer.mc_...` as a subprotocol. `local` is one more token, of no
    person's list, and whom it lets in. Without `sign_ins` cookies are not looked at.

    A right token is always accepted: behind a proxy, and on loopback, everybody has one address, and the guesses of
    one client must not shut the others out. A secret of 256 bits needs no lock against guesses.
    """

    def __init__(
        self,
        *,
        inside: ASGIApp,
        outside: ASGIApp | None,
        tokens: PersonTokens,
        sign_ins: SignIns | None = None,
        access: Callable[[str, str], Access | None] = access_of,
        local: tuple[str, Caller] | None = None,
        next_step: str = "microclaw person tokens --add NAME",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inside = inside
        self._outside = outside
        self._tokens = tokens
        self._sign_ins = sign_ins
        self._access = access
        self._local = local
        self._next_step = next_step
        self._wrong = WrongTokens(WRONG_TOKENS, now_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = [value.decode("latin-1") for key, value in scope["headers"] if key == b"authorization"]
        if not shown:
            offered = scope.get("subprotocols", ())
            shown = [f"Bearer {name.removeprefix(_OFFERED)}" for name in offered if name.startswith(_OFFERED)]
        access = self._access(scope.get("method", "GET"), scope["path"])
        is_open = access is Access.OPEN or (access is None and not scope["path"].startswith(FOR_TOKENS))
        cookies = [] if shown or self._sign_ins is None else cookies_of(scope)
        if (shown or cookies) and scope.get("method") not in _SAFE:
            await self._tokens.fresh()
        try:
            caller = await self._with_cookie(scope, cookies, access)
            if caller is None and not shown and self._outside is not None and is_open:
                await self._outside(scope, receive, send)
                return
            caller = caller or await self._with_token(scope, shown, access)
        except _Refused as exc:
            await refuse(exc.answer, scope, receive, send)  # the body is not read
            return
        await self._inside({**scope, CALLER_KEY: caller}, receive, send)

    async def _with_token(self, scope: Scope, shown: list[str], access: Access | None) -> Caller:
        scheme, _, secret = shown[0].partition(" ") if shown else ("", "", "")
        secret = secret.strip()
        is_one = len(shown) == 1 and scheme.lower() == "bearer"
        if is_one and self._local is not None and hmac.compare_digest(secret.encode(), self._local[0].encode()):
            return self._local[1]
        token = await self._tokens.who(secret) if is_one else None
        if token is None:
            self._refuse_token(scope, is_shown=any(shown), lapsed=await self._tokens.lapsed(secret) if secret else None)
        is_less = person_behind(token.person.person_id) != token.person.person_id
        limit = token.scope if is_less else None
        self._check_role(token.person, scope, access, AuditKind.TOKEN_MISUSED, about=token.name, limit=limit)
        return _caller(token.person, scope, token.token_id)

    async def _with_cookie(self, scope: Scope, cookies: list[str], access: Access | None) -> Caller | None:
        """None for a session that opens nothing where nobody asks for one: so a browser can sign in again."""
        if not cookies or self._sign_ins is None:
            return None
        found = await self._sign_ins.who(cookies[0]) if len(cookies) == 1 else None
        if found is None:
            if access is Access.OPEN:
                return None
            text = "this session is over: it was ended, or nobody used it for a week"
            failure = Failure("unauthorized", text, "sign in again: microclaw status --open")
            self._note(scope, AuditKind.SIGNIN_REFUSED, "a session that is over, or never was one")
            raise _Refused(scope, failure, 401, {"Set-Cookie": session_cookie(scope, "", 0)})
        self._check_role(found.person, scope, access, AuditKind.SIGNIN_REFUSED, about=found.sign_in_id)
        csrf = csrf_token(cookies[0])
        changes = scope.get("method", "GET") not in _SAFE and access is not Access.OPEN
        sent = [value for key, value in scope["headers"] if key == _CSRF]
        if changes and not (len(sent) == 1 and hmac.compare_digest(sent[0], csrf.encode())):
            text = f"a session changes nothing without its own value of the header {CSRF_HEADER}"
            about = found.sign_in_id
            self._note(scope, AuditKind.SIGNIN_REFUSED, "a change without the page's own word", about=about)
            raise _Refused(scope, Failure("forbidden", text, "GET /v1/me has its value: csrf"), 403)
        return _caller(found.person, scope, found.sign_in_id, csrf)

    def _check_role(
        self,
        person: Person,
        scope: Scope,
        access: Access | None,
        kind: AuditKind,
        *,
        about: str,
        limit: str | None = None,
    ) -> None:
        """Refuse somebody who is known, and may not do this. `limit`: the token's scope, where that is less."""
        path, most = scope["path"][:80], OF_ROLE.get(person.role, Access.OPEN)
        if access is Access.SOCKET:
            text = f"no token may do this, and no session: {scope.get('method', 'GET')} {path}"
            step = "do it on the host's own command line"
        elif (Access.OWN if access is None else access) <= most:
            return
        else:
            who = f"{person.name} is {role_words(person.role)}" if limit is None else f"this token's scope is {limit}"
            text = f"{who}: {path} is {_LEAST[Access.OWN if access is None else access]}"
            step = "ask the owner of this host"
        known = (path,) if _PLAIN_PATH.fullmatch(path) else ()
        self._note(scope, kind, text, about=about, by=person.name, known=known)
        raise _Refused(scope, Failure("permission_refused", text, step), 403)

    def _refuse_token(self, scope: Scope, *, is_shown: bool, lapsed: str | None) -> NoReturn:
        """`lapsed` is the name of the token that was shown, when it is known."""
        address = client_address(scope)
        wait_s = self._wrong.wait_s(address)
        if wait_s > 0:
            text = f"{WRONG_TOKENS} wrong tokens within a minute"
            self._note(scope, AuditKind.TOKEN_LOCKED, text, about=lapsed)
            failure = Failure(TOO_MANY, f"{text} from {address}", f"wait {wait_s:.0f} s")
            raise _Refused(scope, failure, 429, {"Retry-After": f"{wait_s:.0f}"})
        if is_shown:
            self._wrong.add(address)
            text = "opens nothing" if lapsed is None else "expired, or its person is not who they were"
            self._note(scope, AuditKind.TOKEN_WRONG, text, about=lapsed)
        text = "this token is not valid: it is missing, wrong, expired or removed"
        raise _Refused(scope, Failure("unauthorized", text, self._next_step), 401, {"WWW-Authenticate": "Bearer"})

    def _note(self, scope: Scope, kind: AuditKind, text: str, **facts: Any) -> None:
        self._tokens.record(AuditEvent(kind, text, address=client_address(scope), **facts))


class _Refused(Exception):
    def __init__(self, scope: Scope, failure: Failure, status: int, headers: Mapping[str, str] = MappingProxyType({})):
        super().__init__(failure.message)
        self.answer = failure_response(failure, status, path=scope["path"])
        self.answer.headers.update(headers)


def _caller(person: Person, scope: Scope, source: str, csrf: str = "") -> Caller:
    number = request_number(scope)
    return Caller(person.person_id, direct=False, source=source, request=number, csrf=csrf, role=person.role)


def client_address(scope: Scope) -> str:
    return str((scope.get("client") or ("?", 0))[0])


def request_number(scope: Scope) -> str:
    """The request's own number; "" when it has none, or one of another form."""
    named = [value for key, value in scope["headers"] if key == _REQUEST]
    return named[0].decode() if len(named) == 1 and _NUMBER.fullmatch(named[0]) else ""
