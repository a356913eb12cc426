"""One tool call on the host, followed for an MCP client: progress as notifications, questions as elicitation.

A call is read by a task of its own, so that it goes on while nobody looks: a client of the newest protocol answers a
question with a second request. It decides nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from microclaw.errors import MicroclawError, NoHost, Overloaded, ToolRetry
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.mcp.server.service import Caller
from microclaw.operations.client import AsyncClient
from microclaw.operations.connection import HostError, segment
from microclaw.wire.host_api import Failure, Keepalive, Result, StreamEvent

MAX_CALLS: Final = 32
QUEUE: Final = 256
MAX_MESSAGE_CHARS: Final = 8000
MODERN_VERSION: Final = "2026-07-28"
ALIVE_S: Final = 2.0
ANSWER: Final = "approval"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Do it", "default": False}},
    "required": ["approve"],
}

Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class CannotAsk:
    """The client took the question and cannot show it."""

    asked: ApprovalAsked


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a client is told at once that cannot ask its person itself; the call waits on."""

    asked: ApprovalAsked


class HostCall:
    """`next()` gives its events; `Result` is the last. When the queue is full only progress is left out."""

    def __init__(self, host: AsyncClient, owner: str, session: str) -> None:
        self.owner = owner  # whose call it is: nobody else may take it up again
        self.session = session
        self.asked: ApprovalAsked | None = None
        self._host = host
        self._events: asyncio.Queue[StreamEvent | MicroclawError | CannotAsk] = asyncio.Queue(QUEUE)

    async def cannot_ask(self, asked: ApprovalAsked) -> None:
        await self._events.put(CannotAsk(asked))

    async def drain(self) -> None:
        """Read on until it ends: nobody else does any more."""
        with suppress(MicroclawError):
            while not isinstance(await self.next(), Result):
                pass

    async def next(self) -> StreamEvent | CannotAsk:
        """The next event. Raises the error that ended the call."""
        event = await self._events.get()
        if isinstance(event, MicroclawError):
            raise event
        if isinstance(event, ApprovalAsked):
            self.asked = event
        elif isinstance(event, ApprovalSettled):
            self.asked = None
        return event

    async def run(self, tool: str, arguments: Mapping[str, Any]) -> None:
        body = {"arguments": arguments, "session": self.session}
        try:
            async for event in self._host.stream(f"/v1/tools/{segment(tool)}", body, keepalives=True):
                if isinstance(event, Failure):
                    raise HostError(event)
                await self._put(event)
                if isinstance(event, Result):
                    return
            raise NoHost(
                "the host went away in the middle of a call", next_step="look with list-devices, then call again"
            )
        except MicroclawError as exc:
            await self._put(exc)

    async def _put(self, event: StreamEvent | MicroclawError) -> None:
        if isinstance(event, Step | Keepalive) and self._events.qsize() >= QUEUE - 8:
            return
        await self._events.put(event)


class HostCalls:
    """`async with HostCalls() as calls`: the running calls; leaving ends them on this side."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: dict[HostCall, asyncio.Task[None]] = {}
        self._parked: dict[str, HostCall] = {}
        self._draining: dict[HostCall, asyncio.Task[None]] = {}

    async def __aenter__(self) -> HostCalls:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for task in (*self._tasks.values(), *self._draining.values()):
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(
        self, host: AsyncClient, tool: str, arguments: Mapping[str, Any], *, session: str, owner: str
    ) -> HostCall:
        """Overloaded when too many run already."""
        if len(self._tasks) >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls run already", next_step="wait for one of them to end")
        call = HostCall(host, owner, session)
        task = self._group.create_task(call.run(tool, arguments), name=f"call {tool}")
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._tasks.pop(call, None))
        return call

    def park(self, call: HostCall) -> str:
        """Keep it until `take_up`. When there are too many, the oldest is stopped."""
        state = secrets.token_urlsafe(16)
        self._parked[state] = call
        while len(self._parked) > MAX_CALLS:
            self.stop(self._parked.pop(next(iter(self._parked))))
        return state

    def take_up(self, state: str, owner: str) -> HostCall | None:
        call = self._parked.get(state)
        if call is None or call.owner != owner:
            return None
        return self._parked.pop(state)

    def wait_on(self, call: HostCall) -> None:
        """Its client was told that it waits: it goes on by itself, until `stop` or the end of this server."""
        task = self._group.create_task(call.drain(), name="wait for a decision")
        self._draining[call] = task
        task.add_done_callback(lambda _: self._draining.pop(call, None))

    def stop(self, call: HostCall) -> None:
        """End it on this side; the host withdraws its questions."""
        for tasks in (self._tasks, self._draining):
            task = tasks.get(call)
            if task is not None:
                task.cancel()

    def end_session(self, owner: str, session: str) -> None:
        """The client's session is over: nobody waits for its calls."""
        for call in {*self._tasks, *self._draining}:
            if (call.owner, call.session) == (owner, session):
                self.stop(call)


