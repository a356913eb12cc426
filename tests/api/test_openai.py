"""The OpenAI-compatible API with OpenAI's own client, against the running host and a model that streams."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from tests.api.people_host import PeopleHost, people_host
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.api.openai import MAX_MESSAGES, conversation_of
from microclaw.devices.calls import GpioGet

SAY: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are somebody else."},
    {"role": "user", "content": "an older question"},
    {"role": "assistant", "content": "an older answer"},
    {"role": "user", "content": "tell me a story"},
]


@asynccontextmanager
async def running(home: Path, *replies: Events) -> AsyncIterator[tuple[PeopleHost, Server]]:
    async with server(*((200, reply) for reply in replies)) as model:
        environ = {"OPENAI_BASE_URL": f"{model.url}/v1", "MICROCLAW_MODEL": "teller"} if replies else {}
        async with people_host(home, environ) as host:
            yield host, model


@asynccontextmanager
async def client_of(host: PeopleHost, who: str = "owner") -> AsyncIterator[openai.AsyncOpenAI]:
    key = host.secrets.get(who, who)
    async with openai.AsyncOpenAI(base_url=f"{host.http}/v1", api_key=key, max_retries=0, timeout=30) as client:
        yield client


def call(name: str, **arguments: Any) -> Events:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return Events(
        openai_stream("Let me see. ", calls=[{"index": 0, "id": "c", "type": "function", "function": function}])
    )


async def test_a_completion_has_text_usage_and_the_last_user_message_alone_is_read(tmp_path: Path) -> None:
    async with running(tmp_path / "h", Events(openai_stream("Once ", "upon."))) as (host, model), client_of(host) as ai:
        made = await ai.chat.completions.create(model="microclaw", messages=SAY)
        assert made.object == "chat.completion"
        assert made.choices[0].message.content == "Once upon."
        assert made.choices[0].finish_reason == "stop"
        assert made.usage is not None
        assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (1000, 100)
        said = [m["content"] for m in model.bodies[-1]["messages"] if m["role"] == "user"]
        assert any("tell me a story" in str(content) for content in said)
        assert not any("an older question" in str(content) for content in said)


async def test_a_stream_gives_the_models_pieces_then_the_usage(tmp_path: Path) -> None:
    async with running(tmp_path / "h", Events(openai_stream("Once ", "upon."))) as (host, _), client_of(host) as ai:
        stream = await ai.chat.completions.create(
            model="microclaw", messages=SAY, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["Once ", "upon."]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 1100


async def test_an_act_is_done_and_no_step_is_shown(tmp_path: Path) -> None:
    replies = (call("gpio-set", pin=4, level=1), Events(openai_stream("It is on.")))
    async with running(tmp_path / "h", *replies) as (host, _), client_of(host, "ada") as ai:
        stream = await ai.chat.completions.create(model="microclaw", messages=SAY, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert text.startswith("Let me see. \n\nIt is on.\n\nWhat the host did:\n- done: gpio-set pin=4")
        assert (await host.device.call(GpioGet(4))).level == 1


async def test_a_guests_act_is_refused_and_said(tmp_path: Path) -> None:
    replies = (call("gpio-set", pin=4, level=1), Events(openai_stream("I may not.")))
    async with running(tmp_path / "h", *replies) as (host, model), client_of(host, "gus") as ai:
        made = await ai.chat.completions.create(model="microclaw", messages=SAY)
        assert "I may not." in str(made.choices[0].message.content)
        assert "permission_refused" in json.dumps(model.bodies[-1]["messages"])
        assert (await host.device.call(GpioGet(4))).level == 0


async def test_without_a_model_the_offline_answer_comes_whole_and_in_a_stream(tmp_path: Path) -> None:
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": "set pin 6 on"}]
    async with running(tmp_path / "h") as (host, _), client_of(host) as ai:
        made = await ai.chat.completions.create(model="gpt-4o", messages=ask, user="desk")
        assert made.choices[0].message.content
        assert (await host.device.call(GpioGet(6))).level == 1
        stream = await ai.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "undo that"}], user="desk", stream=True
        )
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert text
        assert (await host.device.call(GpioGet(6))).level == 0
        assert [path.name for path in host.settings.sessions.glob("openai_*desk*")]


def test_two_users_of_a_token_never_share_a_conversation() -> None:
    base = "auth0|customer-000000000000000000000"
    plain = ["bob", "Bob", "a.b", "a-b", "a" * 32, "user"]
    others = [f"{base}-ALICE", f"{base}-BOB", "a b", "a/b", "a\tb", "", "-", "a" * 33, "é", "e\u0301", "😀", " bob"]
    users = [*plain, *others, *(conversation_of(user) for user in others if len(conversation_of(user)) == 64)]
    assert [conversation_of(user) for user in plain] == plain
    assert len({conversation_of(user) for user in users}) == len(users)
    assert all(conversation_of(user).isascii() and len(conversation_of(user)) <= 64 for user in users)


async def test_models_has_the_one(tmp_path: Path) -> None:
    async with running(tmp_path / "h") as (host, _), client_of(host, "gus") as ai:
        assert [model.id async for model in ai.models.list()] == ["microclaw"]


async def test_errors_are_in_openais_form(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(b'x').decode()}"}}
    wrong: list[Any] = [
        [],
        [{"role": "system", "content": "only this"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "x" * 20_000}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}]}],
        [{"role": "user", "content": [picture] * 5}],
    ]  # fmt: skip
    async with running(tmp_path / "h") as (host, _):
        async with client_of(host, "mc_wrong") as ai:
            with pytest.raises(openai.AuthenticationError) as refused:
                await ai.chat.completions.create(model="microclaw", messages=SAY)
            assert refused.value.code == "invalid_api_key"
        async with client_of(host) as ai:
            for messages in wrong:
                with pytest.raises(openai.BadRequestError) as bad:
                    await ai.chat.completions.create(model="microclaw", messages=messages)
                assert bad.value.type == "invalid_request_error"
            with pytest.raises(openai.BadRequestError):
                await ai.chat.completions.create(model="microclaw", messages=SAY, n=2)
        status, body = await host.ask(None, "POST", "/v1/chat/completions", {})
        assert (status, body["error"]["type"]) == (401, "authentication_error")


async def test_a_client_that_leaves_ends_its_turn(tmp_path: Path) -> None:
    """The model stalls; the client hangs up; the next message of the chat is answered."""
    replies = (Events(openai_stream("Once ")[:2], end="stall"), Events(openai_stream("Here.")))
    async with running(tmp_path / "h", *replies) as (host, _), client_of(host) as ai:
        stream = await ai.chat.completions.create(model="microclaw", messages=SAY, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content == "Once ":
                break
        await stream.close()
        async with asyncio.timeout(60):
            made = await ai.chat.completions.create(model="microclaw", messages=SAY)
        assert made.choices[0].message.content == "Here."


async def test_a_body_that_is_no_json_is_a_400(tmp_path: Path) -> None:
    async with running(tmp_path / "h") as (host, _):

        def send(content: bytes) -> int:
            place = host.http.removeprefix("http://").split(":")
            connection = HTTPConnection(place[0], int(place[1]), timeout=20)
            headers = {"Authorization": f"Bearer {host.secrets['owner']}"}
            connection.request("POST", "/v1/chat/completions", content, headers)
            status = connection.getresponse().status
            connection.close()
            return status

        for content in (b"", b"{", b"[]", b"\xff", b"[" * 50_000, b'{"messages": "x"}'):
            assert await asyncio.to_thread(send, content) == 400


async def test_more_messages_than_anybody_has_said_are_refused(tmp_path: Path) -> None:
    messages = [{"role": "assistant", "content": "x"}] * MAX_MESSAGES + [{"role": "user", "content": "hi"}]
    async with running(tmp_path / "h") as (host, _):
        status, body = await host.ask("owner", "POST", "/v1/chat/completions", {"messages": messages})
    assert (status, body["error"]["param"]) == (400, "messages")
