"""Requests to the host that block: HTTP with the standard library alone, for a quick start. It knows no route."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from copy import copy
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, Generic, ParamSpec, Self, TypeAlias, TypeVar

import msgspec

from microclaw.client.endpoint import SAME_VERSION, RemoteEndpoint, SocketEndpoint
from microclaw.client.request import (
    MAX_FILE_BYTES,
    MAX_REPLY_BYTES,
    REQUEST_TIMEOUT_S,
    HostError,
    HostRequest,
    Query,
    decision,
    segment,
    too_large,
    too_long,
)
from microclaw.errors import ProtocolError
from microclaw.events import Answer, ApprovalAsked
from microclaw.operations.operation import Operation
from microclaw.operations.result import OnMany
from microclaw.wire.host_api import (
    MAX_LINE_BYTES,
    REQUEST_HEADER,
    Failure,
    JsonObject,
    Keepalive,
    Result,
    StreamEvent,
    decode_event,
)

LOOK_S: Final = 1.0  # an ordinary call has its answer by then
DOWNLOAD_BYTES: Final = 1 << 18
MAX_WAIT_S: Final = 86_400.0 + 60  # the longest time an approval may be given (config: agent.approval_s)

_NOT_IN_TIME: Final = "what has begun goes on at the host: ask it for the device's programs and changes"

_T = TypeVar("_T")
P = ParamSpec("P")
R = TypeVar("R")


Watch: TypeAlias = Callable[[StreamEvent], object]
"""Is given each event of an act while it runs: steps, tools, questions."""


class HostCalls:
    """Calls of one host. A call opens its own connection: nothing is held between them.

    With `ask` a call may wait for a person's yes: the question is given to it, and the call goes on meanwhile. (On the
    control socket what the owner types is their yes: nothing is asked there.)
    """

    def __init__(
        self,
        endpoint: SocketEndpoint | RemoteEndpoint | Path,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        ask: Callable[[ApprovalAsked], object] | None = None,
    ) -> None:
        self._endpoint = SocketEndpoint(endpoint) if isinstance(endpoint, Path) else endpoint
        self._timeout_s = timeout_s
        self._ask = ask
        self._watch: Watch | None = None
        self._within_s: float | None = None

    def call(self, act: Operation[P, R], /, *_: P.args, **values: P.kwargs) -> R:
        """Do a declared act: `client.call(schedules.pause, number=3)`."""
        result: R = self._done(act, values)
        return result

    def call_many(self, act: Operation[P, R], /, **values: Any) -> OnMany[R]:
        """The same on the devices that `devices`, `labels` or `all` choose, with the act's other parameters."""
        result: OnMany[R] = self._done(act.of_many, values)
        return result

    def watching(self, watch: Watch | None = None, *, within_s: float | None = None) -> Self:
        """This client, whose calls of acts with steps give `watch` each event, and end `within_s`."""
        other = copy(self)
        other._watch, other._within_s = watch, within_s
        return other

    def _done(self, act: Operation[..., Any], values: Mapping[str, Any]) -> Any:
        path, query, body = act.request(values)
        if act.steps:
            end = self.run(path, body, method=act.method, query=query, watch=self._watch, within_s=self._within_s)
            found = end.value if isinstance(end, Result) else {}
        else:
            found = self._call(HostRequest(act.method, path, body, query))
        return as_result(act, found)

    def get(self, path: str, query: Query | None = None) -> JsonObject:
        return self._call(HostRequest("GET", path, query=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> JsonObject:
        return self._call(HostRequest("POST", path, body or {}))

    def patch(self, path: str, body: Mapping[str, Any]) -> JsonObject:
        return self._call(HostRequest("PATCH", path, body))

    def put(self, path: str, body: Mapping[str, Any]) -> JsonObject:
        return self._call(HostRequest("PUT", path, body))

    def delete(self, path: str) -> JsonObject:
        return self._call(HostRequest("DELETE", path))

    def stream(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        query: Query | None = None,
        number: str = "",
        within_s: float | None = None,
    ) -> Generator[StreamEvent, None, None]:
        """Events as the host sends them, keepalives left out; an error at the start raises HostError.

        `number`: what `cancel` takes, from `request_number`. After `within_s` it raises HostError `not_in_time`.
        """
        headers = {REQUEST_HEADER: number} if number else {}
        until = None if within_s is None else time.monotonic() + within_s
        with self._answer(HostRequest(method, path, body, query, headers)) as response:
            while line := self._line(response):
                event = decode_event(line)
                if not isinstance(event, Keepalive):
                    yield event
                if until is not None and time.monotonic() > until:
                    raise HostError(Failure("not_in_time", f"it did not end within {within_s:g} s", _NOT_IN_TIME))

    def run(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        query: Query | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> Result | Answer:
        """The end of an act or a chat's turn; a failure is raised. `watch` gets each event, `ask` each question."""
        with closing(self.stream(path, body, method=method, query=query, within_s=within_s)) as events:
            for event in events:
                if watch is not None:
                    watch(event)
                match event:
                    case Result() | Answer():
                        return event
                    case Failure():
                        raise HostError(event)
                    case ApprovalAsked() if self._ask is not None:
                        self._ask(event)
                    case _:
                        pass
        raise self._endpoint.gone(EOFError())

    def events(self, query: Query, last_event_id: str | None) -> Generator[bytes, None, None]:
        """The lines of GET /v1/events, without their ends, until the host ends it."""
        headers = {"Accept": "text/event-stream", **({} if last_event_id is None else {"Last-Event-ID": last_event_id})}
        with self._answer(HostRequest("GET", "/v1/events", query=query, headers=headers)) as response:
            while line := self._line(response):
                yield line.rstrip(b"\r\n")

    def download(
        self, path: str, *, method: str = "POST", most_bytes: int = MAX_FILE_BYTES
    ) -> Generator[bytes, None, None]:
        """The bytes that a request of `path` answers with, as they come.

        HostError `too_large` when they are more than `most_bytes`, NoHost when they end too early.
        """
        taken = 0
        with self._answer(HostRequest(method, path, {} if method == "POST" else None)) as response:
            if (response.length or 0) > most_bytes:
                raise too_large(most_bytes)
            while True:
                with self._failing():
                    data = response.read(DOWNLOAD_BYTES)
                if not data:
                    break
                taken += len(data)
                if taken > most_bytes:
                    raise too_large(most_bytes)
                yield data
            if response.length:  # a read of so many bytes does not say itself that the answer was cut
                raise self._endpoint.gone(EOFError())

    def cancel(self, number: str) -> str:
        """End a stream's work if it has changed nothing yet: "cancelled", "begun" or "unknown"."""
        return str(self._call(HostRequest("POST", f"/v1/jobs/{segment(number)}/cancel", {}))["state"])

    def decide(self, approval_id: str, *, approved: bool) -> None:
        """Say yes or no to what waits under this id."""
        self._call(decision(approval_id, approved=approved))

    def _call(self, request: HostRequest) -> JsonObject:
        if self._ask is not None and request.method != "GET" and not request.path.startswith("/v1/approvals/"):
            return self._call_asking(self._ask, request)
        with closing(self._endpoint.connect(self._timeout_s)) as connection:
            return self._exchange(connection, request)

    def _call_asking(self, ask: Callable[[ApprovalAsked], object], request: HostRequest) -> JsonObject:
        """The call's number goes along, and what waits under it is this call's question and no other's."""
        number = request_number()
        request = replace(request, headers={REQUEST_HEADER: number})
        with closing(self._endpoint.connect(MAX_WAIT_S)) as connection:
            try:
                return wait_asking(
                    lambda: self._exchange(connection, request),
                    question=lambda: self._question(number),
                    ask=ask,
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

    def _exchange(self, connection: HTTPConnection, request: HostRequest) -> JsonObject:
        return self._endpoint.document(request, self._body(self._response(connection, request)))

    @contextmanager
    def _answer(self, request: HostRequest) -> Iterator[HTTPResponse]:
        """An answer to read piece by piece. The response has the socket where the host closes the connection itself."""
        with (
            closing(self._endpoint.connect(self._timeout_s)) as connection,
            closing(self._response(connection, request)) as response,
        ):
            yield response

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
        with self._failing(), closing(response):
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


Rows: TypeAlias = list[_T]
"""A list, in classes whose method has that name."""


class Group:
    """The calls of one kind of thing."""

    def __init__(self, host: HostCalls) -> None:
        self._host = host

    def _act(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        query: Query | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Do what takes a while; returns its result."""
        end = self._host.run(path, body, method=method, query=query, watch=watch, within_s=within_s)
        if not isinstance(end, Result):
            raise ProtocolError("the host answered where a result was expected")
        return end.value


def as_result(act: Operation[..., Any], found: JsonObject) -> Any:
    """The result of an act, as its class. ProtocolError."""
    try:
        return msgspec.convert(found, act.result)
    except msgspec.ValidationError as exc:
        raise ProtocolError(f"the host's answer is of another form: {exc}", next_step=SAME_VERSION) from exc


def rows(found: JsonObject, name: str) -> list[Any]:
    """A list of the answer. ProtocolError where it has none."""
    value = found.get(name)
    if not isinstance(value, list):
        raise ProtocolError(f"the host's answer has no list of {name}", next_step=SAME_VERSION)
    return value


def given(**values: Any) -> JsonObject:
    """The fields of a body that are said: None is left out."""
    return {name: value for name, value in values.items() if value is not None}


def request_number() -> str:
    """A number of its own for one request."""
    return secrets.token_hex(8)


def wait_asking(
    work: Callable[[], _T],
    *,
    question: Callable[[], ApprovalAsked | None],
    ask: Callable[[ApprovalAsked], object],
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
