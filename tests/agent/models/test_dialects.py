"""Each provider's real answers: what is read of them, what goes back, and why they ended. Streamed and whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from tests.agent.models.asking import TOOLS, closing, openai
from tests.agent.models.dialects import DIALECTS, Dialect, Given, Json
from tests.agent.models.event_streams import DONE, Events, openai_chunk
from tests.agent.models.model_server import openai_reply, server

from microclaw.agent.models.protocol import (
    AssistantReply,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    ReplyEnd,
    ToolReturn,
    UserText,
)
from microclaw.agent.models.reply_text import VisiblePieces, visible_text, written_call

QUESTION = UserText("set pin 4 on")
ON = ("gpio-set", {"pin": 4, "level": 1})
OFF = ("gpio-set", {"pin": 5, "level": 0})
THOUGHT = "pin 4, so"

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
both_ways = pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])


async def ask(model: Model, is_streamed: bool, *messages: Message) -> tuple[ModelReply, str]:
    """Return the reply, and the pieces that the person saw."""
    pieces: list[str] = []
    max_tokens = None if is_streamed else 4096  # without one Anthropic's library streams
    request = ModelRequest("you are microclaw", messages or (QUESTION,), TOOLS, max_tokens=max_tokens)
    reply = await model.respond(request, pieces.append if is_streamed else None)
    return reply, "".join(pieces)


def calls_of(reply: ModelReply) -> list[tuple[str, str]]:
    return [(call.name, call.arguments.replace(" ", "")) for call in reply.calls]


READ: Sequence[tuple[Given, str, ReplyEnd, int]] = (
    (Given(text="It is <3 °C here."), "It is <3 °C here.", "stop", 0),
    (Given(calls=(ON,)), "", "stop", 1),
    (Given(calls=(ON, OFF)), "", "stop", 2),
    (Given(text="It is", end="length"), "It is", "length", 0),
    (Given(calls=(ON,), end="length"), "", "length", 1),
    (Given(text="It is", end="filter"), "It is", "filter", 0),
    (Given(thought=THOUGHT, text="It is"), "It is", "stop", 0),
    (Given(thought=THOUGHT), "", "thoughts", 0),
    (Given(thought=THOUGHT, end="length"), "", "thoughts", 0),
)


@each_dialect
@both_ways
async def test_an_answer_is_read_with_the_reason_of_its_end(dialect: Dialect, is_streamed: bool) -> None:
    rows = [row for row in READ if not row[0].thought or dialect.shows_thoughts]
    sent = [dialect.stream(given) if is_streamed else dialect.whole(given) for given, *_ in rows]
    answers = [(200, answer) for answer in sent]
    async with server(*answers) as provider, closing(dialect.model(provider.url)) as model:
        for given, text, end, call_count in rows:
            reply, seen = await ask(model, is_streamed)
            assert (reply.text, reply.end) == (text, end), given
            assert calls_of(reply) == [("gpio-set", json.dumps(call[1]).replace(" ", "")) for call in given.calls]
            assert len({call.call_id for call in reply.calls}) == call_count
            assert seen == (text if is_streamed else "")


@each_dialect
@both_ways
async def test_what_a_provider_wants_back_goes_back_within_the_turn(dialect: Dialect, is_streamed: bool) -> None:
    first = Given(thought=THOUGHT, calls=(ON,))
    answers = [dialect.stream(given) if is_streamed else dialect.whole(given) for given in (first, Given(text="Done."))]
    async with server((200, answers[0]), (200, answers[1])) as provider, closing(dialect.model(provider.url)) as model:
        reply, seen = await ask(model, is_streamed)
        assert (THOUGHT in reply.text, THOUGHT in seen) == (False, False)
        last, _ = await ask(model, is_streamed, QUESTION, *taken(reply))
    assert last.text == "Done."
    assert (dialect.back(provider.bodies[1]) == dialect.expected_back) or dialect.expected_back is None


def taken(reply: ModelReply) -> list[Message]:
    """The messages of a turn after the calls of a reply."""
    results = [ToolReturn(call.call_id, call.name, '{"success":true}') for call in reply.calls]
    return [AssistantReply(reply.text, reply.calls, provider_parts=reply.provider_parts), *results]


@pytest.mark.parametrize("other", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
async def test_what_one_provider_gave_goes_to_no_other(other: Dialect) -> None:
    giver = next(dialect for dialect in DIALECTS if dialect.name == "gemini, compatible")
    async with server((200, giver.whole(Given(calls=(ON,))))) as provider, closing(giver.model(provider.url)) as model:
        reply, _ = await ask(model, False)
    done = other.stream(Given(text="Done."))
    async with server((200, done)) as provider, closing(other.model(provider.url)) as model:
        await ask(model, True, QUESTION, *taken(reply))
    assert giver.expected_back["google"]["thought_signature"] in reply.provider_parts
    assert provider.url not in reply.provider_parts  # a password may be in it
    assert giver.expected_back["google"]["thought_signature"] not in str(provider.bodies[0])
    assert "gpio-set" in str(provider.bodies[0])


# Calls in the pieces of a stream.

STREAMED_CALLS: dict[str, Sequence[dict[str, object]]] = {
    "one index, no ids": (
        {"index": 0, "function": {"name": "gpio-set", "arguments": '{"pin":4}'}},
        {"index": 0, "function": {"name": "gpio-set", "arguments": '{"pin":5}'}},
    ),
    "no index": (
        {"id": "a", "function": {"name": "gpio-set", "arguments": '{"pin":4}'}},
        {"id": "b", "function": {"name": "gpio-set", "arguments": '{"pin":5}'}},
    ),
    "id and name with each piece": (
        {"index": 0, "id": "a", "function": {"name": "gpio-set", "arguments": '{"pin"'}},
        {"index": 0, "id": "a", "function": {"name": "gpio-set", "arguments": ":4}"}},
        {"index": 1, "id": "b", "function": {"name": "gpio-set", "arguments": '{"pin":5}'}},
    ),
    "a name in pieces": (
        {"index": 0, "id": "a", "function": {"name": "gpio", "arguments": ""}},
        {"index": 0, "function": {"name": "-set", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"pin":4}'}},
        {"index": 0, "id": "b", "function": {"name": "gpio-set", "arguments": '{"pin":5}'}},
    ),
    "arguments as an object": (
        {"index": 0, "id": "a", "function": {"name": "gpio-set", "arguments": {"pin": 4}}},
        {"index": 0, "id": "b", "function": {"name": "gpio-set", "arguments": {"pin": 5}}},
    ),
    "the same id twice": (
        {"index": 0, "id": "a", "function": {"name": "gpio-set", "arguments": '{"pin":4}'}},
        {"index": 1, "id": "a", "function": {"name": "gpio-set", "arguments": '{"pin":5}'}},
    ),
}


@pytest.mark.parametrize("pieces", STREAMED_CALLS.values(), ids=STREAMED_CALLS)
async def test_a_new_id_or_a_name_that_comes_again_begins_a_call(pieces: Sequence[dict[str, object]]) -> None:
    chunks = [openai_chunk({"tool_calls": [piece]}) for piece in pieces]
    streamed = Events([*chunks, openai_chunk({}, "tool_calls"), DONE])
    async with server((200, streamed)) as provider, closing(openai(provider.url)) as model:
        reply, _ = await ask(model, True)
    assert calls_of(reply) == [("gpio-set", '{"pin":4}'), ("gpio-set", '{"pin":5}')]


async def test_of_very_many_calls_a_few_are_read_and_the_number_is_said() -> None:
    calls = [("gpio-set", '{"pin":4}')] * 200
    async with server((200, openai_reply(calls=calls))) as provider, closing(openai(provider.url)) as model:
        reply, _ = await ask(model, False)
    assert len(reply.calls) == 16
    assert "200 calls" in reply.note


# Thoughts in the text.

SECRET = "The person wants a greeting. "
THOUGHTS: dict[str, Sequence[str]] = {
    "tags are pieces": ("<think>", SECRET, "</think>", "\n\nHello", " there."),
    "tags are cut": ("<th", f"ink>\n{SECRET}\n</th", "ink>\n\nHello", " there."),
    "one piece": (f"<think>\n{SECRET}\n</think>\n\nHello there.",),
    "between the words": ("Hello", f"<thinking>{SECRET}", "</thinking>", " there."),
    "cut off": ("Hello there.", "<think>", SECRET),
}


@pytest.mark.parametrize("pieces", THOUGHTS.values(), ids=THOUGHTS)
@both_ways
async def test_thoughts_in_the_text_are_hidden(pieces: Sequence[str], is_streamed: bool) -> None:
    chunks = [openai_chunk({"content": piece}) for piece in pieces]
    streamed = Events([*chunks, openai_chunk({}, "stop"), DONE])
    sent = streamed if is_streamed else openai_reply("".join(pieces))
    async with server((200, sent)) as provider, closing(openai(provider.url)) as model:
        reply, seen = await ask(model, is_streamed)
    assert (reply.text, reply.end) == ("Hello there.", "stop")
    assert not is_streamed or seen == reply.text


@pytest.mark.parametrize(("name", "shown_first"), [("deepseek-r1:8b", False), ("test-model", True)])
async def test_a_lone_end_of_a_thought_is_learnt(name: str, shown_first: bool) -> None:
    """The template of such a model opens the thought: by its name at once, else from its second answer on."""
    chunks = [openai_chunk({"content": piece}) for piece in (SECRET, "\n</th", "ink>\n\n", "Hello", " there.")]
    streamed = Events([*chunks, openai_chunk({}, "stop"), DONE])
    async with server((200, streamed), (200, streamed)) as provider, closing(openai(provider.url, name=name)) as model:
        for is_shown in (shown_first, False):
            reply, seen = await ask(model, True)
            assert reply.text == "Hello there."
            assert (SECRET in seen) is is_shown
            assert seen.endswith("Hello there.")


MENTIONS = (
    "R1 opens the thought in the prompt, so only `</think>` is in the text.",
    "Use the <think> tag, then </think> to end it.",
    "Its form:\n```\n<think>\nplan\n</think>\nanswer\n```",
)
VISIBLE = (
    *zip(MENTIONS, MENTIONS, strict=True),
    (f"{SECRET}\n</think>\n\nIt is `</think>`.", "It is `</think>`."),
    (f"\n<think>{SECRET}</think>\n\n<think>{SECRET}</think>\n\nHello <think>", "Hello <think>"),
)


@pytest.mark.parametrize(("text", "visible"), VISIBLE)
def test_a_tag_that_is_only_mentioned_is_no_thought_in_any_cut(text: str, visible: str) -> None:
    assert visible_text(text) == visible
    for cut in range(len(text)):
        for is_thought in (True, False):
            pieces = VisiblePieces(is_thought)
            seen = pieces.add(text[:cut]) + pieces.add(text[cut:]) + pieces.end()
            assert pieces.has_lone_end == (visible not in MENTIONS and text.startswith(SECRET))
            assert seen == visible or (pieces.has_lone_end and not is_thought and seen.endswith(visible))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"name": "lamp", "text": "say hello"}', None),
        ("It is called functions.say(text) in the API.", None),
        ('It sends this:\n{"name": "say"}', None),
        ('\n{"arguments": {"text": "lamp"}, "name": "say"}', "say"),
        ("functions.say(hello)", "say"),
        ("I say:<tool_call>say\n<arg_key>", "say"),
    ],
)
def test_a_name_in_an_answer_is_a_call_only_in_its_place(text: str, name: str | None) -> None:
    assert written_call(text, frozenset({"say"})) == name


async def test_a_thinking_model_whose_server_reads_the_thoughts_still_streams() -> None:
    deltas = [{"reasoning_content": SECRET}, {"content": "Hello"}, {"content": " there."}]
    streamed = Events([*map(openai_chunk, deltas), openai_chunk({}, "stop"), DONE])
    pieces: list[str] = []
    async with server((200, streamed)) as provider, closing(openai(provider.url, name="qwen3-thinking")) as model:
        await model.respond(ModelRequest("", (QUESTION,), TOOLS), pieces.append)
    assert pieces == ["Hello", " there."]


# The limit of an answer.


@each_dialect
async def test_a_limit_is_sent_only_if_it_is_set_or_must_be(dialect: Dialect) -> None:
    done = Given(text="Done.")
    answers = ((200, dialect.stream(done)), (200, dialect.whole(done)))
    async with server(*answers) as provider, closing(dialect.model(provider.url)) as model:
        await ask(model, True)
        await ask(model, False)
    assert len(limits_of(provider.bodies[0])) == (1 if dialect.name == "anthropic" else 0)
    assert limits_of(provider.bodies[1]) == [4096]


def limits_of(body: Json) -> list[int]:
    places = (body, body.get("generationConfig", {}))
    names = ("max_tokens", "max_completion_tokens", "maxOutputTokens")
    return [place[name] for place in places for name in names if name in place]
