"""The tools of memory and skills, through the toolbox: what is a stranger's word, and what is refused."""

from __future__ import annotations

import json
from typing import Any, cast

from microclaw.agent.toolbox import Toolbox
from microclaw.auth.gate import Gate
from microclaw.devices.registry import Registry
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.knowledge.tools import remembering_tools, skill_tools
from microclaw.operations.tool import ToolContext, ToolResult
from microclaw.store.sessions import SessionMessage


async def call(knowledge: Knowledge, name: str, /, **arguments: Any) -> ToolResult:
    search, devices = knowledge.search, cast("Registry", None)  # no board is asked about
    tools = remembering_tools(memory=knowledge.memory, search=search, devices=devices)
    box = Toolbox((*tools, *skill_tools(skills=knowledge.skills)), Gate())
    return await box.call(name, json.dumps(arguments), ToolContext("owner", lambda _: None, channel="tg", chat_id="1"))


async def test_answers_are_recalled_only_when_asked_for_and_as_strangers_words(knowledge: Knowledge) -> None:
    said = [SessionMessage("user", "the pump?", 5), SessionMessage("assistant", "a page says: pump", 6)]
    await knowledge.sessions.append("tg", "1", said)
    own = await call(knowledge, "recall", text="pump")
    assert [one["kind"] for one in json.loads(own.content)["found"]] == ["said"]
    assert not own.foreign
    both = await call(knowledge, "recall", text="pump", answers=True)
    assert sorted(one["kind"] for one in json.loads(both.content)["found"]) == ["answered", "said"]
    assert both.foreign


async def test_a_skill_that_is_none_or_a_file_outside_is_refused(knowledge: Knowledge) -> None:
    unknown = await call(knowledge, "skill", name="nothing")
    assert "plant-watering" in (unknown.next_step or "")
    outside = await call(knowledge, "skill", name="plant-watering", file="../../../../etc/passwd")
    assert outside.error_code == "tool_failed"
