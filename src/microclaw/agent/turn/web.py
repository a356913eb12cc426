"""web-search by Brave, and web-fetch. Their results are untrusted text: fenced and marked. They follow no link.

A turn that has read untrusted text needs an approval for an address that is new in the chat: the address could send
words of the conversation away.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Meta, Struct

from microclaw.conversion import decode_json
from microclaw.errors import ToolFailed
from microclaw.host.config.settings import SearchSettings
from microclaw.host.egress.fetching import Fetcher
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import clean_text, fence_text

# If there are more, the oldest is forgotten, and reading it needs an approval again.
MAX_ADDRESSES: Final = 8192
MAX_WORDS_CHARS: Final = 64 << 10
_AROUND: Final = "<>()[]{}\"'`.,;:!?*_"

Chat: TypeAlias = tuple[str, str]
_Key: TypeAlias = tuple[str, int | None, str, str]


def note_addresses(addresses: dict[tuple[Chat, _Key], None], chat: Chat, urls: Iterable[str]) -> None:
    """Add a chat's addresses to the latest addresses of all chats. A chat is a channel and a chat id."""
    for key in filter(None, map(address_key, urls)):
        addresses.pop((chat, key), None)
        addresses[chat, key] = None
        if len(addresses) > MAX_ADDRESSES:
            oldest = next(iter(addresses))
            del addresses[oldest]


def is_among(url: str, words: str) -> bool:
    """Return True if the address is in these words, with or without its scheme and `www.`."""
    key = address_key(url)
    if key is None:
        return False
    for word in words[:MAX_WORDS_CHARS].split():
        if "." in word and address_key(word.strip(_AROUND)) == key:
            return True
    return False


def address_key(url: str) -> _Key | None:
    """Return the parts of an address that reach the server; None for text that is not an address."""
    if "://" not in url:
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port
    except ValueError:
        return None
    if not host or parts.username is not None:
        return None
    return host.removeprefix("www."), port, parts.path.rstrip("/"), parts.query


MAX_LINKS: Final = 40
MAX_TAG_CHARS: Final = 8192
_ATTRIBUTES: Final = r"""(?:[^>=]|=(?:\s*"[^"]*(?:"|\Z)|\s*'[^']*(?:'|\Z))?)*+"""
# Each match reaches to its end or the page's end, so that each character is looked at once.
_TAG: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)"
    r"|<(?P<skipped>script|style|textarea|title|nav|noscript|template|svg|math|iframe|object|select|canvas|xmp)(?![\w-])"
    rf"{_ATTRIBUTES}(?<!/)>.*?(?:</(?P=skipped)(?![\w-])[^>]*(?:>|\Z)|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-z][a-z0-9-]*)(?P<attributes>{_ATTRIBUTES})(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_TITLE: Final = re.compile(r"<title\b[^<>]*>([^<]*)", re.IGNORECASE)
_BLOCK: Final = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|li|main|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul",
    re.IGNORECASE,
)
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HUGE_NUMBER: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}")
_SPACES: Final = re.compile(r"[ \t]+")


class PageText(Struct, frozen=True):
    """The text of a page. `links` are pairs of words and an absolute http(s) address."""

    title: str
    text: str
    links: tuple[tuple[str, str], ...]


def page_text(document: str, base_url: str) -> PageText:
    """Return the page without scripts, styles and navigation. HTMLParser takes hours for some pages."""
    words: list[str] = []
    links = _Links(base_url, words)
    end = 0
    for tag in _TAG.finditer(document):
        words.append(_unescape(document[end : tag.start()]))
        end = tag.end()
        name = tag["name"] or ""
        if name in ("a", "A") and not tag["end"]:
            links.begin(tag["attributes"])
        elif name in ("a", "A"):
            links.end()
        if _BLOCK.fullmatch(name):
            words.append("\n")
    words.append(_unescape(document[end:]))
    paragraphs = []
    for line in clean_text("".join(words)).split("\n"):
        paragraphs.append(_SPACES.sub(" ", line).strip())
    title = ""
    title_tag = _TITLE.search(document)
    if title_tag is not None:
        title = " ".join(_unescape(title_tag[1]).split())[:300]
    pairs = [(shown, address) for address, shown in links.words_by_address.items()]
    return PageText(title, "\n".join(filter(None, paragraphs)), tuple(pairs))


