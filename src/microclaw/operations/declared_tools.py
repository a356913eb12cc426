"""The tools of the declared acts (operations/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import asdict

from microclaw.events import Evidence
from microclaw.operations.operation import Call, Operation, Permission, load
from microclaw.operations.tool import Tool, ToolContext, ToolOutput


def declared_tools(services: Mapping[str, Any]) -> tuple[Tool[Any], ...]:
    """A tool for each act of these nouns that has one. `services` are the rooms' by their nouns."""
    return tuple(_tool(one, service) for noun, service in services.items() for one in load(noun) if one.tool)


def _tool(act: Operation[..., Any], service: Any) -> Tool[Any]:
    async def run(asked: msgspec.Struct, context: ToolContext) -> ToolOutput:
        result = await act.run(service, _call(context), **asdict(asked))
        sentence = act.sentence(result)
        evidence = () if sentence is None else (Evidence("written", sentence),)
        fields = {name: value for name, value in msgspec.to_builtins(result).items() if name != "warning" or value}
        return ToolOutput({"success": True, **fields}, evidence, foreign=result.is_foreign)

    async def needed(asked: msgspec.Struct, context: ToolContext) -> Permission:
        assert act.before is not None
        return await act.before(service, _call(context), **asdict(asked)) or act.permission

    async def check(asked: msgspec.Struct, context: ToolContext) -> None:
        await needed(asked, context)

    return Tool(
        act.tool or "",
        " ".join(act.help.split()),
        act.inside,
        act.permission,
        act.does,
        run,
        told=act.form,
        has_preview=act.previews,
        required_permission=needed if act.previews else None,
        check=check if act.before is not None and not act.previews else None,
        words=None if act.words is None else lambda asked, *_: act.asked(asdict(asked)),
    )


def _call(context: ToolContext) -> Call:
    return Call(context.person_id, context.approve, context.report, context.device, context.channel, context.chat_id)


def context_of(call: Call) -> ToolContext:
    """The same caller, for a tool that is planned."""
    return ToolContext(call.person_id, call.report, call.device, call.channel, call.chat_id)
