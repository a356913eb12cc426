"""Translates the errors of a provider's library to ModelError: the provider's own words, their kind, the next step.

It sends nothing. Of a body only the usual fields of a message are passed on, without the key and on one line.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from microclaw.clock import now_ms
from microclaw.errors import ConfigError, ModelError, ModelFault, error_below
from microclaw.host.config.load import VARIABLES
from microclaw.host.config.settings import Provider
from microclaw.text import clean_text

MAX_RETRY_AFTER_S: Final = 3600.0
# The longest part of a provider's message.
MAX_WORDS_CHARS: Final = 500
# A shorter text is not a secret and may be part of normal words.
MIN_KEY_CHARS: Final = 8
_NAMES: Final[dict[Provider, str]] = {"anthropic": "Anthropic", "google": "Gemini", "openai": "OpenAI"}


class _Failure(NamedTuple):
    """A kind of failure; in `step`, `{key}` and `{address}` are the variables of the provider."""

    text: str
    fault: ModelFault
    step: str


_ANOTHER: Final = "choose another model: microclaw config set model.name NAME"
_A_MINUTE: Final = "wait a minute, then ask again"
_TOO_LONG: Final = _Failure(
    "the request is longer than its context",
    "too_long",
    "load it with a larger context, or say less at once: microclaw doctor shows the window",
)
_KEY: Final = _Failure("the key was refused", "auth", "check {key}: microclaw setup tests it")
_TIMEOUT: Final = _Failure("did not answer in time", "timeout", f"ask again, or {_ANOTHER}")
_SERVER: Final = _Failure("its service failed", "server", _A_MINUTE)
# By the names of pydantic-ai's classes, which takes a second to import.
_FAILURES: Final = {
    "ModelTimeoutError": _TIMEOUT,
    "ModelRequestTimeout": _TIMEOUT,
    "ModelConnectionError": _Failure(
        "cannot be reached, or the connection was cut",
        "unreachable",
        "check the network, the proxy and {address}: microclaw doctor",
    ),
    "ModelContextWindowExceededError": _TOO_LONG,
    "ModelAuthenticationError": _KEY,
    "ModelQuotaExceededError": _Failure(
        "the account has no credit left", "quota", f"top it up at the provider, or {_ANOTHER}"
    ),
    "ModelRateLimitError": _Failure("too many requests", "rate_limit", _A_MINUTE),
    "ModelUnavailableError": _Failure("its service is overloaded", "overloaded", _A_MINUTE),
    "ModelOverloadedError": _Failure("its service is overloaded", "overloaded", _A_MINUTE),
    "ModelServerError": _SERVER,
    "ModelNotFoundError": _Failure(
        "there is no such model at that address", "refused", f"{_ANOTHER}; or correct {{address}}"
    ),
    "ModelRequestRejectedError": _Failure("refused the request", "refused", _ANOTHER),
    "ModelHTTPError": _Failure("refused the request", "refused", _ANOTHER),
    "UserError": _Failure("cannot be used", "refused", f"check {{key}}, or {_ANOTHER}"),
}
# What OpenAI, vLLM and LM Studio, llama.cpp, Ollama, Anthropic and Google say; the first pattern that fits counts.
_FAILURE_BY_WORDS: Final = (
    (r"context_length_exceeded|exceed_context_size|(?:maximum|max|model's|available) context (?:length|size)"
     r"|context (?:length|size|window) (?:is |was )?(?:exceeded|overflow)|exceeds? (?:the |its )?(?:\w+ )?context"
     r"|greater than the context length|context (?:the )?overflows|prompt is too long|input is too long", _TOO_LONG),
    (r"api[ _-]?key not valid|(?:invalid|incorrect|missing|no|wrong) (?:x-)?api[ _-]?key", _KEY),
)  # fmt: skip
_STEP_BY_WORDS: Final = (
    (r"(?:more|out of|not enough|insufficient|v?ram) (?:\w+ )?(?:memory|resources)",
     "choose a smaller model: microclaw config set model.name NAME"),
    (r"not support (?:\w+ )?(?:tool|function)|tools? (?:\w+ )*not supported|support tool use|tool.?choice|--jinja",
     "choose a model that can call tools: microclaw config set model.name NAME"),
    (r"not support (?:\w+ )?chat", "choose a model that can chat: microclaw config set model.name NAME"),
    (r"model\b.{0,80}(?:not found|not exist|not loaded|not a valid)|no models? loaded|unknown model",
     f"load it there, or {_ANOTHER}"),
    (r"quota|(?:insufficient|more|out of|not enough) credit|billing|balance|payment",
     f"top it up at the provider, or {_ANOTHER}"),
)  # fmt: skip
_WAIT: Final = re.compile(
    r'(?:retrydelay"?\W+|(?:retry|try again) (?:in|after) (?:about )?)'
    r"((?:\d+(?:\.\d+)?\s*(?:ms|milli|h|m|s)[a-z]*[,\s]*)+)",
    re.IGNORECASE,
)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|h|m|s)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# OpenRouter's header, in ms since 1970.
_RESET_MS: Final = re.compile(r'x-ratelimit-reset"?\W+(\d{13})\b', re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^<>]*>([^<>]*)</title", re.IGNORECASE)
# The part of a page in which its title is searched.
_MAX_HEAD_CHARS: Final = 4096


def translated(exc: Exception, name: str, provider: Provider, key: str | None = None) -> ModelError:
    """Return a provider's error in its own words, with what to do next. `key` is removed from it."""
    from microclaw.agent.models.bounded_http import UnreadableAnswer

    refusal = error_below(exc, ConfigError)
    if refusal is not None:
        return ModelError(f"{name} cannot be asked: {refusal.message}", next_step=refusal.next_step, fault="refused")
    strange = error_below(exc, UnreadableAnswer)
    if strange is not None:
        return _unreadable(name, cleaned(str(strange), key), provider)
    if "Streamed response ended without" in str(exc):
        # It has no finish_reason, or no event, although the connection ended normally.
        return cut_off(name, provider)
    body = getattr(exc, "body", None)
    if body is None:
        text = str(exc)
    else:
        text = error_words(body)
    words = cleaned(text, key)
    failure = _failure_of(exc, words)
    if failure is None:
        return _unreadable(name, f"it is not in the form of {_NAMES[provider]}'s API", provider)
    wait_s = _wait_s(exc)
    step = failure.step.format(key=VARIABLES[provider][0], address=VARIABLES[provider][1])
    if wait_s is not None and failure.fault != "auth":
        step = f"wait {wait_s:.0f} s, then ask again"
    status = getattr(exc, "status_code", None)
    if status is None:
        what = failure.text
    else:
        what = f"{failure.text} ({status})"
    message = ": ".join(filter(None, (name, what, words)))
    return ModelError(message, next_step=step, fault=failure.fault, retry_after_s=wait_s)


