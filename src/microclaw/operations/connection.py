"""One request to a host and its answer, over asyncio and h11, and the lines of live events (Server-Sent Events).

It uses the control socket, or an address with TLS and a token. It knows no route's meaning.
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
from microclaw.operations.host_address import VARIABLE, HostAddress, HostToken, how_to_get_one
from microclaw.text import clean_text
from microclaw.wire.host_api import JsonObject, StreamFailure, failure_from

CONNECT_S: Final = 10.0
VERSION_S: Final = 5.0
MAX_REPLY_BYTES: Final = 64 << 20
_MAX_HEAD_BYTES: Final = 64 << 10
_READ_BYTES: Final = 256 << 10
_DIAGNOSTIC_LEVELS: Final = 8
_PREFER_WAIT: Final = "wait=300"  # RFC 7240: it waits for an approval itself (api.waiting)
_UNKNOWN_HERE: Final = frozenset({"bad_request", "method_not_allowed", "not_found"})
_AWAY: Final = frozenset({502, 503, 504})
SAME_VERSION: Final = f"install the same version on both; this machine's own host: --host local, or without {VARIABLE}"

Query: TypeAlias = Mapping[str, str | float | bool | Sequence[str] | None]
"""The values of a query by name; None is left out, several are several parameters of that name."""


class HostError(MicroclawError):
    """The host answered with an error; it keeps the host's code and exit code. `status`: HTTP's, 200 in a stream.

    Its texts are cleaned: what prints them sends a terminal nothing that steers it.
    """

    def __init__(self, failure: StreamFailure, status: int = 200) -> None:
        code = clean_text(failure.code, one_line=True)
        message = clean_text(failure.message)
        if failure.next_step is None:
            step = None
        else:
            step = clean_text(failure.next_step)
        exit_code = failure.exit_code
        # An error must not end as a success.
        if not 1 <= exit_code <= 255:
            exit_code = 1
        self.failure = StreamFailure(code, message, step, tuple(map(_cleaned, failure.diagnostics)), exit_code)
        super().__init__(message, next_step=step)
        self.code = code
        self.exit_code = exit_code
        self.status = status


def _cleaned(value: Any, levels: int = _DIAGNOSTIC_LEVELS) -> Any:
    """JSON with every text in it cleaned; what is deeper than a host's own diagnostics is left out."""
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, dict):
        return {clean_text(name): _cleaned(item, levels - 1) for name, item in value.items()}
    return [_cleaned(item, levels - 1) for item in value]


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
    """Return a name as one segment of a path. Raises UnknownName for a name that nothing here can have."""
    if not name.strip() or "/" in name:
        raise UnknownName(f"there is nothing named {name[:80]!r} here", next_step=see)
    return quote(name, safe="")


@lru_cache(8)
def verifying_context(authorities: str = "") -> ssl.SSLContext:
    """Names and chains are checked, and there is no way round it. `authorities` (PEM) are trusted, too."""
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


