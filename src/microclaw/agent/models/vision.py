"""Whether a model of an OpenAI-compatible server takes pictures. It sends none.

A server that does not say it gets none: a text-only model's server refuses the whole request. Sources: Ollama
`POST /api/show` (capabilities), llama.cpp `GET /props` (modalities), LM Studio `GET /api/v0/models` (type), OpenRouter
and Mistral `GET /v1/models` (architecture.input_modalities; capabilities): each server's documentation of its API.
Google's server for Gemini does not say it, but its documentation does: https://ai.google.dev/gemini-api/docs/openai
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw.agent.models.server_window import ANSWER_S, MAX_BYTES, ask_server, model_rows, object_of

_TEXT_ONLY: Final = re.compile(r"gpt-3|gpt-4(?:-\d{4}|-32k|$)|o1-(?:mini|preview)|o3-mini|audio|search")
"""OpenAI's own models for chats that take no pictures, by their names; all others take them."""
_GOOGLE_HOST: Final = "generativelanguage.googleapis.com"
_SEES: Final = re.compile(r"\b(?:vision|image|vlm)\b")


def openai_sees(name: str) -> bool:
    """Return True if a model of OpenAI itself takes pictures."""
    return _TEXT_ONLY.search(name) is None


async def server_sees(base_url: str, name: str, *, api_key: str | None = None, proxy: str | None = None) -> bool:
    """Return True if the server says that its model takes pictures; False if it does not say it, or does not answer."""
    import httpx2

    from microclaw.agent.models.bounded_http import bounded_client

    parts = urlsplit(base_url)
    if parts.hostname == _GOOGLE_HOST and "gemini" in name:
        return True
    root = f"{parts.scheme}://{parts.netloc}"
    places = (
        ("GET", f"{base_url.rstrip('/')}/models", None),
        ("GET", f"{root}/props", None),
        ("GET", f"{root}/api/v0/models", None),
        ("POST", f"{root}/api/show", {"model": name}),
    )
    client = bounded_client(MAX_BYTES, proxy=proxy, base_url=base_url)
    try:
        async with client, asyncio.timeout(ANSWER_S):
            for method, url, body in places:
                document = await ask_server(client, method, url, body, api_key=api_key)
                if any(_says_vision(facts) for facts in _facts_of(document, name)):
                    return True
    except (httpx2.HTTPError, TimeoutError):
        # The request itself will say what is wrong with the server.
        return False
    return False


def _facts_of(document: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield what the document says of the model: itself, if it is no list, else the model's row."""
    rows = model_rows(document)
    if not rows:
        yield document
    for row in rows:
        if name in (row.get("id"), row.get("name"), row.get("model")):
            yield row


def _says_vision(facts: dict[str, Any]) -> bool:
    architecture = object_of(facts.get("architecture"))
    words = [str(facts.get("type")), *_names(facts.get("capabilities")), *_names(facts.get("modalities"))]
    words += _names(architecture.get("input_modalities"))
    return _SEES.search(" ".join(words).lower()) is not None


def _names(value: Any) -> list[str]:
    """Return the names of a list, or those that are true in an object."""
    if isinstance(value, dict):
        return [str(name) for name, has in value.items() if has is True]
    if isinstance(value, list):
        return [str(name) for name in value]
    return []
