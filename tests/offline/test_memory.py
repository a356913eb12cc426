"""Sentences to memory without a model: facts are kept in the person's own words, told and forgotten by name."""

from __future__ import annotations

import pytest
from tests.offline.conftest import Ask, answered, called

from microclaw.models.protocol import (
    DeviceContext,
    ModelRequest,
    UserText,
)
from microclaw.offline.model import OfflineModel


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("remember that the relay is on pin 4", "remember", {"text": "the relay is on pin 4"}),
        ("Remember: my name is Anna.", "remember", {"text": "my name is Anna"}),
        ("please remember the pump on virtual-1 is red", "remember", {"text": "the pump on virtual-1 is red"}),
        (
            "don't forget that pin 5 is not for the lamp",
            "remember",
            {"text": "pin 5 is not for the lamp"},
        ),
        ("what do you remember?", "recall", {}),
        ("what do you know about me", "recall", {}),
        ("What do you know about the relay?", "recall", {"text": "the relay"}),
        ("do you remember the relay", "recall", {"text": "the relay"}),
        ("forget the relay", "forget", {"text": "relay"}),
        ("forget that the relay is on pin 4", "forget", {"text": "relay is on pin 4"}),
    ],
)
async def test_a_sentence_to_memory_calls_its_tool(ask: Ask, said: str, tool: str, arguments: dict[str, str]) -> None:
    assert called(await ask(said)) == (tool, arguments)


@pytest.mark.parametrize("said", ["remember to water the plants", "what do you know how to do", "do you know the time",
                                  "forget the lamp, turn on pin 4"])  # fmt: skip
async def test_what_memory_cannot_do_is_not_given_to_it(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert not [call for call in reply.calls if call.name in ("remember", "recall", "forget")]


async def test_a_schedule_is_cancelled_not_forgotten(ask: Ask) -> None:
    assert called(await ask("forget the schedule at 7"))[0] == "schedule-list"


async def test_what_is_remembered_is_told_with_its_source_and_not_what_was_said_to_memory(ask: Ask) -> None:
    said = "what do you know about the relay"
    hits = [
        {"text": "the relay is on pin 4", "source": "memory/MEMORY.md", "day": "", "kind": "memory"},
        {"text": said, "source": "sessions/a.jsonl", "day": "2026-11-20", "kind": "said"},
    ]
    reply = await ask(said, *answered(await ask(said), found=hits))
    assert "memory/MEMORY.md" in reply.text
    assert said not in reply.text


async def test_what_is_forgotten_is_said_and_where_it_still_stands(ask: Ask) -> None:
    said = "forget the relay"
    first = await ask(said)
    gone = answered(first, removed=[{"line": "- the relay is on pin 4"}], still_in_conversations=2)
    reply = await ask(said, *gone)
    assert reply.next_step
    unknown = await ask(said, *answered(first, ok=False, removed=[]))
    assert unknown.failed_code == "unknown_name"


def test_a_model_that_is_there_answers_what_is_said_to_memory(device_context: DeviceContext) -> None:
    request = ModelRequest("", (UserText("remember that the relay is on pin 4"),), (), device_context=device_context)
    assert not OfflineModel().is_sure(request)
