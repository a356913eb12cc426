"""The tool that corrects: it takes changes back and sets pins instead, as one act with one question.

It is made of the tools that do one of these, and does nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import asdict

from microclaw.devices.registry.target import DeviceParameters
from microclaw.errors import MicroclawError, PinClaimed
from microclaw.host.auth.gate import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput, read_arguments

MAX_CHANGES = 16
MAX_PINS = 8


class PinInstead(Parameters, kw_only=True):
    """A pin and what it gets: a level, or a duty."""

    pin: Annotated[int, Meta(ge=0, le=255)]
    level: Literal[0, 1] | None = None
    duty: Annotated[int, Meta(ge=0, le=255)] | None = None

    def __post_init__(self) -> None:
        if (self.level is None) == (self.duty is None):
            raise ValueError("give level or duty, one of them")


class CorrectParameters(DeviceParameters, kw_only=True):
    undo: Annotated[
        tuple[int, ...], Meta(min_length=1, max_length=MAX_CHANGES, description="Numbers of changes to revert.")
    ]
    pins: Annotated[
        tuple[PinInstead, ...], Meta(max_length=MAX_PINS, description="Set then; level or duty (0-255).")
    ] = ()


def correct_tool(tools: Iterable[Tool[Any]]) -> Tool[CorrectParameters]:
    """correct, over undo, gpio-set and pwm-set."""
    named = {tool.name: tool for tool in tools}

    def calls(asked: CorrectParameters) -> list[tuple[Tool[Any], Any]]:
        given: list[tuple[str, dict[str, Any]]] = [("undo", {"change": number}) for number in dict.fromkeys(asked.undo)]
        for one in asked.pins:
            values = {name: value for name, value in asdict(one).items() if value is not None}
            given.append(("gpio-set" if one.duty is None else "pwm-set", {**values, "device": asked.device}))
        return [(named[name], read_arguments(named[name], json.dumps(values))) for name, values in given]

    async def describe(asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        """A line for each change, first. Raises what keeps one of them from being reverted."""
        lines = [line for tool, call in calls(asked) if tool.describe for line in await tool.describe(call, context)]
        return tuple(dict.fromkeys(lines))

    async def objections(asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        found = [tool.objections(call, context) for tool, call in calls(asked) if tool.objections]
        return tuple([text for one in found for text in await one])

    def words(asked: CorrectParameters, context: ToolContext, described: Sequence[str]) -> str:
        each = enumerate(calls(asked))
        return "; then ".join(tool.words(call, context, described[i : i + 1]) for i, (tool, call) in each if tool.words)

    async def run(asked: CorrectParameters, context: ToolContext) -> ToolOutput:
        await describe(asked, context)  # nothing is reverted where something else would then fail
        for text in await objections(asked, context):
            if text not in context.insisted:
                raise PinClaimed(text, next_step="choose another pin, or stop that program first")
        made: list[ToolOutput] = []
        for tool, call in calls(asked):
            try:
                made.append(await tool.run(call, context))
            except MicroclawError as exc:
                if made:
                    exc.message = f"{_told(made)}; then it failed: {exc.message}"
                raise
        parts = [
            {**one.fields, "evidence": [{"kind": proof.kind, "text": proof.text} for proof in one.evidence]}
            for one in made
        ]
        count = len(asked.undo)
        fields = {"success": True, "undone": parts[:count], "pins": parts[count:], "message": _told(made)}
        return ToolOutput(fields, tuple(proof for one in made for proof in one.evidence))

    text = "Revert numbered changes and set other pins instead, as one act with one question: a correction."
    hooks: dict[str, Any] = {"describe": describe, "objections": objections, "words": words}
    return Tool("correct", text, CorrectParameters, Permission.ACT, Effect.ONCE, run, **hooks)


def _told(made: Sequence[ToolOutput]) -> str:
    """The message of each undo; of a pin that it was set."""
    each = (one.fields for one in made)
    return "; ".join(one.get("message") or f"pin {one['pin']} of {one['device']} was set" for one in each)
