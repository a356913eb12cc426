"""The cookie of a browser's session: its name and form. It checks no secret."""

from __future__ import annotations

from starlette.types import Scope

from microclaw.api.failures import PATH_KEY


def cookie_name(scope: Scope) -> str:
    """The cookie of a session here. Cookies know no port, so the name has it; `__Host-` (RFC 6265bis) needs HTTPS.

    `__Host-` is for the whole origin, which behind Home Assistant's ingress is not ours alone.
    """
    if scope.get(PATH_KEY):
        return "microclaw-ingress"
    port = (scope.get("server") or ("", 0))[1]
    return f"__Host-microclaw-{port}" if scope.get("scheme") == "https" else f"microclaw-{port}"


def session_cookie(scope: Scope, secret: str, max_age_s: int) -> str:
    """A Set-Cookie header; with max_age_s 0 the browser forgets it."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    path = f"{scope.get(PATH_KEY, '')}/"
    return f"{cookie_name(scope)}={secret}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


def cookies_of(scope: Scope) -> list[str]:
    """The values of our cookie; more than one is no answer to which of them is ours."""
    name = cookie_name(scope)
    pairs = (pair for key, value in scope["headers"] if key == b"cookie" for pair in value.decode("latin-1").split(";"))
    split = (pair.strip().partition("=") for pair in pairs)
    return [value for key, _, value in split if key == name]
