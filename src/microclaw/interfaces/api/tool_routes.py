"""/v1/tools and /mcp: the agent's tools for other programs, with the same gate and approvals. It has no own tools."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.agent.models.protocol import ToolCall
from microclaw.agent.turn.action_record import action_of
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.tool_selection import MORE_TOOLS
from microclaw.agent.turn.turn_journal import TurnJournal
from microclaw.bounded_map import BoundedMap
from microclaw.devices.registry.registry import Registry
from microclaw.errors import UnknownName
from microclaw.events import Action
from microclaw.host.auth.admission import Admission
from microclaw.host.operations.forms import HttpAnswer
from microclaw.host.operations.operation import Access, Effect, Permission
from microclaw.host.operations.result import filled
from microclaw.host.operations.tool import MAX_ARGUMENT_BYTES, Begin, Tool, ToolContext, ToolResult, schema_of
from microclaw.host.store.journal import EffectKey
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.credential_end import when_credential_ends
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.interfaces.api.jobs import MEDIA_TYPE, Feed, Jobs, questions_in, stream
from microclaw.interfaces.api.request_check import replaying
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin, conversation_of
from microclaw.wire.host_api import StreamEvent, StreamResult, action_object, encode_event, evidence_object

CHANNEL = "mcp"


def conversation_in(by: Caller, session: str) -> str:
    """Return the conversation of a session's calls."""
    if by.direct:
        # Sessions of MCP on this machine are not chats of the terminal.
        return conversation_of(CHANNEL, f"{by.source}.{session}")
    # A session is the token's chat of that name: undo in one reverts changes of the other.
    return conversation_of(*by.chat(session))


MAX_TAINTED = 4096


class _Call(Struct, frozen=True, kw_only=True):
    """A call of a tool. `arguments` is JSON; `foreign`: the request comes from untrusted text."""

    by: Caller
    request: str
    name: str
    arguments: str
    device: str | None
    chat_id: str
    conversation: str
    foreign: bool


class ToolService(Struct, frozen=True):
    """The calls of the agent's tools.

    `tainted` are conversations that have read untrusted text. Beyond MAX_TAINTED the longest unused one is no longer
    tainted: its next acts still need the caller's own role, and risky acts ask in any case.
    """

    conversations: Conversations
    admission: Admission
    devices: Registry
    jobs: Jobs
    keepalive_s: float
    tainted: BoundedMap[str, None] = field(default_factory=partial(BoundedMap, MAX_TAINTED))

    @property
    def tools(self) -> list[Tool[Any]]:
        """The tools that other programs can call."""
        return [tool for tool in self.conversations.tools.tools if tool.name != MORE_TOOLS]

    def start(
        self,
        by: Caller,
        name: str,
        arguments: Mapping[str, Any],
        *,
        device: str | None = None,
        session: str | None = None,
        foreign: bool = False,
    ) -> Feed:
        """Begin a call; its end is a Result. Raises UnknownName, Overloaded.

        If its reader leaves the feed, or the caller's token ends, a call that has changed nothing yet ends, and its
        questions are withdrawn.
        """
        if all(tool.name != name for tool in self.conversations.tools.tools):
            raise UnknownName(f"there is no tool {name[:80]!r}", next_step="GET /v1/tools has them")
        if device is not None:
            # Raises UnknownName before the job begins.
            self.devices.get(device)
        chat_id = f"{by.source}.{session or secrets.token_hex(4)}"
        conversation = by.conversation if session is None else conversation_in(by, session)
        call = _Call(
            by=by,
            request=f"{chat_id}.{secrets.token_hex(4)}",
            name=name,
            arguments=json.dumps(arguments),
            device=device,
            chat_id=chat_id,
            conversation=conversation,
            foreign=foreign,
        )
        return self.jobs.start(f"tool {name}", partial(self._run, call), by=by)

    async def _run(self, call: _Call, feed: Feed) -> StreamEvent:
        effect = self.conversations.tools.effect_of(call.name)
        journal = TurnJournal(self.conversations.journal, call.request)
        # A call that has changed nothing ends with its client.
        feed.on_leave("call", journal.stop)
        run_tool = partial(self._run_tool, call, feed)
        async with when_credential_ends(self.admission, call.by, feed.leave):
            tool_call = ToolCall(call.request, call.name, call.arguments)
            result = await journal.call(EffectKey(call.request, 0, 0), tool_call, effect, run_tool)
        if result.foreign:
            self.tainted[call.chat_id] = None
        return StreamResult(_result(result, action_of(tool_call, effect, result)))

    async def _run_tool(self, call: _Call, feed: Feed, begin: Begin) -> ToolResult:
        is_foreign = call.foreign or call.chat_id in self.tainted
        context = ToolContext(
            call.by.person_id,
            feed.put,
            call.device,
            channel=CHANNEL,
            chat_id=call.chat_id,
            foreign=is_foreign,
            begin=begin,
        )
        origin = ChangeOrigin(call.request, call.by.person_id, call.conversation, is_tainted=is_foreign)
        approvals = self.admission.approvals
        questions = questions_in(feed, approvals, channel=CHANNEL, chat_id=call.chat_id, request=call.request)
        with change_origin(origin), questions:
            return await self.conversations.tools.call(call.name, call.arguments, context)


