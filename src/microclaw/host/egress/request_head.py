"""Reads a task's request to the proxy strictly from the bytes of its head. It does no IO.

h11 parses. Heads that it would repair or join (bare line ends, folded lines, two lengths) are refused first, because a
server behind the proxy might read them in another way (request smuggling, RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from typing import Final

import h11
from msgspec import Struct
from msgspec.structs import replace

from microclaw.addresses import DEFAULT_PORTS
from microclaw.host.egress.destinations import host_mistake

MAX_HEAD_BYTES: Final = 16 << 10
MAX_HEADERS: Final = 100
MAX_TARGET_CHARS: Final = 4096
HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer upgrade expect "
    b"http2-settings host".split()
)
"""Headers of one connection, and headers that the proxy writes itself; they are never passed on."""
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say where the body ends. h11 reads the body by them, so they are always passed on."""
_HEAD: Final = re.compile(
    rb"[!-~]+ [!-~]+ HTTP/1\.[01]\r\n"
    rb"(?:(?:content-length:[\t ]*[0-9]{1,18}[\t ]*"
    rb"|(?!content-length:)[!#$%&'*+.^_`|~0-9A-Z-]+:[\t\x20-\x7e\x80-\xff]*)\r\n)*\r\n",
    re.IGNORECASE,
)
"""A head without bare CR, LF or NUL and without folded lines. h11 accepts a bare LF, and "5, 5" as a length."""
_TWICE: Final = re.compile(
    rb"\r\n(?:host:.*\r\nhost|(?:content-length|transfer-encoding):.*\r\n(?:content-length|transfer-encoding)):",
    re.IGNORECASE | re.DOTALL,
)
"""Two hosts or two lengths. h11 joins equal lengths, and accepts a length beside an encoding."""
_AUTHORITY: Final = r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\[\]/?#]+)(?::(?P<port>[0-9]{1,5}))?"
_HOST: Final = re.compile(_AUTHORITY)
_TARGET: Final = re.compile(rf"(?:(?P<scheme>https?)://)?{_AUTHORITY}(?P<path>[/?][^#]*)?", re.IGNORECASE)


class RequestHeadRefused(Exception):
    """A request that is not carried out. `status` and `why` go to the task, `why` to the security log too."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class ProxyRequest(Struct, frozen=True):
    """A request of a task. `path` includes the query; `headers` are the ones to pass on."""

    method: str
    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def tunnel(self) -> bool:
        return self.method == "CONNECT"


def read_head(head: bytes, connection: h11.Connection) -> ProxyRequest:
    """Parse a head. `connection` is the server's side, which reads the body afterwards. Raises RequestHeadRefused."""
    if head.count(b"\r\n") > MAX_HEADERS + 2:
        raise RequestHeadRefused(431, f"the request has more than {MAX_HEADERS} headers")
    if not _HEAD.fullmatch(head):
        raise RequestHeadRefused(400, "the request is not HTTP/1.1 in lines of NAME: VALUE, or breaks off")
    if _TWICE.search(head):
        raise RequestHeadRefused(400, "the request has two Hosts or two lengths")
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as exc:
        raise RequestHeadRefused(400, f"the request is not HTTP/1.1: {exc}") from exc
    assert isinstance(event, h11.Request)
    if len(event.target) > MAX_TARGET_CHARS:
        raise RequestHeadRefused(414, f"the address has more than {MAX_TARGET_CHARS} characters")
    place = named_place(event.method.decode(), event.target.decode())
    _check_host_header(event, place)
    return replace(place, headers=_headers_to_pass_on(event))


def _check_host_header(event: h11.Request, place: ProxyRequest) -> None:
    """Raise RequestHeadRefused if a Host header names another host or port; HTTP/1.0 may have no such header."""
    name = dict(event.headers).get(b"host")
    if name is None:
        return
    match = _HOST.fullmatch(name.decode("latin-1"))
    if match is not None:
        host = match["host"].lower().rstrip(".")
        port = int(match["port"] or place.port)
        if (host, port) == (place.host, place.port):
            return
    raise RequestHeadRefused(400, "the Host header names another host than the address")


def _headers_to_pass_on(event: h11.Request) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers without the headers of the connection and the headers that `Connection` lists."""
    listed = b",".join(value for name, value in event.headers if name == b"connection").split(b",")
    dropped = (HOP_BY_HOP | {name.strip().lower() for name in listed}) - FRAMING
    return tuple((name, value) for name, value in event.headers.raw_items() if name.lower() not in dropped)


def named_place(method: str, target: str) -> ProxyRequest:
    """Return the request for a target: HOST:PORT for CONNECT, otherwise a whole address. Raises RequestHeadRefused.

    The host is in lower case and without a final dot. IP addresses are refused: an allowlist cannot have them.
    """
    match = _TARGET.fullmatch(target)
    if method == "CONNECT":
        is_place = match is not None and match["port"] and not match["scheme"] and not match["path"]
        if not is_place:
            raise RequestHeadRefused(400, "CONNECT takes HOST:PORT")
    elif match is None or not match["scheme"]:
        raise RequestHeadRefused(400, "the proxy takes whole addresses without a user name: http://HOST/PATH")
    assert match is not None
    host = match["host"].lower().rstrip(".")
    mistake = host_mistake(host)
    if mistake is not None:
        raise RequestHeadRefused(403, f"{host[:80]} is not a host name: {mistake}")
    scheme = (match["scheme"] or "https").lower()
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise RequestHeadRefused(400, f"there is no port {port}")
    path = (match["path"] or "").removeprefix("/")
    return ProxyRequest(method, scheme, host, port, f"/{path}")
