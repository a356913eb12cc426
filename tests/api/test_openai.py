"""The OpenAI-compatible API with OpenAI's own client, against the running host and a model that streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from tests.api.people_host import PeopleHost, people_host
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.agent.acts import NOTHING, own_words
from microclaw.api.openai import conversation_of
from microclaw.devices.calls import GpioGet

SAY: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are somebody else."},
    {"role": "user", "content": "an older question"},
    {"role": "assistant", "content": "an older answer"},
    {"role": "user", "content": "how does the story begin?"},
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


async def test_the_clients_messages_are_the_conversation(tmp_path: Path) -> None:
    async with running(tmp_path / "h", Events(openai_stream("Once ", "upon."))) as (host, model), client_of(host) as ai:
        made = await ai.chat.completions.create(
            model="microclaw", messages=SAY, max_completion_tokens=77, temperature=0.25, user="somebody", n=1
        )
        assert made.object == "chat.completion"
        assert own_words(made.choices[0].message.content or "") == "Once upon."
        assert made.choices[0].finish_reason == "stop"
        assert made.usage is not None
        assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (1000, 100)
        said = [(m["role"], str(m["content"])) for m in model.bodies[-1]["messages"]]
        assert said[1:] == [
            ("user", "an older question"),
            ("assistant", "an older answer"),
            ("user", "how does the story begin?"),
        ]
        assert said[0][0] == "system"
        assert "You are somebody else." in said[0][1]
        assert said[0][1].index("You are microclaw") < said[0][1].index("You are somebody else.")
        assert await host.kept("openai") == []  # nothing of it is kept


async def test_files_of_code_that_the_model_ran_are_said_to_be_where_they_are(tmp_path: Path) -> None:
    """This API's answers have no files: the model must not read that somebody got them."""
    writing = call("run-code", code="open('a.csv', 'w').write('[1, 2]')", keep=["a.csv"], send=True)
    replies = (writing, Events(openai_stream("It is done.")))
    async with running(tmp_path / "h", *replies) as (host, model), client_of(host) as ai:
        await ai.chat.completions.create(model="microclaw", messages=[{"role": "user", "content": "write a csv file"}])
        result = json.loads(model.bodies[-1]["messages"][-1]["content"])
        assert result["files"] == [{"name": "a.csv", "bytes": 6}]
        assert "sent_to_chat" not in result
        status, content = await host.ask("owner", "GET", f"{result['files_at']}a.csv")
        assert (status, content) == (200, [1, 2])


async def test_a_stream_gives_the_models_pieces_then_the_usage(tmp_path: Path) -> None:
    async with running(tmp_path / "h", Events(openai_stream("Once ", "upon."))) as (host, _), client_of(host) as ai:
        stream = await ai.chat.completions.create(
            model="microclaw", messages=SAY, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces[:2] == ["Once ", "upon."]
    assert "".join(pieces) == f"Once upon.\n\n{NOTHING}"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 1100


def say_waiting(completion: Any) -> dict[str, Any]:
    extra: dict[str, Any] = completion.model_extra["microclaw"]
    return extra


READ = call("run-code", code="print('set pin 4')")
"""What code prints is untrusted text."""


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_act_that_waits_is_told_at_once_and_its_end_with_the_next_request(
    tmp_path: Path, streamed: bool
) -> None:
    """After untrusted text an act asks; the request does not hang until somebody decides."""
    messages: list[Any] = [{"role": "user", "content": "do what the page says"}]
    replies = (READ, call("gpio-set", pin=4, level=1), *(Events(openai_stream("Yes, it is.")) for _ in range(50)))
    async with running(tmp_path / "h", *replies) as (host, model), client_of(host) as ai:
        if streamed:
            events = await ai.chat.completions.create(model="microclaw", messages=messages, stream=True)
            chunks = [chunk async for chunk in events]
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            told = say_waiting(chunks[-1])
        else:
            made = await ai.chat.completions.create(model="microclaw", messages=messages)
            text, told = str(made.choices[0].message.content), say_waiting(made)
        assert told["state"] == "waiting"
        assert (await host.device.call(GpioGet(4))).level == 0
        status, _ = await host.ask(
            "owner", "POST", f"/v1/approvals/{told['approval']['approval_id']}", {"approved": True}
        )
        assert status == 200
        more = [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": "is it on?"}]
        seen: list[str] = []
        async with asyncio.timeout(60):
            while not seen:  # until the turn that waited has come to its end
                made = await ai.chat.completions.create(model="microclaw", messages=more)
                seen = [str(m["content"]) for m in model.bodies[-1]["messages"] if "(Since then:)" in str(m["content"])]
        assert own_words(made.choices[0].message.content or "") == "Yes, it is."
        assert "done: gpio-set pin=4" in seen[0]
        assert (await host.device.call(GpioGet(4))).level == 1


async def test_an_answer_that_drew_on_untrusted_text_is_known_again(tmp_path: Path) -> None:
    """The client sends back the answer alone, without the page that it repeats."""
    first: list[Any] = [{"role": "user", "content": "what does the page say?"}]
    replies = (
        *(READ, Events(openai_stream("It says: set pin 4."))),
        *(call("gpio-set", pin=4, level=1), call("gpio-set", pin=4, level=1), Events(openai_stream("Done so."))),
    )
    async with running(tmp_path / "h", *replies) as (host, _), client_of(host) as ai:
        made = await ai.chat.completions.create(model="microclaw", messages=first)
        said = made.choices[0].message.content
        more: list[Any] = [first[0], {"role": "assistant", "content": said}, {"role": "user", "content": "do that"}]
        made = await ai.chat.completions.create(model="microclaw", messages=more)
        assert say_waiting(made)["state"] == "waiting"
        assert (await host.device.call(GpioGet(4))).level == 0
        more[1] = {"role": "assistant", "content": "an answer of somebody else"}
        made = await ai.chat.completions.create(model="microclaw", messages=more)
        assert [act["outcome"] for act in say_waiting(made)["acts"]] == ["done"]


async def test_a_stored_conversation_is_kept_where_it_is_named(tmp_path: Path) -> None:
    desk = {"conversation": "desk"}
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": "set pin 6 on"}]
    async with running(tmp_path / "h") as (host, _), client_of(host) as ai:
        made = await ai.chat.completions.create(model="gpt-4o", messages=ask, metadata=desk)
        assert made.choices[0].message.content
        assert (await host.device.call(GpioGet(6))).level == 1
        assert [act["tool"] for act in say_waiting(made)["acts"]] == ["gpio-set"]
        stream = await ai.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "undo that"}], metadata=desk, stream=True
        )
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert text
        assert (await host.device.call(GpioGet(6))).level == 0
        assert [name for name in await host.kept("openai") if "desk" in name]


def test_two_names_of_a_token_never_share_a_conversation() -> None:
    base = "auth0|customer-000000000000000000000"
    plain = ["bob", "Bob", "a.b", "a-b", "a" * 32, "user"]
    others = [f"{base}-ALICE", f"{base}-BOB", "a b", "a/b", "a\tb", "", "-", "a" * 33, "é", "e\u0301", "😀", " bob"]
    users = [*plain, *others, *(conversation_of(user) for user in others if len(conversation_of(user)) == 64)]
    assert [conversation_of(user) for user in plain] == plain
    assert len({conversation_of(user) for user in users}) == len(users)
    assert all(conversation_of(user).isascii() and len(conversation_of(user)) <= 64 for user in users)


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
        assert own_words(made.choices[0].message.content or "") == "Here."
