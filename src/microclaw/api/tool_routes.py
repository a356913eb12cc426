"""/v1/tools and /mcp: the agent's tools for other programs, through the same gate and approvals. It has none itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.agent.acts import action_of
from microclaw.agent.conversation import Conversations
from microclaw.agent.offer import MORE_TOOLS
from microclaw.agent.turn_journal import TurnJournal
from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.caller import Caller
from microclaw.api.credential_end import when_credential_ends
from microclaw.api.jobs import MEDIA_TYPE, Feed, Jobs, questions_in, stream
from microclaw.api.request_check import replaying
from microclaw.apps.change_log import Maker, conversation_of, made_by
from microclaw.auth.admission import Admission
from microclaw.bounded_map import BoundedMap
from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.events import Action
from microclaw.models.protocol import ToolCall
from microclaw.operations.operation import Access, Effect, Permission
from microclaw.operations.result import filled
from microclaw.operations.tool import MAX_ARGUMENT_BYTES, Begin, Tool, ToolContext, ToolResult, schema_of
from microclaw.store.journal import EffectKey
from microclaw.wire.host_api import Result, StreamEvent, action_object, encode_event, evidence_object

CHANNEL = "mcp"


def conversation_in(by: Caller, session: str) -> str:
    """Return the conversation of a session's calls."""
    if by.direct:
        # Sessions of MCP on this machine are no chats of the terminal.
        return conversation_of(CHANNEL, f"{by.source}.{session}")
    # A session is the token's chat of that name: undo in one reverts what was done in the other.
    return conversation_of(*by.chat(session))


MAX_TAINTED = 4096


class ToolService(Struct, frozen=True):
    """`tainted` are conversations that have read untrusted text. Beyond MAX_TAINTED the longest unused one is no longer
    tainted: its next acts are still the caller's own role's, and the risky asks in any case.
    """

    conversations: Conversations
    admission: Admission
    devices: Registry
    jobs: Jobs
    keepalive_s: float
    tainted: BoundedMap[str, None] = field(default_factory=partial(BoundedMap, MAX_TAINTED))

    @property
    def offered(self) -> list[Tool[Any]]:
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
        """Begin a call; its end is a Result. Who leaves the feed ends a call that has changed nothing yet, and its
        questions; so does the end of the caller's token. Raises UnknownName, Overloaded."""
        tools = self.conversations.tools
        admission = self.admission
        if all(tool.name != name for tool in tools.tools):
            raise UnknownName(f"there is no tool {name[:80]!r}", next_step="GET /v1/tools has them")
        if device is not None:
            self.devices.get(device)
        chat = f"{by.source}.{session or secrets.token_hex(4)}"
        given = json.dumps(arguments)
        request = f"{chat}.{secrets.token_hex(4)}"
        effect = tools.effect_of(name)
        journal = TurnJournal(self.conversations.journal, request)

        async def run(feed: Feed) -> StreamEvent:
            feed.when_left("call", journal.stop)  # what has changed nothing ends with its client

            async def tool(begin: Begin) -> ToolResult:
                is_foreign = foreign or chat in self.tainted
                context = ToolContext(
                    by.person_id, feed.put, device, channel=CHANNEL, chat_id=chat, foreign=is_foreign, begin=begin
                )
                if session is None:
                    conversation = by.conversation
                else:
                    conversation = conversation_in(by, session)
                asked = questions_in(feed, admission.approvals, channel=CHANNEL, chat_id=chat, request=request)
                with made_by(Maker(request, by.person_id, conversation, is_tainted=is_foreign)), asked:
                    return await tools.call(name, given, context)

            async with when_credential_ends(admission, by, feed.leave):
                call = ToolCall(request, name, given)
                result = await journal.call(EffectKey(request, 0, 0), call, effect, tool)
            if result.foreign:
                self.tainted[chat] = None
            return Result(_result(result, action_of(call, effect, result)))

        return self.jobs.start(f"tool {name}", run, by=by)


class ToolFacts(Struct, frozen=True, kw_only=True):
    """`foreign`: its answer may hold words of others."""

    name: str
    description: str
    schema: Annotated[dict[str, Any], Meta(description="Of its arguments, as JSON Schema.")]
    permission: Permission
    effect: Effect
    foreign: bool
    max_argument_bytes: int


class Tools(Struct, frozen=True, kw_only=True):
    tools: list[ToolFacts]


@by_hand("tool.list", http="GET /v1/tools", access=Access.ASK)
async def list_tools(service: ToolService, _: Asked) -> Tools:
    """Every tool: name, description, schema, permission, effect."""
    facts = [
        filled(ToolFacts, tool, schema=dict(schema_of(tool)), max_argument_bytes=MAX_ARGUMENT_BYTES)
        for tool in service.offered
    ]
    return Tools(tools=facts)


@by_hand("tool.call", http="POST /v1/tools/{name}", access=Access.ASK, media=MEDIA_TYPE)
async def call(  # the gate knows each tool's permission
    service: ToolService,
    asked: Asked,
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
    """The answer of an ASGI app to the request as it came."""

    def __init__(self, app: ASGIApp, body: bytes) -> None:
        super().__init__()
        self._app = app
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, replaying(self._body, receive), send)


@by_hand("mcp.ask", http="POST /mcp", access=Access.ASK, reads=Struct, media="text/event-stream")
async def ask_mcp(app: ASGIApp, asked: Asked) -> Response:
    """The Model Context Protocol's Streamable HTTP: one message."""
    return _Passed(app, await asked.request.body())


@by_hand("mcp.listen", http="GET /mcp", access=Access.ASK, media="text/event-stream")
async def listen_mcp(app: ASGIApp, asked: Asked) -> Response:
    """The messages of an MCP session that answer nothing."""
    return _Passed(app, await asked.request.body())


@by_hand("mcp.end", http="DELETE /mcp", access=Access.ASK, media="text/plain")
async def end_mcp(app: ASGIApp, asked: Asked) -> Response:
    """End an MCP session."""
    return _Passed(app, await asked.request.body())


def _result(result: ToolResult, act: Action) -> dict[str, Any]:
    """`content` is what a model would read; the rest is for programs. `act` is what was done, also by a read."""
    return {
        "ok": result.ok,
        "content": json.loads(result.content),
        "evidence": [evidence_object(evidence) for evidence in result.evidence],
        "error": result.error_code,
        "next": result.next_step,
        "foreign": result.foreign,
        "act": action_object(act),
    }
