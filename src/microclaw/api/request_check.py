"""Checks each request before the app: its Host, its Origin, and the size and time of its body. It knows no route."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Container, Iterable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.failures import UNSUPPORTED, failure_response
from microclaw.errors import over_limit
from microclaw.wire.host_api import Failure

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PORTS = {"http": 80, "https": 443}
# On every answer: it is what it says it is, no page of others frames it, and it tells no other site where it was.
ANSWER_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
WHERE_NONE = (  # for answers that have none of their own
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
MAX_PORT = 65_535
DRAIN_BYTES = 16 << 20
DRAIN_S = 2.0
# RFC 9110, 7.2: a name or an address and a port, and nothing of what else a URL may have.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?")


class AllowedHosts(Container[str]):
    """The Host names that a server on the network accepts: this machine's, the bound one, and every IP address.

    `names` are those of its certificate now, also `*.example.org`. An IP address is safe: no web page can rebind it to
    another machine.
    """

    def __init__(self, bound_to: str, names: Callable[[], Iterable[str]] = tuple) -> None:
        self._own = frozenset({"localhost", bound_to.lower(), socket.gethostname().lower()})
        self._names = names

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name:
            return False
        if name in self._own or name.removesuffix(".local") in self._own or _is_address(name):
            return True
        return not {name, f"*.{name.partition('.')[2]}"}.isdisjoint(self._names())


class RequestCheck:
    """`allowed_hosts` None: names are not checked (a local process on the control socket, or a check before this one).
    `body_bytes` None: the body is not read here; a check behind this one knows the caller's limit.

    Any web page can send requests to loopback: its Origin shows it. A name that was rebound to 127.0.0.1 (DNS
    rebinding) shows in the Host.
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
        send = with_answer_headers(send)
        try:
            self._check_head(scope)
            if self._body_bytes is not None:
                async with asyncio.timeout(self._body_s):
                    receive = replaying(await _read_body(scope, receive, self._body_bytes), receive)
        except _Refused as exc:
            await refuse(failure_response(exc.failure, exc.status, path=scope["path"]), scope, receive, send)
        except TimeoutError:
            text = f"the request's body did not come within {self._body_s:g} s"
            failure = Failure("timeout", text, "send it again, in one go")
            await refuse(failure_response(failure, 408, path=scope["path"]), scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check_head(self, scope: Scope) -> None:
        if _header_values(scope, b"transfer-encoding") and _header_values(scope, b"content-length"):
            # A proxy in front may believe the other one (RFC 9112, 6.1), and take the rest for somebody else's request.
            text = "both Transfer-Encoding and Content-Length: where the request ends is not clear"
            raise _Refused(400, "bad_request", text, "send one of them")
        codings = [coding for coding in _header_values(scope, b"content-encoding") if coding.lower() != "identity"]
        if codings:
            text = f"the body is compressed ({codings[0][:20]}), and bodies are taken as they are"
            raise _Refused(415, UNSUPPORTED, text, "send it without Content-Encoding")
        if self._allowed is None:
            return
        hosts = _header_values(scope, b"host")
        scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        if len(hosts) != 1 or (here := _name_and_port(hosts[0], scheme)) is None or here[0] not in self._allowed:
            shown = ", ".join(hosts)[:80] or "none"
            raise _Refused(403, "forbidden", f"foreign Host: {shown}", "call it by 127.0.0.1 or localhost")
        for origin in _header_values(scope, b"origin"):
            if not _is_same(origin, scheme, here):
                raise _Refused(403, "forbidden", f"foreign Origin: {origin[:80]}", "web pages may not call this API")


class _Refused(Exception):
    def __init__(self, status: int, code: str, text: str, next_step: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.failure = Failure(code, text, next_step)


async def _read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; one that is too large is refused as soon as that is known."""
    claimed = sum(int(length) for length in _header_values(scope, b"content-length"))  # h11 took them for numbers
    body = bytearray()
    while claimed <= limit and len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "bad_request", "the connection was closed before the body was complete")
        body += message.get("body", b"")
        if not message.get("more_body", False) and len(body) <= limit:
            return bytes(body)
    raise _Refused(413, "too_large", over_limit("the body", limit, "byte", claimed or None), "send less")


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, then read on for a moment: a client that is still sending would lose the answer when we close."""
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


def with_answer_headers(send: Send) -> Send:
    """The same, with what every answer has."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(bytes(key).lower(), value) for key, value in message.get("headers", ())]
            has = {key for key, _ in headers}
            headers += [(key, value) for key, value in (*ANSWER_HEADERS, *WHERE_NONE) if key not in has]
            message = {**message, "headers": headers}
        await send(message)

    return with_headers


def _name_and_port(host: str, scheme: str) -> tuple[str, int] | None:
    """What a Host header says; None when it is not a name or an address with a port or without one."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return None
    port = int(match[2] or PORTS[scheme])
    return (match[1].strip("[]"), port) if port <= MAX_PORT else None


def _is_same(origin: str, here_scheme: str, here: tuple[str, int]) -> bool:
    """Whether a page of this origin was served here: the same name and port, not just this machine."""
    scheme, _, host = origin.partition("://")
    return scheme.lower() == here_scheme and _name_and_port(host, here_scheme) == here


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def replaying(body: bytes, receive: Receive) -> Receive:
    """Gives the app the body that was already read, then the connection's next messages."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return read.pop() if read else await receive()

    return next_message


def _header_values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
