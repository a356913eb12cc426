"""Sends a request to a host and reads its answer, over asyncio and h11; decodes live events (Server-Sent Events).

It uses the control socket, or an address with TLS and a token. It does not know the meaning of routes.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import h11
from msgspec import DecodeError, Struct, field
from msgspec.json import Decoder

from microclaw import __version__
from microclaw.errors import ConfigError, MicroclawError, NoHost, ProtocolError, UnknownName
from microclaw.host.operations.host_address import VARIABLE, HostAddress, HostToken, how_to_get_one
from microclaw.text import clean_text
from microclaw.wire.host_api import JsonObject, StreamFailure, failure_from

CONNECT_S: Final = 10.0
VERSION_S: Final = 5.0
MAX_REPLY_BYTES: Final = 64 << 20
_MAX_HEAD_BYTES: Final = 64 << 10
_READ_BYTES: Final = 256 << 10
_DIAGNOSTIC_LEVELS: Final = 8
# The request itself waits for an approval (interfaces/api/pending_requests.py, RFC 7240).
_PREFER_WAIT: Final = "wait=300"
_UNKNOWN_HERE: Final = frozenset({"bad_request", "method_not_allowed", "not_found"})
_AWAY: Final = frozenset({502, 503, 504})
SAME_VERSION: Final = f"install the same version on both; this machine's own host: --host local, or without {VARIABLE}"

Query: TypeAlias = Mapping[str, str | float | bool | Sequence[str] | None]
"""The values of a query by name; None is left out, a list becomes several parameters with that name."""


class HostError(MicroclawError):
    """The host answered with an error; it keeps the host's code and exit code. `status`: HTTP's, 200 in a stream.

    Its texts are cleaned: printed to a terminal, they contain no control sequences.
    """

    def __init__(self, failure: StreamFailure, status: int = 200) -> None:
        code = clean_text(failure.code, one_line=True)
        message = clean_text(failure.message)
        step = None
        if failure.next_step is not None:
            step = clean_text(failure.next_step)
        exit_code = failure.exit_code
        # An error must not end as a success.
        if not 1 <= exit_code <= 255:
            exit_code = 1
        self.failure = StreamFailure(code, message, step, tuple(map(_clean_json, failure.diagnostics)), exit_code)
        super().__init__(message, next_step=step)
        self.code = code
        self.exit_code = exit_code
        self.status = status


def _clean_json(value: Any, levels: int = _DIAGNOSTIC_LEVELS) -> Any:
    """Return JSON with every text cleaned; values deeper than a host's own diagnostics are left out."""
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, dict):
        return {clean_text(name): _clean_json(item, levels - 1) for name, item in value.items()}
    return [_clean_json(item, levels - 1) for item in value]


class HostRequest(Struct, frozen=True):
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Query | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        query: dict[str, Any] = {}
        for name, value in (self.query or {}).items():
            if isinstance(value, bool):
                query[name] = str(value).lower()
            elif value is not None:
                query[name] = value
        if query:
            return f"{self.path}?{urlencode(query, doseq=True)}"
        return self.path


def segment(name: str, see: str = "the list command of the same group shows the names") -> str:
    """Return a name as one segment of a path. Raises UnknownName for a name that no object can have."""
    if not name.strip() or "/" in name:
        raise UnknownName(f"there is nothing named {name[:80]!r} here", next_step=see)
    return quote(name, safe="")


@lru_cache(8)
def verifying_context(authorities: str = "") -> ssl.SSLContext:
    """Return a context that always checks names and chains. `authorities` (PEM) are trusted, too."""
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


