"""Finds the sender of a request, by its token or its session's cookie. It makes neither, and keeps none."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from microclaw.api.access import OF_ROLE, access_of
from microclaw.api.caller import Caller, client_address, request_number
from microclaw.api.failures import PATH_KEY, Refused
from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.auth.codes import WrongTokens
from microclaw.auth.people import Person, person_behind
from microclaw.auth.sign_ins import SignIns, csrf_token
from microclaw.auth.tokens import PersonTokens
from microclaw.operations.operation import Access
from microclaw.text import role_words
from microclaw.wire.host_api import TOO_MANY

WRONG_TOKENS: Final = 10  # of one address within a minute; then it has to wait
FOR_TOKENS: Final = "/v1/"  # below it also what is not there is 401
CSRF_HEADER: Final = "Microclaw-CSRF"
_SAFE: Final = frozenset({"GET", "HEAD"})
_LEAST: Final = {
    Access.LOOK: "for read-only people and up",
    Access.ASK: "for guests and up",
    Access.ACT: "for members and up",
    Access.OWN: "the owner's",
}
# Each part is a word or a number, so none of them is a token: the security log shows the path as it is.
_PLAIN_PATH: Final = re.compile(r"(/(v1|[a-z_-]{1,24}|[0-9]{1,9}))+")


class Callers:
    """Knows a request's caller by `Authorization: Bearer mc_...`, or by the cookie of a session.

    `access` knows what each route asks for. `local` is one more token, of no person's list, and whom it lets in.
    Without `sign_ins` cookies are not looked at.

    A right token is always accepted: behind a proxy, and on loopback, everybody has one address, and the guesses of
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
        """None for a request without either, where none is needed. Raises Refused."""
        shown = Headers(scope=scope).getlist("authorization")
        access = self._access(scope["method"], scope["path"])
        if shown or self._sign_ins is None:
            cookies = []
        else:
            cookies = cookies_of(scope)
        if (shown or cookies) and scope["method"] not in _SAFE:
            await self._tokens.fresh()
        if cookies and (caller := await self._with_cookie(scope, cookies, access)) is not None:
            return caller
        if not shown and (access is Access.OPEN or (access is None and not scope["path"].startswith(FOR_TOKENS))):
            return None
        return await self._with_token(scope, shown, access)

    async def _with_token(self, scope: Scope, shown: list[str], access: Access | None) -> Caller:
        scheme, _, secret = shown[0].partition(" ") if shown else ("", "", "")
        secret = secret.strip()
        is_one = len(shown) == 1 and scheme.lower() == "bearer"
        if is_one and self._local is not None and hmac.compare_digest(secret.encode(), self._local[0].encode()):
            return self._local[1]
        if is_one:
            token = await self._tokens.who(secret)
        else:
            token = None
        if token is None:
            raise self._wrong_token(scope, is_shown=any(shown), lapsed=secret and await self._tokens.lapsed(secret))
        is_less = person_behind(token.person.person_id) != token.person.person_id
        if is_less:
            scope_text = f"this token's scope is {token.scope}"
        else:
            scope_text = ""
        self._check_role(token.person, scope, access, AuditKind.TOKEN_MISUSED, token.name, scope_text)
        return _caller(token.person, scope, token.token_id)

    async def _with_cookie(self, scope: Scope, cookies: list[str], access: Access | None) -> Caller | None:
        """None for a session that opens nothing where nobody asks for one: so a browser can sign in again."""
        assert self._sign_ins is not None
        if len(cookies) == 1:
            found = await self._sign_ins.who(cookies[0])
        else:
            found = None
        if found is None and access is Access.OPEN:
            return None
        if found is None:
            self._note(scope, AuditKind.SIGNIN_REFUSED, "a session that is over, or never was one")
            text = "this session is over: it was ended, or nobody used it for a week"
            forget = {"Set-Cookie": session_cookie(scope, "", 0)}
            raise Refused(401, "unauthorized", text, "sign in again: microclaw status --open", forget)
        self._check_role(found.person, scope, access, AuditKind.SIGNIN_REFUSED, found.sign_in_id)
        csrf = csrf_token(cookies[0])
        sent = Headers(scope=scope).getlist(CSRF_HEADER)
        changes = scope["method"] not in _SAFE and access is not Access.OPEN
        if changes and not (len(sent) == 1 and hmac.compare_digest(sent[0].encode(), csrf.encode())):
            what = "a change without the page's own word"
            self._note(scope, AuditKind.SIGNIN_REFUSED, what, about=found.sign_in_id)
            text = f"a session changes nothing without its own value of the header {CSRF_HEADER}"
            raise Refused(403, "forbidden", text, "GET /v1/me has its value: csrf")
        return _caller(found.person, scope, found.sign_in_id, csrf)

    def _check_role(
        self, person: Person, scope: Scope, access: Access | None, kind: AuditKind, about: str, limit: str = ""
    ) -> None:
        """Refuse somebody who is known, and may not do this. `limit` is said of a token whose scope is less."""
        path = scope["path"][:80]
        needed = Access.OWN if access is None else access
        if needed is not Access.SOCKET and needed <= OF_ROLE.get(person.role, Access.OPEN):
            return
        if needed is Access.SOCKET:
            text = f"no token may do this, and no session: {scope['method']} {path}"
            step = "do it on the host's own command line"
        else:
            text = f"{limit or f'{person.name} is {role_words(person.role)}'}: {path} is {_LEAST[needed]}"
            step = "ask the owner of this host"
        known = (path,) if _PLAIN_PATH.fullmatch(path) else ()
        self._note(scope, kind, text, about=about, by=person.name, known=known)
        raise Refused(403, "permission_refused", text, step)

    def _wrong_token(self, scope: Scope, *, is_shown: bool, lapsed: str | None) -> Refused:
        """`lapsed` is the name of the token that was shown, when it is known."""
        address = client_address(scope)
        lapsed = lapsed or None
        wait_s = self._wrong.wait_s(address)
        if wait_s > 0:
            text = f"{WRONG_TOKENS} wrong tokens within a minute"
            self._note(scope, AuditKind.TOKEN_LOCKED, text, about=lapsed)
            later = {"Retry-After": f"{wait_s:.0f}"}
            return Refused(429, TOO_MANY, f"{text} from {address}", f"wait {wait_s:.0f} s", later)
        if is_shown:
            self._wrong.add(address)
            text = "opens nothing" if lapsed is None else "expired, or its person is not who they were"
            self._note(scope, AuditKind.TOKEN_WRONG, text, about=lapsed)
        text = "this token is not valid: it is missing, wrong, expired or removed"
        return Refused(401, "unauthorized", text, self._next_step, {"WWW-Authenticate": "Bearer"})

    def _note(self, scope: Scope, kind: AuditKind, text: str, **facts: Any) -> None:
        self._tokens.record(AuditEvent(kind, text, address=client_address(scope), **facts))


