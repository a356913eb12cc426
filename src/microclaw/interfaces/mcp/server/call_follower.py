"""Follows one tool call for a client of MCP: progress as notifications, questions as elicitation, then the result."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from microclaw.errors import MicroclawError
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.hardware.screens.picture import PNG
from microclaw.host.operations.operation import Permission
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.api.jobs import Feed, with_keepalives
from microclaw.interfaces.api.tool_routes import ToolService
from microclaw.interfaces.mcp.server.client_names import client_name
from microclaw.interfaces.mcp.server.resources import Resources
from microclaw.interfaces.mcp.server.session import SESSION, Session
from microclaw.interfaces.mcp.server.tool_results import act_object, failed_result, waiting_result, where_to_decide
from microclaw.wire.host_api import StreamFailure, StreamResult

CallResult: TypeAlias = types.CallToolResult | types.InputRequiredResult
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
    """A call of a session. `asked` is the question that it waits for when no request of its client is open."""

    session: Session
    feed: Feed
    asked: ApprovalAsked | None = None


@dataclass(eq=False)
class CallFollower:
    """Follows a call within one request. `waiting_calls` are the host's calls that wait for an answer, by state."""

    tools: ToolService
    resources: Resources
    waiting_calls: dict[str, HostCall]
    context: Context[Any, Any]
    call: HostCall
    tool: Tool[Any]
    arguments: dict[str, Any]
    _report_count: int = field(default=0, init=False)
    _asking: asyncio.Task[None] | None = field(default=None, init=False)
    _is_kept: bool = field(default=False, init=False)

    async def run(self) -> CallResult:
        """Return the result, or the question that the client answers with its next request."""
        feed = self.call.feed
        try:
            answer = (self.context.input_responses or {}).get(ANSWER)
            if self.call.asked is not None and isinstance(answer, types.ElicitResult):
                await self._decide(self.call.asked, answer)
            async with aclosing(with_keepalives(feed.read(), self.tools.keepalive_s)) as events:
                async for event in events:
                    result = await self._handle(event)
                    if result is not None:
                        return result
            raise AssertionError("a feed ends with its result")
        finally:
            # The feed comes first: after a cancellation nothing can be awaited any more.
            if not self._is_kept:
                feed.leave()
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)

    async def _handle(self, event: Any) -> CallResult | None:
        """Handle an event of the call; return a result if the request ends with it."""
        match event:
            case None:
                await self._report("it still runs")
            case Step(stage, text):
                await self._report(f"{stage}: {text}")
            case ApprovalAsked():
                return self._handle_question(event)
            case ApprovalSettled() if self._asking is not None:
                # Another person may have decided it.
                self._asking.cancel()
            case StreamResult(value):
                return self._tool_result(value)
            case StreamFailure(message=message, next_step=next_step):
                return failed_result(message, next_step)
        return None

    def _handle_question(self, asked: ApprovalAsked) -> CallResult | None:
        """Ask the client within this request, or keep the call and end the request with the question."""
        can_ask = _can_ask(self.context)
        if can_ask and self.context.protocol_version != MODERN_VERSION:
            self._asking = asyncio.create_task(self._ask(asked), name=f"ask {asked.approval_id}")
            return None
        state = self._keep_call(asked)
        if not can_ask:
            return waiting_result(asked, self.tool, self.arguments)
        request = types.ElicitRequest(params=_question(asked))
        return types.InputRequiredResult(input_requests={ANSWER: request}, request_state=state)

    def _keep_call(self, asked: ApprovalAsked) -> str:
        """Keep the call until its client's next request, and return the state that names it."""
        for state, call in list(self.waiting_calls.items()):
            if call.feed.is_over:
                del self.waiting_calls[state]
        self._is_kept = True
        self.call.asked = asked
        state = secrets.token_urlsafe(16)
        self.waiting_calls[state] = self.call
        return state

    def _tool_result(self, result: dict[str, Any]) -> types.CallToolResult:
        """Return the host's result of a tool as MCP has it, with a link to a trial's timeline."""
        content = {client_name(name): value for name, value in result["content"].items()}
        structured = {**content, "evidence": result["evidence"], "act": act_object(result["act"])}
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            failure = failed_result(message, result["next"], content.get("diagnostics", ()), structured)
            failure.content += _images(result)
            return failure
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        trial = self.resources.keep_trial(self.tool.name, result)
        if trial is not None:
            blocks.append(trial)
        blocks += _images(result)
        # A trial that ran may have shown that the program is wrong.
        is_error = content.get("success") is False
        return types.CallToolResult(content=blocks, structured_content=structured, is_error=is_error)

    async def _ask(self, asked: ApprovalAsked) -> None:
        """Ask the person through the client, and decide the question with the answer."""
        question = _question(asked)
        request_id = self.context.request_context.request_id
        try:
            answer = await self.context.session.elicit_form(question.message, question.requested_schema, request_id)
        except (MCPError, ValidationError):
            # The client cannot ask after all, or its answer is invalid.
            await self._report(f"it waits for a yes: {where_to_decide(asked)}")
        else:
            await self._decide(asked, answer)

    async def _decide(self, asked: ApprovalAsked, answer: types.ElicitResult) -> None:
        """Decide the question; report it if the person may not, or if it was decided before."""
        is_approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
        admission = self.tools.admission
        person_id = SESSION.get().by.person_id
        try:
            admission.gate.check(person_id, Permission.ACT, f"decide {asked.approval_id}")
            admission.approvals.decide(asked.approval_id, approved=is_approved, by=person_id)
        except MicroclawError as exc:
            await self._report(f"{exc.message}; {where_to_decide(asked)}")

    async def _report(self, text: str) -> None:
        self._report_count += 1
        await self.context.report_progress(self._report_count, message=text)


def _images(result: dict[str, Any]) -> list[types.ImageContent]:
    """Return the displays' pictures of a result; their PNG is base64 already."""
    pictures = result.get("screens", ())
    return [types.ImageContent(type="image", data=picture["png"], mime_type=PNG) for picture in pictures]


def _can_ask(context: Context[Any, Any]) -> bool:
    """Return True if the client can show a form. One that names no kind of elicitation shows forms."""
    capabilities = context.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return False
    return capabilities.elicitation.form is not None or capabilities.elicitation.url is None


def _question(asked: ApprovalAsked) -> types.ElicitRequestFormParams:
    message = "\n".join((f"May this be done? {asked.text}", *asked.detail))
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[:MAX_MESSAGE_CHARS]}\n... the rest is in the host's list of approvals"
    return types.ElicitRequestFormParams(message=message, requested_schema=SCHEMA)