class Endpoint(Struct, frozen=True):
    """A host's control socket (`path`), or its address with a person's token and the authorities (PEM) to trust.

    The token is sent only to that host, and redirections are not followed.
    """

    path: Path | None = None
    address: HostAddress | None = None
    token: HostToken | None = None
    authorities: str = ""

    @property
    def name(self) -> str:
        return str(self.address or "the host")

    @asynccontextmanager
    async def answer(self, request: HostRequest, silent_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the body of a successful answer, as it arrives. Raises NoHost after a silence of `silent_s`."""
        reader, writer = await self._connected(min(CONNECT_S, silent_s))
        try:
            with self._failing(silent_s):
                http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
                writer.write(self._encoded(http, request))
                async with asyncio.timeout(silent_s):
                    await writer.drain()
                head = await _read_head(http, reader, silent_s)
            body = self._pieces(http, reader, silent_s)
            if head.status_code >= 300:
                location = dict(head.headers).get(b"location", b"another place").decode("latin-1")
                raise await self._refused(request, head.status_code, location, await self.whole(body))
            yield body
        finally:
            writer.transport.abort()

    async def document(self, request: HostRequest, silent_s: float) -> JsonObject:
        """Return the answer's JSON, which must be an object."""
        async with self.answer(request, silent_s) as body:
            content = await self.whole(body)
        try:
            return _read_object(content)
        except (ValueError, RecursionError) as exc:
            # Not JSON, or not UTF-8.
            raise self._not_a_host() from exc

    async def whole(self, body: AsyncIterator[bytes]) -> bytes:
        """Return the whole body. Raises ProtocolError if it has more than MAX_REPLY_BYTES."""
        content = bytearray()
        async for piece in body:
            content += piece
            if len(content) > MAX_REPLY_BYTES:
                raise ProtocolError(f"the host sent more than the limit of {MAX_REPLY_BYTES:,} bytes")
        return bytes(content)

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"{self.name} did not answer within {timeout_s:.0f} s", next_step=self._first_check())

    def gone(self) -> MicroclawError:
        return NoHost(f"{self.name} ended the connection in the middle of an answer", next_step=self._first_check())

    async def _connected(self, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(timeout_s):
                if self.address is None:
                    return await asyncio.open_unix_connection(self.path)
                tls = None
                if self.address.scheme == "https":
                    tls = verifying_context(self.authorities)
                return await asyncio.open_connection(self.address.name, self.address.port, ssl=tls)
        except (OSError, UnicodeError) as exc:
            raise self._unreachable(exc) from exc

    def _encoded(self, http: h11.Connection, request: HostRequest) -> bytes:
        payload = None
        if request.body is not None:
            payload = json.dumps(request.body).encode()
        host = self.address.netloc if self.address else "localhost"
        prefix = self.address.prefix if self.address else ""
        headers = {"Host": host, "Accept-Encoding": "identity", "Connection": "close", **request.headers}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.secret}"
        if request.method != "GET":
            headers |= {"Prefer": _PREFER_WAIT, "Content-Length": str(len(payload or b""))}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        target = f"{prefix}{request.target}"
        head = h11.Request(method=request.method, target=target, headers=list(headers.items()))
        data = http.send(head) or b""
        if payload is not None:
            data += http.send(h11.Data(data=payload)) or b""
        return data + (http.send(h11.EndOfMessage()) or b"")

    async def _pieces(
        self, http: h11.Connection, reader: asyncio.StreamReader, silent_s: float
    ) -> AsyncIterator[bytes]:
        while True:
            with self._failing(silent_s):
                event = await _next_event(http, reader, silent_s)
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    @contextmanager
    def _failing(self, silent_s: float) -> Iterator[None]:
        """Convert the connection's errors to ours."""
        try:
            yield
        except TimeoutError as exc:
            raise self.silent(silent_s) from exc
        except h11.RemoteProtocolError as exc:
            if "illegal" in str(exc):
                raise self._not_a_host() from exc
            raise self.gone() from exc
        except OSError as exc:
            raise self.gone() from exc

    def _not_a_host(self) -> MicroclawError:
        if self.address is None:
            return ProtocolError("the host's answer is not a JSON object", next_step="is this socket a microclaw host?")
        text = f"the server at {self.address} is not a microclaw host"
        return ProtocolError(text, next_step=f"is the address right? {self.address.said_by} names it")

    def _closed_socket(self) -> NoHost:
        """Return the error for a socket that may not be opened: of another user, or in a folder that is closed."""
        assert self.path is not None
        try:
            self.path.stat()
        except PermissionError:
            text = f"the folder {self.path.parent} cannot be entered, so it is not known if a host runs there"
            return NoHost(text, next_step="name another --home, or use the account that owns the folder")
        except OSError:
            return NoHost("no host is running here", next_step="microclaw up")
        text = f"{self.path} may not be opened by this user"
        return NoHost(text, next_step="use the account that ran microclaw up")

    def _unreachable(self, error: OSError | UnicodeError) -> MicroclawError:
        """Return the error for a failed connection."""
        if self.address is None:
            if isinstance(error, PermissionError):
                return self._closed_socket()
            if isinstance(error, NotADirectoryError) and self.path is not None:
                step = "give --home or MICROCLAW_HOME a folder of your own"
                return NoHost(f"{self.path.parent} is no folder", next_step=step)
            return NoHost("no host is running here", next_step="microclaw up")
        if isinstance(error, socket.gaierror | UnicodeError):
            step = f"is the name right? {self.address.said_by} names it"
            return NoHost(f"there is no machine called {self.address.name}", next_step=step)
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(
                f"{self.address} cannot prove that it is this host: {error.verify_message}",
                next_step="microclaw person ca FILE on that machine, then MICROCLAW_CA=FILE here; or give it a "
                "certificate of that name",
            )
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return NoHost(f"{self.address} does not speak TLS ({reason})", next_step="is the port right?")
        if isinstance(error, TimeoutError):
            reason = ""
        elif error.errno:
            reason = f": {os.strerror(error.errno)}"
        else:
            reason = f": {error}"
        return NoHost(f"no server answers at {self.address}{reason}", next_step=self._first_check())

    async def _refused(self, request: HostRequest, status: int, location: str, content: bytes) -> MicroclawError:
        """Convert a failed answer to an error. At an address it may come from a proxy or another server."""
        failure: StreamFailure | None = None
        # Another form is not the host's answer.
        with suppress(KeyError, DecodeError, ValueError, RecursionError):
            failure = failure_from(_read_object(content)["error"])
        if self.address is None:
            if failure is None:
                return ProtocolError(f"the host answered {status}")
            return HostError(failure, status)
        if 300 <= status < 400:
            place = clean_text(location, one_line=True, limit=200)
            return ProtocolError(
                f"{self.address} redirects to {place}, and the token is only for the named host",
                next_step=f"name the host's own address with {self.address.said_by}",
            )
        if failure is None:
            return self._not_from_host(status)
        return HostError(await self._explain(failure, request, status), status)

    def _not_from_host(self, status: int) -> MicroclawError:
        """Return the error for a failed answer that the host did not send."""
        if status in (401, 403, 407):
            text = f"a proxy before {self.address} refuses the request ({status})"
            return ProtocolError(text, next_step="let it pass requests on to the host, which checks the token itself")
        if status not in _AWAY:
            return self._not_a_host()
        text = f"{self.address} answers {status}: the host behind it is not running, or busy"
        return NoHost(text, next_step="microclaw up on that machine, or a little later")

    async def _explain(self, failure: StreamFailure, request: HostRequest, status: int) -> StreamFailure:
        """Return the host's failure, with a better text if the caller's token, name or version is the cause."""
        if status == 401 and self.token is not None and self.token.found_in:
            text = f"the token in {self.token.found_in} is not valid at {self.address}: wrong, expired, or removed"
            return StreamFailure(failure.code, text, how_to_get_one())
        if failure.code == "forbidden" and failure.message.startswith("foreign Host"):
            text = f"{self.address} passes its own name on to the host, which does not know that name"
            step = "microclaw config set host.http_names NAME there, with host.http_tls own"
            return StreamFailure(failure.code, text, step)
        if failure.code in _UNKNOWN_HERE:
            other_version = await self._other_version(request)
            if other_version is not None:
                text = f"{other_version}: it does not know {request.method} {request.path}"
                return StreamFailure(failure.code, text, SAME_VERSION)
        return failure

    async def _other_version(self, request: HostRequest) -> str | None:
        """Return a line about different versions; None if they are equal or the host does not report its version."""
        if request.path == "/healthz":
            return None
        try:
            answer = await self.document(HostRequest("GET", "/healthz"), VERSION_S)
            version = clean_text(str(answer["version"]), one_line=True, limit=40)
        except (MicroclawError, KeyError):
            # The version only explains another error, which is reported in any case.
            return None
        if version == __version__:
            return None
        return f"{self.address} runs microclaw {version}, and this is {__version__}"

    def _first_check(self) -> str:
        if self.address is None:
            return "microclaw doctor"
        question = "is the tunnel open" if self.address.scheme == "http" else "is the address right"
        return f"microclaw up on that machine, and {question}? ({self.address.said_by} names the address)"


