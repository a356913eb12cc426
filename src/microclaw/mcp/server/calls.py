"""One tool call on the host, followed for an MCP client: progress as notifications, questions as elicitation.

A client of the newest protocol answers a question with a second request, so a call may outlive the one that began it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from microclaw.errors import MicroclawError, NoHost, Overloaded, ToolRetry
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.mcp.server.service import Caller
from microclaw.operations.connection import HostError, segment
from microclaw.wire.host_api import Failure, Keepalive, Result, StreamEvent

MAX_CALLS: Final = 32
MAX_MESSAGE_CHARS: Final = 8000
MODERN_VERSION: Final = "2026-07-28"
ALIVE_S: Final = 2.0
ANSWER: Final = "approval"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Do it", "default": False}},
    "required": ["approve"],
}
_log = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a client is told at once that cannot ask its person itself; the call waits on."""

    asked: ApprovalAsked


class HostCall:
    """`next()` gives its events; `Result` is the last. While nobody reads, they wait in the connection."""

    def __init__(self, caller: Caller, tool: str, arguments: Mapping[str, Any]) -> None:
        self.owner = caller.owner  # nobody else may take it up again
        self.session = caller.session
        self.asked: ApprovalAsked | None = None
        body = {"arguments": arguments, "session": caller.session}
        self._events = caller.host.stream(f"/v1/tools/{segment(tool)}", body, keepalives=True)

    async def next(self) -> StreamEvent:
        """The next event. Raises the error that ended the call; cancelling it ends the call."""
        event = await anext(self._events, None)
        if event is None:
            raise NoHost("the host went away in the middle of a call", next_step="look with list-devices")
        if isinstance(event, Failure):
            raise HostError(event)
        if isinstance(event, ApprovalAsked):
            self.asked = event
        elif isinstance(event, ApprovalSettled):
            self.asked = None
        return event

    async def drain(self) -> None:
        """Read on until it ends: nobody else does any more."""
        try:
            while not isinstance(await self.next(), Result):
                pass
        except MicroclawError:
            pass
        except Exception:  # of this call alone
            _log.exception("a call that waits could not be read on")

    async def aclose(self) -> None:
        """End it on this side; the host withdraws its questions."""
        await self._events.aclose()


class HostCalls:
    """`async with HostCalls() as calls`: the running calls; leaving ends them on this side."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[HostCall] = set()
        self._parked: dict[str, HostCall] = {}
        self._waiting: dict[HostCall, asyncio.Task[None]] = {}

    async def __aenter__(self) -> HostCalls:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for task in self._waiting.values():
            task.cancel()
        await self._group.__aexit__(None, None, None)
        for call in self._parked.values():
            await call.aclose()

    def start(self, caller: Caller, tool: str, arguments: Mapping[str, Any]) -> HostCall:
        """Overloaded when too many run already."""
        if len(self._running) + len(self._waiting) >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls run already", next_step="wait for one of them to end")
        call = HostCall(caller, tool, arguments)
        self._running.add(call)
        return call

    async def end(self, call: HostCall) -> None:
        """It is followed no more, and ends unless it is kept."""
        self._running.discard(call)
        if call not in self._waiting and call not in self._parked.values():
            await call.aclose()

    async def park(self, call: HostCall) -> str:
        """Keep it until `take_up`. When there are too many, the oldest is stopped."""
        state = secrets.token_urlsafe(16)
        self._parked[state] = call
        if len(self._parked) > MAX_CALLS:
            await self._parked.pop(next(iter(self._parked))).aclose()
        return state

    def take_up(self, state: str, owner: str) -> HostCall | None:
        call = self._parked.get(state)
        if call is None or call.owner != owner:
            return None
        self._running.add(call)
        return self._parked.pop(state)

    def wait_on(self, call: HostCall) -> None:
        """Its client was told that it waits: it goes on by itself, until its session or this server ends."""
        task = self._group.create_task(call.drain(), name="wait for a decision")
        self._waiting[call] = task
        task.add_done_callback(lambda _: self._waiting.pop(call, None))

    def end_session(self, owner: str, session: str) -> None:
        """The client's session is over: nobody waits for its calls."""
        for call, task in list(self._waiting.items()):
            if (call.owner, call.session) == (owner, session):
                task.cancel()


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
            await _ended(task)


class Follower:
    """`follow(params)`: the host's result, the question that the client answers with its next request, or Waiting."""

    def __init__(self, context: Context, calls: HostCalls, caller: Caller, reporter: Reporter) -> None:
        self._context = context
        self._calls = calls
        self._caller = caller
        self._reporter = reporter

    async def follow(self, params: types.CallToolRequestParams) -> dict[str, Any] | types.InputRequiredResult | Waiting:
        """Raises the host's refusal. Cancelling it ends the call on this side."""
        if params.request_state is None:
            call = self._calls.start(self._caller, params.name, params.arguments or {})
        else:
            call = self._take_up(params.request_state)
        question: asyncio.Task[None] | None = None
        try:
            if params.request_state is not None:
                await self._answer(call, (params.input_responses or {}).get(ANSWER))
            while True:
                event = await call.next()
                match event:
                    case Step(stage, text):
                        await self._reporter.progress(f"{stage}: {text}")
                    case Keepalive():
                        await self._reporter.progress(None)
                    case ApprovalAsked() if not self._can_ask:
                        self._calls.wait_on(call)
                        return Waiting(event)
                    case ApprovalAsked() if self._context.protocol_version == MODERN_VERSION:
                        request = types.ElicitRequest(params=_question(event))
                        state = await self._calls.park(call)
                        return types.InputRequiredResult(input_requests={ANSWER: request}, request_state=state)
                    case ApprovalAsked():
                        question = asyncio.create_task(self._ask(event), name=f"ask {event.approval_id}")
                    case ApprovalSettled() if question is not None:  # perhaps by somebody else
                        await _ended(question)
                    case Result(result):
                        return result
        finally:
            if question is not None:
                await _ended(question)
            await self._calls.end(call)

    @property
    def _can_ask(self) -> bool:
        capabilities = self._context.session.client_capabilities
        elicitation = None if capabilities is None else capabilities.elicitation
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _take_up(self, state: str) -> HostCall:
        call = self._calls.take_up(state, self._caller.owner)
        if call is None:
            raise ToolRetry("no call waits for this answer: its time is over", next_step="call the tool again")
        return call

    async def _answer(self, call: HostCall, answer: Any) -> None:
        if call.asked is not None and isinstance(answer, types.ElicitResult):
            await self._decide(call.asked, answer)

    async def _ask(self, asked: ApprovalAsked) -> None:
        question = _question(asked)
        try:
            answer = await self._context.session.elicit_form(
                question.message, question.requested_schema, self._context.request_id
            )
        except (MCPError, ValidationError):  # it cannot ask after all, or answers what is no answer
            await self._reporter.progress(f"it waits for a yes: {where_to_decide(asked)}")
            return
        await self._decide(asked, answer)

    async def _decide(self, asked: ApprovalAsked, answer: types.ElicitResult) -> None:
        approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
        try:
            await self._caller.host.decide(asked.approval_id, approved=approved)
        except MicroclawError as exc:  # somebody else was first, or only an owner may: the call itself tells the end
            await self._reporter.progress(f"{exc.message}; {where_to_decide(asked)}")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        _log.error("a question to a client failed", exc_info=ended)


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
