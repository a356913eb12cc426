"""The providers against local servers that speak the real wire formats: whole tool loops, and every way to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.models.asking import SECRET, anthropic, closing, openai, request
from tests.models.model_server import anthropic_reply, openai_reply, server

from microclaw.errors import ModelError
from microclaw.models.bounded_http import MAX_ANSWER_BYTES
from microclaw.models.protocol import AssistantReply, Model, ToolCall, ToolReturn, UserText
from microclaw.models.provider_wire import MAX_ARGUMENTS_CHARS, MAX_REPLY_CHARS

LIMIT_S = 60.0


CALLED = AssistantReply("", (ToolCall("id-1", "gpio-set", '{"pin": 4}'),))
RETURNED = ToolReturn("id-1", "gpio-set", '{"success": true}')


async def test_anthropic_tool_loop_speaks_the_messages_api() -> None:
    use = {"type": "tool_use", "id": "id-1", "name": "gpio-set", "input": {"pin": 4}}
    async with (
        server(
            (200, anthropic_reply(use, stop="tool_use")), (200, anthropic_reply({"type": "text", "text": "on"}))
        ) as s,
        closing(anthropic(s.url)) as model,
    ):
        first = await model.respond(request())
        assert (first.calls[0].call_id, first.calls[0].name) == ("id-1", "gpio-set")
        assert json.loads(first.calls[0].arguments) == {"pin": 4}
        assert (first.usage.input_tokens, first.usage.output_tokens) == (1000, 100)
        assert first.usage.cost_usd is not None
        assert first.usage.cost_usd > 0
        second = await model.respond(request(UserText("set pin 4 on"), CALLED, RETURNED))
        assert second.text == "on"
    assert s.paths[0].startswith("/v1/messages")
    assert SECRET in str(s.headers[0])
    sent = s.bodies[0]
    assert "you are microclaw" in json.dumps(sent["system"])
    assert sent["tools"][0]["name"] == "gpio-set"
    assert sent["tools"][0]["input_schema"]["properties"] == {"pin": {"type": "integer"}}
    roles = [m["role"] for m in s.bodies[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    result = s.bodies[1]["messages"][2]["content"][0]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "id-1")


async def test_openai_tool_loop_speaks_chat_completions() -> None:
    async with (
        server((200, openai_reply(calls=[("gpio-set", '{"pin": 4}')])), (200, openai_reply("on"))) as s,
        closing(openai(s.url)) as model,
    ):
        first = await model.respond(request())
        assert [(c.name, c.arguments) for c in first.calls] == [("gpio-set", '{"pin": 4}')]
        second = await model.respond(request(UserText("set pin 4 on"), CALLED, RETURNED))
        assert second.text == "on"
        assert second.usage.cost_usd is None
    assert s.paths == ["/v1/chat/completions"] * 2
    assert s.bodies[0]["messages"][0]["role"] in ("system", "developer")
    assert [m["role"] for m in s.bodies[1]["messages"]][1:] == ["user", "assistant", "tool"]
    assert s.bodies[1]["messages"][3]["tool_call_id"] == "id-1"


async def test_broken_arguments_reach_the_turn_as_the_model_wrote_them_and_can_be_replayed() -> None:
    async with (
        server((200, openai_reply(calls=[("gpio-set", '{"pin": ')])), (200, openai_reply("sorry"))) as s,
        closing(openai(s.url)) as model,
    ):
        first = await model.respond(request())
        assert first.calls[0].arguments == '{"pin": '
        replayed = AssistantReply("", (ToolCall("id-1", "gpio-set", '{"pin": '),))
        wrong = ToolReturn("id-1", "gpio-set", "{}", failed=True)
        assert (await model.respond(request(UserText("x"), replayed, wrong))).text == "sorry"
    arguments = s.bodies[1]["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"not_json": '{"pin": '}


FAILURES = [
    ((401, {"error": {"message": "bad key"}}), "auth"),
    ((403, {"error": {"message": "no"}}), "auth"),
    ((404, {"error": {"message": "no such model"}}), "refused"),
    ((429, {"error": {"message": "slow down"}}), "rate_limit"),
    ((400, {"error": {"message": "tools are not supported"}}), "refused"),
    ((500, {"error": {"message": "oops"}}), "server"),
    ((529, {"error": {"message": "overloaded"}}), "overloaded"),
    ((200, b"<html>a router's login page</html>"), "unreadable"),
    ((200, {"hello": "world"}), "unreadable"),
    ((200, b""), "unreadable"),
    ((299, {"cut": "in the middle of the answer"}), "unreachable"),
    ((200, None), "timeout"),
]


@pytest.mark.parametrize(("answer", "fault"), FAILURES)
@pytest.mark.parametrize("make", [anthropic, openai])
async def test_failure_of_the_service_is_one_error_with_a_next_step(
    make: Callable[[str, float], Model], answer: tuple[int, Any], fault: str
) -> None:
    async with server(answer) as s, closing(make(s.url, 0.5 if fault == "timeout" else 30)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request())
        assert (caught.value.fault, bool(caught.value.next_step)) == (fault, True)
        assert len(s.paths) == 1, "the SDK must not retry"


async def test_a_call_nested_without_end_is_a_call_that_its_tool_refuses() -> None:
    deep = '{"pin":' + "[" * 100_000 + "]" * 100_000 + "}"
    async with server((200, openai_reply(calls=[("gpio-set", deep)]))) as s, closing(openai(s.url)) as model:
        reply = await model.respond(request())
    assert [(call.name, call.arguments) for call in reply.calls] == [("gpio-set", deep)]


@pytest.mark.parametrize(
    "reply",
    [
        openai_reply("x" * (MAX_REPLY_CHARS + 1)),
        openai_reply(calls=[("gpio-set", json.dumps({"pin": "x" * MAX_ARGUMENTS_CHARS}))]),
        b"[" * 100_000,
        b" " * (MAX_ANSWER_BYTES + 1) + json.dumps(openai_reply("hi")).encode(),
    ],
)
async def test_an_answer_larger_or_deeper_than_a_model_needs_is_refused(reply: Any) -> None:
    async with server((200, reply)) as s, closing(openai(s.url)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request())
        assert caught.value.fault == "unreadable"


async def test_half_a_surrogate_from_a_model_cannot_spoil_the_conversation() -> None:
    reply = json.dumps(openai_reply("TEXT", calls=[("TEXT", '{"a": "TEXT"}')])).encode().replace(b"TEXT", b"\\ud800")
    async with server((200, reply)) as s, closing(openai(s.url)) as model:
        answer = await model.respond(request())
    assert (answer.text, answer.calls[0].name, answer.calls[0].arguments) == ("?", "?", '{"a": "?"}')


async def test_half_a_surrogate_escaped_in_arguments_can_be_sent_back() -> None:
    first = openai_reply(calls=[("gpio-set", '{"pin": "\\ud800", "level": "\u20ac"}')])
    async with server((200, first), (200, openai_reply("sorry"))) as s, closing(openai(s.url)) as model:
        call = (await model.respond(request())).calls[0]
        assert json.loads(call.arguments) == {"pin": "?", "level": "\u20ac"}
        returned = ToolReturn(call.call_id, call.name, "{}")
        answer = await model.respond(request(UserText("set pin 4 on"), AssistantReply("", (call,)), returned))
    assert answer.text == "sorry"


@pytest.mark.parametrize("make", [anthropic, openai])
async def test_an_address_where_nobody_listens_is_named(make: Callable[[str], Model]) -> None:
    async with server() as s:
        url = s.url
    async with closing(make(url)) as model, asyncio.timeout(LIMIT_S):
        with pytest.raises(ModelError):
            await model.respond(request())


async def test_a_server_without_a_named_model_is_asked_for_its_first_one() -> None:
    models = {"object": "list", "data": [{"id": "qwen3:8b", "object": "model", "created": 1, "owned_by": "library"}]}
    async with server((200, models), (200, openai_reply("hi"))) as s, closing(openai(s.url, name=None)) as model:
        await model.respond(request())
        assert model.name == "qwen3:8b"
    assert s.paths[0] == "/v1/models"
    assert s.bodies[1]["model"] == "qwen3:8b"


@pytest.mark.parametrize("answer", [(200, {"object": "list", "data": []}), (500, {}), (200, b"x"), (200, {"data": 7})])
async def test_a_server_that_names_no_model_is_an_error_with_a_next_step(answer: tuple[int, Any]) -> None:
    async with server(answer) as s, closing(openai(s.url, name=None)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request())
        assert caught.value.next_step


LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
LLAMA = "the request exceeds the available context size, try increasing it"


@pytest.mark.parametrize(
    ("status", "body", "window"),
    [
        (400, {"error": {"message": LONG, "code": "context_length_exceeded"}}, 8192),
        (400, {"error": {"code": 400, "message": LLAMA, "n_prompt_tokens": 9001, "n_ctx": 4096}}, 4096),
        (400, {"object": "error", "message": LONG}, 8192),
        (400, {"error": {"type": "x", "message": "prompt is too long: 205000 tokens > 200000 maximum"}}, 200_000),
        (400, {"error": "The number of tokens to keep is greater than the context length"}, None),
        (500, {"error": {"message": "input length exceeds the context length"}}, None),
    ],
)
@pytest.mark.parametrize("make", [anthropic, openai])
async def test_a_request_that_is_too_long_is_told_with_the_window(
    make: Callable[[str, float], Model], status: int, body: Any, window: int | None
) -> None:
    async with server((status, body)) as s, closing(make(s.url, 5)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request())
    assert (caught.value.fault, caught.value.window_tokens) == ("too_long", window)
