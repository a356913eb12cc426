"""time and say: the clock where the person lives, and a text into the right chat."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from microclaw.agent.telling import clock_tool, say_tool
from microclaw.agent.toolbox import Toolbox
from microclaw.auth.gate import Gate
from microclaw.auth.people import OWNER, Person
from microclaw.errors import UnknownName
from microclaw.operations.tool import ToolContext, ToolResult

ADA, EVE = Person("p-ada", "Ada", "member", 0, (("telegram", "42"),)), Person("p-eve", "Eve", "guest")


class Circle:
    """The owner, Ada with a chat, Eve without one; it is the outbox, too."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []

    def get(self, person_id: str) -> Person | None:
        return next((p for p in (OWNER, ADA, EVE) if p.person_id == person_id), None)

    def named(self, reference: str) -> Person:
        for person in (OWNER, ADA, EVE):
            if person.name.lower() == reference.lower():
                return person
        raise UnknownName(f"nobody here is named {reference}")

    async def push(self, channel: str, chat_id: str, text: str, *, person: str) -> int:
        self.said.append((channel, chat_id, text, person))
        return 7


async def call(tool: Any, arguments: dict[str, Any], circle: Circle | None = None) -> tuple[ToolResult, dict[str, Any]]:
    context = ToolContext("owner", lambda step: None, channel="terminal", chat_id="desk")
    result = await Toolbox([tool], Gate(circle)).call(tool.name, json.dumps(arguments), context)
    return result, json.loads(result.content)


@pytest.mark.parametrize(
    ("home", "now"), [("Europe/Berlin", "2026-07-01T14:00:00+02:00"), ("UTC", "2026-07-01T12:00:00+00:00")]
)
async def test_the_clock_is_the_persons(home: str, now: str) -> None:
    _, said = await call(clock_tool(home, now_s=lambda: 1_782_907_200.0), {})
    assert (said["now"], said["weekday"]) == (now, "Wednesday")


async def test_a_text_goes_into_the_persons_chat_or_the_askers() -> None:
    circle = Circle()
    for arguments in ({"text": "hi", "person": "ada"}, {"text": "me"}, {"text": "self", "person": "owner"}):
        result, _ = await call(say_tool(outbox=cast("Any", circle), people=cast("Any", circle)), arguments, circle)
        assert result.ok
    assert circle.said == [
        ("telegram", "42", "from owner: hi", "p-ada"),
        ("terminal", "desk", "me", "owner"),
        ("terminal", "desk", "self", "owner"),
    ]


@pytest.mark.parametrize(("person", "code"), [("Eve", "tool_failed"), ("nobody", "unknown_name")])
async def test_who_has_no_chat_cannot_be_told(person: str, code: str) -> None:
    circle = Circle()
    tool = say_tool(outbox=cast("Any", circle), people=cast("Any", circle))
    result, _ = await call(tool, {"text": "hi", "person": person}, circle)
    assert (result.error_code, circle.said) == (code, [])
