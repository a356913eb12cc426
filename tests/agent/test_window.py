"""The parts of a request that go when a model's window is small, and what a refusal teaches of its size."""

from __future__ import annotations

import pytest
from tests.agent.conftest import MakeAgent

from microclaw.agent.compaction import OPENING
from microclaw.agent.window import FORGOTTEN_AFTER_S, Window, fitted
from microclaw.errors import ModelError
from microclaw.events import Answer, Step
from microclaw.models.budget import request_tokens
from microclaw.models.protocol import AssistantReply, Message, ModelRequest, ToolReturn, UserText
from microclaw.models.scripted import call, say

DYNAMIC = f"# Devices\nDevice one\n\n# MEMORY.md, what is remembered\n{'fact ' * 800}\n\n# Now\nIt is Monday."
HISTORY: tuple[Message, ...] = tuple(
    message for n in range(20) for message in (UserText(f"question {n} " * 50), AssistantReply("answer " * 50))
)
OWN: tuple[Message, ...] = (UserText("now"), AssistantReply(""), ToolReturn("c", "read-logs", "x" * 8000))


def request(older: tuple[Message, ...] = HISTORY) -> ModelRequest:
    return ModelRequest("rules", (*older, *OWN), (), dynamic_context=DYNAMIC)


def size(sent: ModelRequest) -> int:
    return request_tokens(sent) + sent.max_tokens


@pytest.mark.parametrize("window", [8192, 6000, 4096, 2000])
def test_a_request_is_made_to_fit(window: int) -> None:
    sent = fitted(request(), len(HISTORY), window)
    assert size(sent) <= window
    assert sent.system == "rules"
    assert OWN[0] in sent.messages
    assert sent.max_tokens <= window // 4
    assert "Device one" in sent.dynamic_context
    assert "It is Monday" in sent.dynamic_context


def test_the_oldest_exchanges_go_first_and_whole() -> None:
    sent = fitted(request(), len(HISTORY), 8192)
    assert sent.dynamic_context == DYNAMIC
    assert sent.messages[-len(OWN) :] == OWN
    before = sent.messages[: -len(OWN)]
    assert before == HISTORY[len(HISTORY) - len(before) :]
    assert isinstance(before[0], UserText)


def too_long(window: int | None = None) -> ModelError:
    return ModelError("longer than its context", next_step="a larger one", fault="too_long", window_tokens=window)


async def test_a_refused_request_is_shortened_and_sent_again(make_agent: MakeAgent) -> None:
    async with make_agent([say("one " * 400)] * 12 + [too_long(3000), say("short")]) as agent:
        for number in range(12):
            await agent.answer(f"question {number} " + "word " * 400)
        events = await agent.events("and now")
        refused, sent = agent.script.requests[-2:]
    assert isinstance(events[-1], Answer)
    assert events[-1].text.startswith("short")
    assert size(sent) <= 3000 < size(refused)
    assert sent.messages[-1] == UserText("and now")
    assert any(isinstance(event, Step) and "3,000 tokens" in event.text for event in events)


async def test_what_a_server_refused_is_not_sent_again_in_later_turns(make_agent: MakeAgent) -> None:
    async with make_agent([say("one " * 4000), too_long(3000), say("short"), say("short too")]) as agent:
        for text in ("first " * 400, "second", "third"):
            await agent.answer(text)
        assert len(agent.script.requests) == 4
        assert size(agent.script.requests[-1]) <= 3000


async def test_what_cannot_be_shortened_is_told(make_agent: MakeAgent) -> None:
    async with make_agent([call("gpio-set", pin=4), *[too_long()] * 9]) as agent:
        answer = await agent.answer("hello")
        assert answer.error_code == "model_error"
        assert answer.next_step == "a larger one"
        assert "done: gpio-set pin=4" in answer.text
        assert len(agent.script.requests) < 9


def test_an_unknown_window_is_found_by_steps_and_has_a_least_size() -> None:
    window = Window(24_000)
    sizes = []
    for _ in range(12):
        window.refused(fitted(request(), len(HISTORY), window.tokens), None)
        sizes.append(window.tokens)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < 12_000
    assert sizes[-1] == 1000


def test_a_learned_window_is_forgotten_after_an_hour() -> None:
    now_s = 100.0
    window = Window(24_000, now_s=lambda: now_s)
    assert (window.learned, window.retry_in_s) == (None, 0.0)
    window.refused(request(), 6000)
    learned = window.learned
    assert learned is not None
    assert (learned.named_tokens, window.tokens, window.retry_in_s) == (6000, learned.tokens, FORGOTTEN_AFTER_S)
    assert learned.tokens <= 6000
    now_s += FORGOTTEN_AFTER_S - 1
    assert window.tokens == learned.tokens
    now_s += 1
    assert (window.tokens, window.learned) == (24_000, None)


def test_the_summary_of_older_messages_goes_last_of_the_history() -> None:
    summary = (UserText(f"{OPENING}- the fan is on pin 6"), AssistantReply("I keep to that."))
    sent = fitted(request((*summary, *HISTORY)), len(HISTORY) + 2, 6000)
    assert sent.messages[:2] == summary
    assert len(sent.messages) < len(HISTORY)
    assert size(sent) <= 6000