class Reporter:
    """Reports progress to the client of one request; its numbers only grow, as the protocol demands."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count = 0
        self._last = "working"

    async def progress(self, text: str | None) -> None:
        """`text` None: the call still runs."""
        self._count += 1
        self._last = text or self._last
        await self._context.session.report_progress(self._count, message=self._last if text else f"still {self._last}")

    async def notice(self, text: str) -> None:
        """A notice for the person: as progress, and as a log message where the protocol allows one."""
        await self.progress(text)
        if self._context.protocol_version != MODERN_VERSION:
            params = types.LoggingMessageNotificationParams(level="notice", logger="microclaw", data=text)
            await self._context.session.send_notification(
                types.LoggingMessageNotification(params=params), self._context.request_id
            )

    @asynccontextmanager
    async def telling_of_start(self) -> AsyncIterator[None]:
        """Inside, it is reported now and then that the host is starting; not at all for short waits."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(ALIVE_S / 4)
                await self.progress("the host is starting")
                await asyncio.sleep(ALIVE_S)

        task = asyncio.create_task(tell(), name="tell that it goes on")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Follower:
    """`follow(params)`: the host's result, the question that the client answers with its next request, or Waiting."""

    def __init__(self, context: Context, calls: HostCalls, caller: Caller, reporter: Reporter) -> None:
        self._context = context
        self._calls = calls
        self._caller = caller
        self._reporter = reporter

    async def follow(self, params: types.CallToolRequestParams) -> dict[str, Any] | types.InputRequiredResult | Waiting:
        """Raises the host's refusal. Cancelling it ends the call on this side."""
        call = await self._take_up(params) if params.request_state is not None else self._begin(params)
        kept = False
        try:
            async with _Question(self._caller, self._reporter, call) as question:
                while True:
                    event = await call.next()
                    match event:
                        case Step(stage, text):
                            await self._reporter.progress(f"{stage}: {text}")
                        case Keepalive():
                            await self._reporter.progress(None)
                        case CannotAsk(asked):
                            kept = True
                            return self._waiting(asked, call)
                        case ApprovalAsked() if not self._can_ask:
                            kept = True
                            return self._waiting(event, call)
                        case ApprovalAsked() if self._context.protocol_version == MODERN_VERSION:
                            kept = True
                            return self._required(event, call)
                        case ApprovalAsked():
                            question.begin(self._context, event)
                        case ApprovalSettled():
                            question.end()
                        case Result(result):
                            return result
        finally:
            if not kept:
                self._calls.stop(call)

    @property
    def _can_ask(self) -> bool:
        capabilities = self._context.session.client_capabilities
        elicitation = None if capabilities is None else capabilities.elicitation
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _begin(self, params: types.CallToolRequestParams) -> HostCall:
        caller = self._caller
        return self._calls.start(
            caller.host, params.name, params.arguments or {}, session=caller.session, owner=caller.owner
        )

    def _waiting(self, asked: ApprovalAsked, call: HostCall) -> Waiting:
        self._calls.wait_on(call)
        return Waiting(asked)

    def _required(self, asked: ApprovalAsked, call: HostCall) -> types.InputRequiredResult:
        request = types.ElicitRequest(params=_question(asked))
        return types.InputRequiredResult(input_requests={ANSWER: request}, request_state=self._calls.park(call))

    async def _take_up(self, params: types.CallToolRequestParams) -> HostCall:
        """The parked call, after the client's answer was sent to the host."""
        call = self._calls.take_up(params.request_state or "", self._caller.owner)
        if call is None:
            raise ToolRetry("no call waits for this answer: its time is over", next_step="call the tool again")
        answer = (params.input_responses or {}).get(ANSWER)
        if call.asked is not None and isinstance(answer, types.ElicitResult):
            await _decide(self._caller, self._reporter, call.asked, answer)
        return call


class _Question:
    """At most one question at a time, asked while the call runs; a decision made elsewhere ends it."""

    def __init__(self, caller: Caller, reporter: Reporter, call: HostCall) -> None:
        self._caller = caller
        self._reporter = reporter
        self._call = call
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Question:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.end()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    def begin(self, context: Context, asked: ApprovalAsked) -> None:
        self._task = asyncio.create_task(self._ask(context, asked), name=f"ask {asked.approval_id}")

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ask(self, context: Context, asked: ApprovalAsked) -> None:
        question = _question(asked)
        try:
            answer = await context.session.elicit_form(question.message, question.requested_schema, context.request_id)
        except (MCPError, ValidationError):  # it cannot ask after all, or answers what is no answer
            await self._call.cannot_ask(asked)
            return
        await _decide(self._caller, self._reporter, asked, answer)


async def _decide(caller: Caller, reporter: Reporter, asked: ApprovalAsked, answer: types.ElicitResult) -> None:
    approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
    try:
        await caller.host.decide(asked.approval_id, approved=approved)
    except MicroclawError as exc:  # somebody else was first, or only an owner may: the call itself tells the end
        await reporter.notice(f"{exc.message}; {where_to_decide(asked)}")


def _question(asked: ApprovalAsked) -> types.ElicitRequestFormParams:
    message = "\n".join((f"May this be done? {asked.text}", *asked.detail))
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[:MAX_MESSAGE_CHARS]}\n... the rest is in the host's list of approvals"
    return types.ElicitRequestFormParams(message=message, requested_schema=SCHEMA)


def where_to_decide(asked: ApprovalAsked) -> str:
    """Where the person says yes or no. A model cannot."""
    who = "a person" if asked.may_decide else "an owner"
    return (
        f"{who} decides it on the host within {asked.expires_s:.0f} s, as number {asked.approval_id}: on its "
        "command line (approval), in its chat, or in Telegram where that is set up"
    )
