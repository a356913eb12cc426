"""The tool that starts a subagent."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from microclaw.agent.background.operations import facts
from microclaw.agent.background.subagents import Subagents
from microclaw.auth.gate import Effect, Permission
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput

WAIT_S: Final = 90.0  # of a turn's 120


class StartParameters(Parameters, kw_only=True):
    task: Annotated[
        str, Meta(min_length=1, max_length=4000, description="All it has to know: it sees nothing of this chat.")
    ]
    tools: (
        Annotated[list[str], Meta(max_length=40, description="Names; left out: every tool that only looks.")] | None
    ) = None
    wait: Annotated[bool, Meta(description="Wait for the result; else it comes into the chat later.")] = False


def start_tool(subagents: Subagents) -> Tool[Any]:
    """subagent-start."""

    async def check(asked: StartParameters, _: ToolContext) -> None:
        subagents.check_start(asked.tools)

    async def start(asked: StartParameters, context: ToolContext) -> ToolOutput:
        made = subagents.start(asked.task, asked.tools, context)
        is_over = asked.wait and await subagents.wait(made, WAIT_S)
        fields = {"success": not is_over or made.state == "done", **msgspec.to_builtins(facts(made))}
        if is_over:
            return ToolOutput(fields, foreign=made.foreign)
        text = f"subagent {made.subagent_id} works; its result comes into this chat"
        return ToolOutput(fields, (Evidence("reported", text),))

    return Tool(
        "subagent-start",
        "Let a helper work on one task in the background, with its own context. For long searches and comparisons.",
        StartParameters,
        Permission.ACT,
        Effect.ONCE,
        start,
        check=check,
        words=lambda asked, *_: f"let a helper work on this: {asked.task}",
    )
