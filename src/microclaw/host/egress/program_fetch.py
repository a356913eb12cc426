"""Makes HTTPS requests for programs of boards: only to hosts that the program may talk to, at public addresses.

A board has no list of authorities, so the certificate is verified here. Each redirect is checked as the first request.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw import __version__
from microclaw.addresses import bracketed
from microclaw.errors import MicroclawError, PermissionRefused, error_below
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.host.egress.proxy import DEFAULT_TLS
from microclaw.network_use import NetworkUse

if TYPE_CHECKING:
    import httpx2

MAX_BODY_BYTES: Final = 65_536
MAX_FETCH_S: Final = 20.0
MAX_URL_CHARS: Final = 2_048
MAX_REQUEST_HEADERS: Final = 4_096
MAX_REDIRECTS: Final = 5
# Of all boards together.
FETCHES_AT_ONCE: Final = 16
# A board reads the headers into its memory: long ones are for browsers.
MAX_HEADER_BYTES: Final = 256
MAX_ANSWER_HEADERS: Final = 2_048
_HTTPS_PORT: Final = 443
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Without a user name before the host.
_URL: Final = re.compile(r"https://[^/?#@\\\s]+(?:[/?#][^\\\s]*)?", re.IGNORECASE)
# The client sets these itself.
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive"}
)
FetchFault: TypeAlias = Literal["fetch_refused", "fetch_busy", "fetch_timeout", "fetch_too_large", "fetch_failed"]


class FetchFailed(MicroclawError, code="fetch_failed"):
    """A fetch without an answer; `fault` is the code of the `error` that the device gets."""

    def __init__(self, fault: FetchFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class ProgramRequest(Struct, frozen=True, kw_only=True):
    """A request of the program `app` on `device`, both by name; `most` bytes of the answer's body are wanted."""

    device: str
    app: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    most: int = MAX_BODY_BYTES


class ProgramAnswer(Struct, frozen=True):
    """An answer. Names of headers are small."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class ProgramFetcher:
    """The fetches of all programs. `tls` replaces the system's authorities in tests."""

    egress: Egress
    _: KW_ONLY
    proxy: str | None = None
    record: Record = no_record
    tls: Callable[[], ssl.SSLContext] = DEFAULT_TLS
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FETCHES_AT_ONCE))

    async def fetch(self, request: ProgramRequest, network: NetworkUse) -> ProgramAnswer:
        """Make a request and write a line to the security log. Raises FetchFailed. The caller limits the time."""
        try:
            check_request(request)
            async with self._places:
                answer = await self._request(request, network)
        except FetchFailed as exc:
            self._note(request, exc.message, is_refused=exc.fault == "fetch_refused")
            raise
        except asyncio.CancelledError:
            self._note(request, "it took too long, or the board left", is_refused=False)
            raise
        self._note(request, f"status {answer.status}, {len(answer.body):,} bytes down", is_refused=False)
        return answer

    async def _request(self, request: ProgramRequest, network: NetworkUse) -> ProgramAnswer:
        """Make the request, redirects included. Raises FetchFailed."""
        import httpx2

        from microclaw.host.egress.http_door import http_client

        context = await asyncio.to_thread(self.tls)
        client = http_client(Purpose.WEB, egress=self.egress, proxy=self.proxy, verify=context, timeout=MAX_FETCH_S)
        try:
            async with client:
                return await _follow(client, request, network)
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, ValueError) as exc:
            refusal = error_below(exc, PermissionRefused)
            if refusal is not None:
                raise FetchFailed("fetch_refused", refusal.message) from exc
            cause = error_below(exc, MicroclawError)
            reason = cause.message if cause is not None else str(exc) or type(exc).__name__
            raise FetchFailed("fetch_failed", f"the host got no answer: {reason[:200]}") from exc

    def _note(self, request: ProgramRequest, text: str, *, is_refused: bool) -> None:
        """Write a line to the security log, without path, headers and content."""
        kind = AuditKind.EGRESS_REFUSED if is_refused else AuditKind.EGRESS_ALLOWED
        place = host_of(request.url)
        # The host of a refused request may be a person's data.
        known = () if is_refused else (place.rpartition(":")[0],)
        line = f"{request.method[:16]} {place}, {len(request.body):,} bytes up: {text}"
        self.record(AuditEvent(kind, line, about=f"{request.app} on {request.device}", known=known))


