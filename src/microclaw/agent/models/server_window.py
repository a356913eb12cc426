"""Chooses the model of a server that lists several, and asks a local server how many tokens it takes at once.

It changes nothing and asks nothing of the model. Sources: llama.cpp `GET /props`, Ollama `POST /api/ps` and
`/api/show`, LM Studio `GET /api/v0/models`, vLLM `GET /v1/models`; types and capabilities as LM Studio, Ollama, Mistral
and Together list them (each server's own documentation of its API). What a server loaded counts before what a model
could.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from microclaw.addresses import is_local
from microclaw.errors import ModelError
from microclaw.findings import Finding, problem
from microclaw.host.config.settings import Settings

if TYPE_CHECKING:
    import httpx2

ANSWER_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
_TOLD: Final = (("/props", "n_ctx"), ("/api/v0/models", "loaded_context_length"), ("/api/ps", "context_length"))
_OLLAMA_SET: Final = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)
_MIN_WINDOW: Final = 256
_MAX_WINDOW: Final = 100_000_000
_CHATS: Final = re.compile(r"\b(?:llm|vlm|chat|language|completion|completion_chat|tools?|tool_use)\b")
# As types, and as parts of names.
_CHATS_NOT: Final = re.compile(
    r"embed|rerank|minilm|\bbge-|\bgte-|\be5-|whisper|transcri|tts|speech|moderation|dall-?e|image|diffusion|flux"
)


class ServedModel(Struct, frozen=True):
    """The model that a server answers with, None if it lists none; `window` in tokens, None if it does not say."""

    name: str | None
    window: int | None


def window_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each model server at home: only these choose the window of a model. Blocking."""
    needed = settings.agent.context_tokens
    for choice in filter(None, (settings.model.main, *settings.model.fallbacks)):
        if choice.provider != "openai" or not is_local(choice.base_url):
            continue
        try:
            served = asyncio.run(served_model(choice.base_url or "", choice.name, api_key=choice.api_key))
        except ModelError as exc:
            yield problem("model", exc.message, exc.next_step)
            continue
        name = served.name or "its model"
        window = served.window
        if window is None:
            yield Finding("model", ok=True, text=f"{name}: its server does not say how large its context is")
            continue
        text = f"{name} takes {window:,} tokens, and agent.context_tokens is {needed:,}"
        step = f"load it with a larger one, or: microclaw config set agent.context_tokens {window}"
        if window < needed:
            yield problem("model", text, step)
        else:
            yield Finding("model", ok=True, text=text)


def first_chat_model(rows: Iterable[dict[str, Any]]) -> str | None:
    """Return the name of a list's first model for chats; None without any."""
    return next((row["id"] for row in rows if isinstance(row.get("id"), str) and _chats(row)), None)


def _chats(row: dict[str, Any]) -> bool:
    """Return True if a model of a list can chat: by its type and capabilities if they are listed, else by name."""
    capabilities = row.get("capabilities") or ()
    if isinstance(capabilities, dict):
        capabilities = [name for name, has in capabilities.items() if has]
    words = f"{row.get('type')} {capabilities}".lower()
    if _CHATS.search(words):
        return True
    return _CHATS_NOT.search(f"{words} {row['id']}".lower()) is None


async def served_model(base_url: str, model: str | None = None, *, api_key: str | None = None) -> ServedModel:
    """Return the server's model, the first for chats if none is named, and its window.

    Raises ModelError if no server answers there.
    """
    import httpx2

    from microclaw.agent.models.bounded_http import bounded_client

    parts = urlsplit(base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    async with bounded_client(MAX_BYTES, base_url=base_url) as client:
        ask = partial(ask_server, client, api_key=api_key)
        try:
            models = await ask("GET", f"{base_url.rstrip('/')}/models")
            name = model or first_chat_model(model_rows(models))
            for place, key in _TOLD:
                window = _whole(await ask("GET", f"{root}{place}"), key, name)
                if window is not None:
                    return ServedModel(name, window)
            details: dict[str, Any] = {}
            if name:
                details = await ask("POST", f"{root}/api/show", {"model": name})
            # The window in Ollama's file counts, not the model's maximum: it is loaded with less.
            ollama_window = _OLLAMA_SET.search(str(details.get("parameters")))
            if ollama_window:
                return ServedModel(name, int(ollama_window[1]))
            return ServedModel(name, _whole(models, "max_model_len", name))
        except httpx2.HTTPError as exc:
            raise ModelError(
                f"no server answers at {root}: {exc or type(exc).__name__}",
                next_step="start the model server, or correct OPENAI_BASE_URL",
                fault="unreachable",
            ) from exc


async def ask_server(
    client: httpx2.AsyncClient, method: str, url: str, body: Any = None, *, api_key: str | None = None
) -> dict[str, Any]:
    """Return the object of a server's answer; an empty object for any other answer. Raises httpx2.HTTPError."""
    headers = {}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        answer = await client.request(method, url, json=body, headers=headers, timeout=ANSWER_S)
        if answer.status_code != 200:
            return {}
        return object_of(answer.json())
    except (ValueError, RecursionError):
        return {}


def model_rows(document: Any) -> list[dict[str, Any]]:
    """Return the models of a list: OpenAI's and Ollama's objects, or the bare array of some servers."""
    rows = document
    if isinstance(document, dict):
        rows = document.get("data") or document.get("models")
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def _whole(document: dict[str, Any], key: str, name: str | None) -> int | None:
    """Return the window below this key: in the server's settings, in the document, or in the model's row of a list."""
    rows = [row for row in model_rows(document) if name in (None, row.get("id"), row.get("name"), row.get("model"))]
    for row in (object_of(document.get("default_generation_settings")), document, *rows):
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and _MIN_WINDOW <= value <= _MAX_WINDOW:
            return value
    return None


def object_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {}