def cut_off(name: str, provider: Provider) -> ModelError:
    return ModelError(
        f"{name} sent an answer without an end: cut off, or not in the form of {_NAMES[provider]}'s API",
        next_step=f"ask again; if it stays so, check the network, the proxy and {VARIABLES[provider][1]}",
        fault="unreachable",
    )


def shown_address(url: str | None) -> str:
    """Return an address without its password and query."""
    if url is None:
        return "the provider"
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def cleaned(text: str, key: str | None) -> str:
    """Return a provider's text on one line of at most MAX_WORDS_CHARS, without the key."""
    if key is not None and len(key) >= MIN_KEY_CHARS:
        text = text.replace(key, "(the key)")
    return clean_text(text, one_line=True, limit=MAX_WORDS_CHARS)


def error_words(body: object) -> str:
    """Return the message of an error's body: its usual fields, the title of a page, or the text; "" without any."""
    error = reported_error(body) or body
    if isinstance(error, dict):
        # OpenRouter's field; `raw` is the message of the provider behind it.
        metadata = error.get("metadata")
        if isinstance(metadata, dict):
            raw = metadata.get("raw")
        else:
            raw = None
        messages = (error.get("message"), error.get("detail"), raw)
        return ": ".join(message for message in messages if isinstance(message, str))
    text = error if isinstance(error, str) else ""
    title = _TITLE.search(text[:_MAX_HEAD_CHARS])
    if title is None:
        return text
    return unescape(title[1])


def reported_error(body: object) -> Any:
    """Return what stands under "error" in a body, also in a list of one as Google sends it; None without it."""
    if isinstance(body, list) and body:
        document = body[0]
    else:
        document = body
    if isinstance(document, dict):
        return document.get("error") or None
    return None


def _unreadable(name: str, why: str, provider: Provider) -> ModelError:
    return ModelError(
        f"{name} sent an answer that cannot be read: {why}",
        next_step=f"correct {VARIABLES[provider][1]} or model.provider: microclaw setup",
        fault="unreadable",
    )


def _failure_of(exc: Exception, words: str) -> _Failure | None:
    """Return the failure by the words, the status or code; None if it is not an error of a provider."""
    kinds = (_FAILURES.get(kind.__name__) for kind in type(exc).__mro__)
    failure = next((kind for kind in kinds if kind is not None), None)
    if getattr(exc, "status_code", None) in (408, 504):
        failure = _TIMEOUT
    elif failure is None and getattr(exc, "in_stream", False):
        failure = _SERVER
    if failure is None:
        return None
    for pattern, named_failure in _FAILURE_BY_WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return named_failure
    for pattern, step in _STEP_BY_WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return failure._replace(step=step)
    return failure


def _wait_s(exc: Exception) -> float | None:
    """Return how long the provider asks to wait, by a header or by its body; None if it does not say.

    Sources: RFC 9110 (Retry-After), Google's RetryInfo, OpenAI's "try again in 1.2s", OpenRouter's X-RateLimit-Reset.
    """
    wait_s: float | None = getattr(exc, "retry_after", None)
    text = json.dumps([getattr(exc, "headers", None), getattr(exc, "body", None)], default=str)
    wait = _WAIT.search(text)
    reset = _RESET_MS.search(text)
    if wait_s is None and wait is not None:
        wait_s = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _DURATION.findall(wait[1]))
    elif wait_s is None and reset is not None:
        wait_s = (int(reset[1]) - now_ms()) / 1000
    if wait_s is None:
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
