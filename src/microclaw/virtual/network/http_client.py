"""One HTTP client of an app, as the firmware's esp_http_client behaves, over http.client, on the app's own thread.

Its time-out is that of each read and write.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, cast
from urllib.parse import urljoin, urlsplit

from microclaw.addresses import DEFAULT_PORTS
from microclaw.virtual.network.access import NetworkAccess
from microclaw.virtual.network.canned import EACCES, ECONNREFUSED
from microclaw.virtual.network.canned_stream import CannedStream

FAIL: Final = -1
INVALID_ARG: Final = 0x102
NOT_SUPPORTED: Final = 0x106
MAX_REDIRECT: Final = 0x7001  # ESP_ERR_HTTP_..., from here on
CONNECT: Final = 0x7002
WRITE_DATA: Final = 0x7003
FETCH_HEADER: Final = 0x7004
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
DEFAULT_TIMEOUT_MS: Final = 5000
DEFAULT_REDIRECTS: Final = 10
DEFAULT_BUFFER_BYTES: Final = 512
MAX_BODY_BYTES: Final = 262_144
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_BASIC: Final = 1
_FAULTS: Final = (OSError, http.client.HTTPException, ValueError)


class HttpEvent(IntEnum):
    """esp_http_client_event_id_t."""

    ERROR = 0
    CONNECTED = 1
    HEADERS_SENT = 2
    HEADER = 3
    DATA = 4
    FINISHED = 5
    DISCONNECTED = 6
    REDIRECT = 7


class HttpFailed(Exception):
    """The call answers this code of the firmware's."""

    def __init__(self, code: int = FAIL) -> None:
        super().__init__(f"{code:#x}")
        self.code = code


