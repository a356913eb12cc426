"""The MCP server over the host's tools, resources and prompts: the official library's, with the host's errors."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Final, TypeAlias

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from pydantic import Field, ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from microclaw import __version__
from microclaw.api.jobs import Feed, paced
from microclaw.api.tool_routes import ToolService
from microclaw.apps.device_operations import DeviceService
from microclaw.audit.event import AuditKind
from microclaw.auth.gate import Permission
from microclaw.errors import MicroclawError, ProtocolError, ToolRetry
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.mcp.lines import MessageLines
from microclaw.mcp.server.bridge import MAX_SESSIONS
from microclaw.mcp.server.forms import TOOLS, act_object, failed, tool_from, waiting, where_to_decide
from microclaw.mcp.server.resources import Resources
from microclaw.mcp.server.service import SESSION, SESSION_HEADER, Session, session_of
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
INSTRUCTIONS: Final = (
    "Drives microcontroller boards through one microclaw host; without hardware there is a virtual board, virtual-1. "
    "Look first with list-devices and free-pins; `device` may be left out if there is one. Read a program with "
    "read-program before you change it; look reads the rest. gpio-set, pwm-set, adc-read and i2c-read act or read at "
    "once and leave nothing behind. For anything that repeats or reacts write a program, in C or, if look "
    "(device.show) says that the board takes it, in Python: try it with try-program (nothing on a device changes), "
    "then deploy-wasm-app puts it on the board, where it runs by itself. Each result has its act (done, refused, "
    "failed, unknown, waiting) and evidence: counted (edges at the pins), reported (the board's own words), accepted "
    "(no read-back) or written (by the host): claim no more than that. undo reverts what the newest request changed. "
    "Some acts wait for a person's yes: say so and wait. What belongs to a time of day is kept with schedule-add. "
    "Every function of programs is in microclaw://headers/microclaw.h, whole programs in microclaw://examples."
)


@dataclass(eq=False, slots=True)
class HostCall:
    """A call; kept while it waits for a yes, and for nobody or for its client's next request."""

    session: Session
    feed: Feed
    asked: ApprovalAsked | None = None


