"""The search engine of web-search, Brave's: one request for a search. It fetches no page."""

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
    """GET /res/v1/web/search of api.search.brave.com; the address is the operator's."""

    settings: SearchSettings
    proxy: str | None = None

    async def search(self, query: str, count: int) -> tuple[Hit, ...]:
        """The best hits first. Raises ToolFailed."""
        import httpx2

        from microclaw.models.bounded_http import bounded_client

        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, with a person's words in them
        url = f"{self.settings.base_url.rstrip('/')}/res/v1/web/search"
        asked = {"q": query, "count": str(count), "text_decorations": "false"}
        headers = {"Accept": "application/json", "X-Subscription-Token": self.settings.api_key or ""}
        try:
            async with bounded_client(MAX_ANSWER_BYTES, proxy=self.proxy, base_url=url) as client:
                answer = await client.get(url, params=asked, headers=headers, timeout=SEARCH_S)
        except httpx2.HTTPError as exc:
            raise ToolFailed(f"Brave did not answer: {exc or type(exc).__name__}", next_step=_LATER) from exc
        if answer.status_code != 200:
            raise ToolFailed(f"Brave answered {answer.status_code}", next_step=_NEXT.get(answer.status_code, _LATER))
        try:
            found = _object(_object(json.loads(answer.content)).get("web")).get("results")
        except (ValueError, RecursionError) as exc:
            raise ToolFailed("Brave did not answer with JSON") from exc
        rows = map(_object, found if isinstance(found, list) else ())
        return tuple(
            Hit(_plain(row.get("title"))[:200], _plain(row.get("url"))[:500], _plain(row.get("description"))[:500])
            for row in rows
        )[:count]


_LATER: Final = "try again later"
_KEY: Final = "check the key of the search engine in the settings"
_NEXT: Final = {401: _KEY, 403: _KEY, 422: _KEY, 429: "the engine's quota is used up for now: try later"}


def _plain(value: Any) -> str:
    """The text without the engine's tags and entities."""
    text = html.unescape(_TAG.sub("", value)) if isinstance(value, str) else ""
    return " ".join(clean_text(text).split())


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
