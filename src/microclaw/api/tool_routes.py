"""/v1/tools: the agent's tools for other programs (MCP), through the same gate and approvals. It has no tool itself."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from microclaw.agent.acts import outcome_of, reason_of
from microclaw.agent.conversation import Conversations
from microclaw.agent.offer import MORE_TOOLS
from microclaw.agent.stoppable_call import StoppableCalls
from microclaw.agent.turn_journal import TurnJournal
from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.caller import questions_in
from microclaw.api.jobs import MEDIA_TYPE, Feed, Jobs
from microclaw.apps.changes import conversation_of, made_by
from microclaw.auth.approvals import Approvals
from microclaw.devices.registry import Registry
from microclaw.errors import UnknownName
from microclaw.events import Action
from microclaw.models.protocol import ToolCall
from microclaw.operations.operation import Access, Effect, Permission
from microclaw.operations.result import filled
from microclaw.operations.tool import MAX_ARGUMENT_BYTES, Begin, Tool, ToolContext, ToolResult, schema_of
from microclaw.store.journal import EffectKey
from microclaw.wire.host_api import Result, StreamEvent, action_object, evidence_object

CHANNEL = "mcp"
MAX_TAINTED = 4096


@dataclass(frozen=True, slots=True)
class ToolService:
    """`tainted` are conversations that have read untrusted text. Beyond MAX_TAINTED the longest unused one is no longer
    tainted: its next acts are still the caller's own role's, and the risky asks in any case.
    """

    conversations: Conversations
    approvals: Approvals
    devices: Registry
    jobs: Jobs
    tainted: dict[str, None] = field(default_factory=dict)

    def taint(self, chat: str) -> None:
        self.tainted.pop(chat, None)
        self.tainted[chat] = None
        if len(self.tainted) > MAX_TAINTED:
            self.tainted.pop(next(iter(self.tainted)))


class ToolFacts(Struct, frozen=True, kw_only=True):
    """`foreign`: its answer may hold words of others. `skill`: the skill that offers it."""

    name: str
    description: str
    schema: Annotated[dict[str, Any], Meta(description="Of its arguments, as JSON Schema.")]
    permission: Permission
    effect: Effect
    foreign: bool
    skill: str | None
    max_argument_bytes: int


class Tools(Struct, frozen=True, kw_only=True):
    tools: list[ToolFacts]


@by_hand("tool.list", http="GET /v1/tools", access=Access.ASK)
async def list_tools(service: ToolService, _: Asked) -> Tools:
    """Every tool: name, description, schema, permission, effect."""
    tools = service.conversations.tools.tools
    return Tools(tools=[_facts(tool) for tool in tools if tool.name != MORE_TOOLS])


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
    by, tools = asked.by, service.conversations.tools
    if all(tool.name != name for tool in tools.tools):
        raise UnknownName(f"there is no tool {name[:80]!r}", next_step="GET /v1/tools has them")
    if device is not None:
        service.devices.get(device)
    chat = f"{by.source}.{session or secrets.token_hex(4)}"
    given, request = json.dumps(arguments), f"{chat}.{secrets.token_hex(4)}"
    journal = TurnJournal(service.conversations.journal, request)
    effect, calls = tools.effect_of(name), StoppableCalls()

    async def run(feed: Feed) -> StreamEvent:
        feed.when_left("call", calls.stop)  # what has changed nothing ends with its client

        async def tool(begin: Begin) -> ToolResult:
            is_foreign = foreign or chat in service.tainted
            context = ToolContext(
                by.person_id, feed.put, device, channel=CHANNEL, chat_id=chat, foreign=is_foreign, begin=begin
            )
            conversation = None if session is None else conversation_of(CHANNEL, chat)
            questions = questions_in(feed, service.approvals, channel=CHANNEL, chat_id=chat, request=request)
            with made_by(request, by.person_id, conversation), questions:
                return await tools.call(name, given, context)

        result = await journal.call(
            EffectKey(request, 0, 0),
            ToolCall(request, name, given),
            effect,
            lambda begin: calls.run(effect, begin, tool),
        )
        if result.foreign:
            service.taint(chat)
        act = Action(name, given, effect.value, outcome_of(effect, result), result.evidence, reason_of(result))
        return Result(_result(result, act))

    return service.jobs.stream(by, f"tool {name}", run)


def _facts(tool: Tool[Any]) -> ToolFacts:
    return filled(ToolFacts, tool, schema=dict(schema_of(tool)), max_argument_bytes=MAX_ARGUMENT_BYTES)


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
