"""What stands in front of an HTTP app: foreign Host or Origin, bodies too large or too slow. It knows no route."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Container
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.failures import failure_response
from microclaw.wire.host_api import Failure

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HTTP_PORT = 80
DRAIN_BYTES = 16 << 20
DRAIN_S = 2.0


class MachineNames(Container[str]):
    """The names of a server that others may reach: this machine's, what it is bound to, and every address.

    An address is nobody's name: no page can bind it to another machine.
    """

    def __init__(self, bound_to: str) -> None:
        self._names = frozenset({"localhost", bound_to.lower(), socket.gethostname().lower()})

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name:
            return False
        return name in self._names or name.removesuffix(".local") in self._names or _is_address(name)


class Guard:
    """`allowed_hosts` None: the peer is a local process on a 0600 socket, names mean nothing there; or another guard
    has looked at them. `body_bytes` None leaves the body to a guard behind this one, which knows who sends it.

    A web page of anybody can send requests to loopback: it is told apart by its Origin, and a name that was rebound to
    127.0.0.1 (DNS rebinding) by its Host.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes: int | None,
        body_s: float,
        allowed_hosts: Container[str] | None = None,
    ) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._allowed = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        refusal = self._refusal(scope)
        if refusal is None and self._body_bytes is not None:
            try:
                async with asyncio.timeout(self._body_s):
                    body, refusal = await self._read_body(scope, receive, self._body_bytes)
            except TimeoutError:
                refusal = (408, Failure("timeout", f"the request's body did not come within {self._body_s:.0f} s"))
            receive = _Replay(body, receive) if refusal is None else receive
        if refusal is not None:
            status, failure = refusal
            await refuse(failure_response(failure, status), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, Failure] | None:
        if _header_values(scope, b"transfer-encoding") and _header_values(scope, b"content-length"):
            # A proxy in front may believe the other one (RFC 9112, 6.1), and take the rest for somebody else's request.
            text = "both Transfer-Encoding and Content-Length: where the request ends is not clear"
            return 400, Failure("bad_request", text, "send one of them")
        if self._allowed is None:
            return None
        hosts = _header_values(scope, b"host")
        if len(hosts) != 1 or not self._own(f"//{hosts[0]}"):
            shown = ", ".join(hosts)[:80] or "none"
            return 403, Failure("forbidden", f"foreign Host: {shown}", "call it by 127.0.0.1 or localhost")
        for origin in _header_values(scope, b"origin"):
            if not _same_place(origin, hosts[0]):
                return 403, Failure("forbidden", f"foreign Origin: {origin[:80]}", "web pages may not call this API")
        return None

    def _own(self, address: str) -> bool:
        assert self._allowed is not None
        try:
            parts = urlsplit(address)
            name = parts.hostname
            _ = parts.port
        except ValueError:
            return False
        return name is not None and name in self._allowed and parts.username is None and parts.path in ("", "/")

    async def _read_body(self, scope: Scope, receive: Receive, limit: int) -> tuple[bytes, tuple[int, Failure] | None]:
        """The whole body, or the refusal as soon as it is known to be too large."""
        too_large = (413, Failure("too_large", f"the body has more than {limit:,} bytes", "send less"))
        for length in _header_values(scope, b"content-length"):
            if not length.isdigit() or int(length[:19]) > limit:
                return b"", too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"", (400, Failure("bad_request", "the connection was closed before the body was complete"))
            body += message.get("body", b"")
            if len(body) > limit:
                return b"", too_large
            if not message.get("more_body", False):
                return bytes(body), None


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, then read on for a moment: to close on a client that is still sending would take the answer from it."""
    response.headers["Connection"] = "close"
    if scope["type"] == "websocket":  # its client waits for the answer before it sends
        await response(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    except TimeoutError:
        pass  # it has had its time
    await send({"type": "http.response.body", "body": b""})


def _same_place(origin: str, host: str) -> bool:
    """Whether a page of this origin was served here: the same name and port, not just this machine."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        same = (page.hostname, page.port or HTTP_PORT) == (here.hostname, here.port or HTTP_PORT)
    except ValueError:
        return False
    return same and page.scheme == "http" and page.username is None and page.path == ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Replay:
    """Gives the app the body that was read, then whatever else comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _header_values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
