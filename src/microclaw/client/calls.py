"""Calls of the host that block: HTTP with the standard library alone, for a quick start of the command line."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from microclaw.client.endpoint import RemoteEndpoint, SocketEndpoint
from microclaw.client.request import (
    MAX_REPLY_BYTES,
    REQUEST_TIMEOUT_S,
    HostError,
    HostRequest,
    decision,
    segment,
    too_long,
)
from microclaw.events import ApprovalAsked
from microclaw.wire.host_api import MAX_LINE_BYTES, REQUEST_HEADER, Keepalive, StreamEvent, decode_event

LOOK_S: Final = 1.0  # an ordinary call has its answer by then
DOWNLOAD_BYTES: Final = 1 << 18
MAX_WAIT_S: Final = 86_400.0 + 60  # the longest time an approval may be given (config: agent.approval_s)

_T = TypeVar("_T")


class Client:
    """Calls of one host. A call opens its own connection: nothing is held between them.

    With `ask` a call may wait for a person's yes: the question is given to it, and the call goes on meanwhile. (On the
    control socket what the owner types is their yes: nothing is asked there.)
    """

    def __init__(
        self,
        endpoint: SocketEndpoint | RemoteEndpoint | Path,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        ask: Callable[[Client, ApprovalAsked], None] | None = None,
    ) -> None:
        self._endpoint = SocketEndpoint(endpoint) if isinstance(endpoint, Path) else endpoint
        self._timeout_s = timeout_s
        self._ask = ask

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        return self._call(HostRequest("GET", path, query=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._call(HostRequest("POST", path, body or {}))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call(HostRequest("PATCH", path, body))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call(HostRequest("PUT", path, body))

    def delete(self, path: str) -> dict[str, Any]:
        return self._call(HostRequest("DELETE", path))

    def stream(
        self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "POST", number: str = ""
    ) -> Iterator[StreamEvent]:
        """Events as the host sends them, keepalives left out; an error at the start raises HostError.

        `number`: what `cancel` takes, from `request_number`.
        """
        headers = {REQUEST_HEADER: number} if number else {}
        with closing(self._endpoint.connect(self._timeout_s)) as connection:
            response = self._response(connection, HostRequest(method, path, body, headers=headers))
            while line := self._line(response):
                event = decode_event(line)
                if not isinstance(event, Keepalive):
                    yield event

    def download(self, path: str, *, method: str = "POST") -> Generator[bytes, None, None]:
        """The bytes that a request of `path` answers with, as they come; NoHost when they end too early."""
        with closing(self._endpoint.connect(self._timeout_s)) as connection:
            response = self._response(connection, HostRequest(method, path, {} if method == "POST" else None))
            while True:
                with self._failing():
                    data = response.read(DOWNLOAD_BYTES)
                if not data:
                    return
                yield data

    def cancel(self, number: str) -> str:
        """End a stream's work if it has changed nothing yet: "cancelled", "begun" or "unknown"."""
        return str(self._call(HostRequest("POST", f"/v1/jobs/{segment(number)}/cancel", {}))["state"])

    def decide(self, approval_id: str, *, approved: bool) -> None:
        """Say yes or no to what waits under this id."""
        self._call(decision(approval_id, approved=approved))

    def _call(self, request: HostRequest) -> dict[str, Any]:
        if self._ask is not None and request.method != "GET" and not request.path.startswith("/v1/approvals/"):
            return self._call_asking(self._ask, request)
        with closing(self._endpoint.connect(self._timeout_s)) as connection:
            return self._exchange(connection, request)

    def _call_asking(self, ask: Callable[[Client, ApprovalAsked], None], request: HostRequest) -> dict[str, Any]:
        """The call's number goes along, and what waits under it is this call's question and no other's."""
        number = request_number()
        request = HostRequest(request.method, request.path, request.body, headers={REQUEST_HEADER: number})
        with closing(self._endpoint.connect(MAX_WAIT_S)) as connection:
            try:
                return wait_asking(
                    lambda: self._exchange(connection, request),
                    question=lambda: self._question(number),
                    ask=lambda asked: ask(self, asked),
                    take_back=lambda asked: self._take_back(asked.approval_id),
                    silent_s=self._timeout_s,
                    silent=lambda: self._endpoint.silent(self._timeout_s),
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

    def _exchange(self, connection: HTTPConnection, request: HostRequest) -> dict[str, Any]:
        return self._endpoint.document(request, self._body(self._response(connection, request)))

    def _response(self, connection: HTTPConnection, request: HostRequest) -> HTTPResponse:
        """An answer whose status is good; its body is not read yet."""
        with self._failing():
            target, headers = self._endpoint.prefix + request.target, request.headers_with(self._endpoint.headers)
            connection.request(request.method, target, body=request.payload, headers=headers)
            response = connection.getresponse()
        if response.status < 300:
            return response
        content, location = self._body(response), response.headers.get("Location")
        raise self._endpoint.refused(request, response.status, location, content)

    def _line(self, response: HTTPResponse) -> bytes:
        with self._failing():
            line = response.readline(MAX_LINE_BYTES + 1)
        if line and not line.endswith(b"\n"):
            raise self._endpoint.gone(EOFError())
        return line

    def _body(self, response: HTTPResponse) -> bytes:
        with self._failing():
            body = response.read(MAX_REPLY_BYTES + 1)
        if len(body) > MAX_REPLY_BYTES:
            raise too_long()
        if response.length:  # a read of so many bytes does not say itself that the answer was cut
            raise self._endpoint.gone(EOFError())
        return body

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """The connection's errors as ours."""
        try:
            yield
        except TimeoutError as exc:
            raise self._endpoint.silent(self._timeout_s) from exc
        except (OSError, HTTPException) as exc:
            raise self._endpoint.gone(exc) from exc


def request_number() -> str:
    """A number of its own for one request."""
    return secrets.token_hex(8)


def wait_asking(
    work: Callable[[], _T],
    *,
    question: Callable[[], ApprovalAsked | None],
    ask: Callable[[ApprovalAsked], None],
    take_back: Callable[[ApprovalAsked], None],
    silent_s: float,
    silent: Callable[[], Exception],
) -> _T:
    """Do `work` in a thread and return what it returns or raises.

    `question` is what it waits for; each is asked once. Time in which nothing is asked counts towards `silent_s`, then
    `silent()` is raised. Ctrl-C takes the question back, so that nobody else says yes to what nobody wants any more.
    """
    running = _Running(work)
    running.start()
    asked: set[str] = set()
    until = time.monotonic() + silent_s
    waits: ApprovalAsked | None = None
    try:
        while not running.ended.wait(LOOK_S):
            waits = question()
            if waits is None:
                if time.monotonic() > until:
                    raise silent()
                continue
            until = time.monotonic() + silent_s
            if waits.approval_id not in asked:
                asked.add(waits.approval_id)
                ask(waits)
    except KeyboardInterrupt:
        if waits is not None:
            take_back(waits)
        raise
    return running.result()


class _Running(threading.Thread, Generic[_T]):
    """One call in a thread, which ends with the process."""

    def __init__(self, work: Callable[[], _T]) -> None:
        super().__init__(name="call of the host", daemon=True)
        self.ended = threading.Event()
        self._work = work
        self._value: list[_T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as exc:
            self._error = exc  # raised where the result is asked for
        finally:
            self.ended.set()

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._value[0]