class ToolFacts(Struct, frozen=True, kw_only=True):
    """A tool. `foreign`: its answer may contain other people's words."""

    name: str
    description: str
    schema: Annotated[dict[str, Any], Meta(description="Of its arguments, as JSON Schema.")]
    permission: Permission
    effect: Effect
    foreign: bool
    max_argument_bytes: int


class Tools(Struct, frozen=True, kw_only=True):
    tools: list[ToolFacts]


@custom_route("tool.list", http="GET /v1/tools", access=Access.ASK)
async def list_tools(service: ToolService, _: RouteRequest) -> Tools:
    """List every tool: name, description, schema, permission, effect."""
    facts = [
        filled(ToolFacts, tool, schema=dict(schema_of(tool)), max_argument_bytes=MAX_ARGUMENT_BYTES)
        for tool in service.tools
    ]
    return Tools(tools=facts)


@custom_route("tool.call", http="POST /v1/tools/{name}", access=Access.ASK, answer=HttpAnswer(media=MEDIA_TYPE))
async def call(
    service: ToolService,
    asked: RouteRequest,
    *,
    name: str,
    arguments: dict[str, Any] = {},  # noqa: B006
    device: Annotated[str | None, Meta(max_length=80)] = None,
    session: Annotated[str | None, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = None,
    foreign: bool = False,
) -> Response:
    """Call a tool: steps and questions as JSON lines, then the result.

    `session` groups calls of one conversation: once one of them has read untrusted text, its actions ask. `foreign`:
    the request itself comes from untrusted text, whatever was called before.
    """
    feed = service.start(asked.by, name, arguments, device=device, session=session, foreign=foreign)
    return stream(feed.read(), encode_event, service.keepalive_s, left=feed.leave)


class _Passed(Response):
    """The answer of an ASGI app to the unchanged request."""

    def __init__(self, app: ASGIApp, body: bytes) -> None:
        super().__init__()
        self._app = app
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, replaying(self._body, receive), send)


@custom_route(
    "mcp.ask", http="POST /mcp", access=Access.ASK, reads=Struct, answer=HttpAnswer(media="text/event-stream")
)
async def ask_mcp(app: ASGIApp, asked: RouteRequest) -> Response:
    """Send one message of the Model Context Protocol's Streamable HTTP."""
    return _Passed(app, await asked.request.body())


@custom_route("mcp.listen", http="GET /mcp", access=Access.ASK, answer=HttpAnswer(media="text/event-stream"))
async def listen_mcp(app: ASGIApp, asked: RouteRequest) -> Response:
    """Stream the messages of an MCP session that are not answers."""
    return _Passed(app, await asked.request.body())


@custom_route("mcp.end", http="DELETE /mcp", access=Access.ASK, answer=HttpAnswer(media="text/plain"))
async def end_mcp(app: ASGIApp, asked: RouteRequest) -> Response:
    """End an MCP session."""
    return _Passed(app, await asked.request.body())


def _result(result: ToolResult, act: Action) -> dict[str, Any]:
    """Return the result as an object: `content` is for a model; the rest is for programs.

    `act` is the action of the call, also if it only read. `screens` are the last pictures of displays in a trial.
    """
    value = {
        "ok": result.ok,
        "content": json.loads(result.content),
        "evidence": [evidence_object(evidence) for evidence in result.evidence],
        "error": result.error_code,
        "next": result.next_step,
        "foreign": result.foreign,
        "act": action_object(act),
    }
    if result.screens:
        value["screens"] = msgspec.to_builtins(result.screens)
    return value
