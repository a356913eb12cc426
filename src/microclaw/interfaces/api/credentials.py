"""Finds the sender of a request by its token or its session's cookie. It makes and stores neither."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from microclaw.host.audit.event import AuditEvent, AuditKind
from microclaw.host.auth.codes import WrongTokens
from microclaw.host.auth.sign_ins import SignIns, csrf_token
from microclaw.host.auth.tokens import SESSION_PREFIX, PersonTokens
from microclaw.host.operations.operation import Access
from microclaw.host.store.people import Person, person_behind
from microclaw.interfaces.api.access import ACCESS_BY_ROLE, access_of
from microclaw.interfaces.api.caller import Caller, client_address, request_number
from microclaw.interfaces.api.failures import PATH_KEY, Refused
from microclaw.interfaces.api.page_address import PageAddress, page_address
from microclaw.text import role_words
from microclaw.wire.host_api import TOO_MANY

# Wrong tokens of one address within a minute; then it has to wait.
WRONG_TOKENS: Final = 10
# Below this path a request without a token gets 401 even if there is no such route.
FOR_TOKENS: Final = "/v1/"
CSRF_HEADER: Final = "Microclaw-CSRF"
_SAFE: Final = frozenset({"GET", "HEAD"})
_LEAST: Final = {
    Access.LOOK: "for read-only people and up",
    Access.ASK: "for guests and up",
    Access.ACT: "for members and up",
    Access.OWN: "only for owners",
}
# Each part is a word or a number, so none of them is a token: the security log shows the path as it is.
_PLAIN_PATH: Final = re.compile(r"(/(v1|[a-z_-]{1,24}|[0-9]{1,9}))+")


class Callers:
    """Finds a request's caller by `Authorization: Bearer mc_...`, or by the cookie of a session.

    `access` returns the access that each route needs. `local` is one more token, of no person's list, and its caller.
    Without `sign_ins` cookies are ignored.

    A right token is always accepted: behind a proxy, and on loopback, all clients have one address, and the guesses of
    one client must not shut the others out. A secret of 256 bits needs no lock against guesses.
    """

    def __init__(
        self,
        tokens: PersonTokens,
        sign_ins: SignIns | None = None,
        *,
        access: Callable[[str, str], Access | None] = access_of,
        local: tuple[str, Caller] | None = None,
        next_step: str = "microclaw person tokens --add NAME",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._sign_ins = sign_ins
        self._access = access
        self._local = local
        self._next_step = next_step
        self._wrong = WrongTokens(WRONG_TOKENS, now_s)

    async def caller(self, scope: Scope) -> Caller | None:
        """Return the caller; None for a request without a credential if it needs none. Raises Refused."""
        address = page_address(scope)
        if address is not None and address.secret:
            return await self._with_page_secret(scope, address)
        authorizations = Headers(scope=scope).getlist("authorization")
        access = self._access(scope["method"], scope["path"])
        cookies: list[str] = []
        if not authorizations and self._sign_ins is not None:
            cookies = cookies_of(scope)
        if (authorizations or cookies) and scope["method"] not in _SAFE:
            await self._tokens.catch_up()
        if cookies:
            caller = await self._with_cookie(scope, cookies, access)
            if caller is not None:
                return caller
        if not authorizations and _needs_no_token(scope["path"], access):
            return None
        return await self._with_token(scope, authorizations, access)

    async def _with_page_secret(self, scope: Scope, address: PageAddress) -> Caller:
        """Return the caller of a page whose address has a secret; no cookie or header counts there."""
        source = ""
        person = None
        if address.secret.startswith(SESSION_PREFIX) and self._sign_ins is not None:
            session = await self._sign_ins.with_ticket(address.secret, address.program)
            if session is not None:
                source = session.number
                person = session.person
        else:
            token = await self._tokens.authenticate(address.secret, address.program)
            if token is not None:
                source = token.number
                person = token.person
        if person is None:
            raise self._wrong_token(scope, is_shown=True, expired_name=None)
        access = self._access(scope["method"], scope["path"])
        self._check_role(person, scope, access, kind=AuditKind.TOKEN_MISUSED, about=source)
        return _caller(person, scope, source)

    async def _with_token(self, scope: Scope, authorizations: list[str], access: Access | None) -> Caller:
        secret = ""
        token = None
        if authorizations:
            scheme, _, text = authorizations[0].partition(" ")
            secret = text.strip()
            if len(authorizations) == 1 and scheme.lower() == "bearer":
                if self._local is not None and hmac.compare_digest(secret.encode(), self._local[0].encode()):
                    return self._local[1]
                token = await self._tokens.authenticate(secret)
        if token is None:
            expired_name = await self._tokens.find_expired_name(secret) if secret else None
            raise self._wrong_token(scope, is_shown=any(authorizations), expired_name=expired_name)
        limit = ""
        if person_behind(token.person.person_id) != token.person.person_id:
            limit = f"this token's scope is {token.scope}"
        self._check_role(token.person, scope, access, kind=AuditKind.TOKEN_MISUSED, about=token.name, limit=limit)
        return _caller(token.person, scope, token.token_id)

    async def _with_cookie(self, scope: Scope, cookies: list[str], access: Access | None) -> Caller | None:
        """Return the session's caller.

        None for an invalid session if the route needs none, so that a browser can sign in again.
        """
        assert self._sign_ins is not None
        session = None
        if len(cookies) == 1:
            session = await self._sign_ins.authenticate(cookies[0])
        if session is None and access is Access.OPEN:
            return None
        if session is None:
            self._note(scope, AuditKind.SIGNIN_REFUSED, "a session that is over, or never was one")
            text = "this session is over: it was ended, or was not used for a week"
            # Its cookie stays: this answer may come after that of a new sign-in, whose cookie has the same name.
            raise Refused(401, "unauthorized", text, "sign in again: microclaw status --open")
        number = session.sign_in_id
        self._check_role(session.person, scope, access, kind=AuditKind.SIGNIN_REFUSED, about=number)
        csrf = csrf_token(cookies[0])
        if scope["method"] not in _SAFE and access is not Access.OPEN:
            self._check_csrf(scope, csrf, number)
        return _caller(session.person, scope, number, csrf)

    def _check_csrf(self, scope: Scope, csrf: str, sign_in_id: str) -> None:
        """Raise Refused unless a change has the value that only the session's own page knows."""
        values = Headers(scope=scope).getlist(CSRF_HEADER)
        if len(values) == 1 and hmac.compare_digest(values[0].encode(), csrf.encode()):
            return
        self._note(scope, AuditKind.SIGNIN_REFUSED, "a change without the page's own word", about=sign_in_id)
        text = f"a session changes nothing without its own value of the header {CSRF_HEADER}"
        raise Refused(403, "forbidden", text, "GET /v1/me has its value: csrf")

    def _check_role(
        self, person: Person, scope: Scope, access: Access | None, *, kind: AuditKind, about: str, limit: str = ""
    ) -> None:
        """Refuse a known person who may not do this. `limit` is the reason if a token may do less than its person."""
        path = scope["path"][:80]
        needed = Access.OWN if access is None else access
        if needed is not Access.SOCKET and needed <= ACCESS_BY_ROLE.get(person.role, Access.OPEN):
            return
        if needed is Access.SOCKET:
            text = f"no token may do this, and no session: {scope['method']} {path}"
            step = "do it on the host's own command line"
        else:
            reason = limit or f"{person.name} is {role_words(person.role)}"
            text = f"{reason}: {path} is {_LEAST[needed]}"
            step = "ask the owner of this host"
        known = (path,) if _PLAIN_PATH.fullmatch(path) else ()
        self._note(scope, kind, text, about=about, by=person.name, known=known)
        raise Refused(403, "permission_refused", text, step)

    def _wrong_token(self, scope: Scope, *, is_shown: bool, expired_name: str | None) -> Refused:
        """Return the refusal. `expired_name` is the name of the token that was sent, if it was valid before."""
        address = client_address(scope)
        wait_s = self._wrong.wait_s(address)
        if wait_s > 0:
            text = f"{WRONG_TOKENS} wrong tokens within a minute"
            self._note(scope, AuditKind.TOKEN_LOCKED, text, about=expired_name)
            headers = {"Retry-After": f"{wait_s:.0f}"}
            return Refused(429, TOO_MANY, f"{text} from {address}", f"wait {wait_s:.0f} s", headers)
        if is_shown:
            self._wrong.add(address)
            text = "opens nothing" if expired_name is None else "expired, or its person's role changed"
            self._note(scope, AuditKind.TOKEN_WRONG, text, about=expired_name)
        text = "this token is not valid: it is missing, wrong, expired or removed"
        return Refused(401, "unauthorized", text, self._next_step, {"WWW-Authenticate": "Bearer"})

    def _note(self, scope: Scope, kind: AuditKind, text: str, **facts: Any) -> None:
        self._tokens.record(AuditEvent(kind, text, address=client_address(scope), **facts))


