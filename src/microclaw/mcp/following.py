"""Follows one call for an MCP client: progress as notifications, questions as elicitation. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from microclaw.errors import MicroclawError, ToolRetry
from microclaw.mcp.bridge import Asked, Ended, Progress, Settled
from microclaw.mcp.calls import HostCall, HostCalls
from microclaw.mcp.desk import Visit
from microclaw.mcp.identity import MODERN_VERSION

MAX_MESSAGE_CHARS: Final = 8000
ALIVE_S: Final = 2.0
ANSWER: Final = "approval"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Do it", "default": False}},
    "required": ["approve"],
}

Context = ServerRequestContext[Any, Any]


class Teller:
    """Tells the client of one request what goes on; the numbers only grow, as the protocol asks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count = 0
        self._last = "working"

    async def progress(self, text: str | None) -> None:
        """None: it still goes on."""
        self._count += 1
        self._last = text or self._last
        await self._context.session.report_progress(self._count, message=self._last if text else f"still {self._last}")

    async def notice(self, text: str) -> None:
        """What a person must know: as progress, and as a log message where the protocol has them unasked."""
        await self.progress(text)
        if self._context.protocol_version != MODERN_VERSION:
            params = types.LoggingMessageNotificationParams(level="notice", logger="microclaw", data=text)
            await self._context.session.send_notification(
                types.LoggingMessageNotification(params=params), self._context.request_id
            )

    @asynccontextmanager
    async def telling(self, text: str) -> AsyncIterator[None]:
        """Inside, the client hears `text` every now and then; nothing when it does not take long."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(ALIVE_S / 4)
                await self.progress(text)
                await asyncio.sleep(ALIVE_S)

        task = asyncio.create_task(tell(), name="tell that it goes on")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Follower:
    """`follow(params)`: the host's result, or the question that the client answers with its next request."""

    def __init__(self, context: Context, calls: HostCalls, visit: Visit, teller: Teller) -> None:
        self._context = context
        self._calls = calls
        self._visit = visit
        self._teller = teller

    async def follow(self, params: types.CallToolRequestParams) -> dict[str, Any] | types.InputRequiredResult:
        """Raises the host's refusal. Cancelling it ends the call on this side."""
        call = await self._taken_up(params) if params.request_state is not None else self._begun(params)
        kept = False
        try:
            async with _Asking(self._visit, self._teller) as asking:
                while True:
                    event = await call.next()
                    match event:
                        case Progress(text):
                            await self._teller.progress(text)
                        case Asked() if not self._can_ask:
                            await self._teller.notice(_to_do(event))
                        case Asked() if self._context.protocol_version == MODERN_VERSION:
                            kept = True
                            return self._required(event, call)
                        case Asked():
                            asking.begin(self._context, event)
                        case Settled():
                            asking.end()
                        case Ended(result):
                            return result
        finally:
            if not kept:
                self._calls.stop(call)

    @property
    def _can_ask(self) -> bool:
        capabilities = self._context.session.client_capabilities
        elicitation = None if capabilities is None else capabilities.elicitation
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _begun(self, params: types.CallToolRequestParams) -> HostCall:
        visit = self._visit
        return self._calls.start(
            visit.bridge, params.name, params.arguments or {}, session=visit.session, owner=visit.owner
        )

    def _required(self, asked: Asked, call: HostCall) -> types.InputRequiredResult:
        request = types.ElicitRequest(params=_question(asked))
        return types.InputRequiredResult(input_requests={ANSWER: request}, request_state=self._calls.park(call))

    async def _taken_up(self, params: types.CallToolRequestParams) -> HostCall:
        """The call that asked, with the client's answer given to the host."""
        call = self._calls.take_up(params.request_state or "", self._visit.owner)
        if call is None:
            raise ToolRetry("no call waits for this answer: its time is over", next_step="call the tool again")
        answer = (params.input_responses or {}).get(ANSWER)
        if call.asked is not None and isinstance(answer, types.ElicitResult):
            await _decide(self._visit, self._teller, call.asked, answer)
        return call


class _Asking:
    """At most one question at a time, asked beside the call; somebody else's decision ends it."""

    def __init__(self, visit: Visit, teller: Teller) -> None:
        self._visit = visit
        self._teller = teller
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Asking:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.end()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    def begin(self, context: Context, asked: Asked) -> None:
        self._task = asyncio.create_task(self._ask(context, asked), name=f"ask {asked.approval_id}")

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ask(self, context: Context, asked: Asked) -> None:
        question = _question(asked)
        try:
            answer = await context.session.elicit_form(question.message, question.requested_schema, context.request_id)
        except (MCPError, ValidationError):  # it cannot ask after all, or answers what is no answer
            await self._teller.notice(_to_do(asked))
            return
        await _decide(self._visit, self._teller, asked, answer)


async def _decide(visit: Visit, teller: Teller, asked: Asked, answer: types.ElicitResult) -> None:
    approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
    try:
        await visit.bridge.decide(asked.approval_id, approved=approved)
    except MicroclawError as exc:  # somebody else was first, or only an owner may: the call itself tells the end
        await teller.notice(f"{exc.message}; {_to_do(asked)}")


def _question(asked: Asked) -> types.ElicitRequestFormParams:
    message = "\n".join((f"May this be done? {asked.text}", *asked.detail))
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[:MAX_MESSAGE_CHARS]}\n... all of it: microclaw approval list"
    return types.ElicitRequestFormParams(message=message, requested_schema=SCHEMA)


def _to_do(asked: Asked) -> str:
    return (
        f"waits for a yes, {asked.expires_s:.0f} s at most: {asked.text}. "
        f"Decide with: microclaw approval approve {asked.approval_id} (or decline); details: microclaw approval list"
    )