class Endpoint(Struct, frozen=True):
    """A host's control socket (`path`), or its address with a person's token and the authorities (PEM) to trust.

    The token goes to that host alone, and no redirection is followed.
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
        """Yield the body of a successful answer, as it comes. Raises NoHost after a silence of `silent_s`."""
        reader, writer = await self._connected(min(CONNECT_S, silent_s))
        try:
            with self._failing(silent_s):
                http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
                writer.write(self._encoded(http, request))
                async with asyncio.timeout(silent_s):
                    await writer.drain()
                while not isinstance(head := await _next_event(http, reader, silent_s), h11.Response):
                    pass
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
        except (ValueError, RecursionError) as exc:  # no JSON, or no UTF-8
            raise self._not_a_host() from exc

    async def whole(self, body: AsyncIterator[bytes]) -> bytes:
        """All of it, MAX_REPLY_BYTES at most."""
        content = bytearray()
        async for piece in body:
            content += piece
            if len(content) > MAX_REPLY_BYTES:
                raise ProtocolError(f"the host sent more than {MAX_REPLY_BYTES:,} bytes, which is all that is read")
        return bytes(content)

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"{self.name} did not answer within {timeout_s:.0f} s", next_step=self._look())

    def gone(self) -> MicroclawError:
        return NoHost(f"{self.name} went away in the middle of an answer", next_step=self._look())

    async def _connected(self, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(timeout_s):
                if self.address is None:
                    return await asyncio.open_unix_connection(self.path)
                if self.address.scheme == "https":
                    tls = verifying_context(self.authorities)
                else:
                    tls = None
                return await asyncio.open_connection(self.address.name, self.address.port, ssl=tls)
        except (OSError, UnicodeError) as exc:
            raise self._unreachable(exc) from exc

    def _encoded(self, http: h11.Connection, request: HostRequest) -> bytes:
        if request.body is None:
            payload = None
        else:
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
            return ProtocolError("the host's answer is no JSON object", next_step="is this socket a microclaw host?")
        text = f"what answers at {self.address} is no microclaw host"
        return ProtocolError(text, next_step=f"is the address right? {self.address.said_by} names it")

    def _unreachable(self, error: OSError | UnicodeError) -> MicroclawError:
        """Build the error for a refused connection."""
        if self.address is None:
            if isinstance(error, PermissionError):
                text = f"{self.path} belongs to another user"
                return NoHost(text, next_step="use the account that ran microclaw up")
            return NoHost("no host is running here", next_step="microclaw up")
        if isinstance(error, socket.gaierror | UnicodeError):
            step = f"is the name right? {self.address.said_by} names it"
            return NoHost(f"there is no machine called {self.address.name}", next_step=step)
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(
                f"{self.address} cannot prove that it is that host: {error.verify_message}",
                next_step="microclaw person ca FILE on that machine, then MICROCLAW_CA=FILE here; or give it a "
                "certificate of that name",
            )
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return NoHost(f"{self.address} does not speak TLS there ({reason})", next_step="is the port right?")
        if isinstance(error, TimeoutError):
            reason = ""
        elif error.errno:
            reason = f": {os.strerror(error.errno)}"
        else:
            reason = f": {error}"
        return NoHost(f"nobody answers at {self.address}{reason}", next_step=self._look())

    async def _refused(self, request: HostRequest, status: int, location: str, content: bytes) -> MicroclawError:
        """Convert a failed answer to an error. At an address it may come from a proxy or another server."""
        failure: StreamFailure | None = None
        with suppress(KeyError, DecodeError, ValueError, RecursionError):  # else it is not the host's answer
            failure = failure_from(_read_object(content)["error"])
        if self.address is None:
            if failure is None:
                return ProtocolError(f"the host answered {status}")
            return HostError(failure, status)
        if 300 <= status < 400:
            place = clean_text(location, one_line=True, limit=200)
            return ProtocolError(
                f"{self.address} sends on to {place}, and the token goes to nobody else",
                next_step=f"name the host's own address with {self.address.said_by}",
            )
        if failure is None:
            if status in (401, 403, 407):
                text = f"what stands before {self.address} lets nobody in ({status})"
                step = "let it pass requests on to the host, which checks the token itself"
                return ProtocolError(text, next_step=step)
            if status not in _AWAY:
                return self._not_a_host()
            text = f"{self.address} answers {status}: the host behind it is away, or busy"
            return NoHost(text, next_step="microclaw up on that machine, or a little later")
        text = failure.message
        next_step = failure.next_step
        if status == 401 and self.token is not None and self.token.found_in:
            text = f"the token in {self.token.found_in} is not valid at {self.address}: wrong, over, or removed"
            next_step = how_to_get_one()
        elif failure.code == "forbidden" and text.startswith("foreign Host"):
            text = f"{self.address} passes its own name on to the host, which does not know that name"
            next_step = "microclaw config set host.http_names NAME there, with host.http_tls own"
        elif failure.code in _UNKNOWN_HERE and (other := await self._other_version(request)) is not None:
            text = f"{other}: it does not know {request.method} {request.path}"
            next_step = SAME_VERSION
        else:
            return HostError(failure, status)
        return HostError(StreamFailure(failure.code, text, next_step), status)

    async def _other_version(self, request: HostRequest) -> str | None:
        """Return a line about different versions, or None if they are equal or the host does not report its version."""
        if request.path == "/healthz":
            return None
        try:
            found = await self.document(HostRequest("GET", "/healthz"), VERSION_S)
            version = clean_text(str(found["version"]), one_line=True, limit=40)
        except (MicroclawError, KeyError):
            return None  # it is asked only to explain another error, which is reported in any case
        if version == __version__:
            return None
        return f"{self.address} runs microclaw {version}, and this is {__version__}"

    def _look(self) -> str:
        if self.address is None:
            return "microclaw doctor"
        question = "is the tunnel open" if self.address.scheme == "http" else "is the address right"
        return f"microclaw up on that machine, and {question}? ({self.address.said_by} names the address)"


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
    """`kind` as in docs/reference/events.md, "edges" of a board that is watched, or "lost": so many were missed."""

    kind: str
    data: JsonObject
    event_id: str | None = None


class EventDecoder:
    """`receive(line)` gives an event with the empty line that ends it. (WHATWG HTML, 9.2.6)"""

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
                except (ValueError, RecursionError) as exc:  # no JSON, or no UTF-8
                    text = "the host sent an event that is no JSON object"
                    raise ProtocolError(text, next_step="is this a microclaw host?") from exc
        return None