async def _read_head(http: h11.Connection, reader: asyncio.StreamReader, silent_s: float) -> h11.Response:
    """Return the head of the answer, after any informational responses."""
    while True:
        event = await _next_event(http, reader, silent_s)
        if isinstance(event, h11.Response):
            return event


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader, silent_s: float) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        async with asyncio.timeout(silent_s):
            data = await reader.read(_READ_BYTES)
        http.receive_data(data)
    if isinstance(event, h11.ConnectionClosed):
        raise ConnectionResetError
    return event


_read_object: Final = Decoder(dict[str, Any]).decode
MAX_EVENT_BYTES: Final = 4 << 20


class ReceivedEvent(Struct, frozen=True):
    """A live event.

    `kind` as in docs/reference/events.md, "edges" of a watched board, or "lost" with the number of missed events.
    """

    kind: str
    data: JsonObject
    event_id: str | None = None


class EventDecoder:
    """A decoder of Server-Sent Events (WHATWG HTML, 9.2.6): `receive` returns an event at the empty line after it."""

    def __init__(self) -> None:
        self._kind = ""
        self._id: str | None = None
        self._data = b""

    def receive(self, line: bytes) -> ReceivedEvent | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                self._kind = value.decode("utf-8", "replace")
            case b"id":
                self._id = value.decode("utf-8", "replace")
            case b"data":
                self._data += value
                if len(self._data) > MAX_EVENT_BYTES:
                    raise ProtocolError(f"the host sent an event of more than {MAX_EVENT_BYTES:,} bytes")
            case b"" if not line:
                return self._end_event()
        return None

    def _end_event(self) -> ReceivedEvent | None:
        """Return the event, or None if it has no data, and begin the next one."""
        kind = self._kind
        event_id = self._id
        data = self._data
        self._kind = ""
        self._id = None
        self._data = b""
        if not data:
            return None
        try:
            return ReceivedEvent(kind or "message", _read_object(data), event_id)
        except (ValueError, RecursionError) as exc:
            # Not JSON, or not UTF-8.
            text = "the host sent an event that is not a JSON object"
            raise ProtocolError(text, next_step="is this a microclaw host?") from exc
