"""What does not fit a model server's window is a 400: the client's own messages are never left out in silence."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.api.people_host import PeopleHost, people_host
from tests.api.test_openai import client_of
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.cli.host_commands import screen_rows

FIRST = "the first question"
TOO_LONG: tuple[int, Any] = (
    400,
    {"error": {"message": "This model's maximum context length is 6000 tokens.", "code": "context_length_exceeded"}},
)
FITS: tuple[int, Any] = (200, Events(openai_stream("Well.")))


def talk(exchanges: int) -> list[Any]:
    """About 250 tokens an exchange."""
    said: list[Any] = [{"role": "user", "content": FIRST}, {"role": "assistant", "content": "the first answer"}]
    for number in range(exchanges):
        said += [
            {"role": "user", "content": f"question {number} " + "word " * 100},
            {"role": "assistant", "content": "answer " * 70},
        ]
    return [*said, {"role": "user", "content": "and now?"}]


@asynccontextmanager
async def running(home: Path, *answers: tuple[int, Any]) -> AsyncIterator[tuple[PeopleHost, Server]]:
    async with server(*answers) as model:
        environ = {"OPENAI_BASE_URL": f"{model.url}/v1", "MICROCLAW_MODEL": "teller"}
        async with people_host(home, environ) as host:
            yield host, model


async def asked(ai: openai.AsyncOpenAI, *, streamed: bool) -> None:
    """Ask, and read to the end."""
    if not streamed:
        await ai.chat.completions.create(model="microclaw", messages=talk(40))
        return
    async for _ in await ai.chat.completions.create(model="microclaw", messages=talk(40), stream=True):
        pass


def histories(model: Server) -> list[bool]:
    """For each request that the model's server got: whether the conversation's beginning was in it."""
    return [any(FIRST in str(message["content"]) for message in body["messages"]) for body in model.bodies]


@pytest.mark.parametrize("streamed", [False, True])
async def test_history_that_the_server_refuses_is_a_400_and_no_request_lacks_it(tmp_path: Path, streamed: bool) -> None:
    async with running(tmp_path / "h", *[TOO_LONG] * 5, FITS) as (host, model), client_of(host) as ai:
        for _ in range(2):  # the one that the server refuses, and the next one
            with pytest.raises(openai.APIError) as refused:
                await asked(ai, streamed=streamed)
            assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")
            assert "agent.context_tokens" not in refused.value.message
        assert isinstance(refused.value, openai.BadRequestError)  # before a stream begins
        assert refused.value.status_code == 400
        assert all(histories(model))


async def test_what_fits_the_learned_window_is_sent_whole(tmp_path: Path) -> None:
    async with running(tmp_path / "h", TOO_LONG, TOO_LONG, FITS) as (host, model), client_of(host) as ai:
        with pytest.raises(openai.BadRequestError):
            await ai.chat.completions.create(model="microclaw", messages=talk(40))
        while len(model.answers) > 1:
            model.answers.pop(0)
        made = await ai.chat.completions.create(model="microclaw", messages=talk(1))
        assert str(made.choices[0].message.content).startswith("Well.")
        assert all(histories(model))


async def test_tools_of_the_client_count_before_anything_is_sent(tmp_path: Path) -> None:
    """They take the room that the history had, so the check before the request counts them."""
    function = {"description": "word " * 200, "parameters": {"type": "object"}}
    many: Any = [{"type": "function", "function": {"name": f"tool_{number}", **function}} for number in range(60)]
    async with running(tmp_path / "h", FITS) as (host, model), client_of(host) as ai:
        with pytest.raises(openai.BadRequestError) as refused:
            await ai.chat.completions.create(model="microclaw", messages=talk(30), tools=many)
        assert refused.value.code == "context_length_exceeded"
        assert "agent.context_tokens" in refused.value.message  # here the setting is the limit
        assert model.bodies == []


async def test_a_learned_window_is_told_until_it_is_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path / "h", TOO_LONG, TOO_LONG) as (host, _), client_of(host) as ai:
        before = (await host.socket("GET", "/v1/status"))["context"]
        assert before == {
            "tokens": 24_000, "configured_tokens": 24_000, "named_tokens": None, "retry_in_s": 0.0, "text": None,
        }  # fmt: skip
        with pytest.raises(openai.BadRequestError):
            await asked(ai, streamed=False)
        status = await host.socket("GET", "/v1/status")
        learned = status["context"]
        assert learned["tokens"] < 24_000
        assert (learned["configured_tokens"], learned["named_tokens"]) == (24_000, 6000)
        assert 3500 < learned["retry_in_s"] <= 3600
        assert f"learned from the server's refusal: {learned['tokens']:,} tokens" in learned["text"]
        assert "configured: 24,000" in learned["text"]
        assert ("context", learned["text"]) in screen_rows(status)
        home = str(host.settings.home)
        child = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "microclaw", "--home", home, "--json", "doctor"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        findings = [one for one in json.loads(child.stdout)["findings"] if one["part"] == "context"]
        [finding] = findings
        assert (finding["ok"], finding["warns"]) == (True, True)
        assert finding["text"].startswith(f"learned from the server's refusal: {learned['tokens']:,} tokens")
        assert "load the model with a larger context" in finding["next"]
