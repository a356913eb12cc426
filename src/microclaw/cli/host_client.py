"""The command line's way to the host: HTTP on its unix socket, with the standard library alone for a quick start."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from microclaw.errors import MicroclawError, NoHost, ProtocolError
from microclaw.web.stream import MAX_LINE_BYTES, Failure, Keepalive, StreamEvent, decode_event, failure_from

REQUEST_TIMEOUT_S = 60.0  # the longest silent call; streams send a keepalive every few seconds
MAX_REPLY_BYTES = 64 << 20


class HostError(MicroclawError):
    """The host answered with an error; it keeps the host's code and exit code."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, next_step=failure.next_step)
        self.failure = failure


class HostClient:
    """Calls of one host. A call opens its own connection: nothing is held between them."""

    def __init__(self, control_socket: Path, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._control_socket = control_socket
        self._timeout_s = timeout_s

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
        with closing(self._connect()) as connection:
            response = self._request(connection, method, path, body, query)
            if response.status >= 400:
                raise _host_error(response)
            while line := self._line(response):
                event = decode_event(line)
                if not isinstance(event, Keepalive):
                    yield event

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str | int] | None
    ) -> dict[str, Any]:
        with closing(self._connect()) as connection:
            response = self._request(connection, method, path, body, query)
            if response.status >= 400:
                raise _host_error(response)
            value = _document(response)
        if not isinstance(value, dict):
            raise ProtocolError(f"the host answered {path} with {type(value).__name__}, an object was expected")
        return value

    def _connect(self) -> _UnixConnection:
        connection = _UnixConnection(self._control_socket, self._timeout_s)
        try:
            connection.connect()
        except OSError as exc:
            connection.close()
            raise self._no_host(exc) from exc
        return connection

    def _no_host(self, error: OSError) -> NoHost:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return NoHost("no host is running here", next_step="microclaw up")
        if isinstance(error, PermissionError):
            return NoHost(
                f"{self._control_socket} belongs to another user", next_step="use the account that ran microclaw up"
            )
        return NoHost(f"cannot reach the host: {error.strerror or error}", next_step="microclaw up")

    def _request(
        self,
        connection: _UnixConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str | int] | None,
    ) -> HTTPResponse:
        payload = None if body is None else json.dumps(body).encode()
        headers = {} if payload is None else {"Content-Type": "application/json"}
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            connection.request(method, target, body=payload, headers=headers)
            return connection.getresponse()
        except TimeoutError as exc:
            raise _silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise _gone() from exc

    def _line(self, response: HTTPResponse) -> bytes:
        try:
            line = response.readline(MAX_LINE_BYTES + 1)
        except TimeoutError as exc:
            raise _silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise _gone() from exc
        if line and not line.endswith(b"\n"):
            raise _gone()
        return line


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _document(response: HTTPResponse) -> Any:
    try:
        if response.length is not None and response.length > MAX_REPLY_BYTES:
            raise ProtocolError(f"the host announced {response.length:,} bytes, at most {MAX_REPLY_BYTES:,} are read")
        return json.loads(response.read())
    except TimeoutError as exc:
        raise _silent(REQUEST_TIMEOUT_S) from exc
    except (OSError, HTTPException) as exc:
        raise _gone() from exc
    except ValueError as exc:
        raise ProtocolError("the host's answer is not JSON", next_step="is this socket a microclaw host?") from exc


def _host_error(response: HTTPResponse) -> MicroclawError:
    value = _document(response)
    try:
        return HostError(failure_from(value["error"]))
    except (KeyError, TypeError):
        return ProtocolError(f"the host answered {response.status} {response.reason}")


def _silent(timeout_s: float) -> NoHost:
    return NoHost(f"the host did not answer within {timeout_s:.0f} s", next_step="microclaw doctor")


def _gone() -> NoHost:
    return NoHost("the host went away in the middle of an answer", next_step="microclaw up, then look with app list")
