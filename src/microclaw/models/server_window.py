"""Asks a local model server how many tokens its model takes at once. It changes nothing and asks nothing of the model.

Sources: llama.cpp `GET /props`, Ollama `POST /api/ps` and `/api/show`, LM Studio `GET /api/v0/models`, vLLM
`GET /v1/models` (each server's own documentation of its API). What a server loaded counts before what a model could.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw.addresses import is_local
from microclaw.config.settings import Settings
from microclaw.errors import ModelError
from microclaw.findings import Finding, problem

ANSWER_S: Final = 5.0
_MAX_BYTES: Final = 1 << 20
_TOLD: Final = (("/props", "n_ctx"), ("/api/v0/models", "loaded_context_length"), ("/api/ps", "context_length"))
_OLLAMA_SET: Final = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)
_MIN_WINDOW, _MAX_WINDOW = 256, 100_000_000


def window_findings(settings: Settings) -> Iterator[Finding]:
    """Of each model server at home: only they load a model with a window of their own choice. Blocking."""
    wanted = settings.agent.context_tokens
    for choice in filter(None, (settings.model.main, *settings.model.fallbacks)):
        if choice.provider != "openai" or not is_local(choice.base_url):
            continue
        try:
            window = asyncio.run(window_of(choice.base_url or "", choice.name, api_key=choice.api_key))
        except ModelError as exc:
            yield problem("model", exc.message, exc.next_step)
            continue
        name = choice.name or "its first model"
        if window is None:
            yield Finding("model", True, f"{name}: its server does not say how large its context is")
            continue
        text = f"{name} takes {window:,} tokens, and agent.context_tokens is {wanted:,}"
        step = f"load it with a larger one, or: microclaw config set agent.context_tokens {window}"
        yield problem("model", text, step) if window < wanted else Finding("model", True, text)


async def window_of(base_url: str, model: str | None = None, *, api_key: str | None = None) -> int | None:
    """The window of a server's model in tokens, of its first one without a name; None when the server does not say.

    Raises ModelError when nobody answers there.
    """
    import httpx2

    from microclaw.models.bounded_http import bounded_client

    parts = urlsplit(base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with bounded_client(_MAX_BYTES, base_url=base_url) as client:

        async def ask(method: str, url: str, body: Any = None) -> dict[str, Any]:
            """The object that it answers; an empty one for any other answer."""
            try:
                answer = await client.request(method, url, json=body, headers=headers, timeout=ANSWER_S)
                return _object(answer.json() if answer.status_code == 200 else None)
            except (ValueError, RecursionError):
                return {}

        try:
            models = await ask("GET", f"{base_url.rstrip('/')}/models")
            name = model or next((str(row["id"]) for row in _rows(models) if "id" in row), None)
            for place, key in _TOLD:
                if (window := _whole(await ask("GET", f"{root}{place}"), key, name)) is not None:
                    return window
            shown = await ask("POST", f"{root}/api/show", {"model": name}) if name else {}
            # What Ollama's file sets. The most that a model could take says nothing: it is loaded with less.
            found = _OLLAMA_SET.search(str(shown.get("parameters")))
            return int(found[1]) if found else _whole(models, "max_model_len", name)
        except httpx2.HTTPError as exc:
            raise ModelError(
                f"nobody answers at {root}: {exc or type(exc).__name__}",
                next_step="start the model server, or correct OPENAI_BASE_URL",
                fault="unreachable",
            ) from exc


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = document.get("data") or document.get("models")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _whole(document: dict[str, Any], key: str, name: str | None) -> int | None:
    """The window below this key: of the server's settings, of the whole, or of the model's row in a list."""
    rows = [row for row in _rows(document) if name in (None, row.get("id"), row.get("name"), row.get("model"))]
    for row in (_object(document.get("default_generation_settings")), document, *rows):
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and _MIN_WINDOW <= value <= _MAX_WINDOW:
            return value
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
