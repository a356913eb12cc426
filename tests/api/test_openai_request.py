"""Bodies of chat completions: what is honoured, what changes nothing, what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from microclaw.api.openai_request import BadRequest, CompletionBody
from microclaw.models.protocol import AssistantReply, ToolCall, ToolReturn, UserText

SAY: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather"}}


def read(messages: list[dict[str, Any]] | None = None, **more: Any) -> CompletionBody:
    body = CompletionBody.model_validate({"messages": messages or SAY, **more})
    body.check()
    _, _, _, after = body.conversation_messages()
    body.wishes(after)
    return body


@pytest.mark.parametrize(
    ("param", "value"),
    [
        *(("n", 2), ("logprobs", True), ("top_logprobs", 3), ("audio", {"voice": "alloy", "format": "mp3"})),
        *(("modalities", ["text", "audio"]), ("stop", ["x"]), ("seed", 7), ("logit_bias", {"50256": -100})),
        *(("tool_choice", "required"), ("presence_penalty", 1.0), ("store", True), ("prediction", {"type": "content"})),
        *(("nonsense", 1), ("functions", [{"name": "x"}]), ("n", True), ("tool_choice", {"type": "function"})),
        ("tools", [{"type": "function", "function": {"name": "a b"}}]),
        ("tools", [TOOL, TOOL]),
        ("response_format", {"type": "json_schema"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(param: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**{param: value})
    assert refused.value.param.startswith(param)


@pytest.mark.parametrize(
    ("param", "value"), [("max_tokens", 0), ("max_completion_tokens", 10**9), ("temperature", 3), ("top_p", 0)]
)
def test_numbers_out_of_range_are_refused(param: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        read(**{param: value})
    assert refused.value.errors()[0]["loc"] == (param,)


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 1, "logprobs": False, "stop": None, "modalities": ["text"], "tool_choice": "none", "presence_penalty": 0},
        {"user": "u", "safety_identifier": "s", "metadata": {"my": "note"}, "service_tier": "auto", "store": False},
    ],
)
def test_what_changes_nothing_is_taken(extra: dict[str, Any]) -> None:
    assert read(**extra).conversation is None


@pytest.mark.parametrize(
    ("place", "messages"),
    [
        ("messages[1].tool_call_id", [{"role": "tool", "tool_call_id": "x", "content": ""}]),
        ("messages[1].content[0].type", [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]),
        ("messages[1].audio", [{"role": "assistant", "audio": {"id": "x"}}]),
        ("messages", [{"role": "assistant", "content": "I"}]),
        ("messages", [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": ""}}]}]),
        ("messages", [{"role": "user", "content": " "}]),
    ],
)
def test_a_wrong_message_is_named(place: str, messages: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as refused:
        read([*SAY, *messages])
    assert refused.value.param == place


def test_the_messages_become_system_text_history_message_and_what_followed() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    body = CompletionBody.model_validate(
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "hi", "name": "ann"},
                {"role": "assistant", "content": "hello"},
                {"role": "developer", "content": [{"type": "text", "text": "Rhyme."}]},
                {"role": "user", "content": "the weather?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "a", "content": "rain"},
            ]
        }
    )
    system, history, message, after = body.conversation_messages()
    assert system == "Be short.\n\nRhyme."
    assert history == (UserText("[ann] hi"), AssistantReply("hello"))
    assert message == UserText("the weather?")
    assert after[0] == AssistantReply("", (ToolCall("a", "get_weather", "{}"),))
    result = after[1]
    assert isinstance(result, ToolReturn)
    assert (result.call_id, result.name) == ("a", "get_weather")
    assert "the client's tool get_weather" in result.content  # fenced: anybody may have written it
    assert "rain" in result.content


def test_a_stored_conversation_takes_one_message_and_nothing_that_it_cannot_do() -> None:
    desk = {"metadata": {"conversation": "desk"}}
    assert CompletionBody.model_validate({"messages": SAY, **desk}).one_message() == ("hi", ())
    for wrong in ({"messages": SAY * 2}, {"messages": SAY, "tools": [TOOL]}, {"messages": SAY, "top_p": 0.5}):
        with pytest.raises(BadRequest):
            CompletionBody.model_validate({**wrong, **desk}).one_message()
