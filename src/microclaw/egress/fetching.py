"""Fetches one page of the public Internet: each address is checked, size and time are limited. Reads no HTML."""

from __future__ import annotations

import asyncio
import codecs
import logging
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from msgspec import Struct

from microclaw import __version__
from microclaw.egress.destinations import Destination, Egress, Purpose
from microclaw.egress.outgoing import Errand
from microclaw.errors import ToolFailed

if TYPE_CHECKING:
    import httpx2

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CHARSET: Final = re.compile(r"charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_NO_PAGES: Final = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})  # Python's own
_META: Final = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


class FetchLimits(Struct, frozen=True):
    body_bytes: int = 1 << 20
    total_s: float = 20.0
    redirects: int = 5


class Page(Struct, frozen=True):
    """`url` is the address after the redirects; `cut` says that the page was longer than the limit."""

    url: str
    media_type: str
    text: str
    cut: bool


class Fetcher:
    """`fetch` connects to the very address that was checked, even if the name has another one a moment later."""

    def __init__(
        self,
        egress: Egress,
        *,
        proxy: str | None = None,
        limits: FetchLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs addresses, with a person's words in them
        self._egress = egress
        self._proxy = proxy
        self._limits = limits or FetchLimits()
        self._tls = tls

    async def fetch(self, url: str) -> Page:
        """Raises ToolRetry for text that is not a URL, PermissionRefused for a private address, else ToolFailed."""
        import httpx2

        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._follow(url)
        except TimeoutError as exc:
            text = f"{url[:200]} did not answer within {self._limits.total_s:g} s"
            raise ToolFailed(text, next_step="try another page") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as exc:
            raise ToolFailed(f"{url[:200]} could not be fetched: {exc or type(exc).__name__}") from exc

    async def _follow(self, url: str) -> Page:
        for _ in range(self._limits.redirects + 1):
            destination = await self._egress.destination(url)
            found = await self._get(destination)
            if isinstance(found, Page):
                return found
            try:
                url = urljoin(destination.url, found)
            except ValueError as exc:
                text = f"{destination.url[:200]} leads to {found[:80]!r}, which is no address: {exc}"
                raise ToolFailed(text, next_step="try another page") from exc
        raise ToolFailed(f"{url[:200]}: more than {self._limits.redirects} redirects", next_step="try another page")

    async def _get(self, destination: Destination) -> Page | str:
        """The page, or the address that it redirects to."""
        from microclaw.egress.http_door import http_client

        client = http_client(
            Errand(Purpose.WEB),
            egress=self._egress,
            proxy=self._proxy,
            environment=False,  # the environment's proxy and .netrc are not for addresses of others
            verify=self._tls if self._tls is not None else True,
            timeout=self._limits.total_s,
        )
        headers = {
            "Host": destination.host_header,
            "User-Agent": f"microclaw/{__version__}",
            "Accept": "text/html,application/xhtml+xml,text/plain,application/json;q=0.9,text/*;q=0.8",
            "Accept-Encoding": "identity",  # a small body could hide a huge one
        }
        async with (
            client,
            client.stream(
                "GET", destination.pinned_url, headers=headers, extensions={"sni_hostname": destination.host}
            ) as response,
        ):
            location = response.headers.get("location")
            if response.status_code in _REDIRECTS and location:
                return location
            if response.status_code != 200:
                raise ToolFailed(
                    f"{destination.url[:200]} answered {response.status_code}", next_step="try another page"
                )
            return await self._read(destination, response)

    async def _read(self, destination: Destination, response: httpx2.Response) -> Page:
        declared = response.headers.get("content-type", "")
        media_type = declared.partition(";")[0].strip().lower() or "text/plain"
        if not _is_text(media_type):
            raise ToolFailed(f"{destination.url[:200]} is {media_type[:60]}, not text", next_step="try another page")
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise ToolFailed(f"{destination.url[:200]} came compressed ({encoding[:20]}), which was not asked for")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self._limits.body_bytes:
                break
        cut = len(body) > self._limits.body_bytes
        raw = bytes(body[: self._limits.body_bytes])
        if b"\0" in raw[:1024] and "utf-16" not in declared.lower():
            raise ToolFailed(f"{destination.url[:200]} says that it is text and is not", next_step="try another page")
        return Page(destination.url, media_type, raw.decode(_charset(declared, raw), errors="replace"), cut)


def _is_text(media_type: str) -> bool:
    if media_type.startswith("text/"):
        return True
    return media_type.startswith("application/") and media_type.endswith(("json", "xml"))


def _charset(declared: str, raw: bytes) -> str:
    named = _CHARSET.search(declared)
    meta = _META.search(raw[:2048])
    name = named[1] if named else meta[1].decode() if meta else "utf-8"
    try:
        found = codecs.lookup(name)
    except LookupError:
        return "utf-8"
    usable = found._is_text_encoding and found.name.replace("-", "_") not in _NO_PAGES
    return found.name if usable else "utf-8"
