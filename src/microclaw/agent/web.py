"""web-search and web-fetch. Their results are untrusted text, so they are fenced and marked. They follow no link.

A turn that has read untrusted text needs an approval for an address that is new in the chat: the address could carry
away what was said.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

from msgspec import Meta, Struct

from microclaw.agent.search_engines import SearchEngine
from microclaw.auth.gate import Effect, Permission
from microclaw.egress.fetching import Fetcher, Page
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import clean_text, fence_text

MAX_ADDRESSES: Final = 8192  # the oldest goes: to read it asks again
MAX_WORDS_CHARS: Final = 64 << 10
_AROUND: Final = "<>()[]{}\"'`.,;:!?*_"

Chat: TypeAlias = tuple[str, str]
_Key: TypeAlias = tuple[str, int | None, str, str]


class KnownAddresses:
    """The latest addresses of all chats; a chat is a channel and a chat id."""

    def __init__(self) -> None:
        self._met: OrderedDict[tuple[Chat, _Key], None] = OrderedDict()

    def note(self, chat: Chat, urls: Iterable[str]) -> None:
        for key in filter(None, map(_key, urls)):
            self._met[chat, key] = None
            self._met.move_to_end((chat, key))
        while len(self._met) > MAX_ADDRESSES:
            self._met.popitem(last=False)

    def __contains__(self, asked: tuple[Chat, str]) -> bool:
        chat, url = asked
        return (chat, _key(url)) in self._met


def is_among(url: str, words: str) -> bool:
    """True if the address is in these words, with or without its scheme and `www.`."""
    key = _key(url)
    candidates = (word.strip(_AROUND) for word in words[:MAX_WORDS_CHARS].split() if "." in word)
    return key is not None and any(_key(word) == key for word in candidates)


def _key(url: str) -> _Key | None:
    """The parts of an address that reach the server; None for text that is not an address."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if not host or parts.username is not None:
        return None
    return host.removeprefix("www."), port, parts.path.rstrip("/"), parts.query


MAX_LINKS: Final = 40
MAX_TAG_CHARS: Final = 8192
MAX_DEPTH: Final = 64  # of elements that are left out
_RAW: Final = frozenset({"script", "style", "textarea", "noembed", "noframes", "xmp"})  # no tags within
_SKIPPED: Final = frozenset({"nav", "noscript", "template", "svg", "math", "iframe", "object", "select", "canvas"})
_BLOCK: Final = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|li|main|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul"
)
_NAME: Final = re.compile(r"/?([a-zA-Z][a-zA-Z0-9-]{0,31})")
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HUGE_NUMBER: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}")
_SPACES: Final = re.compile(r"[ \t]+")


class PageText(Struct, frozen=True):
    title: str
    text: str
    links: tuple[tuple[str, str], ...]  # words and absolute http(s) address


def page_text(document: str, base_url: str) -> PageText:
    """The page without scripts, styles and navigation; with the navigation when there is nothing else.

    Each character is looked at once, whatever the page holds: HTMLParser takes hours for some pages.
    """
    found = _Scanner(base_url, _SKIPPED).scan(document)
    return found if found.text else _Scanner(base_url, _SKIPPED - {"nav"}).scan(document)


