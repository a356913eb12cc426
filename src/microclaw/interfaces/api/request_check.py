"""Checks each request before the app: its Host, its Origin, and the size and time of its body. It knows no route."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Container, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.addresses import DEFAULT_PORTS, ip_of
from microclaw.errors import over_limit
from microclaw.interfaces.api.failures import UNSUPPORTED, Refused

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_PORT = 65_535
LET_IN = "call it by localhost, or microclaw config set host.http_names NAME, with host.http_tls own"
OWN_NAME = "open the page by the host's own name; a proxy has to pass the header Host on (docs/configuration.md)"
BY_HTTPS = "microclaw config set host.http_tls own, and let the proxy connect by https (docs/configuration.md)"
# RFC 9110, 7.2: a name or an address and a port, and nothing of what else a URL may have.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?")


class AllowedHosts(Container[str]):
    """The Host names that a server on the network accepts: this machine's, the bound name, and every IP address.

    `names` returns the names of its current certificate, also `*.example.org`. An IP address is safe: no web page can
    rebind it to another machine.
    """

    def __init__(self, bound_to: str, names: Callable[[], Iterable[str]] = tuple) -> None:
        self._own = frozenset({"localhost", bound_to.lower(), socket.gethostname().lower()})
        self._names = names

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name:
            return False
        if name in self._own or name.removesuffix(".local") in self._own or ip_of(name) is not None:
            return True
        domain = name.partition(".")[2]
        return not {name, f"*.{domain}"}.isdisjoint(self._names())


def check_head(scope: Scope, allowed_hosts: Container[str] | None = None, *, is_sandboxed: bool = False) -> None:
    """Raise Refused for an ambiguous head, or for a page that may not call.

    `is_sandboxed`: the address has a secret, and its own page sends the Origin "null" (api.page_answer).

    Without `allowed_hosts` the caller is a local process on the control socket. Any web page can send requests to
    loopback, but its Origin shows it. A name that was rebound to 127.0.0.1 (DNS rebinding) shows in the Host.
    """
    headers = Headers(scope=scope)
    if "transfer-encoding" in headers and "content-length" in headers:
        # A proxy in front may believe the other header (RFC 9112, 6.1), and read the rest as another client's request.
        text = "both Transfer-Encoding and Content-Length: where the request ends is not clear"
        raise Refused(400, "bad_request", text, "send one of them")
    for coding in headers.getlist("content-encoding"):
        if coding.lower() != "identity":
            text = f"the body is compressed ({coding[:20]}), which is not supported"
            raise Refused(415, UNSUPPORTED, text, "send it without Content-Encoding")
    if allowed_hosts is not None:
        own_origins = ("null",) if is_sandboxed else ()
        _check_names(headers, scope["scheme"], allowed_hosts, own_origins)


def _check_names(headers: Headers, scheme: str, allowed_hosts: Container[str], own_origins: Container[str]) -> None:
    """Raise Refused for a foreign Host or Origin."""
    hosts = headers.getlist("host")
    own = _name_and_port(hosts[0], scheme) if len(hosts) == 1 else None
    if own is None or own[0] not in allowed_hosts:
        host_text = ", ".join(hosts)[:80] or "none"
        raise Refused(403, "forbidden", f"foreign Host: {host_text}", LET_IN)
    # A page of this host has the same name and port; another page of this machine is foreign.
    for origin in headers.getlist("origin"):
        if origin in own_origins:
            continue
        origin_scheme, _, host = origin.lower().partition("://")
        is_own = _name_and_port(host, scheme) == own
        if is_own and origin_scheme == "https" and scheme == "http":
            text = "the page was opened by https, and the proxy in front passes its requests on by http"
            raise Refused(403, "forbidden", text, BY_HTTPS)
        if origin_scheme != scheme or not is_own:
            raise Refused(403, "forbidden", f"foreign Origin: {origin[:80]}", OWN_NAME)


def with_body(app: ASGIApp, limit: int, within_s: float) -> ASGIApp:
    """Return the app for requests whose whole body came in time.

    A body that is too large is Refused as soon as that is known.
    """

    async def call_with_body(scope: Scope, receive: Receive, send: Send) -> None:
        # h11 has checked that they are numbers.
        claimed = sum(map(int, Headers(scope=scope).getlist("content-length")))
        body = bytearray()
        is_whole = False
        try:
            async with asyncio.timeout(within_s):
                while claimed <= limit and len(body) <= limit and not is_whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        text = "the connection was closed before the body was complete"
                        raise Refused(400, "bad_request", text)
                    body += message.get("body", b"")
                    is_whole = not message.get("more_body", False)
        except TimeoutError:
            text = f"the request's body did not come within {within_s:g} s"
            raise Refused(408, "timeout", text, "send it again, in one go") from None
        if max(claimed, len(body)) > limit:
            raise Refused(413, "too_large", over_limit("the body", limit, "byte", claimed or None), "send less")
        await app(scope, replaying(bytes(body), receive), send)

    return call_with_body


def replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` with the body that was already read, then the connection's next messages."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        if read:
            return read.pop()
        return await receive()

    return next_message


def _name_and_port(host: str, scheme: str) -> tuple[str, int] | None:
    """Split a Host header; None unless it is a name or an address, with a port or without."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return None
    port = int(match[2] or DEFAULT_PORTS[scheme])
    if port <= MAX_PORT:
        return (match[1].strip("[]"), port)
    return None
