"""The small tools through the toolbox: time, say, notify, recall, skill, catalog; what is a stranger's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from microclaw.agent.knowledge.knowledge_base import Knowledge
from microclaw.agent.knowledge.tools import memory_tools
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.tools import say_tool
from microclaw.devices.registry.registry import Registry
from microclaw.errors import UnknownName
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import OWNER
from microclaw.host.operations.tool import ToolContext, ToolResult, declared_tools
from microclaw.host.store.people import Person
from microclaw.host.store.sessions import SessionMessage
from microclaw.programs.patterns.catalog import shipped

ADA = Person("p-ada", "Ada", "member", 0, (("telegram", "42"),))
EVE = Person("p-eve", "Eve", "guest")


async def call(tools: Any, name: str, /, gate: Gate | None = None, **arguments: Any) -> tuple[ToolResult, Any]:
    context = ToolContext("owner", lambda _: None, "virtual-1", "terminal", "desk", foreign=gate is not None)
    result = await Toolbox(tools, gate or Gate()).call(name, json.dumps(arguments), context)
    return result, json.loads(result.content)


class Circle:
    """The owner, Ada with a chat, Eve without one; it is the outbox, too."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []
        self.say = say_tool(outbox=cast("Any", self), people=cast("Any", self))

    def get(self, person_id: str) -> Person | None:
        return next((p for p in (OWNER, ADA, EVE) if p.person_id == person_id), None)

    def find_by_name(self, reference: str) -> Person:
        for person in (OWNER, ADA, EVE):
            if person.name.lower() == reference.lower():
                return person
        raise UnknownName(f"nobody here is named {reference}")

    async def push(self, channel: str, chat_id: str, text: str, *, person: str) -> int:
        self.said.append((channel, chat_id, text, person))
        return 7


async def test_a_text_goes_into_the_persons_chat_or_the_askers_and_who_has_none_cannot_be_told() -> None:
    circle = Circle()
    for person, code in (("Eve", "tool_failed"), ("nobody", "unknown_name")):
        assert (await call([circle.say], "say", text="hi", person=person))[0].error_code == code
    assert circle.said == []
    said: list[dict[str, Any]] = [{"text": "hi", "person": "ada"}, {"text": "me"}, {"text": "self", "person": "owner"}]
    for arguments in said:
        assert (await call([circle.say], "say", **arguments))[0].ok
    assert circle.said == [
        ("telegram", "42", "from owner: hi", "p-ada"),
        ("terminal", "desk", "me", "owner"),
        ("terminal", "desk", "self", "owner"),
    ]


async def test_answers_are_recalled_only_when_asked_for_and_as_strangers_words(knowledge: Knowledge) -> None:
    devices = cast("Registry", None)  # no board is asked about
    tools = memory_tools(memory=knowledge.memory, search=knowledge.search, devices=devices, name_of=str)
    said = [SessionMessage("user", "the pump?", 5), SessionMessage("assistant", "a page says: pump", 6)]
    await knowledge.sessions.append("tg", "1", said)
    own, found = await call(tools, "recall", text="pump")
    assert ([one["kind"] for one in found["found"]], own.foreign) == (["said"], False)
    both, found = await call(tools, "recall", text="pump", answers=True)
    assert (sorted(one["kind"] for one in found["found"]), both.foreign) == (["answered", "said"], True)


async def test_what_a_folder_of_programs_says_is_a_strangers_text(tmp_path: Path) -> None:
    place = tmp_path / "blink2" / "1.0.0"
    place.mkdir(parents=True)
    entry = next(one for one in shipped() if one.name == "blink")
    for name, content in entry.files.items():
        text = content.decode().replace(f'"{entry.version_text}"', '"1.0.0"').replace('"blink.c"', '"blink2.c"')
        (place / name.replace("blink.", "blink2.")).write_text(text)
    (tmp_path / "broken").mkdir()
    tools = declared_tools({"catalog": [tmp_path]})
    result, found = await call(tools, "catalog", words="blink2")
    assert [row[0] for row in found["entries"]] == ["blink2"]
    assert (found["mistakes"], result.foreign) == (1, True)
    assert (await call(tools, "catalog", name="blink2"))[0].foreign