class _Links:
    """The links of a page while its tags are read. `words` grows with the text of the page."""

    def __init__(self, base_url: str, words: list[str]) -> None:
        self.words_by_address: dict[str, str] = {}
        self._base_url = base_url
        self._words = words
        # The address of the open link, and the index of its first word.
        self._address = ""
        self._first_word = 0

    def begin(self, attributes: str) -> None:
        """Open a link with the attributes of its tag."""
        self._address = ""
        href = _HREF.search(attributes[:MAX_TAG_CHARS])
        if href is not None:
            self._address = next(filter(None, href.groups()), "")
            self._first_word = len(self._words)

    def end(self) -> None:
        """Close the open link and note it if it has words and an address."""
        if not self._address or len(self.words_by_address) >= MAX_LINKS:
            return
        shown = " ".join("".join(self._words[self._first_word :]).split())[:100]
        address = _absolute_address(self._base_url, self._address)
        if shown and address:
            self.words_by_address.setdefault(address, shown)
        self._address = ""


def _absolute_address(base_url: str, href: str) -> str | None:
    """Return the http(s) address of a link; None for another scheme, or over 500 characters."""
    try:
        address = urljoin(base_url, _unescape(href).strip()).partition("#")[0]
    except ValueError:
        return None
    if len(address) > 500 or not address.startswith(("http://", "https://")):
        return None
    return address


def _unescape(text: str) -> str:
    return html.unescape(_HUGE_NUMBER.sub("?", text))


SEARCH_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 1 << 20
_MARKUP: Final = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")


class Hit(Struct, frozen=True):
    title: str | None = None
    url: str | None = None
    text: str | None = msgspec.field(default=None, name="description")


SearchEngine: TypeAlias = Callable[[str, int], Awaitable[tuple[Hit, ...]]]


class _Hits(Struct, frozen=True):
    results: list[Hit] = []


class _Found(Struct, frozen=True):
    web: _Hits | None = None


async def search_brave(settings: SearchSettings, proxy: str | None, query: str, count: int) -> tuple[Hit, ...]:
    """Search with GET /res/v1/web/search of api.search.brave.com; the address is the operator's.

    The best hits are first. Raises ToolFailed.
    """
    import httpx2

    from microclaw.agent.models.bounded_http import bounded_client

    url = f"{settings.base_url.rstrip('/')}/res/v1/web/search"
    parameters = {"q": query, "count": str(count), "text_decorations": "false"}
    headers = {"Accept": "application/json", "X-Subscription-Token": settings.api_key or ""}
    try:
        async with bounded_client(MAX_ANSWER_BYTES, proxy=proxy, base_url=url) as client:
            answer = await client.get(url, params=parameters, headers=headers, timeout=SEARCH_S)
    except httpx2.HTTPError as exc:
        raise ToolFailed(f"Brave did not answer: {exc or type(exc).__name__}", next_step="try again later") from exc
    if answer.status_code != 200:
        may_pass = answer.status_code == 429 or answer.status_code >= 500
        step = "try again later" if may_pass else "check search.api_key in the settings"
        raise ToolFailed(f"Brave answered {answer.status_code}", next_step=step)
    try:
        web = decode_json(answer.content, _Found).web or _Hits()
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise ToolFailed("Brave did not answer with JSON") from exc
    hits = []
    for hit in web.results[:count]:
        title = _without_markup(hit.title)[:200]
        address = _without_markup(hit.url)[:500]
        hits.append(Hit(title, address, _without_markup(hit.text)[:500]))
    return tuple(hits)


def _without_markup(text: str | None) -> str:
    """Return the text without the engine's tags and entities."""
    words = html.unescape(_MARKUP.sub("", text or ""))
    return " ".join(clean_text(words).split())


# Of a page in one result; with its links this is below the limit of a result.
PAGE_CHARS: Final = 5000
LINKS_SHOWN: Final = 12


