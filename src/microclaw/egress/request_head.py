"""A task's request to the proxy, read from the bytes of its head with nothing left to interpretation. It does no IO.

h11 parses; what it would mend or join (bare line ends, folded lines, two lengths) is refused first, as a server behind
might read such a head in another way (request smuggling, RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
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
_HEAD: Final = re.compile(
    rb"[!-~]+ [!-~]+ HTTP/1\.[01]\r\n"
    rb"(?:(?:content-length:[\t ]*[0-9]{1,18}[\t ]*"
    rb"|(?!content-length:)[!#$%&'*+.^_`|~0-9A-Z-]+:[\t\x20-\x7e\x80-\xff]*)\r\n)*\r\n",
    re.IGNORECASE,
)
"""No bare CR, LF or NUL, and no line that is folded. h11 ends lines at a bare LF, and takes "5, 5" as a length."""
_TWICE: Final = re.compile(
    rb"\r\n(?:host:.*\r\nhost|(?:content-length|transfer-encoding):.*\r\n(?:content-length|transfer-encoding)):",
    re.IGNORECASE | re.DOTALL,
)
"""h11 joins equal lengths, and takes a length beside an encoding."""
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
    """`path` has the query; `headers` are passed on."""

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
    """`connection` is the server's side and goes on with the body. Raises RequestRefused."""
    if head.count(b"\r\n") > MAX_HEADERS + 2:
        raise RequestRefused(431, f"the request has more than {MAX_HEADERS} headers")
    if not _HEAD.fullmatch(head):
        raise RequestRefused(400, "the request is not HTTP/1.1 in lines of NAME: VALUE, or breaks off")
    if _TWICE.search(head):
        raise RequestRefused(400, "the request has two Hosts or two lengths")
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as exc:
        raise RequestRefused(400, f"the request is not HTTP/1.1: {exc}") from exc
    assert isinstance(event, h11.Request)
    if len(event.target) > MAX_TARGET_CHARS:
        raise RequestRefused(414, f"the address has more than {MAX_TARGET_CHARS} characters")
    place = named_place(event.method.decode(), event.target.decode())
    if (name := dict(event.headers).get(b"host")) is not None:  # HTTP/1.0 may have none
        found = _HOST.fullmatch(name.decode("latin-1"))
        at = found and (found["host"].lower().rstrip("."), int(found["port"] or place.port))
        if at != (place.host, place.port):
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
    wrong = host_mistake(host)
    if wrong is not None:
        raise RequestRefused(403, f"{host[:80]} is no host's name: {wrong}")
    scheme = (found["scheme"] or "https").lower()
    port = int(found["port"] or (443 if scheme == "https" else 80))
    if not 1 <= port <= 65535:
        raise RequestRefused(400, f"there is no port {port}")
    return ProxyRequest(method, scheme, host, port, "/" + (found["path"] or "").removeprefix("/"))