def _caller(person: Person, scope: Scope, source: str, csrf: str = "") -> Caller:
    number = request_number(scope)
    return Caller(person.person_id, direct=False, source=source, request=number, csrf=csrf, role=person.role)


def cookie_name(scope: Scope) -> str:
    """The cookie of a session here. Cookies know no port, so the name has it; `__Host-` (RFC 6265bis) needs HTTPS.

    `__Host-` is for the whole origin, which behind Home Assistant's ingress is not ours alone.
    """
    if scope.get(PATH_KEY):
        return "microclaw-ingress"
    port = (scope.get("server") or ("", 0))[1]
    if scope.get("scheme") == "https":
        return f"__Host-microclaw-{port}"
    return f"microclaw-{port}"


def session_cookie(scope: Scope, secret: str, max_age_s: int) -> str:
    """A Set-Cookie header; with max_age_s 0 the browser forgets it."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path = f"{scope.get(PATH_KEY, '')}/"
    return f"{cookie_name(scope)}={secret}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


def cookies_of(scope: Scope) -> list[str]:
    """The values of our cookie; more than one is no answer to which of them is ours."""
    name = cookie_name(scope)
    pairs = (pair for value in Headers(scope=scope).getlist("cookie") for pair in value.split(";"))
    split = (pair.strip().partition("=") for pair in pairs)
    return [value for key, _, value in split if key == name]
