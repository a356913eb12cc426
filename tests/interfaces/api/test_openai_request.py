"""Bodies of chat completions: what is read, what changes nothing, what is refused by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from microclaw.agent.models.protocol import AssistantReply, UserText
from microclaw.interfaces.api.openai import BadRequest, completion_body, conversation_of

SAY: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def refused_at(messages: list[dict[str, Any]], **more: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        completion_body(json.dumps({"messages": messages, **more}).encode()).conversation_messages()
    return refused.value.param


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function", "function": {"name": "get_weather"}}]),
        ("response_format", {"type": "json_object"}),
        ("nonsense", 1),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(param: str, value: Any) -> None:
    assert refused_at(SAY, **{param: value}) == param


@pytest.mark.parametrize(
    ("place", "messages"),
    [
        ("messages[1].content[0].type", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        ("messages", [{"role": "assistant", "content": "I"}]),
        ("messages", [{"role": "user", "content": " "}]),
    ],
)
def test_a_wrong_message_is_named(place: str, messages: list[dict[str, Any]]) -> None:
    assert refused_at([*SAY, *messages]) == place


def test_a_stored_conversation_takes_one_message() -> None:
    assert refused_at(SAY * 2, metadata={"conversation": "desk"}) == "messages"


def test_the_messages_become_system_text_history_and_message() -> None:
    body = completion_body(
        json.dumps(
            {
                "messages": [
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "hi", "name": "ann"},
                    {"role": "assistant", "content": "hello", "refusal": None},
                    {"role": "developer", "content": [{"type": "text", "text": "Rhyme."}]},
                    {"role": "user", "content": "the weather?"},
                ],
                **{"n": 1, "tools": [], "logprobs": False, "temperature": 0.5, "max_tokens": 9, "user": "x"},
            }
        ).encode()
    )
    history = (UserText("[ann] hi"), AssistantReply("hello"))
    assert body.conversation_messages() == ("Be short.\n\nRhyme.", history, "the weather?")


def test_two_names_of_a_token_never_share_a_conversation() -> None:
    base = "auth0|customer-000000000000000000000"
    plain = ["bob", "Bob", "a.b", "a-b", "a" * 32, "user"]
    others = [f"{base}-ALICE", f"{base}-BOB", "a b", "a/b", "a\tb", "", "-", "a" * 33, "é", "e\u0301", "😀", " bob"]
    users = [*plain, *others, *(conversation_of(user) for user in others if len(conversation_of(user)) == 64)]
    assert [conversation_of(user) for user in plain] == plain
    assert len({conversation_of(user) for user in users}) == len(users)
    assert all(conversation_of(user).isascii() and len(conversation_of(user)) <= 64 for user in users)
