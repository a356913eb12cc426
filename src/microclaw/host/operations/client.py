"""The client of a host's API (docs/client.md): `AsyncClient`, and `Client` for programs that block.

Declared operations are called with `call`, other routes by their path. It starts no host.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from copy import copy
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from microclaw.backoff import Backoff
from microclaw.conversion import convert
from microclaw.errors import ConfigError, MicroclawError, NoHost, ProtocolError
from microclaw.events import Answer, ApprovalAsked
from microclaw.host.config.places import control_socket, home_folder
from microclaw.host.operations.blocking import blocking, in_caller, iterated
from microclaw.host.operations.connection import (
    SAME_VERSION,
    Endpoint,
    EventDecoder,
    HostError,
    HostRequest,
    Query,
    ReceivedEvent,
    segment,
)
from microclaw.host.operations.host_address import (
    CA_VARIABLE,
    checked_token,
    named_host,
    token_for,
    trusted_authorities,
)
from microclaw.host.operations.operation import Operation
from microclaw.host.operations.result import OnMany
from microclaw.wire.host_api import (
    MAX_LINE_BYTES,
    REQUEST_HEADER,
    JsonObject,
    Keepalive,
    StreamEvent,
    StreamFailure,
    StreamResult,
    decode_event,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Endpoint",
    "HostError",
    "ReceivedEvent",
    "endpoint_of",
    "request_number",
    "segment",
]

# The longest silent call; streams send a keepalive every few seconds.
REQUEST_TIMEOUT_S: Final = 60.0
# To a disk: the most that one task may write (config: tasks.disk_mb).
MAX_FILE_BYTES: Final = 16 << 30
# An ordinary call has its answer by then.
LOOK_S: Final = 1.0
# The longest time that an approval may take (config: agent.approval_s).
MAX_WAIT_S: Final = 86_400.0 + 60
RECONNECT_S: Final = 300.0
_CLASS: Final = "Client()"
_NOT_IN_TIME: Final = "the host continues the work: ask it for the device's programs and changes"

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

Watch: TypeAlias = Callable[[StreamEvent], object]
"""Gets each event of an operation while it runs: steps, tools, questions."""


class _Host:
    """The requests to one host; no connection is kept between them.

    Without `host` it is the host that MICROCLAW_HOST names, else this machine's own host on its control socket, where
    the caller is the owner. `host` is an address ("https://host:8443") or the path of a control socket. `token`: if
    None, MICROCLAW_TOKEN, else that host's line of hosts.toml in the home. `ca_file`: certificates (PEM) that are
    trusted besides the system's; the check cannot be switched off.

    `timeout_s` is the longest silence of the host. `ask` gets this client and each question that a call waits for;
    without it the call waits, up to `timeout_s`, for a decision elsewhere. (On the control socket a call of the owner
    is also the approval: no question is asked there.)
    """

    def __init__(
        self,
        host: str | Path | Endpoint | None = None,
        *,
        token: str | None = None,
        ca_file: Path | None = None,
        home: Path | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        ask: Callable[[Any, ApprovalAsked], Any] | None = None,
    ) -> None:
        if isinstance(host, Path):
            host = Endpoint(host)
        if isinstance(host, Endpoint):
            self._endpoint = host
        else:
            self._endpoint = endpoint_of(host, home, token=token, ca_file=ca_file)
        self._timeout_s = timeout_s
        self._ask = ask
        self._watch: Watch | None = None
        self._within_s: float | None = None
        self._number = ""

    def watching(self, watch: Watch | None = None, *, within_s: float | None = None, number: str = "") -> Self:
        """Return a client whose calls of operations with steps pass each event to `watch` and end `within_s`.

        `number`: see `stream`.
        """
        other = copy(self)
        other._watch = watch
        other._within_s = within_s
        other._number = number
        return other

    async def _call(self, act: Operation[P, R, Any], /, *_: P.args, **values: P.kwargs) -> R:
        """Call a declared operation: `client.call(schedules.pause, schedule=3)`."""
        result: R = await self._call_operation(act, values)
        return result

    async def _call_many(self, act: Operation[P, R, Any], /, **values: Any) -> OnMany[R]:
        """Call an operation on the devices that `devices`, `labels` or `all` choose, with its other parameters."""
        result: OnMany[R] = await self._call_operation(act.of_many, values)
        return result

    async def _get(self, path: str, query: Query | None = None) -> JsonObject:
        return await self._document(HostRequest("GET", path, query=query))

    async def _post(self, path: str, body: Mapping[str, Any] | None = None) -> JsonObject:
        return (await self._end(self._asking(HostRequest("POST", path, body or {})), StreamResult)).value

    async def _delete(self, path: str) -> JsonObject:
        return (await self._end(self._asking(HostRequest("DELETE", path)), StreamResult)).value

    async def _decide(self, approval_id: str, *, approved: bool, nobody: bool = False) -> None:
        """Approve or refuse a question; `nobody`: refuse it because no user is there to answer."""
        body = {"approved": approved, "wait_s": 0}
        if nobody:
            body["nobody"] = True
        await self._document(HostRequest("POST", f"/v1/approvals/{segment(approval_id)}", body))

    async def _cancel(self, number: str) -> str:
        """End a stream's work if it has changed nothing yet: "cancelled", "begun" or "unknown"."""
        return str((await self._document(HostRequest("POST", f"/v1/jobs/{segment(number)}/cancel", {})))["state"])

    async def _say(self, text: str, *, chat_id: str = "client", device: str | None = None) -> Answer:
        """Send a message to the agent and return its answer. The turn continues if the caller stops waiting."""
        body = {"text": text, "chat_id": chat_id, "device": device}
        return await self._end(self._stream("/v1/chat", body, within_s=self._within_s), Answer)

    async def _use_tool(self, name: str, arguments: Mapping[str, Any] | None = None, /, **more: Any) -> JsonObject:
        """Call a tool of the agent; return `ok`, `content`, `evidence`, and after a failure `error` and `next`.

        `more` are the route's other fields: `device`, `session`, `foreign`.
        """
        body = {"arguments": dict(arguments or {}), **more}
        events = self._stream(f"/v1/tools/{segment(name)}", body, within_s=self._within_s)
        return (await self._end(events, StreamResult)).value

    async def _stream(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        query: Query | None = None,
        number: str = "",
        within_s: float | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield events as the host sends them; an error at the start raises HostError.

        `number`: for `cancel`, from `request_number`. After `within_s` it raises HostError `not_in_time`.
        """
        headers = {}
        if number:
            headers[REQUEST_HEADER] = number
        until = None
        if within_s is not None:
            until = time.monotonic() + within_s
        async with aclosing(self._lines(HostRequest(method, path, body, query, headers))) as lines:
            async for line in lines:
                event = decode_event(line)
                if not isinstance(event, Keepalive):
                    yield event
                if until is not None and time.monotonic() > until:
                    raise HostError(StreamFailure("not_in_time", f"it did not end within {within_s:g} s", _NOT_IN_TIME))

    async def _events(
        self,
        kinds: Sequence[str] = (),
        *,
        device: str | None = None,
        edges: Sequence[str] = (),
        bench: Sequence[str] = (),
        reconnect_s: float = RECONNECT_S,
    ) -> AsyncGenerator[ReceivedEvent, None]:
        """Yield live events from now on: of these kinds, of one device, with the edges or the parts of these devices.

        If the host disappears later, it reconnects for `reconnect_s`, then raises NoHost. After reconnecting it yields
        the missed events that the host still has.
        """
        query: Query = {"kind": list(kinds), "device": device, "edges": list(edges), "bench": list(bench)}
        backoff = Backoff(max_s=10.0)
        lost_since = time.monotonic() - reconnect_s
        last_id: str | None = None
        while True:
            headers = {"Accept": "text/event-stream"}
            if last_id is not None:
                headers["Last-Event-ID"] = last_id
            decoder = EventDecoder()
            is_there = False
            try:
                async with aclosing(self._lines(HostRequest("GET", "/v1/events", None, query, headers))) as lines:
                    async for line in lines:
                        backoff.succeeded()
                        is_there = True
                        event = decoder.receive(line)
                        if event is not None:
                            last_id = event.event_id or last_id
                            yield event
            except NoHost:
                if not is_there and time.monotonic() - lost_since >= reconnect_s:
                    raise
            if is_there:
                lost_since = time.monotonic()
            await asyncio.sleep(backoff.next_wait_s())

    async def _download(
        self, path: str, *, method: str = "POST", most_bytes: int = MAX_FILE_BYTES
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the answer to a request of `path`, as they arrive.

        Raises HostError `too_large` if they are more than `most_bytes`, NoHost if they end too early.
        """
        size = 0
        body: dict[str, Any] | None = {} if method == "POST" else None
        async with aclosing(self._pieces(HostRequest(method, path, body))) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > most_bytes:
                    text = f"the host sent more than the limit of {most_bytes:,} bytes"
                    step = "microclaw task get writes a file to the disk; or set a higher limit"
                    raise HostError(StreamFailure("too_large", text, step))
                yield piece

    async def _call_operation(self, act: Operation[..., Any, Any], values: Mapping[str, Any]) -> Any:
        path, query, body = act.request(values)
        if act.steps:
            events = self._stream(
                path, body, method=act.method, query=query, number=self._number, within_s=self._within_s
            )
        else:
            events = self._asking(HostRequest(act.method, path, body, query))
        value = (await self._end(events, StreamResult)).value
        try:
            return convert(value, act.result)
        except msgspec.ValidationError as exc:
            raise ProtocolError(f"the host's answer has an unexpected form: {exc}", next_step=SAME_VERSION) from exc

    async def _end(self, events: AsyncGenerator[StreamEvent, None], of: type[T]) -> T:
        """Return the last event, which has this type; `watch` gets each event, `ask` each question."""
        async with aclosing(events):
            async for event in events:
                if self._watch is not None:
                    await self._notify(self._watch, event)
                match event:
                    case StreamFailure():
                        raise HostError(event)
                    case ApprovalAsked() if self._ask is not None:
                        await self._notify(self._ask, self, event)
                    case StreamResult() | Answer():
                        if isinstance(event, of):
                            return event
                        raise ProtocolError(f"the host sent another event than {of.__name__} at the end")
                    case _:
                        pass
        if of is Answer:
            step = "start the host again (microclaw up): it answers then, and the next microclaw chat shows it"
            raise NoHost("the host ended before it answered; it has kept your message", next_step=step)
        raise self._endpoint.gone()

    async def _notify(self, function: Callable[..., Any], *args: Any) -> None:
        raise NotImplementedError

    async def _asking(self, request: HostRequest) -> AsyncGenerator[StreamEvent, None]:
        """Yield a call as events: each question that it waits for once, and its answer as StreamResult.

        The request has a number, which tells this call's question from others. Time without a question counts as the
        host's silence. If the caller stops, the question is withdrawn, so that no other user approves a call that no
        caller waits for.
        """
        if self._ask is None or request.method == "GET" or request.path.startswith("/v1/approvals/"):
            yield StreamResult(await self._document(request))
            return
        number = request_number()
        request = replace(request, headers={REQUEST_HEADER: number})
        work = asyncio.create_task(self._document(request, MAX_WAIT_S), name="call of the host")
        question: ApprovalAsked | None = None
        until = time.monotonic() + self._timeout_s
        try:
            while not (await asyncio.wait({work}, timeout=LOOK_S))[0]:
                before = question
                question = await self._find_question(number)
                if question is not None:
                    if before is None or before.approval_id != question.approval_id:
                        yield question
                    until = time.monotonic() + self._timeout_s
                elif time.monotonic() > until:
                    raise self._endpoint.silent(self._timeout_s)
            yield StreamResult(work.result())
        finally:
            if not work.done():
                work.cancel()
                if question is not None:
                    # It may have been decided in this moment.
                    with suppress(MicroclawError):
                        await self._decide(question.approval_id, approved=False)

    async def _find_question(self, number: str) -> ApprovalAsked | None:
        """Return the question of the request with this number, or None."""
        answer = await self._document(HostRequest("GET", "/v1/approvals"))
        for approval in answer["approvals"]:
            if approval.get("request") == number:
                return ApprovalAsked(
                    str(approval["approval_id"]),
                    str(approval["action"]),
                    tuple(map(str, approval["detail"])),
                    float(approval["expires_s"]),
                )
        return None

    async def _document(self, request: HostRequest, silent_s: float | None = None) -> JsonObject:
        return await self._endpoint.document(request, silent_s or self._timeout_s)

    async def _lines(self, request: HostRequest) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an answer, without their ends."""
        rest = b""
        async with aclosing(self._pieces(request)) as pieces:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    raise ProtocolError(f"the host sent a line of more than {MAX_LINE_BYTES:,} bytes")
                for line in lines:
                    yield line.removesuffix(b"\r")
        if rest:
            raise self._endpoint.gone()

    async def _pieces(self, request: HostRequest) -> AsyncGenerator[bytes, None]:
        async with self._endpoint.answer(request, self._timeout_s) as pieces:
            async for piece in pieces:
                yield piece


class AsyncClient(_Host):
    """The client of a host, for an event loop; `watch` and `ask` may be coroutine functions."""

    call = _Host._call
    call_many = _Host._call_many
    get = _Host._get
    post = _Host._post
    delete = _Host._delete
    decide = _Host._decide
    cancel = _Host._cancel
    say = _Host._say
    use_tool = _Host._use_tool
    stream = _Host._stream
    events = _Host._events
    download = _Host._download

    async def _notify(self, function: Callable[..., Any], *args: Any) -> None:
        result = function(*args)
        if isawaitable(result):
            await result


class Client(_Host):
    """The client of a host, for programs that block; `watch` and `ask` are called in the caller's thread.

    Several threads may share a client.
    """

    call = blocking(_Host._call)
    call_many = blocking(_Host._call_many)
    get = blocking(_Host._get)
    post = blocking(_Host._post)
    delete = blocking(_Host._delete)
    decide = blocking(_Host._decide)
    cancel = blocking(_Host._cancel)
    say = blocking(_Host._say)
    use_tool = blocking(_Host._use_tool)
    stream = iterated(_Host._stream)
    events = iterated(_Host._events)
    download = iterated(_Host._download)

    async def _notify(self, function: Callable[..., Any], *args: Any) -> None:
        await in_caller(function, *args)


def endpoint_of(
    host: str | None,
    home: Path | None,
    *,
    token: str | None = None,
    ca_file: Path | None = None,
    said_by: str = _CLASS,
) -> Endpoint:
    """Return the host of `host` or MICROCLAW_HOST, else this machine's own. ConfigError if it cannot be used."""
    address = named_host(host, os.environ, said_by)
    if address is None:
        if token is not None:
            raise ConfigError(
                "this machine's host takes no token on its control socket: its account is the owner",
                next_step='name its address for another person: Client("http://127.0.0.1:8080", token=...)',
            )
        folder = (home or home_folder(os.environ)).expanduser().absolute()
        return Endpoint(control_socket(folder, os.environ))
    environ = dict(os.environ)
    if ca_file is not None:
        environ[CA_VARIABLE] = str(ca_file)
    authorities = ""
    if address.scheme == "https":
        authorities = trusted_authorities(home, environ)
    if token is None:
        host_token = token_for(address, home, environ)
    else:
        host_token = checked_token(token, "token=")
    return Endpoint(None, address, host_token, authorities)


def request_number() -> str:
    """Return a number that only one request has."""
    return secrets.token_hex(8)
