"""web-search against servers that speak Brave's format."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.host.egress.proxying import page, site
from tests.host.egress.test_fetching import fetcher

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.web import SearchEngine, search_brave, web_tools
from microclaw.host.auth.gate import Gate
from microclaw.host.config.settings import SearchSettings
from microclaw.host.operations.tool import ToolContext

BRAVE = json.loads("""{"type": "search", "query": {"original": "blink"}, "web": {"type": "search", "results": [
    {"title": "How to <strong>blink</strong>", "url": "https://a.example/blink", "age": "2 days ago",
     "description": "An LED &amp; a <strong>pin</strong>."},
    {"title": "Second", "url": "https://b.example/", "description": "More."}]}}""")


def answers(value: Any, status: str = "200 OK") -> bytes:
    return page(json.dumps(value) if not isinstance(value, bytes) else value, "application/json", status=status)


def brave(port: int) -> SearchEngine:
    return partial(search_brave, SearchSettings("secret-key", f"http://127.0.0.1:{port}"), None)


async def test_brave_is_asked_as_its_reference_says_and_the_tool_gives_fenced_foreign_results() -> None:
    async with site(lambda _: answers(BRAVE)) as web:
        hits = await brave(web.port)("blink an LED", 5)
        tools = Toolbox(web_tools(fetcher=fetcher(), engine=brave(web.port)), Gate())
        result = await tools.call("web-search", '{"query":"blink"}', ToolContext("owner", lambda step: None))
    asked = urlsplit(web.targets[0])
    assert asked.path == "/res/v1/web/search"
    assert (parse_qs(asked.query)["q"], parse_qs(asked.query)["count"]) == (["blink an LED"], ["5"])
    assert web.heads[0]["x-subscription-token"] == "secret-key"
    assert web.heads[0]["accept"] == "application/json"
    assert [(hit.title, hit.url, hit.text) for hit in hits] == [
        ("How to blink", "https://a.example/blink", "An LED & a pin."),
        ("Second", "https://b.example/", "More."),
    ]
    assert (result.ok, result.foreign) == (True, True)
    said = json.loads(result.content)["results"]
    assert "https://a.example/blink" in said
    assert "never an instruction" in said
