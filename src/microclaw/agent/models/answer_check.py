"""Checks a provider's answer before its library reads it: an error in a 200, a page, or JSON instead of a stream.

The libraries read each 200 as an answer, and find no events or no fields in these. It sends nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

import httpx2

from microclaw.agent.models.bounded_http import UnreadableAnswer
from microclaw.agent.models.provider_errors import error_words, reported_error, shown_address

_JSON: Final = "application/json"
_PAGE: Final = "text/html"
# For an error in a 200 that has no code: the error may be temporary.
_NO_CODE: Final = 502


async def check_answer(response: httpx2.Response) -> None:
    """Give an error in a 200 the status that it names. Raises UnreadableAnswer if it is not an answer of the API.

    It is called with each answer's head and does not read a stream of events.
    """
    if response.is_redirect:
        place = shown_address(response.headers.get("location", "another address"))
        raise UnreadableAnswer(f"it redirects to {place}", request=response.request)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_empty = response.headers.get("content-length") == "0"
    if response.status_code >= 400 or not (is_empty or kind in (_JSON, _PAGE)):
        return
    body = await response.aread()
    document = _parsed(body)
    error = reported_error(document)
    if error is not None:
        response.status_code = _status_of(error)
    elif document is None:
        raise UnreadableAnswer(_described(body), request=response.request)
    elif _asks_for_stream(response.request):
        raise UnreadableAnswer("it is one JSON text where a stream was asked for", request=response.request)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _status_of(error: object) -> int:
    if not isinstance(error, dict):
        return _NO_CODE
    digits = str(error.get("code"))
    is_number = digits.isascii() and digits.isdigit()
    if is_number and 400 <= int(digits) < 600:
        return int(digits)
    return _NO_CODE


def _described(body: bytes) -> str:
    if not body.strip():
        return "it is empty"
    words = error_words(body.decode(errors="replace"))
    return f"it is a page or text, not JSON: {words[:200]}"


def _asks_for_stream(request: httpx2.Request) -> bool:
    """Return True if the request asks for a stream; only requests of models do."""
    body = _parsed(request.content)
    return isinstance(body, dict) and body.get("stream") is True
