"""/v1/tools: the agent's tools for other programs (MCP), through the same gate and approvals. It has no tool itself."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from microclaw.agent.acts import outcome_of, reason_of
from microclaw.agent.stoppable_call import StoppableCalls
from microclaw.agent.turn_journal import TurnJournal
from microclaw.api.answers import answers
from microclaw.api.body import RequestBody
from microclaw.api.caller import RequestCaller, questions_in
from microclaw.api.host_answers import Tools
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.apps.changes import conversation_of, made_by
from microclaw.errors import UnknownName
from microclaw.events import Action
from microclaw.models.protocol import ToolCall
from microclaw.store.journal import EffectKey
from microclaw.tools.offer import MORE_TOOLS
from microclaw.tools.tool import Begin, Tool, ToolContext, ToolResult
from microclaw.tools.toolbox import MAX_ARGUMENT_BYTES, schema_of
from microclaw.wire.host_api import Result, StreamEvent, action_object, evidence_object

CHANNEL = "mcp"

Session = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ToolBody(RequestBody):
    """`session` groups calls of one conversation: once one of them has read untrusted text, its actions ask.

    `foreign`: the request itself comes from untrusted text, whatever was called before.
    """

    arguments: dict[str, Any] = Field({})
    device: Annotated[str, Field(max_length=80)] | None = None
    session: Session | None = None
    foreign: bool = False


def tools_router(parts: HostParts) -> APIRouter:
    router = APIRouter(prefix="/v1/tools", tags=["tools"])
    sessions = TaintedSessions()

    @router.get("", summary="Every tool: name, description, schema, permission, effect", responses=answers(Tools))
    async def list_tools() -> dict[str, Any]:
        return {"tools": [_tool(tool) for tool in parts.conversations.tools.tools if tool.name != MORE_TOOLS]}

    @router.post("/{name}", summary="Call a tool: steps and questions as JSON lines, then the result")
    async def call(name: str, body: ToolBody, by: RequestCaller) -> StreamingResponse:
        if all(tool.name != name for tool in parts.conversations.tools.tools):
            raise UnknownName(f"there is no tool {name[:80]!r}", next_step="GET /v1/tools has them")
        if body.device is not None:
            parts.devices.get(body.device)
        session = f"{by.source}.{body.session or secrets.token_hex(4)}"
        arguments = json.dumps(body.arguments)
        request = f"{session}.{secrets.token_hex(4)}"
        effect = parts.conversations.tools.effect_of(name)
        journal = TurnJournal(parts.conversations.journal, request)
        calls = StoppableCalls()

        async def run(feed: Feed) -> StreamEvent:
            feed.when_left("call", calls.stop)  # what has changed nothing ends with its client

            async def tool(begin: Begin) -> ToolResult:
                context = ToolContext(
                    by.person_id,
                    feed.put,
                    body.device,
                    channel=CHANNEL,
                    chat_id=session,
                    foreign=body.foreign or session in sessions,
                    begin=begin,
                )
                conversation = conversation_of(CHANNEL, session) if body.session is not None else None
                asked = questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=session, request=request)
                with made_by(request, by.person_id, conversation), asked:
                    return await parts.conversations.tools.call(name, arguments, context)

            result = await journal.call(
                EffectKey(request, 0, 0),
                ToolCall(request, name, arguments),
                effect,
                lambda begin: calls.run(effect, begin, tool),
            )
            if result.foreign:
                sessions.add(session)
            outcome = outcome_of(effect, result)
            act = Action(name, arguments, effect.value, outcome, result.evidence, reason_of(result))
            return Result(_result(result, act))

        return parts.stream(by, f"tool {name}", run)

    return router


class TaintedSessions:
    """Conversations that have read untrusted text. When it is full, the longest unused one is no longer tainted.

    That one's next acts are still the caller's own role's; the risky asks in any case.
    """

    MAX = 4096

    def __init__(self) -> None:
        self._sessions: dict[str, None] = {}

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, session: str) -> None:
        self._sessions.pop(session, None)
        self._sessions[session] = None
        if len(self._sessions) > self.MAX:
            self._sessions.pop(next(iter(self._sessions)))


def _tool(tool: Tool[Any]) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "schema": json.loads(schema_of(tool.parameters)),
        "permission": tool.permission.value,
        "effect": tool.effect.value,
        "foreign": tool.foreign,
        "skill": tool.skill,
        "max_argument_bytes": MAX_ARGUMENT_BYTES,
    }


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
