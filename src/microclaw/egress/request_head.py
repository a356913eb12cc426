"""A task's request to the proxy, read from the bytes of its head with nothing left to interpretation. It does no IO.

h11 parses; what it would mend or join (bare line ends, folded lines, two lengths) is refused first, as a server behind
might read such a head in another way (request smuggling, RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import h11
from msgspec import Struct
from msgspec.structs import replace

from microclaw.egress.destinations import host_mistake

MAX_HEAD_BYTES: Final = 16 << 10
MAX_HEADERS: Final = 100
MAX_TARGET_CHARS: Final = 4096
HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer upgrade expect "
    b"http2-settings host".split()
)
"""Headers of one connection, or that the proxy writes itself; they are never passed on as they came."""
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""They say where the body ends: h11 read it by them, so they are always passed on."""
_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_AUTHORITY: Final = r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\[\]/?#]+)(?::(?P<port>[0-9]{1,5}))?"
_HOST: Final = re.compile(_AUTHORITY)
_TARGET: Final = re.compile(rf"(?:(?P<scheme>https?)://)?{_AUTHORITY}(?P<path>[/?][^#]*)?", re.IGNORECASE)


class RequestRefused(Exception):
    """The request is not carried out; `status` and `why` go to the task, `why` to the security log too."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class ProxyRequest(Struct, frozen=True):
    """`port` is None where it names none; `path` has the query, and is empty for CONNECT; `headers` are passed on."""

    method: str
    scheme: str
    host: str
    port: int | None
    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def tunnel(self) -> bool:
        return self.method == "CONNECT"

    @property
    def usual_port(self) -> int:
        return self.port or (443 if self.scheme == "https" else 80)


def read_head(head: bytes, connection: h11.Connection) -> ProxyRequest:
    """`head` ends with its empty line; `connection` is the server's side and goes on with the body."""
    _check_lines(head)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as exc:
        raise RequestRefused(400, f"the request is not HTTP/1.1: {exc}") from exc
    if not isinstance(event, h11.Request):
        raise RequestRefused(400, "the request is not HTTP/1.1")
    if event.http_version not in (b"1.1", b"1.0"):
        raise RequestRefused(505, "the proxy speaks HTTP/1.1")
    if len(event.target) > MAX_TARGET_CHARS:
        raise RequestRefused(414, f"the address has more than {MAX_TARGET_CHARS} characters")
    place = named_place(event.method.decode(), event.target.decode())
    named = dict(event.headers)
    if named.keys() >= FRAMING:
        raise RequestRefused(400, "the request has both Content-Length and Transfer-Encoding")
    if b"host" in named:  # HTTP/1.0 may have none; h11 refuses a request of 1.1 without one
        found = _HOST.fullmatch(named[b"host"].decode("latin-1"))
        port = int(found["port"] or place.usual_port) if found is not None else None
        if found is None or found["host"].lower().rstrip(".") != place.host or port != place.usual_port:
            raise RequestRefused(400, "the Host header names another host than the address")
    words = b",".join(value for name, value in event.headers if name == b"connection").split(b",")
    dropped = (HOP_BY_HOP | {word.strip().lower() for word in words}) - FRAMING
    kept = ((name, value) for name, value in event.headers.raw_items() if name.lower() not in dropped)
    return replace(place, headers=tuple(kept))


def named_place(method: str, target: str) -> ProxyRequest:
    """A request for the place that it names: HOST:PORT for CONNECT, else a whole address. Raises RequestRefused.

    The name is in small letters and without a final dot. An address is no name that an allowlist can have.
    """
    found = _TARGET.fullmatch(target)
    if method == "CONNECT":
        if found is None or found["scheme"] or found["path"] or not found["port"]:
            raise RequestRefused(400, "CONNECT takes HOST:PORT")
    elif found is None or not found["scheme"]:
        raise RequestRefused(400, "the proxy takes whole addresses without a user name: http://HOST/PATH")
    host = found["host"].lower().rstrip(".")
    if (wrong := host_mistake(host.strip("[]"))) is not None or host.startswith("["):
        raise RequestRefused(403, f"{host[:80]} is no host's name: {wrong or 'it is an address'}")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise RequestRefused(400, f"there is no port {port}")
    if method == "CONNECT":
        return ProxyRequest(method, "https", host, port, "")
    path = found["path"] or "/"
    return ProxyRequest(method, found["scheme"].lower(), host, port, path if path.startswith("/") else f"/{path}")


def _check_lines(head: bytes) -> None:
    first, *lines = head[:-4].split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise RequestRefused(431, f"the request has more than {MAX_HEADERS} headers")
    if not first.decode("latin-1").isprintable():  # h11 ends lines at a bare LF
        raise RequestRefused(400, "the first line has a bare CR or LF, or another control character")
    seen = Counter[bytes]()  # before h11 joins equal lengths
    for line in lines:
        if not _LINE.fullmatch(line):  # bare CR, LF and NUL, and lines that are folded, too
            raise RequestRefused(400, "a header is not NAME: VALUE in one line")
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and not _LENGTH.fullmatch(value.strip(b" \t")):  # h11 takes "5, 5"
            raise RequestRefused(400, "Content-Length is no number")
        seen[name.lower()] += 1
    if any(seen[name] > 1 for name in (b"host", *FRAMING)):
        raise RequestRefused(400, "a header that may be there once is there twice")
