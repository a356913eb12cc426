"""The tool that corrects: it takes changes back and sets pins instead, as one act with one question.

It is made of the tools that do one of these, and does nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from microclaw.devices.registry.target import DeviceParameters
from microclaw.errors import MicroclawError, PinClaimed
from microclaw.events import Evidence
from microclaw.host.operations.operation import Effect, Permission
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
    """Make correct, over undo, gpio-set and pwm-set."""
    correction = _Correction({tool.name: tool for tool in tools})
    return Tool(
        "correct",
        "Revert numbered changes and set other pins instead, as one act with one question: a correction.",
        CorrectParameters,
        Permission.ACT,
        Effect.ONCE,
        correction.run,
        describe=correction.describe,
        objections=correction.objections,
        words=correction.words,
    )


class _Correction(Struct, frozen=True):
    tools: Mapping[str, Tool[Any]]

    def calls(self, asked: CorrectParameters) -> list[tuple[Tool[Any], Any]]:
        """Return the calls of the other tools, in their order."""
        calls = [self._call("undo", change=number) for number in dict.fromkeys(asked.undo)]
        for each in asked.pins:
            if each.duty is None:
                calls.append(self._call("gpio-set", pin=each.pin, level=each.level, device=asked.device))
            else:
                calls.append(self._call("pwm-set", pin=each.pin, duty=each.duty, device=asked.device))
        return calls

    def _call(self, name: str, **values: Any) -> tuple[Tool[Any], Any]:
        tool = self.tools[name]
        return tool, read_arguments(tool, json.dumps(values))

    async def describe(self, asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        """Return a line for each change, first. Raises what keeps one of them from being reverted."""
        lines: dict[str, None] = {}
        for tool, call in self.calls(asked):
            if tool.describe is not None:
                lines.update(dict.fromkeys(await tool.describe(call, context)))
        return tuple(lines)

    async def objections(self, asked: CorrectParameters, context: ToolContext) -> tuple[str, ...]:
        texts: list[str] = []
        for tool, call in self.calls(asked):
            if tool.objections is not None:
                texts += await tool.objections(call, context)
        return tuple(texts)

    def words(self, asked: CorrectParameters, context: ToolContext, described: Sequence[str]) -> str:
        texts: list[str] = []
        for index, (tool, call) in enumerate(self.calls(asked)):
            if tool.words is not None:
                texts.append(tool.words(call, context, described[index : index + 1]))
        return "; then ".join(texts)

    async def run(self, asked: CorrectParameters, context: ToolContext) -> ToolOutput:
        # Nothing is reverted if something else would then fail.
        await self.describe(asked, context)
        for text in await self.objections(asked, context):
            if text not in context.insisted:
                raise PinClaimed(text, next_step="choose another pin, or stop that program first")
        outputs: list[ToolOutput] = []
        for tool, call in self.calls(asked):
            try:
                outputs.append(await tool.run(call, context))
            except MicroclawError as exc:
                if outputs:
                    exc.message = f"{_message(outputs)}; then it failed: {exc.message}"
                raise
        return _joined(outputs, len(set(asked.undo)))


def _joined(outputs: Sequence[ToolOutput], undo_count: int) -> ToolOutput:
    """Return one result, of the undos and of the pins after them."""
    parts: list[dict[str, Any]] = []
    proofs: list[Evidence] = []
    for output in outputs:
        evidence = [{"kind": proof.kind, "text": proof.text} for proof in output.evidence]
        parts.append({**output.fields, "evidence": evidence})
        proofs += output.evidence
    fields = {
        "success": True,
        "undone": parts[:undo_count],
        "pins": parts[undo_count:],
        "changes": [part["change"] for part in parts],
        "message": _message(outputs),
    }
    return ToolOutput(fields, tuple(proofs))


def _message(outputs: Iterable[ToolOutput]) -> str:
    """Return the message of each undo, and for each pin that it was set."""
    texts: list[str] = []
    for output in outputs:
        fields = output.fields
        texts.append(fields.get("message") or f"pin {fields['pin']} of {fields['device']} was set")
    return "; ".join(texts)
