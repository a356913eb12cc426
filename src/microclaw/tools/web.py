"""web_search and web_fetch. What they give was written by strangers: fenced, and marked foreign.

A turn that has read strangers' words asks before it fetches an address that the chat has not met: it could carry
away what was said.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from pydantic import Field

from microclaw.policy.gate import Effect, Permission
from microclaw.tools.fence import fenced
from microclaw.tools.fetching import Page
from microclaw.tools.known_addresses import KnownAddresses, is_among
from microclaw.tools.page_text import PageText, page_text
from microclaw.tools.search_engines import SearchEngine
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

PAGE_CHARS: Final = 5000  # of a page at once: with its links below the limit of a result
LINKS_SHOWN: Final = 12


class Fetching(Protocol):
    """tools.fetching.Fetcher."""

    async def fetch(self, url: str) -> Page: ...


class SearchParameters(Parameters):
    query: str = Field(min_length=1, max_length=400)
    count: int = Field(5, ge=1, le=10)


class FetchParameters(Parameters):
    url: str = Field(min_length=1, max_length=2048, description="http:// or https://, public addresses alone.")
    start: int = Field(0, ge=0, description="The character to begin with, for the rest of a long page.")


def web_tools(*, fetcher: Fetching, engine: SearchEngine | None = None) -> tuple[Tool[Any], ...]:
    """web_fetch, and web_search where there is an engine."""

    known = KnownAddresses()

    async def weigh(asked: FetchParameters, context: ToolContext) -> Permission:
        met = ((context.channel, context.chat_id), asked.url) in known
        free = not context.foreign or met or is_among(asked.url, context.said())
        return Permission.READ if free else Permission.ACT

    async def fetch(asked: FetchParameters, context: ToolContext) -> ToolOutput:
        page = await fetcher.fetch(asked.url)
        found = await _text(page)
        piece = found.text[asked.start : asked.start + PAGE_CHARS]
        end = asked.start + len(piece)
        fields: dict[str, Any] = {
            "success": True,
            "url": page.url,
            "type": page.media_type,
            "length": len(found.text),
            "text": fenced(f"{found.title}\n{piece}" if asked.start == 0 else piece, page.url[:200]),
        }
        if end < len(found.text):
            fields["next_start"] = end
        if page.cut:
            fields["cut"] = "the page was longer than is read"
        links = found.links[:LINKS_SHOWN] if asked.start == 0 else ()
        known.note((context.channel, context.chat_id), (asked.url, page.url, *(url for _, url in links)))
        if links:
            shown = "\n".join(f"{words}: {url}" for words, url in links)
            fields["links"] = fenced(shown[:1500], page.url[:200])
        return ToolOutput(fields)

    async def search(asked: SearchParameters, context: ToolContext) -> ToolOutput:
        assert engine is not None
        hits = await engine.search(asked.query, asked.count)
        known.note((context.channel, context.chat_id), (hit.url for hit in hits))
        shown = "\n\n".join(f"{number}. {hit.title}\n{hit.url}\n{hit.text}" for number, hit in enumerate(hits, 1))
        return ToolOutput({"success": True, "count": len(hits), "results": fenced(shown, "search results")})

    read, idle = Permission.READ, Effect.READ
    text = "Read a page of the Internet as text."
    fetching = Tool("web_fetch", text, FetchParameters, read, idle, fetch, foreign=True, weigh=weigh)
    if engine is None:
        return (fetching,)
    text = "Search the Internet; read a hit with web_fetch."
    return (Tool("web_search", text, SearchParameters, read, idle, search, foreign=True), fetching)


async def _text(page: Page) -> PageText:
    if page.media_type in ("text/html", "application/xhtml+xml"):
        return await asyncio.to_thread(page_text, page.text, page.url)
    shown = "".join(c if c.isprintable() or c in "\n\t" else " " for c in page.text)
    return PageText("", shown.strip(), ())
