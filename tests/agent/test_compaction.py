"""A long conversation in a small budget: what was settled stays, the newest stays as it is, nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.agent.compaction import MAX_FRESH, Compactor, extract
from microclaw.errors import ModelError
from microclaw.models.budget import CHARS_A_TOKEN
from microclaw.models.protocol import AskedBy, AssistantReply, Said, UserText
from microclaw.models.scripted import ScriptedModel, say
from microclaw.store.database import Database
from microclaw.store.sessions import SessionMessage, Sessions

CHAT = ("tg", "1")
ASKED_BY = AskedBy("owner", *CHAT)


def summariser() -> ScriptedModel:
    return ScriptedModel([say(f"- summary {number}") for number in (1, 2, 3)])


def talk(first: int, last: int, size: int = 300) -> list[Said]:
    messages: list[Said] = []
    for number in range(first, last):
        messages.append(UserText(f"question {number} " + "x" * size))
        messages.append(AssistantReply(f"answer {number} " + "y" * size))
    return messages


def chars(messages: Sequence[Said]) -> int:
    return sum(len(m.text) for m in messages)


@pytest.fixture
async def sessions(tmp_path: Path) -> AsyncIterator[Sessions]:
    async with Database.open(tmp_path / "microclaw.db") as database:
        sessions = Sessions(database, lambda: 1)
        await sessions.append(*CHAT, [SessionMessage("user", "hello", 1)])
        yield sessions


async def test_the_newest_part_begins_with_the_person_and_is_verbatim() -> None:
    messages = talk(0, 30)
    kept = await Compactor().compact(messages, 1000)
    assert isinstance(kept[2], UserText)
    assert kept[2:] == tuple(messages)[-len(kept[2:]) :]


async def test_each_message_is_summarised_once(sessions: Sessions) -> None:
    model = summariser()
    messages = talk(0, 12)
    compactor = Compactor(model=model, sessions=sessions)
    first = await compactor.compact(messages, 1000, ASKED_BY)
    assert first[0].text.endswith("- summary 1")
    assert await compactor.compact(messages, 1000, ASKED_BY) == first
    assert len(model.requests) == 1
    longer = [*messages, *talk(12, 24)]
    await compactor.compact(longer, 1000, ASKED_BY)
    assert len(model.requests) == 2
    asked = str(model.requests[1].messages)
    assert "summary 1" in asked
    for number in range(24):
        said = [f"question {number} " in str(request.messages) for request in model.requests]
        assert sum(said) <= 1
    assert model.requests[0].task == "summary"


async def test_a_summary_is_used_after_a_restart_and_when_old_messages_are_not_loaded_any_more(
    sessions: Sessions,
) -> None:
    model = summariser()
    messages = talk(0, 12)
    await Compactor(model=model, sessions=sessions).compact(messages, 1000, ASKED_BY)
    again = Compactor(model=model, sessions=sessions)
    kept = await again.compact(messages[-2:], 1000, ASKED_BY)
    assert "summary 1" in str(kept[0])
    assert kept[-2:] == tuple(messages[-2:])
    assert len(model.requests) == 1


async def test_many_short_messages_are_summarised_before_they_are_not_loaded_any_more() -> None:
    messages: list[Said] = [UserText("never use pin 9"), AssistantReply("I will not."), *talk(0, MAX_FRESH // 2, 5)]
    kept = await Compactor().compact(messages, 100_000)
    assert "never use pin 9" in kept[0].text
    assert 2 < len(kept) <= MAX_FRESH // 2 + 4
    assert await Compactor().compact(messages[2:], 100_000) == tuple(messages[2:])


async def test_a_removed_or_torn_summary_is_made_again(sessions: Sessions) -> None:
    model = summariser()
    compactor = Compactor(model=model, sessions=sessions)
    await compactor.compact(talk(0, 12), 1000, ASKED_BY)
    await sessions.keep_summary(*CHAT, '{"through": "ab')
    await compactor.compact(talk(0, 12), 1000, ASKED_BY)
    await sessions.keep_summary(*CHAT, "")
    await compactor.compact(talk(0, 12), 1000, ASKED_BY)
    assert len(model.requests) == 3
    assert json.loads(await sessions.summary(*CHAT)).keys() == {"through", "summary"}


async def test_a_model_that_fails_is_replaced_by_the_plain_summary() -> None:
    messages: list[Said] = [UserText("Remember: never use pin 9."), AssistantReply("I will not."), *talk(0, 12)]
    kept = await Compactor(model=ScriptedModel([ModelError("the service is down")])).compact(messages, 1000)
    assert "never use pin 9" in str(kept[0])


def test_the_plain_summary_keeps_the_newest_of_the_person_within_its_bound() -> None:
    old: list[Said] = [*talk(0, 3), *(UserText(f"the sensor {n} reads {n} %") for n in range(100))]
    text = extract("- person: call me Ada", [*old, AssistantReply("All are fine.")], 400)
    assert len(text) <= 400
    assert text.endswith("the sensor 99 reads 99 %")
    assert "fine" not in text


def test_a_decision_said_again_is_kept_where_it_was_said_last() -> None:
    text = extract("- person: use pin 4 always", [UserText("call it Gert"), UserText("use pin 4 always")], 400)
    assert text.splitlines() == ["- person: call it Gert", "- person: use pin 4 always"]


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=400)), max_size=30), st.integers(100, 2000))
@settings(max_examples=100)
async def test_any_history_fits_or_is_its_last_exchange(said: list[tuple[bool, str]], budget: int) -> None:
    messages: list[Said] = [UserText(text) if person else AssistantReply(text) for person, text in said]
    kept = await Compactor().compact(messages, budget)
    assert not kept or isinstance(kept[0], UserText)
    last = max((n for n, m in enumerate(messages) if isinstance(m, UserText)), default=len(messages))
    assert chars(kept) <= budget * CHARS_A_TOKEN + chars(messages[last:]) + 200


async def test_a_long_summary_holds_nobody_up() -> None:
    """Without a model the settling sentences of megabytes are looked for: not between two deltas of another chat."""
    long = [UserText(f"The relay {n} is on pin 4 and the pump is not. " * 40) for n in range(60)]
    compacting = asyncio.create_task(Compactor().compact(long, 1000))
    turns = 0
    while not compacting.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
