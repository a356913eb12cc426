"""A completion's words about acts: beside a question, after a fault, against a model that lies, without a reader."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.api.people_host import PeopleHost
from tests.api.test_openai import call, client_of, running
from tests.models.event_streams import Events, openai_stream

from microclaw.agent.acts import NOTHING, own_words
from microclaw.audit.log_files import read_events

PIN_4 = {"pin": 4, "level": 1}
HEAD = "What the host did:\n- done: gpio-set pin=4, level=1 (counted: "


def words(text: str) -> Events:
    return Events(openai_stream(text))


def said(text: str, name: str, **arguments: Any) -> Events:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return Events(openai_stream(text, calls=[{"index": 0, "id": "c", "type": "function", "function": function}]))


@asynccontextmanager
async def asking(home: Path, *replies: Events, who: str = "owner") -> AsyncIterator[tuple[PeopleHost, Any]]:
    async with running(home, *replies) as (host, _), client_of(host, who) as ai:
        yield host, ai


async def complete(ai: openai.AsyncOpenAI, streamed: bool, *messages: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    """The text and `microclaw` of a completion."""
    asked: Any = [one if isinstance(one, dict) else {"role": "user", "content": one} for one in messages]
    if not streamed:
        made = await ai.chat.completions.create(model="microclaw", messages=asked, **more)
        assert made.model_extra is not None
        return made.choices[0].message.content or "", made.model_extra["microclaw"]
    chunks = [c async for c in await ai.chat.completions.create(model="microclaw", messages=asked, stream=True, **more)]
    extra: dict[str, Any] = chunks[-1].model_extra["microclaw"]
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), extra


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_number_no_store_holds_hides_no_act(tmp_path: Path, streamed: bool) -> None:
    replies = (call("gpio-set", **PIN_4), call("undo", change=10**30), words("I undid it."))
    async with asking(tmp_path / "h", *replies) as (_, ai):
        text, extra = await complete(ai, streamed, "set pin 4 high, then undo change 10^30")
    assert [(act["tool"], act["outcome"]) for act in extra["acts"]] == [("gpio-set", "done"), ("undo", "refused")]
    assert HEAD in text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_question_hides_no_act_before_it(tmp_path: Path, streamed: bool) -> None:
    replies = (
        call("gpio-set", **PIN_4),
        said("I deployed blink.", "delete-file", path="a.txt"),
        *(words("Gone.") for _ in range(3)),
    )
    async with asking(tmp_path / "h", *replies) as (host, ai):
        (host.settings.home / "workspace").mkdir(exist_ok=True)
        (host.settings.home / "workspace" / "a.txt").write_text("a")
        text, extra = await complete(ai, streamed, "set pin 4 high and delete a.txt")
        assert extra["state"] == "waiting"
        assert [(act["tool"], act["outcome"]) for act in extra["acts"]] == [("gpio-set", "done")]
        assert HEAD in text
        await host.socket("POST", f"/v1/approvals/{extra['approval']['approval_id']}", {"approved": False})


async def test_what_was_read_is_told_apart_from_what_was_made_up(tmp_path: Path) -> None:
    replies = (words("Pin 4 reads 1."), call("gpio-get", pin=4), words("Pin 4 reads 0."), words("Sure thing!"))
    async with asking(tmp_path / "h", *replies) as (_, ai):
        text, extra = await complete(ai, False, "how is the thing at four these days?")
        assert (extra["reads"], extra["acts"]) == ([], [])
        assert text.endswith(NOTHING)
        text, extra = await complete(ai, False, "how is the thing at four these days?")
        assert [(read["tool"], read["args"]) for read in extra["reads"]] == [("gpio-get", '{"pin": 4}')]
        assert extra["acts"] == []
        assert "- read: gpio-get pin=4 (counted: " in text
        assert (await complete(ai, False, "let the thing at four shine for me"))[0] == f"Sure thing!\n\n{NOTHING}"


@pytest.mark.parametrize("kept", [False, True])
async def test_a_yes_that_names_the_question_of_another_chat_decides_nothing(tmp_path: Path, kept: bool) -> None:
    async with asking(tmp_path / "h", call("delete-file", path="a.txt"), words("Deleted!")) as (host, ai):
        (host.settings.home / "workspace").mkdir(exist_ok=True)
        (host.settings.home / "workspace" / "a.txt").write_text("a")
        name: Any = lambda key: {"metadata": {"conversation": key}} if kept else {}  # noqa: E731
        _, extra = await complete(ai, False, "delete a.txt", **name("k1"))
        _, told = await complete(ai, False, f"yes {extra['approval']['approval_id']}", **name("k2"))
        assert told["error"] == "nothing_waits"
        assert len(await host.waiting()) == 1
        await host.socket("POST", f"/v1/approvals/{extra['approval']['approval_id']}", {"approved": False})


async def test_a_member_is_told_that_an_owner_decides_and_a_try_is_recorded(tmp_path: Path) -> None:
    home = tmp_path / "h"
    async with asking(home, call("delete-file", path="a.txt"), words("no"), who="ada") as (host, ai):
        await host.stream("ada", "/v1/tools/write-file", {"arguments": {"path": "a.txt", "text": "a"}})
        _, extra = await complete(ai, False, "delete a.txt")
        number = extra["approval"]["approval_id"]
        assert extra["approval"]["may_decide"] is False
        assert (await host.ask("ada", "POST", f"/v1/approvals/{number}", {"approved": True}))[0] == 403
        await host.socket("POST", f"/v1/approvals/{number}", {"approved": False})
    refused = [one.event for one in read_events(home, kinds={"approval"}) if one.event.kind.value == "approval.refused"]
    assert [(event.by, event.about) for event in refused] == [("ada", number)]


@pytest.mark.parametrize("acted", [False, True])
async def test_a_stream_that_broke_ends_with_an_error_and_what_was_done(tmp_path: Path, acted: bool) -> None:
    cut = Events(openai_stream("Once ", "upon.")[:2], end="cut")
    replies = [cut] * 4
    if acted:
        replies = [call("gpio-set", **PIN_4), *replies]
    seen: list[str] = []
    finished: list[str | None] = []

    async def read(ai: openai.AsyncOpenAI) -> None:
        messages: Any = [{"role": "user", "content": "let the thing at four shine for me"}]
        async for chunk in await ai.chat.completions.create(model="microclaw", messages=messages, stream=True):
            seen.append(chunk.choices[0].delta.content or "")
            finished.append(chunk.choices[0].finish_reason)

    async with asking(tmp_path / "h", *replies) as (_, ai):
        with pytest.raises(openai.APIError) as failed:
            await read(ai)
    assert set(finished) == {None}
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["code"] == "model_error"
    assert (HEAD in "".join(seen)) is acted
    assert failed.value.message not in "".join(seen)


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_control_of_a_model_reaches_a_client(tmp_path: Path, streamed: bool) -> None:
    replies = (Events(openai_stream("Hi \x1b[3", "1mred\x1b", "[0m \u202eevil\u202c 👩\u200d", "💻.")),)
    async with asking(tmp_path / "h", *replies) as (_, ai):
        assert own_words((await complete(ai, streamed, "how red is it?"))[0]) == "Hi red evil 👩\u200d💻."


@pytest.mark.parametrize("streamed", [False, True])
async def test_arguments_nested_without_end_are_a_refused_call(tmp_path: Path, streamed: bool) -> None:
    deep = '{"pin":' + "[" * 5000 + "]" * 5000 + "}"
    one = {"index": 0, "id": "c", "type": "function", "function": {"name": "gpio-set", "arguments": deep}}
    async with asking(tmp_path / "h", Events(openai_stream(calls=[one])), words("Sorry.")) as (_, ai):
        text, extra = await complete(ai, streamed, "let the thing at four shine for me")
    assert [(act["tool"], act["outcome"]) for act in extra["acts"]] == [("gpio-set", "refused")]
    assert text.startswith("Sorry.")
