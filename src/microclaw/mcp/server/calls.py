"""One tool call, followed for an MCP client: progress as notifications, questions as elicitation.

A client of the newest protocol answers a question with a second request, so a call may outlive the one that began it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from microclaw.api.jobs import Feed, paced
from microclaw.api.tool_routes import ToolService
from microclaw.auth.gate import Permission
from microclaw.errors import MicroclawError, ToolRetry
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.mcp.server.forms import TOOLS, failed, waiting, where_to_decide
from microclaw.mcp.server.resources import Resources
from microclaw.mcp.server.service import SESSION, Session
from microclaw.operations.tool import Tool
from microclaw.wire.host_api import Failure, Result

Report: TypeAlias = Callable[[str], Awaitable[None]]
MAX_MESSAGE_CHARS: Final = 8000
MODERN_VERSION: Final = "2026-07-28"
ANSWER: Final = "approval"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Do it", "default": False}},
    "required": ["approve"],
}


@dataclass(eq=False, slots=True)
class HostCall:
    """A call; kept while it waits for a yes, and for nobody or for its client's next request."""

    session: Session
    feed: Feed
    asked: ApprovalAsked | None = None


class Calls:
    """Follows calls; keeps those that wait while no request of their client is open. The host bounds how many."""

    def __init__(self, tools: ToolService, resources: Resources) -> None:
        self._tools = tools
        self._resources = resources
        self._kept: dict[str, HostCall] = {}

    def offered(self) -> dict[str, Tool[Any]]:
        """Those for MCP's clients, in their order, and for a session with `every_tool` the agent's own after them."""
        known = {tool.name: tool for tool in self._tools.offered}
        more = known if SESSION.get().every_tool else ()
        return {name: known[name] for name in (*TOOLS, *more) if name in known}

    def end_session(self, session: Session) -> None:
        """Nobody waits for its calls any more."""
        for state, call in list(self._kept.items()):
            if call.session.key == session.key:
                self._kept.pop(state).feed.leave()

    async def call(
        self, context: Context[Any, Any], name: str, arguments: dict[str, Any]
    ) -> types.CallToolResult | types.InputRequiredResult:
        """The result, also that the client cannot ask; or the question that it answers with its next request.

        Cancelling it ends the call, unless that has begun to change something.
        """
        tool = self.offered().get(name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {name[:80]!r}; tools/list has them")
        session, numbers, state = SESSION.get(), count(1), context.request_state

        async def report(text: str) -> None:
            await context.report_progress(next(numbers), message=text)

        try:
            if state is None:
                call = HostCall(session, self._tools.start(session.by, name, arguments, session=session.name))
            elif state in self._kept and self._kept[state].session.by.source == session.by.source:
                call = self._kept.pop(state)
            else:
                raise ToolRetry("no call waits for this answer: its time is over", next_step="call the tool again")
            return await self._follow(context, call, tool, arguments, report)
        except MicroclawError as exc:
            return failed(exc.message, exc.next_step)

    async def _follow(
        self, context: Context[Any, Any], call: HostCall, tool: Tool[Any], arguments: dict[str, Any], report: Report
    ) -> types.CallToolResult | types.InputRequiredResult:
        question, is_kept, feed = None, False, call.feed
        try:
            answer = (context.input_responses or {}).get(ANSWER)
            if call.asked is not None and isinstance(answer, types.ElicitResult):
                await self._decide(call.asked, answer, report)
            async with aclosing(paced(feed.read(), self._tools.keepalive_s)) as events:
                async for event in events:
                    match event:
                        case Step(stage, text):
                            await report(f"{stage}: {text}")
                        case None:
                            await report("it still runs")
                        case ApprovalAsked() if _can_ask(context) and context.protocol_version != MODERN_VERSION:
                            asking = self._ask(context, event, report)
                            question = asyncio.create_task(asking, name=f"ask {event.approval_id}")
                        case ApprovalAsked():
                            is_kept, state, call.asked = True, secrets.token_urlsafe(16), event
                            self._kept = {key: one for key, one in self._kept.items() if not one.feed.is_over}
                            self._kept[state] = call
                            if not _can_ask(context):
                                return waiting(event, tool, arguments)
                            request = types.ElicitRequest(params=_question(event))
                            return types.InputRequiredResult(input_requests={ANSWER: request}, request_state=state)
                        case ApprovalSettled() if question is not None:  # perhaps by somebody else
                            question.cancel()
                        case Result(value):
                            return self._result(tool.name, value)
                        case Failure(message=message, next_step=next_step):
                            return failed(message, next_step)
            raise AssertionError("a feed ends with its result")
        finally:
            if not is_kept:
                feed.leave()  # first: where the call was cancelled, nothing can be awaited any more
            if question is not None:
                question.cancel()
                await asyncio.wait((question,))

    def _result(self, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        structured = {**content, "evidence": result["evidence"], "act": result["act"]}
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return failed(message, result["next"], content.get("diagnostics", ()), structured)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        if (trial := self._resources.keep_trial(tool, result)) is not None:
            blocks.append(trial)
        is_error = content.get("success") is False  # a trial that was run, and what it showed is wrong
        return types.CallToolResult(content=blocks, structured_content=structured, is_error=is_error)

    async def _ask(self, context: Context[Any, Any], asked: ApprovalAsked, report: Report) -> None:
        question, number = _question(asked), context.request_context.request_id
        try:
            answer = await context.session.elicit_form(question.message, question.requested_schema, number)
        except (MCPError, ValidationError):  # it cannot ask after all, or answers what is no answer
            await report(f"it waits for a yes: {where_to_decide(asked)}")
        else:
            await self._decide(asked, answer, report)

    async def _decide(self, asked: ApprovalAsked, answer: types.ElicitResult, report: Report) -> None:
        approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
        admission, person = self._tools.admission, SESSION.get().by.person_id
        try:
            admission.gate.check(person, Permission.ACT, f"decide {asked.approval_id}")
            admission.approvals.decide(asked.approval_id, approved=approved, by=person)
        except MicroclawError as exc:  # somebody else was first, or only an owner may: the call itself tells the end
            await report(f"{exc.message}; {where_to_decide(asked)}")


def _can_ask(context: Context[Any, Any]) -> bool:
    elicitation = None if context.client_capabilities is None else context.client_capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _question(asked: ApprovalAsked) -> types.ElicitRequestFormParams:
    message = "\n".join((f"May this be done? {asked.text}", *asked.detail))
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[:MAX_MESSAGE_CHARS]}\n... the rest is in the host's list of approvals"
    return types.ElicitRequestFormParams(message=message, requested_schema=SCHEMA)