def check_request(request: ProgramRequest) -> None:
    """Raise FetchFailed if the request is not one that a program may make of any host."""
    url = request.url
    if request.method not in _METHODS:
        raise FetchFailed("fetch_refused", f"{request.method[:16]!r} is not one of {', '.join(sorted(_METHODS))}")
    if len(url) > MAX_URL_CHARS or not url.isprintable() or not _URL.fullmatch(url):
        raise FetchFailed("fetch_refused", f"{url[:80]!r} is not an https:// address")
    header_bytes = sum(len(name) + len(value) for name, value in request.headers.items())
    if header_bytes > MAX_REQUEST_HEADERS:
        raise FetchFailed("fetch_too_large", f"{header_bytes:,} bytes of headers, at most {MAX_REQUEST_HEADERS:,}")
    if len(request.body) > MAX_BODY_BYTES:
        raise FetchFailed("fetch_too_large", f"a body of more than {MAX_BODY_BYTES:,} bytes")


def host_of(url: str) -> str:
    """Return "HOST:PORT" of an address, or "an invalid address"."""
    import httpx2

    try:
        return _place(httpx2.URL(url))
    except (httpx2.InvalidURL, ValueError):
        return "an invalid address"


async def _follow(client: httpx2.AsyncClient, request: ProgramRequest, network: NetworkUse) -> ProgramAnswer:
    """Send the request and follow redirects; each must lead to an allowed host."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN_HEADERS}
    next_request: httpx2.Request | None = client.build_request(
        request.method, request.url, headers=_with_defaults(headers), content=request.body or None
    )
    for _ in range(MAX_REDIRECTS + 1):
        assert next_request is not None
        _check_place(next_request.url, network)
        response = await client.send(next_request, stream=True)
        try:
            next_request = response.next_request
            if next_request is None:
                return await _read(response, request.most)
        finally:
            await response.aclose()
    raise FetchFailed("fetch_failed", f"the address is behind more than {MAX_REDIRECTS} redirects")


def _with_defaults(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a program, with those that it did not give and that a server needs."""
    names = {name.lower() for name in headers}
    # A small compressed body could become a huge one.
    complete = {"Accept-Encoding": "identity", **headers}
    if "user-agent" not in names:
        complete["User-Agent"] = f"microclaw/{__version__}"
    return complete


def _place(url: httpx2.URL) -> str:
    host = url.raw_host.decode().lower().rstrip(".")
    return f"{bracketed(host)}:{url.port or _HTTPS_PORT}"


def _check_place(url: httpx2.URL, network: NetworkUse) -> None:
    """Raise FetchFailed unless this is HTTPS and the program may talk to the host."""
    place = _place(url)
    if url.scheme != "https":
        raise FetchFailed("fetch_refused", f"the server leads to {place} without TLS")
    if place not in network.hosts and place.rpartition(":")[0] not in network.hosts:
        allowed = ", ".join(network.hosts) or "it has none"
        raise FetchFailed("fetch_refused", f"{place} is none of this program's hosts ({allowed[:120]})")


async def _read(response: httpx2.Response, most: int) -> ProgramAnswer:
    """Read the answer. Raises FetchFailed if its body has more than `most` bytes."""
    limit = min(most, MAX_BODY_BYTES)
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > limit:
            raise FetchFailed("fetch_too_large", f"the answer has more than {limit:,} bytes")
    return ProgramAnswer(response.status_code, _short_headers(response.headers), bytes(body))


def _short_headers(headers: httpx2.Headers) -> dict[str, str]:
    """Return the headers that a board gets, repeated ones joined."""
    joined: dict[str, str] = {}
    for name, value in headers.multi_items():
        small = name.lower()
        joined[small] = f"{joined[small]}, {value}" if small in joined else value
    short: dict[str, str] = {}
    left_bytes = MAX_ANSWER_HEADERS
    for name, value in joined.items():
        size = len(name.encode()) + len(value.encode())
        if size > MAX_HEADER_BYTES:
            continue
        left_bytes -= size
        if left_bytes < 0:
            break
        short[name] = value
    return short