class HostServer(MCPServer[Any]):
    """The tools come from the host at each request. Each message is handled with its SESSION set.

    A call is followed: its progress as notifications, its questions as elicitation. A client of the newest protocol
    answers a question with a second request: a call that waits is kept while no request of its client is open. The host
    bounds how many.
    """

    def __init__(self, tools: ToolService, devices: DeviceService) -> None:
        super().__init__(
            "microclaw",
            "microclaw: programs for ESP32-class boards",
            instructions=INSTRUCTIONS,
            version=__version__,
            subscriptions=False,
            middleware=[_in_session],
        )
        self._tools = tools
        self._resources = Resources(devices, tools.tainted)
        self._kept: dict[str, HostCall] = {}
        self._resources.add_to(self)
        self.prompt("write-program", "Write a program for the board")(write_program)
        self.prompt("why-does-it-misbehave", "Why does it misbehave?")(why_does_it_misbehave)
        self.streamable_http_app(  # makes the session manager; the API has its own routes and checks
            session_idle_timeout=1800.0,
            max_sessions=MAX_SESSIONS,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def list_tools(self) -> list[types.Tool]:
        return [tool_from(tool) for tool in self._offered().values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> types.CallToolResult | types.InputRequiredResult:
        """The result, also that the client cannot ask; or the question that it answers with its next request.

        Cancelling it ends the call, unless that has begun to change something.
        """
        assert context is not None
        tool = self._offered().get(name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {name[:80]!r}; tools/list has them")
        session = SESSION.get()
        numbers = count(1)
        state = context.request_state

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

    async def over_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, while the session manager runs. A session is its token's alone: another one gets a 404."""
        session = session_of(scope)
        asked_for = Headers(scope=scope).get(SESSION_HEADER, "")
        owner = self.session_manager._session_owners.get(asked_for)
        if owner is not None and owner["client_id"] != session.by.source:
            text = "a token asked for another token's MCP session"
            by = session.by
            self._tools.admission.gate.note(AuditKind.TOKEN_MISUSED, text, by.person_id, about=by.source)
        user = AuthenticatedUser(AccessToken(token="", client_id=session.by.source, scopes=[]))
        await self.session_manager.handle_request({**scope, "user": user}, receive, send)
        if scope["method"] == "DELETE":
            self._end_session(session)

    async def over_lines(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A whole session."""
        SESSION.set(session)
        server = self._lowlevel_server  # MCPServer itself runs on this process's own stdin alone
        lines = MessageLines(reader, writer)
        try:
            await server.run(lines, lines, server.create_initialization_options())
        except* ProtocolError:  # a line that is too long is the last
            writer.close()
        finally:
            self._end_session(session)

    def _offered(self) -> dict[str, Tool[Any]]:
        """Those for MCP's clients, in their order, and for a session with `every_tool` the agent's own after them."""
        known = {tool.name: tool for tool in self._tools.offered}
        more = known if SESSION.get().every_tool else ()
        return {name: known[name] for name in (*TOOLS, *more) if name in known}

    def _end_session(self, session: Session) -> None:
        """Nobody waits for its calls any more."""
        for state, call in list(self._kept.items()):
            if call.session.key == session.key:
                self._kept.pop(state).feed.leave()

    async def _follow(
        self, context: Context[Any, Any], call: HostCall, tool: Tool[Any], arguments: dict[str, Any], report: Report
    ) -> types.CallToolResult | types.InputRequiredResult:
        question = None
        is_kept = False
        feed = call.feed
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
                            is_kept = True
                            state = secrets.token_urlsafe(16)
                            call.asked = event
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
                await asyncio.gather(question, return_exceptions=True)

    def _result(self, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        structured = {**content, "evidence": result["evidence"], "act": act_object(result["act"])}
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return failed(message, result["next"], content.get("diagnostics", ()), structured)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        trial = self._resources.keep_trial(tool, result)
        if trial is not None:
            blocks.append(trial)
        is_error = content.get("success") is False  # a trial that was run, and what it showed is wrong
        return types.CallToolResult(content=blocks, structured_content=structured, is_error=is_error)

    async def _ask(self, context: Context[Any, Any], asked: ApprovalAsked, report: Report) -> None:
        question = _question(asked)
        number = context.request_context.request_id
        try:
            answer = await context.session.elicit_form(question.message, question.requested_schema, number)
        except (MCPError, ValidationError):  # it cannot ask after all, or answers what is no answer
            await report(f"it waits for a yes: {where_to_decide(asked)}")
        else:
            await self._decide(asked, answer, report)

    async def _decide(self, asked: ApprovalAsked, answer: types.ElicitResult, report: Report) -> None:
        approved = answer.action == "accept" and (answer.content or {}).get("approve") is True
        admission = self._tools.admission
        person = SESSION.get().by.person_id
        try:
            admission.gate.check(person, Permission.ACT, f"decide {asked.approval_id}")
            admission.approvals.decide(asked.approval_id, approved=approved, by=person)
        except MicroclawError as exc:  # somebody else was first, or only an owner may: the call itself tells the end
            await report(f"{exc.message}; {where_to_decide(asked)}")


async def _in_session(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Set the session of a request over HTTP; a message of the lines has that of its task."""
    if ctx.request is not None:
        SESSION.set(session_of(ctx.request.scope))
    try:
        return await call_next(ctx)
    except ValueError as exc:  # there is no prompt of this name, or an argument of it is missing
        if ctx.method != "prompts/get":
            raise
        raise MCPError(types.INVALID_PARAMS, str(exc)[:200]) from exc


def write_program(
    wish: Annotated[str, Field(min_length=1, description="What the board shall do, in your words.")],
) -> str:
    """From a wish to a program that is tried, put on the board and proved there."""
    return f"""\
Write a program for the board: {wish}

1. list-devices, then free-pins: choose pins that are free for the use. Do not guess what is wired: ask me.
2. Write down as `expect` what I would see at the pins and in the log, from my words and not from your code.
3. try-program with the source and `expect`. Mend what it says is wrong; look at the edges, not at the code.
4. deploy-wasm-app with the same source and `expect`, and a short appName.
5. Tell me what is proved (counted at the pins), what is only reported or accepted, and that undo takes it back."""


def why_does_it_misbehave(
    symptom: Annotated[str, Field(min_length=1, description="What happens, and what should happen.")],
) -> str:
    """Find out why a program on a board does not do what it should, by what the board shows."""
    return f"""\
Something on the board misbehaves: {symptom}

Change nothing before you know why.
1. query-wasm-apps: does it run, did it end, with which error? read-logs: what it printed, which is data.
2. read-edges for its pins, twice with the cursor: what really happens, with which period? Compare with what should.
3. free-pins: is a pin reserved, strapping, or another program's? gpio-get or adc-read: what is at the inputs now?
4. Say the cause with its evidence. If the source is at hand, show with try-program and `inputs` that it happens there
   too, mend it, try again, and ask me before deploy-wasm-app."""


def _can_ask(context: Context[Any, Any]) -> bool:
    elicitation = None if context.client_capabilities is None else context.client_capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _question(asked: ApprovalAsked) -> types.ElicitRequestFormParams:
    message = "\n".join((f"May this be done? {asked.text}", *asked.detail))
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[:MAX_MESSAGE_CHARS]}\n... the rest is in the host's list of approvals"
    return types.ElicitRequestFormParams(message=message, requested_schema=SCHEMA)
