"""The tools of subagents: start one, list, cancel. The work itself is done in agent/background/."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol

from pydantic import Field

from microclaw.auth.gate import Effect, Permission
from microclaw.events import Evidence
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

WAIT_S: Final = 90.0  # of a turn's 120


class Working(Protocol):
    """agent.background.subagents.Subagent."""

    @property
    def subagent_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def tools(self) -> tuple[str, ...]: ...
    @property
    def person_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def began_ms(self) -> int: ...
    @property
    def foreign(self) -> bool: ...


class Workers(Protocol):
    """agent.background.subagents.Subagents."""

    def start(self, task: str, names: Collection[str] | None, context: ToolContext) -> Any: ...

    async def wait(self, subagent: Any, seconds: float) -> bool: ...

    def list(self, person_id: str) -> Sequence[Working]: ...

    def check_start(self, names: Collection[str] | None) -> None: ...

    def cancel(self, subagent_id: str, person_id: str) -> Working: ...

    def named(self, subagent_id: str, person_id: str) -> Working: ...


class StartParameters(Parameters):
    task: str = Field(min_length=1, max_length=4000, description="All it has to know: it sees nothing of this chat.")
    tools: list[str] | None = Field(None, max_length=40, description="Names; left out: every tool that only looks.")
    wait: bool = Field(False, description="Wait for the result; else it comes into the chat later.")


class NoParameters(Parameters):
    pass


class IdParameters(Parameters):
    subagent: str = Field(min_length=1, max_length=40, description="Its id, as subagent-list tells it.")


def subagent_facts(one: Working) -> dict[str, Any]:
    """A subagent as tools and routes show it."""
    return {
        "subagent": one.subagent_id,
        "task": one.task,
        "tools": list(one.tools),
        "person": one.person_id,
        "state": one.state,
        "result": one.result,
        "tokens": one.tokens,
        "began_ms": one.began_ms,
    }


def subagent_tools(workers: Workers) -> tuple[Tool[Any], ...]:
    """subagent-start, subagent-list, subagent-cancel."""

    async def check_start(asked: StartParameters, _: ToolContext) -> None:
        workers.check_start(asked.tools)

    async def start(asked: StartParameters, context: ToolContext) -> ToolOutput:
        made: Working = workers.start(asked.task, asked.tools, context)
        if asked.wait and await workers.wait(made, WAIT_S):
            return ToolOutput({"success": made.state == "done", **subagent_facts(made)}, foreign=made.foreign)
        evidence = Evidence("reported", f"subagent {made.subagent_id} works; its result comes into this chat")
        return ToolOutput({"success": True, **subagent_facts(made)}, (evidence,))

    async def show(_: NoParameters, context: ToolContext) -> ToolOutput:
        listed = workers.list(context.person_id)
        foreign = any(one.foreign for one in listed)
        return ToolOutput({"success": True, "subagents": [subagent_facts(one) for one in listed]}, foreign=foreign)

    async def check_cancel(asked: IdParameters, context: ToolContext) -> None:
        workers.named(asked.subagent, context.person_id)

    async def cancel(asked: IdParameters, context: ToolContext) -> ToolOutput:
        found = workers.cancel(asked.subagent, context.person_id)
        return ToolOutput({"success": True, "subagent": found.subagent_id}, (Evidence("reported", "it ends"),))

    text = "Let a helper work on one task in the background, with its own context. For long searches and comparisons."
    act, read = Permission.ACT, Permission.READ
    return (
        Tool(
            "subagent-start",
            text,
            StartParameters,
            act,
            Effect.ONCE,
            start,
            check=check_start,
            words=lambda asked, *_: f"let a helper work on this: {asked.task}",
        ),
        Tool("subagent-list", "Which subagents work, and results.", NoParameters, read, Effect.READ, show),
        Tool(
            "subagent-cancel",
            "End a subagent.",
            IdParameters,
            act,
            Effect.IDEMPOTENT,
            cancel,
            check=check_cancel,
            words=lambda asked, *_: f"end the subagent {asked.subagent}",
        ),
    )
