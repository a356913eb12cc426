"""Whether a key works: one real request to its service, and what came back in a line. It stores nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from microclaw.config import SearchSettings, TelegramSettings
from microclaw.errors import MicroclawError, ToolFailed
from microclaw.text import clean_text

PROBE_S: Final = 15.0
ANTHROPIC_VERSION: Final = "2023-06-01"  # docs.claude.com: the header every request carries
ADDRESSES: Final = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


@dataclass(frozen=True, slots=True)
class Probe:
    """`works` None: nobody answered, so nobody knows."""

    works: bool | None
    text: str


async def probe_model(provider: str, key: str | None, base_url: str | None, proxy: str | None) -> Probe:
    """Ask a provider which models there are: it costs nothing, and needs the key."""
    address = (base_url or ADDRESSES[provider]).rstrip("/")
    if provider == "anthropic":
        url, headers = f"{address}/v1/models", {"x-api-key": key or "", "anthropic-version": ANTHROPIC_VERSION}
    else:
        url, headers = f"{address}/models", {"Authorization": f"Bearer {key}"} if key else {}
    found = await _models(url, headers, proxy)
    return Probe(found.works, found.text.replace(key, "...") if key else found.text)  # a server may say it back


async def probe_telegram(settings: TelegramSettings, proxy: str | None) -> Probe:
    from microclaw.channels.telegram.api import BotApi, TelegramError, TelegramUnreachable

    try:
        async with BotApi.opened(settings, proxy=proxy) as api:
            me = await api.call("getMe")
    except TelegramError as exc:
        if exc.status in (401, 404):
            return Probe(False, f"Telegram does not know this token ({exc.status} {exc.description})")
        return Probe(None, f"Telegram answered {exc.status} {exc.description}")
    except TelegramUnreachable as exc:
        return Probe(None, f"Telegram cannot be reached: {exc.message}")
    name = me.get("username") if isinstance(me, dict) else None
    return Probe(True, f"it is the bot @{name}") if name else Probe(None, "the answer names no bot")


async def probe_search(settings: SearchSettings, proxy: str | None) -> Probe:
    from microclaw.tools.search_engines import search_engine

    try:
        hits = await search_engine(settings, proxy=proxy).search("ESP32", 1)
    except ToolFailed as exc:
        refused = any(f"answered {status}" in exc.message for status in (401, 403, 422))
        return Probe(False if refused else None, exc.message)
    except MicroclawError as exc:
        return Probe(None, exc.message)
    return Probe(True, f"it found {len(hits)} page" if hits else "it answers, and found nothing")


async def _models(url: str, headers: dict[str, str], proxy: str | None) -> Probe:
    import httpx2

    from microclaw.models.bounded_http import bounded_client

    try:
        async with bounded_client(proxy=proxy, base_url=url) as client:
            answer = await client.get(url, headers=headers, timeout=PROBE_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        return Probe(None, f"no answer from {_host(url)}: {exc or type(exc).__name__}")
    if answer.status_code in (401, 403):
        return Probe(False, f"refused: {answer.status_code} {_said(answer.content)}".rstrip())
    if answer.status_code != 200:
        return Probe(None, f"{_host(url)} answered {answer.status_code} {_said(answer.content)}".rstrip())
    names = [row["id"] for row in _rows(answer.content) if isinstance(row.get("id"), str)]
    if not names:
        return Probe(None, f"{_host(url)} answered without a list of models: is this its address?")
    count = "1 model" if len(names) == 1 else f"{len(names)} models"
    return Probe(True, f"{count}, such as {names[0][:60]}")


def _host(url: str) -> str:
    from microclaw.models.provider_errors import shown_address

    return shown_address(url)


def _rows(content: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(content)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _said(content: bytes) -> str:
    """The error's own words, where it has some: both providers put them into error.message."""
    try:
        message = json.loads(content)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return clean_text(str(message), one_line=True, limit=120)
