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
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import urljoin, urlsplit

from microclaw.text import clean_text
from microclaw.virtual.network.app_network import AppNetwork, tls_context

OK: Final = 0
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


@dataclass(slots=True)
class HttpSettings:
    """What an app asked for; `method` is a place in METHODS, `auth` 0 none, 1 basic, 2 digest."""

    url: str
    username: str = ""
    password: str = ""
    auth: int = 0
    cert_pem: str = ""
    client_cert_pem: str = ""
    client_key_pem: str = ""
    client_key_password: str = ""
    user_agent: str = ""
    method: int = 0
    timeout_ms: int = 0
    follows: bool = True
    max_redirects: int = 0
    buffer_bytes: int = 0
    uses_known_authorities: bool = False
    checks_name: bool = True


class HttpClient:
    """`on_event` gets the event and its two texts. Methods give the firmware's codes: 0, or what failed."""

    def __init__(
        self, network: AppNetwork, settings: HttpSettings, on_event: Callable[[HttpEvent, bytes, bytes], None]
    ) -> None:
        self.settings = settings
        self.headers: dict[str, tuple[str, str]] = {}  # by the lower-case name
        self.post_data = b""
        self.status = 0
        self.content_length = 0
        self.errno = 0
        self._network = network
        self._on_event = on_event
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None
        self._is_interrupted = False

    def set_header(self, name: str, value: str | None) -> None:
        """None takes it out."""
        self.headers.pop(name.lower(), None)
        if value is not None:
            self.headers[name.lower()] = (name, value)

    def set_url(self, url: str) -> int:
        """FAIL for what is no address; one without a host is of the present one."""
        whole = urljoin(self.settings.url, url)
        if _parts(whole) is None:
            return FAIL
        self.settings.url = whole
        return OK

    def perform(self) -> int:
        """A whole request with its response, redirections followed."""
        limit = self.settings.max_redirects or DEFAULT_REDIRECTS
        for _ in range(limit + 1):
            result = self._exchange()
            if result != OK or self.status not in _REDIRECTS or not self.settings.follows:
                return result
            if self.follow() != OK:
                return FAIL
            if self.status == 303:
                self.settings.method, self.post_data = 0, b""
        return MAX_REDIRECT

    def follow(self) -> int:
        """Go on with where the last response pointed to."""
        place = self._response.getheader("location") if self._response is not None else None
        return self.set_url(place) if place else FAIL

    def open(self, length: int) -> int:
        """Connect and send the head; `length` bytes of a body are written then, -1: in chunks that the app makes."""
        try:
            result = self._connect()
            if result != OK:
                self._emit(HttpEvent.ERROR)
                return result
            self._send_head(length)
        except _FAULTS as exc:
            return self._failed(exc, WRITE_DATA)
        return OK

    def write(self, data: bytes) -> int:
        """How many bytes were sent; FAIL without a connection."""
        if self._connection is None:
            return FAIL
        try:
            self._connection.send(data)
        except _FAULTS as exc:
            self._failed(exc, WRITE_DATA)
            return FAIL
        return len(data)

    def fetch_headers(self) -> int:
        """The body's length, 0 where it is not told, FAIL."""
        if self._connection is None:
            return FAIL
        try:
            response = self._response = self._connection.getresponse()
        except _FAULTS as exc:
            self._failed(exc, FETCH_HEADER)
            return FAIL
        self.status = response.status
        self.content_length = -1 if response.length is None else response.length
        for name, value in response.getheaders():
            self._emit(HttpEvent.HEADER, name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        return max(self.content_length, 0)

    def read(self, size: int) -> bytes | None:
        """At most `size` bytes of the body, b"" at its end, None when it broke off."""
        if self._response is None:
            return None
        try:
            data = self._response.read1(size) if size else b""
        except _FAULTS as exc:
            self._failed(exc, FAIL)
            return None
        if data:
            self._emit(HttpEvent.DATA, data)
        elif size and self._response.length:  # http.client takes an early end for the end
            self._failed(http.client.IncompleteRead(b"", self._response.length), FAIL)
            return None
        return data

    def read_all(self, size: int) -> bytes | None:
        """As `read`, and goes on until `size` bytes are there, or the end is."""
        whole = b""
        while len(whole) < size:
            piece = self.read(size - len(whole))
            if piece is None:
                return None
            if not piece:
                break
            whole += piece
        return whole

    @property
    def is_chunked(self) -> bool:
        return self._response is not None and bool(self._response.chunked)

    @property
    def is_complete(self) -> bool:
        response = self._response
        return response is not None and (response.isclosed() or response.length == 0)

    @property
    def uses_tls(self) -> bool:
        return self.settings.url.startswith("https:")

    def close(self) -> int:
        """Close the connection; the last status stays."""
        was_open = self._connection is not None
        self.abandon()
        if was_open:
            self._emit(HttpEvent.DISCONNECTED)
        return OK

    def interrupt(self) -> None:
        """From another thread: a wait for the server ends."""
        self._is_interrupted = True
        if (connected := self._socket) is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """The app is gone: close without an event."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self) -> int:
        body = self.post_data
        sends = bool(body) or METHODS[self.settings.method] in ("POST", "PUT", "PATCH")
        result = self.open(len(body) if sends else 0)
        if result != OK:
            return result
        if body and self.write(body) == FAIL:
            return WRITE_DATA
        if self.fetch_headers() == FAIL:
            return FETCH_HEADER
        if self.status in _REDIRECTS:
            self._emit(HttpEvent.REDIRECT)
        while piece := self.read(self.settings.buffer_bytes or DEFAULT_BUFFER_BYTES):
            pass
        if piece is None:
            return FAIL
        self._emit(HttpEvent.FINISHED)
        self.close()
        return OK

    def _connect(self) -> int:
        self.abandon()
        self._response = self._socket = None
        self.status = self.content_length = 0
        parts = _parts(self.settings.url)
        if parts is None:
            return INVALID_ARG
        scheme, host, port = parts
        if not self._network.is_allowed:
            self._network.refuse("http", f"{host}:{port}")
            return CONNECT
        settings, timeout_s = self.settings, self._timeout_s
        if settings.auth not in (0, _BASIC):
            self._say("only basic authentication is imitated here")
            return NOT_SUPPORTED
        try:
            if scheme == "https":
                context = self._tls()
                if context is None:
                    return CONNECT
                made: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, port, timeout=timeout_s, context=context
                )
            else:
                made = http.client.HTTPConnection(host, port, timeout=timeout_s)
            self._connection = made
            made.connect()
            self._socket = made.sock
        except _FAULTS as exc:
            self._note(exc, f"no connection to {host}:{port}")
            return CONNECT
        self._emit(HttpEvent.CONNECTED)
        return OK

    @property
    def _timeout_s(self) -> float:
        return (self.settings.timeout_ms or DEFAULT_TIMEOUT_MS) / 1000

    def _tls(self) -> ssl.SSLContext | None:
        settings = self.settings
        if not settings.cert_pem and not settings.uses_known_authorities:
            self._say("https needs cert_pem, use_global_ca_store or crt_bundle_attach")
            return None
        context = tls_context(
            settings.cert_pem, settings.client_cert_pem, settings.client_key_pem, settings.client_key_password
        )
        context.check_hostname = settings.checks_name
        return context

    def _send_head(self, length: int) -> None:
        connection, settings = self._connection, self.settings
        assert connection is not None
        parts = urlsplit(settings.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(METHODS[settings.method], target, skip_accept_encoding=True)
        for name, value in self._all_headers(length):
            connection.putheader(name, value)
        connection.endheaders()
        self._emit(HttpEvent.HEADERS_SENT)

    def _all_headers(self, length: int) -> Iterator[tuple[str, str]]:
        own = self.headers
        if "user-agent" not in own:
            yield "User-Agent", self.settings.user_agent or "ESP32 HTTP Client/1.0"
        if self.settings.auth == _BASIC and self.settings.username and "authorization" not in own:
            words = f"{self.settings.username}:{self.settings.password}".encode()
            yield "Authorization", f"Basic {base64.b64encode(words).decode()}"
        if length < 0:
            yield "Transfer-Encoding", "chunked"
        elif "content-length" not in own and (length or METHODS[self.settings.method] in ("POST", "PUT", "PATCH")):
            yield "Content-Length", str(length)
        if length > 0 and self.post_data and "content-type" not in own:
            yield "Content-Type", "application/x-www-form-urlencoded"
        yield from own.values()

    def _failed(self, exc: Exception, code: int) -> int:
        self._note(exc, "the exchange broke off")
        self._emit(HttpEvent.ERROR)
        return code

    def _note(self, exc: Exception, what: str) -> None:
        self.errno = (exc.errno or 0) if isinstance(exc, OSError) else 0
        self._say(f"{what}: {exc or type(exc).__name__}")

    def _say(self, text: str) -> None:
        self._network.print_line(f"http: {clean_text(text, one_line=True, limit=200)}")

    def _emit(self, event: HttpEvent, first: bytes = b"", second: bytes = b"") -> None:
        if not self._is_interrupted:
            self._on_event(event, first, second)


def _parts(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)
