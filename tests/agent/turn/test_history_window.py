"""A conversation and a model's window: what goes first when it is small, what was settled stays, nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.turn.conftest import MakeAgent

from microclaw.agent.models.budget import CHARS_A_TOKEN, request_tokens
from microclaw.agent.models.protocol import AskedBy, AssistantReply, Message, ModelRequest, Said, ToolReturn, UserText
from microclaw.agent.models.scripted import ScriptedModel, say
from microclaw.agent.turn.history import OPENING, compact_history, fit_window
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.errors import ModelError
from microclaw.events import Answer, Step
from microclaw.host.store.database import Database
from microclaw.host.store.sessions import SessionMessage, Sessions

DYNAMIC = f"# Devices\nDevice one\n\n# MEMORY.md, what is remembered\n{'fact ' * 800}\n\n# Now\nIt is Monday."
OWN: tuple[Message, ...] = (UserText("now"), AssistantReply(""), ToolReturn("c", "read-logs", "x" * 8000))
CHAT = ("tg", "1")
ASKED_BY = AskedBy("owner", *CHAT)


def talk(first: int, last: int, size: int = 300) -> tuple[Said, ...]:
    return tuple(
        message
        for n in range(first, last)
        for message in (UserText(f"question {n} " + "x" * size), AssistantReply(f"answer {n} " + "y" * size))
    )


HISTORY = talk(0, 20, 350)


def request(older: tuple[Message, ...] = HISTORY) -> ModelRequest:
    return ModelRequest("rules", (*older, *OWN), (), max_tokens=4096, dynamic_context=DYNAMIC)


def size(sent: ModelRequest) -> int:
    assert sent.max_tokens is not None
    return request_tokens(sent) + sent.max_tokens


# The window.


@pytest.mark.parametrize("window", [8192, 2000])
def test_a_request_is_made_to_fit(window: int) -> None:
    sent = fit_window(request(), len(HISTORY), window)
    assert size(sent) <= window
    assert sent.system == "rules"
    assert OWN[0] in sent.messages
    assert sent.max_tokens is not None
    assert sent.max_tokens <= window // 4
    assert "Device one" in sent.dynamic_context
    assert "It is Monday" in sent.dynamic_context


def test_the_oldest_exchanges_go_first_and_whole_and_their_summary_stays() -> None:
    sent = fit_window(request(), len(HISTORY), 8192)
    assert sent.dynamic_context == DYNAMIC
    assert sent.messages[-len(OWN) :] == OWN
    before = sent.messages[: -len(OWN)]
    assert before == HISTORY[len(HISTORY) - len(before) :]
    assert isinstance(before[0], UserText)
    summary = (UserText(f"{OPENING}- the fan is on pin 6"), AssistantReply("I keep to that."))
    sent = fit_window(request((*summary, *HISTORY)), len(HISTORY) + 2, 6000)
    assert sent.messages[:2] == summary
    assert len(sent.messages) < len(HISTORY)
    assert size(sent) <= 6000


def test_what_a_provider_wants_back_goes_before_the_conversation_and_its_oldest_first() -> None:
    replies = [AssistantReply("", provider_parts="p" * chars) for chars in (100_000, 400)]
    whole = ModelRequest("rules", (*HISTORY, UserText("now"), *replies), ())
    sent = fit_window(whole, len(HISTORY), 24_000)
    assert sent.messages == (*HISTORY, UserText("now"), AssistantReply(""), replies[1])
    assert fit_window(whole, len(HISTORY), 1000).messages[-2:] == (AssistantReply(""), AssistantReply(""))


def too_long() -> ModelError:
    return ModelError("longer than its context", next_step="a larger one", fault="too_long")


async def test_a_refused_request_is_shortened_and_sent_again_and_later_ones_are_short_at_once(
    make_agent: MakeAgent,
) -> None:
    replies = [*[say("one " * 400)] * 6, too_long(), say("short"), say("short too")]
    async with make_agent(replies, limits=TurnLimits(answer_tokens=4096)) as agent:
        for number in range(6):
            await agent.answer(f"question {number} " + "word " * 400)
        events = await agent.events("and now")
        refused, sent = agent.script.requests[-2:]
        await agent.answer("third")
        assert len(agent.script.requests) == 9
    assert isinstance(events[-1], Answer)
    assert events[-1].text.startswith("short")
    assert size(sent) <= size(refused) // 2
    assert size(agent.script.requests[-1]) <= size(refused) // 2
    assert sent.messages[-1] == UserText("and now")
    assert any(isinstance(event, Step) and "sent again for a window of" in event.text for event in events)


# Summaries.


def summariser() -> ScriptedModel:
    return ScriptedModel([say(f"- summary {number}") for number in (1, 2, 3)])


@pytest.fixture
async def sessions(database: Database) -> Sessions:
    sessions = Sessions(database, lambda: 1)
    await sessions.append(*CHAT, [SessionMessage("user", "hello", 1)])
    return sessions


async def test_each_message_is_summarised_once_also_after_a_restart(sessions: Sessions) -> None:
    model = summariser()

    async def compact(history: tuple[Said, ...]) -> tuple[Said, ...]:
        return await compact_history(history, 1000, ASKED_BY, model=model, sessions=sessions)

    first = await compact(talk(0, 12))
    assert first[0].text.endswith("- summary 1")
    assert await compact(talk(0, 12)) == first
    kept = await compact(talk(11, 12))  # the old messages are not loaded any more
    assert "summary 1" in kept[0].text
    assert kept[-2:] == talk(11, 12)
    assert len(model.requests) == 1
    await compact(talk(0, 24))
    assert [one.task for one in model.requests] == ["summary"] * 2
    asked = [str(one.messages) for one in model.requests]
    assert "summary 1" in asked[1]
    for number in range(24):
        assert sum(f"question {number} " in one for one in asked) <= 1


async def test_a_summary_that_no_model_makes_is_the_end_of_what_was_said_and_is_made_once(sessions: Sessions) -> None:
    model = ScriptedModel([ModelError("the service is down")])
    cut = await compact_history(talk(0, 12), 1000, ASKED_BY, model=model, sessions=sessions)
    assert "question" in cut[0].text
    assert cut[2:] == talk(0, 12)[-len(cut[2:]) :]
    assert await compact_history(talk(0, 12), 1000, ASKED_BY, model=model, sessions=sessions) == cut


class NoSessions(Sessions):
    def __init__(self) -> None: ...

    async def summary(self, channel: str, chat_id: str) -> str:
        return ""


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=400)), max_size=30), st.integers(100, 2000))
@settings(max_examples=100)
async def test_any_history_fits_or_is_its_last_exchange(said: list[tuple[bool, str]], budget: int) -> None:
    messages: list[Said] = [UserText(text) if person else AssistantReply(text) for person, text in said]
    model = ScriptedModel([ModelError("the service is down")])
    kept = await compact_history(messages, budget, ASKED_BY, model=model, sessions=NoSessions())
    assert not kept or isinstance(kept[0], UserText)
    last = max((n for n, m in enumerate(messages) if isinstance(m, UserText)), default=len(messages))
    allowed = budget * CHARS_A_TOKEN + sum(len(m.text) for m in messages[last:])
    assert sum(len(m.text) for m in kept) <= allowed
