"""The acts of subagents: list and cancel. Only the agent starts one, by a tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, to_builtins

from microclaw.agent.turn.background.results import CancelledSubagent, SubagentList
from microclaw.events import Evidence
from microclaw.host.operations.forms import CommandForm, ToolForm
from microclaw.host.operations.operation import Effect, OperationCall, Option, Permission, operation
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput

if TYPE_CHECKING:
    from microclaw.agent.turn.background.subagents import Subagents


@operation("subagent.list", http="GET /v1/subagents", tool=ToolForm("subagent-list"), command=CommandForm("subagents"))
async def list_subagents(subagents: Subagents, call: OperationCall) -> SubagentList:
    """List the subagents that work, and the latest that ended, with their results."""
    return SubagentList(subagents=subagents.of_person(call.person_id))


@operation(
    "subagent.cancel",
    http="DELETE /v1/subagents/{subagent}",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    tool=ToolForm("subagent-cancel"),
    command=CommandForm("subagents", said="subagent {cancelled} ends"),
    words="end the subagent {subagent}",
)
async def cancel(
    subagents: Subagents,
    call: OperationCall,
    subagent: Annotated[
        str,
        Meta(min_length=1, max_length=40, description="Its id, as the list shows it."),
        Option("--cancel", metavar="ID"),
    ],
) -> CancelledSubagent:
    """End a subagent; a call that it has begun is finished."""
    subagents.cancel(subagent, call.person_id)
    return CancelledSubagent(cancelled=subagent)


class StartParameters(Parameters, kw_only=True):
    task: Annotated[
        str, Meta(min_length=1, max_length=4000, description="All that it has to know: it does not see this chat.")
    ]
    tools: (
        Annotated[list[str], Meta(max_length=40, description="Names; without it: every tool that only looks.")] | None
    ) = None


def start_tool(subagents: Subagents) -> Tool[Any]:
    """Build the tool subagent-start."""

    async def start(parameters: StartParameters, context: ToolContext) -> ToolOutput:
        subagent = await subagents.start(parameters.task, parameters.tools, context)
        proof = f"subagent {subagent.subagent} works; its result comes into this chat"
        return ToolOutput({"success": True, **to_builtins(subagent)}, (Evidence("reported", proof),))

    return Tool(
        "subagent-start",
        "Let a helper work on one task in the background, with its own context. For long searches and comparisons.",
        StartParameters,
        Permission.ACT,
        Effect.ONCE,
        start,
        words=lambda parameters, *_: f"let a helper work on this: {parameters.task}",
    )
