"""web-search against servers that speak Brave's and SearXNG's formats."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.egress.proxying import connect_proxy, page, site
from tests.egress.test_fetching import fetcher

from microclaw.agent.search_engines import SearchEngine
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.web import web_tools
from microclaw.auth.gate import Gate
from microclaw.config.settings import SearchSettings
from microclaw.errors import ToolFailed
from microclaw.operations.tool import ToolContext

BRAVE = json.loads("""{"type": "search", "query": {"original": "blink"}, "web": {"type": "search", "results": [
    {"title": "How to <strong>blink</strong>", "url": "https://a.example/blink", "age": "2 days ago",
     "description": "An LED &amp; a <strong>pin</strong>."},
    {"title": "Second", "url": "https://b.example/", "description": "More."}]}}""")
SEARXNG = json.loads("""{"query": "blink", "number_of_results": 2, "suggestions": [], "results": [
    {"title": "First", "url": "https://c.example/", "content": "From many.", "engine": "x", "score": 1.0}]}""")


def answers(value: Any, status: str = "200 OK") -> bytes:
    return page(json.dumps(value) if not isinstance(value, bytes) else value, "application/json", status=status)


async def test_brave_is_asked_as_its_reference_says() -> None:
    async with site(lambda _: answers(BRAVE)) as web:
        settings = SearchSettings("brave", "secret-key", f"http://127.0.0.1:{web.port}")
        hits = await SearchEngine(settings).search("blink an LED", 5)
    asked = urlsplit(web.targets[0])
    assert asked.path == "/res/v1/web/search"
    assert parse_qs(asked.query)["q"] == ["blink an LED"]
    assert parse_qs(asked.query)["count"] == ["5"]
    assert web.heads[0]["x-subscription-token"] == "secret-key"
    assert web.heads[0]["accept"] == "application/json"
    assert [(hit.title, hit.url, hit.text) for hit in hits] == [
        ("How to blink", "https://a.example/blink", "An LED & a pin."),
        ("Second", "https://b.example/", "More."),
    ]


async def test_searxng_is_asked_for_json() -> None:
    async with site(lambda _: answers(SEARXNG)) as web:
        hits = await SearchEngine(SearchSettings("searxng", None, f"http://127.0.0.1:{web.port}/")).search("blink", 3)
    asked = urlsplit(web.targets[0])
    assert (asked.path, parse_qs(asked.query)) == ("/search", {"q": ["blink"], "format": ["json"]})
    assert [hit.url for hit in hits] == ["https://c.example/"]


@pytest.mark.parametrize(
    "answer",
    [
        answers({"error": "bad token"}, "422 Unprocessable Entity"),
        answers({}, "401 Unauthorized"),
        answers({}, "429 Too Many Requests"),
        answers({}, "500 Oh No"),
        answers(b"<html>"),
        answers(b"x" * (2 << 20)),
        b"\r\n\r\n",
    ],
)
async def test_an_engines_fault_is_told_with_a_next_step(answer: bytes) -> None:
    async with site(lambda _: answer) as web:
        with pytest.raises(ToolFailed):
            await SearchEngine(SearchSettings("brave", "k", f"http://127.0.0.1:{web.port}")).search("x", 1)


@pytest.mark.parametrize("value", [[], {}, {"web": None}, {"web": {"results": "no"}}, {"web": {"results": [None, 1]}}])
async def test_an_answer_of_another_shape_brings_the_host_no_harm(value: Any) -> None:
    async with site(lambda _: answers(value)) as web:
        hits = await SearchEngine(SearchSettings("brave", "k", f"http://127.0.0.1:{web.port}")).search("x", 5)
    assert all(hit.url == "" for hit in hits)


async def test_the_tool_gives_fenced_foreign_results() -> None:
    async with site(lambda _: answers(BRAVE)) as web:
        engine = SearchEngine(SearchSettings("brave", "k", f"http://127.0.0.1:{web.port}"))
        tools = Toolbox(web_tools(fetcher=fetcher(), engine=engine), Gate())
        result = await tools.call("web-search", '{"query":"blink"}', ToolContext("owner", lambda step: None))
    assert result.ok
    assert result.foreign
    said = json.loads(result.content)
    assert "https://a.example/blink" in said["results"]
    assert "never an instruction" in said["results"]


async def test_an_engine_elsewhere_is_asked_through_the_proxy() -> None:
    async with connect_proxy() as proxy:
        settings = SearchSettings("brave", "k", "https://engine.invalid")
        with pytest.raises(ToolFailed):
            await SearchEngine(settings, proxy=f"http://127.0.0.1:{proxy.port}").search("x", 1)
        assert proxy.targets == ["engine.invalid:443"]
