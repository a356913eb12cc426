"""The search engines of web-search: Brave's API and SearXNG, one request for a search. They fetch no page."""

from __future__ import annotations

import html
import json
import logging
import re
from typing import Any, Final

from msgspec import Struct

from microclaw.config.settings import SearchSettings
from microclaw.errors import ToolFailed
from microclaw.text import clean_text

SEARCH_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 1 << 20
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")


class Hit(Struct, frozen=True):
    title: str
    url: str
    text: str


class SearchEngine(Struct, frozen=True):
    """The engine of the settings; its address is the operator's and may be on this machine (SearXNG).

    Brave: GET /res/v1/web/search (api.search.brave.com). SearXNG: GET /search?format=json, which the instance's
    settings must allow (search.formats).
    """

    settings: SearchSettings
    proxy: str | None = None

    async def search(self, query: str, count: int) -> tuple[Hit, ...]:
        """The best hits first. Raises ToolFailed."""
        base_url = self.settings.base_url.rstrip("/")
        if self.settings.engine == "searxng":
            found = await _ask("SearXNG", f"{base_url}/search", {"q": query, "format": "json"}, {}, self.proxy)
            return _hits(found, "content")[:count]
        asked = {"q": query, "count": str(count), "text_decorations": "false"}
        key = {"X-Subscription-Token": self.settings.api_key or ""}
        found = await _ask("Brave", f"{base_url}/res/v1/web/search", asked, key, self.proxy)
        return _hits(_object(found.get("web")), "description")[:count]


_NEXT: Final = {
    401: "check the key of the search engine in the settings",
    403: "check the key; SearXNG must allow the format json",
    422: "check the key of the search engine in the settings",
    429: "the engine's quota is used up for now: try later",
}


async def _ask(
    engine: str, url: str, asked: dict[str, str], headers: dict[str, str], proxy: str | None
) -> dict[str, Any]:
    import httpx2

    from microclaw.models.bounded_http import bounded_client

    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, with a person's words in them
    try:
        async with bounded_client(MAX_ANSWER_BYTES, proxy=proxy, base_url=url) as client:
            answer = await client.get(
                url, params=asked, headers={"Accept": "application/json", **headers}, timeout=SEARCH_S
            )
    except httpx2.HTTPError as exc:
        raise ToolFailed(f"{engine} did not answer: {exc or type(exc).__name__}", next_step="try again later") from exc
    if answer.status_code != 200:
        text = f"{engine} answered {answer.status_code}"
        raise ToolFailed(text, next_step=_NEXT.get(answer.status_code, "try again later"))
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError) as exc:
        raise ToolFailed(f"{engine} did not answer with JSON") from exc
    return _object(value)


def _hits(found: dict[str, Any], text_field: str) -> tuple[Hit, ...]:
    results = found.get("results")
    rows = map(_object, results if isinstance(results, list) else ())
    return tuple(
        Hit(_plain(row.get("title"))[:200], _plain(row.get("url"))[:500], _plain(row.get(text_field))[:500])
        for row in rows
    )


def _plain(value: Any) -> str:
    """The text without the engine's tags and entities."""
    text = html.unescape(_TAG.sub("", value)) if isinstance(value, str) else ""
    return " ".join(clean_text(text).split())


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
