"""The command line's calls of the host: HTTP with the standard library alone for a quick start. How it gets there is a
`Way`: this machine's control socket, or an address (remote_way.py).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from microclaw.errors import MicroclawError, NoHost, ProtocolError, UnknownName
from microclaw.events import ApprovalAsked
from microclaw.web.stream import (
    MAX_LINE_BYTES,
    REQUEST_HEADER,
    Failure,
    Keepalive,
    StreamEvent,
    decode_event,
    failure_from,
)

REQUEST_TIMEOUT_S = 60.0  # the longest silent call; streams send a keepalive every few seconds
MAX_REPLY_BYTES = 64 << 20


class HostError(MicroclawError):
    """The host answered with an error; it keeps the host's code and exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, next_step=failure.next_step)
        self.failure = failure


class Way(Protocol):
    """How a host is reached, and what its silence and its refusals mean there."""

    @property
    def prefix(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def connect(self, timeout_s: float) -> HTTPConnection: ...
    def silent(self, timeout_s: float) -> MicroclawError: ...
    def gone(self, error: Exception) -> MicroclawError: ...
    def foreign(self) -> MicroclawError: ...
    def refused(self, method: str, path: str, response: HTTPResponse, value: Any) -> MicroclawError: ...


class HostClient:
    """Calls of one host. A call opens its own connection: nothing is held between them.

    With `ask` a call may wait for a person's yes: the question is given to it, and the call goes on meanwhile. (On the
    control socket what the owner types is their yes: nothing is asked there.)
    """

    def __init__(
        self,
        way: Way | Path,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        ask: Callable[[HostClient, ApprovalAsked], None] | None = None,
    ) -> None:
        self._way = SocketWay(way) if isinstance(way, Path) else way
        self._timeout_s = timeout_s
        self._ask = ask

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        return self._call("GET", path, None, query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._call("POST", path, body or {}, None)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PATCH", path, body, None)

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PUT", path, body, None)

    def delete(self, path: str) -> dict[str, Any]:
        return self._call("DELETE", path, None, None)

    def stream(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        query: Mapping[str, str | int] | None = None,
    ) -> Iterator[StreamEvent]:
        """Events as the host sends them, keepalives left out; an error at the start raises HostError."""
        with closing(self._way.connect(self._timeout_s)) as connection:
            response = self._request(connection, method, path, body, query, {})
            if response.status >= 300:
                raise self._refused(method, path, response)
            while line := self._line(response):
                event = decode_event(line)
                if not isinstance(event, Keepalive):
                    yield event

    def decide(self, approval_id: str, *, approved: bool) -> None:
        """Say yes or no to what waits under this id."""
        self.post(f"/v1/approvals/{segment(approval_id)}", {"approved": approved})

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str | int] | None
    ) -> dict[str, Any]:
        if self._ask is not None and method != "GET" and not path.startswith("/v1/approvals/"):
            return self._call_asking(self._ask, method, path, body)
        with closing(self._way.connect(self._timeout_s)) as connection:
            return self._exchange(connection, method, path, body, query, {})

    def _call_asking(
        self, ask: Callable[[HostClient, ApprovalAsked], None], method: str, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """The call's number goes along, and what waits under it is this call's question and no other's."""
        import secrets

        from microclaw.cli.waiting import MAX_WAIT_S, wait_asking

        number = secrets.token_hex(8)
        with closing(self._way.connect(MAX_WAIT_S)) as connection:
            try:
                return wait_asking(
                    lambda: self._exchange(connection, method, path, body, None, {REQUEST_HEADER: number}),
                    question=lambda: self._question(number),
                    ask=lambda asked: ask(self, asked),
                    take_back=lambda asked: self._take_back(asked.approval_id),
                    silent_s=self._timeout_s,
                    silent=lambda: self._way.silent(self._timeout_s),
                )
            finally:
                with suppress(OSError):  # the host has closed it already
                    if connection.sock is not None:
                        connection.sock.shutdown(socket.SHUT_RDWR)  # ends a thread that still reads

    def _question(self, number: str) -> ApprovalAsked | None:
        for one in self.get("/v1/approvals")["approvals"]:
            if one.get("request") == number:
                detail = tuple(str(line) for line in one["detail"])
                return ApprovalAsked(str(one["approval_id"]), str(one["action"]), detail, float(one["expires_s"]))
        return None

    def _take_back(self, approval_id: str) -> None:
        with suppress(HostError):  # it was decided in this moment
            self.decide(approval_id, approved=False)

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        response = self._request(connection, method, path, body, query, headers)
        if response.status >= 300:
            raise self._refused(method, path, response)
        value = self._document(response)
        if not isinstance(value, dict):
            raise ProtocolError(f"the host answered {path} with {type(value).__name__}, an object was expected")
        return value

    def _request(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
    ) -> HTTPResponse:
        payload = None if body is None else json.dumps(body).encode()
        typed = {} if payload is None else {"Content-Type": "application/json"}
        target = f"{self._way.prefix}{path}"
        target = f"{target}?{urlencode(query)}" if query else target
        try:
            connection.request(method, target, body=payload, headers={**self._way.headers, **typed, **headers})
            return connection.getresponse()
        except TimeoutError as exc:
            raise self._way.silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise self._way.gone(exc) from exc

    def _line(self, response: HTTPResponse) -> bytes:
        try:
            line = response.readline(MAX_LINE_BYTES + 1)
        except TimeoutError as exc:
            raise self._way.silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise self._way.gone(exc) from exc
        if line and not line.endswith(b"\n"):
            raise self._way.gone(EOFError())
        return line

    def _refused(self, method: str, path: str, response: HTTPResponse) -> MicroclawError:
        try:
            value = json.loads(self._body(response))
        except ValueError:
            value = None
        return self._way.refused(method, path, response, value)

    def _document(self, response: HTTPResponse) -> Any:
        try:
            return json.loads(self._body(response))
        except ValueError as exc:
            raise self._way.foreign() from exc

    def _body(self, response: HTTPResponse) -> bytes:
        try:
            body = response.read(MAX_REPLY_BYTES + 1)
        except TimeoutError as exc:
            raise self._way.silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise self._way.gone(exc) from exc
        if len(body) > MAX_REPLY_BYTES:
            raise ProtocolError(f"the host sent more than {MAX_REPLY_BYTES:,} bytes, which is all that is read")
        if response.length:  # a read of so many bytes does not say itself that the answer was cut
            raise self._way.gone(EOFError())
        return body


class SocketWay:
    """This machine's host, on its control socket."""

    prefix = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.headers: Mapping[str, str] = {}

    def connect(self, timeout_s: float) -> HTTPConnection:
        connection = _UnixConnection(self._path, timeout_s)
        try:
            connection.connect()
        except OSError as exc:
            connection.close()
            raise self._no_host(exc) from exc
        return connection

    def silent(self, timeout_s: float) -> MicroclawError:
        return NoHost(f"the host did not answer within {timeout_s:.0f} s", next_step="microclaw doctor")

    def gone(self, _error: Exception) -> MicroclawError:
        text = "the host went away in the middle of an answer"
        return NoHost(text, next_step="microclaw up, then look with app list")

    def foreign(self) -> MicroclawError:
        return ProtocolError("the host's answer is not JSON", next_step="is this socket a microclaw host?")

    def refused(self, _method: str, _path: str, response: HTTPResponse, value: Any) -> MicroclawError:
        try:
            return HostError(failure_from(value["error"]))
        except (KeyError, TypeError, ValueError):
            return ProtocolError(f"the host answered {response.status} {response.reason}")

    def _no_host(self, error: OSError) -> NoHost:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return NoHost("no host is running here", next_step="microclaw up")
        if isinstance(error, PermissionError):
            return NoHost(f"{self._path} belongs to another user", next_step="use the account that ran microclaw up")
        return NoHost(f"cannot reach the host: {error.strerror or error}", next_step="microclaw up")


def segment(name: str, see: str = "the list command of the same group shows the names") -> str:
    """A name as one segment of a path; UnknownName for one that nothing here can have."""
    if not name.strip() or "/" in name:
        raise UnknownName(f"there is nothing named {name[:80]!r} here", next_step=see)
    return quote(name, safe="")


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