def _needs_no_token(path: str, access: Access | None) -> bool:
    if access is None:
        return not path.startswith(FOR_TOKENS)
    return access is Access.OPEN


def _caller(person: Person, scope: Scope, source: str, csrf: str = "") -> Caller:
    number = request_number(scope)
    return Caller(person.person_id, direct=False, source=source, request=number, csrf=csrf, role=person.role)


def cookie_name(scope: Scope) -> str:
    """Return the name of a session's cookie here.

    Cookies know no port, so the name has it; `__Host-` (RFC 6265bis) needs HTTPS, and is for the whole origin, which
    behind Home Assistant's ingress belongs to others, too.
    """
    if scope.get(PATH_KEY):
        return "microclaw-ingress"
    port = (scope.get("server") or ("", 0))[1]
    if scope.get("scheme") == "https":
        return f"__Host-microclaw-{port}"
    return f"microclaw-{port}"


def session_cookie(scope: Scope, secret: str, max_age_s: int) -> str:
    """Return a Set-Cookie header; with max_age_s 0 the browser forgets the cookie."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path = f"{scope.get(PATH_KEY, '')}/"
    return f"{cookie_name(scope)}={secret}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


def cookies_of(scope: Scope) -> list[str]:
    """Return the values of our cookie; if there are several, none of them can be trusted."""
    name = cookie_name(scope)
    values = []
    for header in Headers(scope=scope).getlist("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                values.append(value)
    return values
