"""A fallback answers: the turn's steps and the host's status say which, why, and when the first is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.agent.conftest import MakeAgent
from tests.agent.real_host import real_host
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import Server, server

from microclaw.errors import ModelError
from microclaw.events import Answer, Step
from microclaw.models.breaker import Breaker
from microclaw.models.router import Router
from microclaw.models.scripted import Scripted, ScriptedModel, call, say

BUSY = {"error": {"message": "slow down", "type": "rate_limit_exceeded"}}
CONFIG = """
[model]
provider = "openai"
name = "dear"
base_url = "{first}/v1"
api_key = "sk-first-0123456789"
offline_first = false
[model.fallback.second]
provider = "openai"
name = "cheap"
base_url = "{second}/v1"
api_key = "sk-second-0123456789"
"""


def named(name: str, *replies: Scripted) -> ScriptedModel:
    model = ScriptedModel(replies)
    model.name = name
    return model


async def test_a_turns_steps_name_the_stand_in_once(make_agent: MakeAgent) -> None:
    down = ModelError("dear: overloaded", fault="overloaded", retry_after_s=30)
    models = [named("dear", down), named("cheap", call("gpio-set", pin=4), say("pin 4 is on"))]
    async with make_agent(model=Router(tuple((model, Breaker(lambda: 0.0)) for model in models))) as agent:
        events = await agent.events("set pin 4 on")
    told = [event.text for event in events if isinstance(event, Step) and event.stage == "model"]
    assert told == ["cheap answers: dear is out (overloaded); dear is asked again in 30 s"]
    assert isinstance(events[-1], Answer)


async def asked_and_status(tmp_path: Path, first: Server, second: Server) -> tuple[list[Any], list[dict[str, Any]]]:
    """The events of two turns, and the host's its status before, between and after them."""
    config = CONFIG.format(first=first.url, second=second.url)
    async with real_host(tmp_path / "home", config=config, boards=()) as home:
        events, status = list[Any](), [await home.get("/v1/status")]
        for _ in range(2):
            events += await home.events("tell me of love")
            status.append(await home.get("/v1/status"))
    return events, status


async def test_status_tells_who_stands_in_why_and_until_when(tmp_path: Path) -> None:
    async with (
        server((429, BUSY), (200, Events(openai_stream("back"))), head="retry-after: 42\r\nconnection: close") as first,
        server((200, Events(openai_stream("one"))), (200, Events(openai_stream("two")))) as second,
    ):
        events, (before, between, after) = await asked_and_status(tmp_path, first, second)
    steps = [event.text for event in events if isinstance(event, Step)]
    assert steps
    assert before["model_outages"] == []
    for status in (between, after):
        [out] = status["model_outages"]
        assert (out["model"], out["instead"], out["fault"]) == ("dear", "cheap", "rate_limit")
        assert 30 < out["retry_in_s"] <= 42