class SearchParameters(Parameters, kw_only=True):
    query: Annotated[str, Meta(min_length=1, max_length=400)]
    count: Annotated[int, Meta(ge=1, le=10)] = 5


class FetchParameters(Parameters, kw_only=True):
    url: Annotated[str, Meta(min_length=1, max_length=2048, description="http:// or https://, only public addresses.")]
    start: Annotated[int, Meta(ge=0, description="The character to begin with, for the rest of a long page.")] = 0


def web_tools(*, fetcher: Fetcher, engine: SearchEngine | None = None) -> tuple[Tool[Any], ...]:
    """Return web-fetch, and web-search if there is an engine."""
    addresses: dict[tuple[Chat, _Key], None] = {}
    fetch_tool = _PageReader(fetcher, addresses).tool()
    if engine is None:
        return (fetch_tool,)
    return (_WebSearch(engine, addresses).tool(), fetch_tool)


@dataclass(frozen=True, slots=True)
class _PageReader:
    """The tool web-fetch. `addresses` are the addresses that each chat has seen."""

    fetcher: Fetcher
    addresses: dict[tuple[Chat, _Key], None]

    def tool(self) -> Tool[Any]:
        return Tool(
            "web-fetch",
            "Read a page of the Internet as text.",
            FetchParameters,
            Permission.READ,
            Effect.READ,
            self._run,
            foreign=True,
            required_permission=self._permission,
            words=lambda request, *_: f"read a page of {urlsplit(request.url).hostname}: {request.url}",
        )

    async def _permission(self, request: FetchParameters, context: ToolContext) -> Permission:
        is_known = ((context.channel, context.chat_id), address_key(request.url)) in self.addresses
        # Untrusted text could send data out in an address that it invents.
        if not context.foreign or is_known or is_among(request.url, context.said):
            return Permission.READ
        return Permission.ACT

    async def _run(self, request: FetchParameters, context: ToolContext) -> ToolOutput:
        page = await self.fetcher.fetch(request.url)
        if page.media_type in ("text/html", "application/xhtml+xml"):
            content = await asyncio.to_thread(page_text, page.text, page.url)
        else:
            text = await asyncio.to_thread(clean_text, page.text)
            content = PageText("", text.strip(), ())
        piece = content.text[request.start : request.start + PAGE_CHARS]
        end = request.start + len(piece)
        links: tuple[tuple[str, str], ...] = ()
        if request.start == 0:
            piece = f"{content.title}\n{piece}"
            links = content.links[:LINKS_SHOWN]
        fields: dict[str, Any] = {
            "success": True,
            "url": page.url,
            "type": page.media_type,
            "length": len(content.text),
            "text": fence_text(piece, page.url),
        }
        if end < len(content.text):
            fields["next_start"] = end
        if page.cut:
            fields["cut"] = "the page was longer than is read"
        urls = (request.url, page.url, *(url for _, url in links))
        note_addresses(self.addresses, (context.channel, context.chat_id), urls)
        if links:
            link_lines = "\n".join(f"{words}: {url}" for words, url in links)
            fields["links"] = fence_text(link_lines[:1500], page.url)
        return ToolOutput(fields)


@dataclass(frozen=True, slots=True)
class _WebSearch:
    """The tool web-search. It adds the addresses of its hits to `addresses`."""

    engine: SearchEngine
    addresses: dict[tuple[Chat, _Key], None]

    def tool(self) -> Tool[Any]:
        text = "Search the Internet; read a hit with web-fetch."
        return Tool("web-search", text, SearchParameters, Permission.READ, Effect.READ, self._run, foreign=True)

    async def _run(self, request: SearchParameters, context: ToolContext) -> ToolOutput:
        hits = await self.engine(request.query, request.count)
        note_addresses(self.addresses, (context.channel, context.chat_id), (hit.url or "" for hit in hits))
        entries = (f"{number}. {hit.title}\n{hit.url}\n{hit.text}" for number, hit in enumerate(hits, 1))
        results = fence_text("\n\n".join(entries), "search results")
        return ToolOutput({"success": True, "count": len(hits), "results": results})
