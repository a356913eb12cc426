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

from microclaw.egress.destinations import host_mistake

MAX_HEAD_BYTES: Final = 16 << 10
MAX_HEADERS: Final = 100
MAX_TARGET_CHARS: Final = 4096
HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"http2-settings", b"host", b"content-length",
    }
)  # fmt: skip
"""Headers of one connection, or that the proxy writes itself; they are never passed on as they came."""
_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\[\]/?#]+)(?::(?P<port>[0-9]{1,5}))?")
_ABSOLUTE: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[/?][^#]*)?", re.IGNORECASE)


class RequestRefused(Exception):
    """The request is not carried out; `status` and the words go to the task, `why` to the security log too."""

    def __init__(self, status: int, why: str, next_step: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.words = f"{why}. Next: {next_step}" if next_step else why


class ProxyRequest(Struct, frozen=True, kw_only=True):
    """`port` is None where the request names none. `headers` are those that are passed on; `tunnel`: CONNECT."""

    method: str
    host: str
    port: int | None
    scheme: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    tunnel: bool
    length: bytes | None
    chunked: bool


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
    method, target = event.method.decode(), event.target.decode()
    if event.http_version != b"1.1" and event.http_version != b"1.0":
        raise RequestRefused(505, "the proxy speaks HTTP/1.1")
    if len(target) > MAX_TARGET_CHARS:
        raise RequestRefused(414, f"the address has more than {MAX_TARGET_CHARS} characters")
    named: dict[bytes, list[bytes]] = {}
    for name, value in event.headers:
        named.setdefault(name, []).append(value)
    tunnel = method == "CONNECT"
    scheme, host, port, path = connect_target(target) if tunnel else url_parts(target)
    _check_headers(named, host, port, scheme)
    dropped = HOP_BY_HOP | _connection_words(named)
    return ProxyRequest(
        method=method,
        host=host,
        port=port,
        scheme=scheme,
        target=path,
        headers=tuple((name, value) for name, value in event.headers.raw_items() if name.lower() not in dropped),
        tunnel=tunnel,
        length=named.get(b"content-length", [None])[0],
        chunked=b"transfer-encoding" in named,
    )


def _check_lines(head: bytes) -> None:
    lines = head[:-4].split(b"\r\n")
    if len(lines) - 1 > MAX_HEADERS:
        raise RequestRefused(431, f"the request has more than {MAX_HEADERS} headers")
    if not lines[0].decode("latin-1").isprintable():  # h11 ends lines at a bare LF
        raise RequestRefused(400, "the first line has a bare CR or LF, or another control character")
    for line in lines[1:]:
        if not _LINE.fullmatch(line):  # bare CR, LF and NUL, and lines that are folded, too
            raise RequestRefused(400, "a header is not NAME: VALUE in one line")
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and not _LENGTH.fullmatch(value.strip(b" \t")):  # h11 takes "5, 5"
            raise RequestRefused(400, "Content-Length is no number")
    names = Counter(line.partition(b":")[0].lower() for line in lines[1:])  # before h11 joins equal lengths
    if any(names[name] > 1 for name in (b"host", b"content-length", b"transfer-encoding")):
        raise RequestRefused(400, "a header that may be there once is there twice")


def _check_headers(named: dict[bytes, list[bytes]], host: str, port: int | None, scheme: str) -> None:
    if b"content-length" in named and b"transfer-encoding" in named:
        raise RequestRefused(400, "the request has both Content-Length and Transfer-Encoding")
    if b"host" not in named:
        return  # HTTP/1.0; h11 refuses a request of 1.1 without one
    found = _AUTHORITY.fullmatch(named[b"host"][0].decode("latin-1"))
    default = 443 if scheme == "https" else 80
    if (
        found is None
        or found["host"].lower().rstrip(".") != host
        or int(found["port"] or port or default) != (port or default)
    ):
        raise RequestRefused(400, "the Host header names another host than the address")


def _connection_words(named: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    """The headers that the Connection header says are for this connection alone."""
    return frozenset(word.strip().lower() for value in named.get(b"connection", []) for word in value.split(b","))


def connect_target(target: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and no path of what CONNECT names."""
    found = _AUTHORITY.fullmatch(target)
    if found is None or found["port"] is None:
        raise RequestRefused(400, "CONNECT takes HOST:PORT")
    host, port = _host_and_port(found)
    return "https", host, port or 443, ""


def url_parts(target: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port if there is one, and path with query of a whole address. Raises RequestRefused."""
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise RequestRefused(400, "the proxy takes whole addresses: http://HOST/PATH")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None:
        raise RequestRefused(400, "the address has no host, or a user name beside it")
    host, port = _host_and_port(authority)
    path = found["target"] or "/"
    return found["scheme"].lower(), host, port, path if path.startswith("/") else f"/{path}"


def _host_and_port(found: re.Match[str]) -> tuple[str, int | None]:
    """The name in small letters and without a final dot. An address is no name that an allowlist can have."""
    host = found["host"].lower().rstrip(".")
    if (wrong := host_mistake(host.strip("[]"))) is not None or host.startswith("["):
        raise RequestRefused(403, f"{host[:80]} is no host's name: {wrong or 'it is an address'}")
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 1 <= port <= 65535:
        raise RequestRefused(400, f"there is no port {port}")
    return host, port