class HttpClient:
    """`on_event` gets the event and its two texts. Methods raise HttpFailed.

    `method` is a place in METHODS, `auth` 0 none, 1 basic, 2 digest.
    """

    def __init__(self, access: NetworkAccess, on_event: Callable[[HttpEvent, bytes, bytes], None]) -> None:
        self.url = self.username = self.password = self.cert_pem = self.user_agent = ""
        self.auth = self.method = self.timeout_ms = self.max_redirects = self.buffer_bytes = 0
        self.follows = self.checks_name = True
        self.uses_known_authorities = False
        self.headers: dict[str, tuple[str, str]] = {}  # by the lower-case name
        self.post_data = b""
        self.status = 0
        self.content_length = 0
        self._access = access
        self._on_event = on_event
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None
        self._is_interrupted = False

    def set_header(self, name: str, value: str | None) -> None:
        """Set a header of the request; None removes it."""
        self.headers.pop(name.lower(), None)
        if value is not None:
            self.headers[name.lower()] = (name, value)

    def set_url(self, url: str) -> None:
        """Set the address; one without a host is relative to the present one. HttpFailed if it is none."""
        whole = urljoin(self.url, url)
        _parts(whole)
        self.url = whole

    def perform(self) -> None:
        """Make a whole request and read its response; redirections are followed."""
        for _ in range((self.max_redirects or DEFAULT_REDIRECTS) + 1):
            self._exchange()
            if self.status not in _REDIRECTS or not self.follows:
                return
            self.follow()
            if self.status == 303:
                self.method = 0
                self.post_data = b""
        raise HttpFailed(MAX_REDIRECT)

    def follow(self) -> None:
        """Go on with where the last response pointed to."""
        if self._response is not None:
            place = self._response.getheader("location")
        else:
            place = None
        if not place:
            raise HttpFailed
        self.set_url(place)

    def open(self, length: int) -> None:
        """Connect and send the head; `length` bytes of a body are written then, -1: in chunks that the app makes."""
        try:
            connection = self._connect()
        except HttpFailed:
            self._emit(HttpEvent.ERROR)
            raise
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with self._failing(WRITE_DATA):
            connection.putrequest(METHODS[self.method], target, skip_accept_encoding=True)
            for name, value in self._all_headers(length):
                connection.putheader(name, value)
            connection.endheaders()
            self._emit(HttpEvent.HEADERS_SENT)

    def write(self, data: bytes, code: int = FAIL) -> int:
        """Send a piece of the body; return its length. HttpFailed with `code` without a connection."""
        if self._connection is None:
            raise HttpFailed(code)
        with self._failing(code):
            self._connection.send(data)
        return len(data)

    def fetch_headers(self, code: int = FAIL) -> int:
        """Read the response's head; return the body's length, 0 if it has none."""
        if self._connection is None:
            raise HttpFailed(code)
        with self._failing(code):
            response = self._response = self._connection.getresponse()
        self.status = response.status
        self.content_length = -1 if response.length is None else response.length
        for name, value in response.getheaders():
            self._emit(HttpEvent.HEADER, name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        return max(self.content_length, 0)

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes of the body, b"" at its end. HttpFailed if it broke off."""
        response = self._response
        if response is None:
            raise HttpFailed
        with self._failing():
            if size:
                data = response.read1(size)
            else:
                data = b""
            if size and not data and response.length:  # http.client takes an early end for the end
                raise http.client.IncompleteRead(b"", response.length)
        if data:
            self._emit(HttpEvent.DATA, data)
        return data

    def read_all(self, size: int) -> bytes:
        """Read `size` bytes of the body, less at its end."""
        whole = b""
        while len(whole) < size and (piece := self.read(size - len(whole))):
            whole += piece
        return whole

    @property
    def is_complete(self) -> bool:
        response = self._response
        return response is not None and (response.isclosed() or response.length == 0)

    def close(self) -> None:
        """Close the connection; the last status stays."""
        was_open = self._connection is not None
        self.abandon()
        if was_open:
            self._emit(HttpEvent.DISCONNECTED)

    def interrupt(self) -> None:
        """End a wait for the server, from another thread."""
        self._is_interrupted = True
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close without an event: the app is gone."""
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.close()

    def _exchange(self) -> None:
        body = self.post_data
        sends = bool(body) or METHODS[self.method] in ("POST", "PUT", "PATCH")
        self.open(len(body) if sends else 0)
        if body:
            self.write(body, WRITE_DATA)
        self.fetch_headers(FETCH_HEADER)
        if self.status in _REDIRECTS:
            self._emit(HttpEvent.REDIRECT)
        while self.read(self.buffer_bytes or DEFAULT_BUFFER_BYTES):
            pass
        self._emit(HttpEvent.FINISHED)
        self.close()

    def _connect(self) -> http.client.HTTPConnection:
        self.abandon()
        self._response = self._socket = None
        self.status = self.content_length = 0
        scheme, host, port = _parts(self.url, INVALID_ARG)
        if self.auth not in (0, _BASIC):
            self._access.say("http", "only basic authentication is imitated here")
            raise HttpFailed(NOT_SUPPORTED)
        if scheme == "https" and not self.cert_pem and not self.uses_known_authorities:
            self._access.say("http", "https needs cert_pem, use_global_ca_store or crt_bundle_attach")
            raise HttpFailed(CONNECT)
        connect = self._access.connect
        if connect is None:
            return self._connect_canned(host, port)
        made = http.client.HTTPConnection(host, port)
        if scheme == "https":
            made = http.client.HTTPSConnection(host, port)
        # Without this it would connect again by itself, to an address that nobody has checked.
        made.auto_open = 0
        self._connection = made
        try:
            made.sock = connect(host, port, (self.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000)
            if scheme == "https":
                made.sock = self._with_tls(made.sock, host)
            self._socket = made.sock
        except _FAULTS as exc:
            self._access.say("http", f"no connection to {host}:{port}: {exc or type(exc).__name__}")
            raise HttpFailed(CONNECT) from exc
        self._emit(HttpEvent.CONNECTED)
        return made

    def _with_tls(self, connected: socket.socket, host: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.cert_pem or None)
        context.check_hostname = self.checks_name
        return context.wrap_socket(connected, server_hostname=host)

    def _connect_canned(self, host: str, port: int) -> http.client.HTTPConnection:
        """Connect to what answers where the board has no network; it is told if no line is for it."""
        canned = self._access.canned
        try:
            if canned is None:
                raise OSError("the board has no network")
            stream = CannedStream(canned, self._access.time, host, port, self.timeout_ms or DEFAULT_TIMEOUT_MS)
        except OSError as exc:
            if exc.errno == ECONNREFUSED:
                self._access.say("http", f"no connection to {host}:{port}: refused")
            elif exc.errno == EACCES:
                self._access.refuse("http", f"{host}:{port}", exc.strerror)
            else:
                self._access.refuse("http", f"{host}:{port}")
            raise HttpFailed(CONNECT) from exc
        made = http.client.HTTPConnection(host, port)
        made.auto_open = 0
        made.sock = cast("socket.socket", stream)
        self._connection = made
        self._emit(HttpEvent.CONNECTED)
        return made

    def _all_headers(self, length: int) -> Iterator[tuple[str, str]]:
        own = self.headers
        if "user-agent" not in own:
            yield "User-Agent", self.user_agent or "ESP32 HTTP Client/1.0"
        if self.auth == _BASIC and self.username and "authorization" not in own:
            words = f"{self.username}:{self.password}".encode()
            yield "Authorization", f"Basic {base64.b64encode(words).decode()}"
        if length < 0:
            yield "Transfer-Encoding", "chunked"
        elif "content-length" not in own and (length or METHODS[self.method] in ("POST", "PUT", "PATCH")):
            yield "Content-Length", str(length)
        if length > 0 and self.post_data and "content-type" not in own:
            yield "Content-Type", "application/x-www-form-urlencoded"
        yield from own.values()

    @contextlib.contextmanager
    def _failing(self, code: int = FAIL) -> Iterator[None]:
        try:
            yield
        except _FAULTS as exc:
            self._access.say("http", f"the exchange broke off: {exc or type(exc).__name__}")
            self._emit(HttpEvent.ERROR)
            raise HttpFailed(code) from exc

    def _emit(self, event: HttpEvent, first: bytes = b"", second: bytes = b"") -> None:
        if not self._is_interrupted:
            self._on_event(event, first, second)


def _parts(url: str, code: int = FAIL) -> tuple[str, str, int]:
    """Return scheme, host and port of an http or https address. HttpFailed with `code` if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise HttpFailed(code) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HttpFailed(code)
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]
