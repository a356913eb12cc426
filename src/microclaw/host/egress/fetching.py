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
from microclaw.errors import MicroclawError, ToolFailed, ToolRetry, error_below
from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.tables import read_table

if TYPE_CHECKING:
    import httpx2

MAX_URL_CHARS: Final = 2048
MAX_REDIRECTS: Final = 5
# Without a user name before the host.
_URL: Final = re.compile(r"https?://[^/?#@\\\s]+(?:[/?#][^\\\s]*)?", re.IGNORECASE)
_ENCODINGS: Final = frozenset(read_table(__package__, "pages")["encodings"].split())
_PIECE_BYTES: Final = 64 << 10
_META: Final = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


class Page(Struct, frozen=True):
    """A page as text. `url` is the address after the redirects; `cut`: the page was longer than the limit."""

    url: str
    media_type: str
    text: str
    cut: bool


@dataclass(frozen=True)
class Fetcher:
    """Fetches pages; each connection goes to the address that was checked, even if the name changes its address."""

    egress: Egress
    _: KW_ONLY
    proxy: str | None = None
    body_bytes: int = 1 << 20
    total_s: float = 20.0
    tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> Page:
        """Fetch a page, redirects included.

        Raises ToolRetry for text that is not a URL, PermissionRefused for a private address, otherwise ToolFailed. An
        error before the first answer is not `foreign`: it holds no text of others.
        """
        import httpx2

        from microclaw.host.egress.http_door import http_client

        client = http_client(
            Purpose.WEB,
            egress=self.egress,
            proxy=self.proxy,
            verify=self.tls or True,
            timeout=self.total_s,
            headers={
                "User-Agent": f"microclaw/{__version__}",
                "Accept": "text/html,application/xhtml+xml,text/plain,application/json;q=0.9,text/*;q=0.8",
                # A small compressed body could become a huge one.
                "Accept-Encoding": "identity",
            },
        )
        try:
            async with asyncio.timeout(self.total_s), client:
                return await self._follow(client, url)
        except TimeoutError as exc:
            raise _failure(url, f"did not answer within {self.total_s:g} s", foreign=False) from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as exc:
            reason = f"could not be fetched: {exc or type(exc).__name__}"
            error = error_below(exc, MicroclawError) or _failure(url, reason)
            if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout):
                # TLS may quote the certificate of a host, and a redirect chooses the next host's name.
                error.foreign = exc.request.url != httpx2.URL(url) or error_below(exc, ssl.SSLError) is not None
            raise error from exc

    async def _follow(self, client: httpx2.AsyncClient, url: str) -> Page:
        for redirects in range(MAX_REDIRECTS + 1):
            if len(url) > MAX_URL_CHARS or not url.isprintable() or not _URL.fullmatch(url):
                text = f"{url[:80]!r} is not the address of a page"
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
            raise _failure(url, f"came compressed ({encoding[:20]}), which was not requested")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self.body_bytes:
                break
        raw = bytes(body[: self.body_bytes])
        if b"\0" in raw[:1024] and "utf-16" not in declared.lower():
            raise _failure(url, "is declared as text and is not text")
        text = await asyncio.to_thread(_text, response.charset_encoding, raw)
        return Page(url, media_type, text, len(body) > len(raw))


def _failure(url: str, reason: str, foreign: bool | None = None) -> ToolFailed:
    return ToolFailed(f"{url[:200]} {reason}", next_step="try another page", foreign=foreign)


def _text(header_encoding: str | None, raw: bytes) -> str:
    """Decode a page by the encoding in its header, else by the encoding that the page names, else as UTF-8."""
    meta = _META.search(raw[:2048])
    name = "utf-8"
    if header_encoding:
        name = header_encoding
    elif meta:
        name = meta[1].decode()
    # In pieces: Python does nothing else while it decodes one.
    decoder = codecs.getincrementaldecoder(_encoding(name))("replace")
    pieces = [decoder.decode(raw[begin : begin + _PIECE_BYTES]) for begin in range(0, len(raw), _PIECE_BYTES)]
    pieces.append(decoder.decode(b"", final=True))
    return "".join(pieces)


def _encoding(name: str) -> str:
    """Return Python's name of an encoding, or utf-8 for an encoding that pages do not use."""
    try:
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        return "utf-8"
    return encoding if encoding in _ENCODINGS else "utf-8"