@dataclass(slots=True)
class _Scanner:
    base_url: str
    skipped: frozenset[str]
    words: list[str] = field(default_factory=list)
    title: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)  # elements whose words are left out
    in_title: bool = False
    link: tuple[str, int] | None = None  # its address, and where its words begin
    until: str = ""  # the end of a comment, a tag or a raw element, in which nothing else counts

    def scan(self, document: str) -> PageText:
        text, *pieces = document.split("<")
        self._add_text(text)
        for piece in pieces:
            self._add_text(self._tag(piece))
        title, lines = " ".join("".join(self.title).split()), clean_text("".join(self.words)).split("\n")
        shown = (_SPACES.sub(" ", line).strip() for line in lines)  # one space between words, one line a paragraph
        return PageText(title[:300], "\n".join(filter(None, shown)), tuple(self.links))

    def _tag(self, piece: str) -> str:
        """Read what begins with a "<" and goes on to the next. Returns the text behind the tag."""
        if self.until.startswith("/") and piece[: len(self.until)].lower() != self.until:
            return ""
        if self.until in (">", "-->"):
            _, end, text = piece.partition(self.until)
            self.until = "" if end else self.until
            return text
        self.until = ""
        name = _NAME.match(piece)
        if name is None and not piece.startswith(("!", "?")):
            return f"<{piece}"
        mark = "-->" if piece.startswith("!--") else ">"
        tag, end, text = piece.removeprefix("!--").partition(mark)
        if name is not None and piece.startswith("/"):
            self._close(name[1].lower())
        elif name is not None:
            self._open(name[1].lower(), tag[:MAX_TAG_CHARS] + ("" if end else "/"))  # cut by a "<": it skips nothing
        if not end and not self.until:
            self.until = mark
        return text

    def _open(self, name: str, tag: str) -> None:
        if name in _RAW:
            self.until = f"/{name}"
        elif name in self.skipped and not tag.endswith("/") and len(self.inside) < MAX_DEPTH:
            self.inside.append(name)
        elif name == "title" and not self.inside:
            self.in_title = not self.title
        elif name == "a" and not self.inside:
            address = _HREF.search(tag)
            self.link = (next(filter(None, address.groups()), ""), len(self.words)) if address else None
        if _BLOCK.fullmatch(name):
            self._add_text("\n")

    def _close(self, name: str) -> None:
        if name in self.inside:
            while self.inside.pop() != name:
                pass
        elif name == "title":
            self.in_title = False
        elif name == "a" and self.link is not None and len(self.links) < MAX_LINKS:
            address, begin = self.link
            words = " ".join("".join(self.words[begin:]).split())[:100]
            self._keep_link(words, html.unescape(_HUGE_NUMBER.sub("?", address)))
            self.link = None
        if _BLOCK.fullmatch(name):
            self._add_text("\n")

    def _keep_link(self, words: str, address: str) -> None:
        try:
            whole = urljoin(self.base_url, address.strip()).partition("#")[0]
        except ValueError:
            return
        known = any(whole == kept for _, kept in self.links)
        if words and not known and whole.startswith(("http://", "https://")) and len(whole) <= 500:
            self.links.append((words, whole))

    def _add_text(self, text: str) -> None:
        if text and not self.inside and not self.until:
            (self.title if self.in_title else self.words).append(html.unescape(_HUGE_NUMBER.sub("?", text)))


PAGE_CHARS: Final = 5000  # of a page in one result; with its links this is below the limit of a result
LINKS_SHOWN: Final = 12


class SearchParameters(Parameters, kw_only=True):
    query: Annotated[str, Meta(min_length=1, max_length=400)]
    count: Annotated[int, Meta(ge=1, le=10)] = 5


class FetchParameters(Parameters, kw_only=True):
    url: Annotated[str, Meta(min_length=1, max_length=2048, description="http:// or https://, public addresses alone.")]
    start: Annotated[int, Meta(ge=0, description="The character to begin with, for the rest of a long page.")] = 0


def web_tools(*, fetcher: Fetcher, engine: SearchEngine | None = None) -> tuple[Tool[Any], ...]:
    """web-fetch, and web-search when there is an engine."""
    known = KnownAddresses()

    async def fetch_permission(asked: FetchParameters, context: ToolContext) -> Permission:
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
            "text": fence_text(f"{found.title}\n{piece}" if asked.start == 0 else piece, page.url),
        }
        if end < len(found.text):
            fields["next_start"] = end
        if page.cut:
            fields["cut"] = "the page was longer than is read"
        links = found.links[:LINKS_SHOWN] if asked.start == 0 else ()
        known.note((context.channel, context.chat_id), (asked.url, page.url, *(url for _, url in links)))
        if links:
            shown = "\n".join(f"{words}: {url}" for words, url in links)
            fields["links"] = fence_text(shown[:1500], page.url)
        return ToolOutput(fields)

    async def search(asked: SearchParameters, context: ToolContext) -> ToolOutput:
        assert engine is not None
        hits = await engine.search(asked.query, asked.count)
        known.note((context.channel, context.chat_id), (hit.url for hit in hits))
        shown = "\n\n".join(f"{number}. {hit.title}\n{hit.url}\n{hit.text}" for number, hit in enumerate(hits, 1))
        return ToolOutput({"success": True, "count": len(hits), "results": fence_text(shown, "search results")})

    read, idle = Permission.READ, Effect.READ
    text = "Read a page of the Internet as text."
    fetching = Tool(
        "web-fetch",
        text,
        FetchParameters,
        read,
        idle,
        fetch,
        foreign=True,
        required_permission=fetch_permission,
        words=lambda asked, *_: f"read a page of {urlsplit(asked.url).hostname}: {asked.url}",
    )
    if engine is None:
        return (fetching,)
    text = "Search the Internet; read a hit with web-fetch."
    return (Tool("web-search", text, SearchParameters, read, idle, search, foreign=True), fetching)


async def _text(page: Page) -> PageText:
    if page.media_type in ("text/html", "application/xhtml+xml"):
        return await asyncio.to_thread(page_text, page.text, page.url)
    return PageText("", clean_text(page.text).strip(), ())
