"""Home Assistant's ingress: its Supervisor calls for browsers that are signed in there. It signs nobody in here.

The Supervisor passes on the browser's own headers and adds X-Ingress-Path (where the page is for the browser),
X-Forwarded-Host and X-Forwarded-Proto. They count from its one address alone (Home Assistant's developer documents,
"Presenting your app", name 172.30.32.2); anybody else who reaches this door is refused.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import client_address
from microclaw.api.failures import PATH_KEY, Refused

SUPERVISOR: Final = "172.30.32.2"
HEALTH: Final = "/healthz"  # the Supervisor's watchdog asks it without a browser
_PATH: Final = re.compile(r"/api/hassio_ingress/[A-Za-z0-9_-]{1,128}")
_HOST: Final = re.compile(rb"^https?://[^/]*(?=/)")
_FORWARDED: Final = (b"x-ingress-path", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for")
# Home Assistant shows the page in a frame of its own page, which has the same origin.
_FRAMED: Final = (b"x-frame-options", b"SAMEORIGIN")


class AnyHost(Container[str]):
    """Every Host name: which ones lead to Home Assistant is its own affair; the Origin must still be the same."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(name)


def ingress_app(app: ASGIApp, proxy: str = SUPERVISOR) -> ASGIApp:
    """Gives `app`, which takes AnyHost, the request as the browser sent it; `proxy` is the one address that may call.

    Every add-on of one Home Assistant has its origin in the browser, so the session's cookie is sent to this path
    alone (api.credentials).
    """

    async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
        peer = client_address(scope)
        if peer != proxy:
            text = f"only Home Assistant's Supervisor ({proxy}) calls here, not {peer}"
            raise Refused(403, "forbidden", text, "call the host by its own address: microclaw status")
        path = _one(scope, "x-ingress-path") or ""
        if scope["path"] != HEALTH and not _PATH.fullmatch(path):
            text = "there is no X-Ingress-Path of Home Assistant"
            raise Refused(400, "bad_request", text, "open it in Home Assistant")
        await app(_as_sent(scope, path), receive, _framed(send, path))

    return passed_on


def _as_sent(scope: Scope, path: str) -> Scope:
    """The request with the browser's own scheme and Host, and without what only the proxy says."""
    headers = [(key, value) for key, value in scope["headers"] if key not in _FORWARDED]
    host = _one(scope, "x-forwarded-host")
    if host is not None:
        headers = [(key, value) for key, value in headers if key != b"host"] + [(b"host", host.encode("latin-1"))]
    scheme = "https" if _one(scope, "x-forwarded-proto") == "https" else "http"
    return {**scope, "headers": headers, "scheme": scheme, PATH_KEY: path}


def _one(scope: Scope, name: str) -> str | None:
    """The header's value; None where there is none, or more than one."""
    values = Headers(scope=scope).getlist(name)
    if len(values) == 1:
        return values[0]
    return None


def _framed(send: Send, path: str) -> Send:
    """The answer for Home Assistant's frame; an address that it leads to is below the path of the ingress."""

    async def framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [_FRAMED]
            for key, value in message.get("headers", ()):
                if bytes(key).lower() == b"location":
                    value = _HOST.sub(path.encode(), bytes(value))
                headers.append((key, bytes(value).replace(b"frame-ancestors 'none'", b"frame-ancestors 'self'")))
            message = {**message, "headers": headers}
        await send(message)

    return framed
