"""The skill tool: load a skill's text, or a file beside it. It runs nothing that lies there."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import Field

from microclaw.knowledge.skills import Skills
from microclaw.policy.gate import Effect, Permission
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput


class SkillParameters(Parameters):
    name: str = Field(min_length=1, max_length=64, description="The skill's name.")
    file: str | None = Field(None, max_length=300, description="A file beside its text, as the text names it.")
    offset: int = Field(0, ge=0, description="Where to go on, from next_offset of the last answer.")


def skill_tools(*, skills: Skills) -> tuple[Tool[Any], ...]:
    """skill."""

    async def skill(asked: SkillParameters, context: ToolContext) -> ToolOutput:
        return ToolOutput(await asyncio.to_thread(load, asked, context))

    def load(asked: SkillParameters, context: ToolContext) -> dict[str, Any]:
        loaded = skills.activate(context.channel, context.chat_id, asked.name)
        piece = skills.piece(asked.name, asked.file, asked.offset)
        fields: dict[str, Any] = {"success": True, "skill": loaded.name, "text": piece.text}
        if piece.next_offset is not None:
            fields["next_offset"] = piece.next_offset
        if asked.file is None and (files := skills.files(asked.name)):
            fields["files"] = list(files)
        return fields

    text = "Load a skill: how to do something well, step by step. Its own tools are offered from then on."
    return (Tool("skill", text, SkillParameters, Permission.READ, Effect.READ, skill),)
