"""Fetches one page of the public Internet: each address is judged, size and time are limited. Reads no HTML."""

from __future__ import annotations

import asyncio
import codecs
import re
import ssl
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from microclaw import __version__
from microclaw.egress.destinations import Egress, Purpose
from microclaw.errors import MicroclawError, ToolFailed, ToolRetry, error_below
from microclaw.tables import read_table

if TYPE_CHECKING:
    import httpx2

MAX_URL_CHARS: Final = 2048
MAX_REDIRECTS: Final = 5
_URL: Final = re.compile(r"https?://[^/?#@\\\s]+(?:[/?#][^\\\s]*)?", re.IGNORECASE)  # no user name before the host
_ENCODINGS: Final = frozenset(read_table(__package__, "pages")["encodings"].split())
_PIECE_BYTES: Final = 64 << 10
_META: Final = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


class Page(Struct, frozen=True):
    """`url` is the address after the redirects; `cut` says that the page was longer than the limit."""

    url: str
    media_type: str
    text: str
    cut: bool


@dataclass(frozen=True)
class Fetcher:
    """`fetch` connects to the very address that was judged, even if the name has another one a moment later."""

    egress: Egress
    _: KW_ONLY
    proxy: str | None = None
    body_bytes: int = 1 << 20
    total_s: float = 20.0
    tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> Page:
        """Raises ToolRetry for text that is not a URL, PermissionRefused for a private address, else ToolFailed.

        An error before the first answer is not `foreign`: nobody else has said anything.
        """
        import httpx2

        from microclaw.egress.http_door import http_client

        client = http_client(
            Purpose.WEB,
            egress=self.egress,
            proxy=self.proxy,
            verify=self.tls or True,
            timeout=self.total_s,
            headers={
                "User-Agent": f"microclaw/{__version__}",
                "Accept": "text/html,application/xhtml+xml,text/plain,application/json;q=0.9,text/*;q=0.8",
                "Accept-Encoding": "identity",  # a small body could hide a huge one
            },
        )
        try:
            async with asyncio.timeout(self.total_s), client:
                return await self._follow(client, url)
        except TimeoutError as exc:
            raise _failure(url, f"did not answer within {self.total_s:g} s", foreign=False) from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as exc:
            why = f"could not be fetched: {exc or type(exc).__name__}"
            error = error_below(exc, MicroclawError) or _failure(url, why)
            if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout):
                # TLS may quote the certificate of a host, and a redirect chooses the next host's name.
                error.foreign = exc.request.url != httpx2.URL(url) or error_below(exc, ssl.SSLError) is not None
            raise error from exc

    async def _follow(self, client: httpx2.AsyncClient, url: str) -> Page:
        for redirects in range(MAX_REDIRECTS + 1):
            if len(url) > MAX_URL_CHARS or not url.isprintable() or not _URL.fullmatch(url):
                text = f"{url[:80]!r} is no address of a page"
                raise ToolRetry(text, next_step="give an http:// or https:// URL", foreign=redirects > 0)
            async with client.stream("GET", url) as response:
                if response.next_request is None:
                    return await self._read(response)
                url = str(response.next_request.url)
        raise _failure(url, f"is behind more than {MAX_REDIRECTS} redirects")

    async def _read(self, response: httpx2.Response) -> Page:
        url = str(response.url.copy_with(fragment=None))
        if response.status_code != 200:
            raise _failure(url, f"answered {response.status_code}")
        declared = response.headers.get("content-type", "")
        media_type = declared.partition(";")[0].strip().lower() or "text/plain"
        if not re.fullmatch(r"text/.*|application/.*(json|xml)", media_type):
            raise _failure(url, f"is {media_type[:60]}, not text")
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise _failure(url, f"came compressed ({encoding[:20]}), which was not asked for")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self.body_bytes:
                break
        raw = bytes(body[: self.body_bytes])
        if b"\0" in raw[:1024] and "utf-16" not in declared.lower():
            raise _failure(url, "says that it is text and is not")
        text = await asyncio.to_thread(_text, response.charset_encoding, raw)
        return Page(url, media_type, text, len(body) > len(raw))


def _failure(url: str, why: str, foreign: bool | None = None) -> ToolFailed:
    return ToolFailed(f"{url[:200]} {why}", next_step="try another page", foreign=foreign)


def _text(named: str | None, raw: bytes) -> str:
    """The page's text in the encoding that its head or the page itself names."""
    meta = _META.search(raw[:2048])
    name = named or (meta[1].decode() if meta else "utf-8")
    # In pieces: Python does nothing else while it decodes one.
    decoder = codecs.getincrementaldecoder(_encoding(name))("replace")
    pieces = [decoder.decode(raw[begin : begin + _PIECE_BYTES]) for begin in range(0, len(raw), _PIECE_BYTES)]
    return "".join([*pieces, decoder.decode(b"", final=True)])


def _encoding(name: str) -> str:
    """Return Python's name of an encoding, and utf-8 for one that pages do not have."""
    try:
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        return "utf-8"
    return encoding if encoding in _ENCODINGS else "utf-8"
