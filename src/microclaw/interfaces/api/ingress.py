"""Home Assistant's ingress: its Supervisor calls for browsers that are signed in there. It signs in no person here.

The Supervisor passes on the browser's own headers and adds X-Ingress-Path (the path of the page for the browser),
X-Forwarded-Host and X-Forwarded-Proto. They count only from its one address (Home Assistant's developer documents,
"Presenting your app", name 172.30.32.2); any other client of this port is refused.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.interfaces.api.caller import client_address
from microclaw.interfaces.api.failures import PATH_KEY, Refused

SUPERVISOR: Final = "172.30.32.2"
# The Supervisor's watchdog reads it without a browser.
HEALTH: Final = "/healthz"
_PATH: Final = re.compile(r"/api/hassio_ingress/[A-Za-z0-9_-]{1,128}")
_HOST: Final = re.compile(rb"^https?://[^/]*(?=/)")
_FORWARDED: Final = (b"x-ingress-path", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for")
# Home Assistant shows the page in a frame of its own page, which has the same origin.
_FRAMED: Final = (b"x-frame-options", b"SAMEORIGIN")


class AnyHost(Container[str]):
    """Every Host name: Home Assistant decides which names lead to it. The Origin must still be the same."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(name)


def ingress_app(app: ASGIApp, proxy: str = SUPERVISOR) -> ASGIApp:
    """Return an app that gives `app`, which takes AnyHost, the request as the browser sent it.

    Only the address `proxy` may call it. All add-ons of one Home Assistant have the same origin in the browser, so the
    session's cookie is sent only to this path (api.credentials).
    """

    async def call_from_ingress(scope: Scope, receive: Receive, send: Send) -> None:
        peer = client_address(scope)
        if peer != proxy:
            text = f"only Home Assistant's Supervisor ({proxy}) calls here, not {peer}"
            raise Refused(403, "forbidden", text, "call the host by its own address: microclaw status")
        path = _single_header(scope, "x-ingress-path") or ""
        if scope["path"] != HEALTH and not _PATH.fullmatch(path):
            text = "there is no X-Ingress-Path of Home Assistant"
            raise Refused(400, "bad_request", text, "open it in Home Assistant")
        await app(_restore_request(scope, path), receive, _framed(send, path))

    return call_from_ingress


def _restore_request(scope: Scope, path: str) -> Scope:
    """Return the request with the browser's own scheme and Host, and without the proxy's headers."""
    headers = [(key, value) for key, value in scope["headers"] if key not in _FORWARDED]
    host = _single_header(scope, "x-forwarded-host")
    if host is not None:
        headers = [(key, value) for key, value in headers if key != b"host"]
        headers.append((b"host", host.encode("latin-1")))
    scheme = "https" if _single_header(scope, "x-forwarded-proto") == "https" else "http"
    return {**scope, "headers": headers, "scheme": scheme, PATH_KEY: path}


def _single_header(scope: Scope, name: str) -> str | None:
    """Return the header's value; None if there is none, or more than one."""
    values = Headers(scope=scope).getlist(name)
    if len(values) == 1:
        return values[0]
    return None


def _framed(send: Send, path: str) -> Send:
    """Return a `send` for Home Assistant's frame: addresses in the answer are below the path of the ingress."""

    async def send_framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [_FRAMED]
            for key, value in message.get("headers", ()):
                text = bytes(value)
                if bytes(key).lower() == b"location":
                    text = _HOST.sub(path.encode(), text)
                headers.append((key, text.replace(b"frame-ancestors 'none'", b"frame-ancestors 'self'")))
            message = {**message, "headers": headers}
        await send(message)

    return send_framed
