"""Translates the errors of a provider's library to ModelError, with the kind and what to do next. It sends nothing.

A library's text is passed on only if it can hold no key; none of them holds a prompt.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from microclaw.config.load import VARIABLES
from microclaw.config.settings import Provider
from microclaw.errors import ConfigError, ModelError, ModelFault, error_below

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelHTTPError

MAX_RETRY_AFTER_S = 3600.0

# What OpenAI, vLLM and LM Studio, llama.cpp, Ollama and Anthropic say of a request that does not fit.
_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|exceed_context_size|(?:maximum|max|model's|available) context (?:length|size)"
    r"|context (?:length|size|window) (?:is |was )?(?:exceeded|overflow)|exceeds? (?:the |its )?(?:\w+ )?context"
    r"|greater than the context length|context (?:the )?overflows|prompt is too long|input is too long",
    re.IGNORECASE,
)


def translated(exc: Exception, name: str, provider: Provider) -> ModelError:
    """A provider's error with what to do next."""
    from pydantic_ai.exceptions import (
        ModelAPIError,
        ModelConnectionError,
        ModelHTTPError,
        ModelQuotaExceededError,
        ModelRequestTimeout,
        ModelTimeoutError,
        UnexpectedModelBehavior,
    )

    from microclaw.models.bounded_http import AnswerTooLarge

    fault: ModelFault
    match exc:
        case ModelQuotaExceededError():
            text, fault = f"{name}: the account has no credit left", "quota"
            step = "top it up at the provider, or name another model with MICROCLAW_MODEL"
        case ModelHTTPError():
            return _http_error(exc, name, provider)
        case ModelTimeoutError() | ModelRequestTimeout():
            text, fault = f"{name} did not answer in time", "timeout"
            step = "ask again, or choose a faster MICROCLAW_MODEL"
        case _ if (over := error_below(exc, AnswerTooLarge)) is not None:
            return unreadable(name, over)
        case _ if (refusal := error_below(exc, ConfigError)) is not None:
            text, fault = f"{name} cannot be asked: {refusal.message}", "refused"
            step = refusal.next_step or "correct the environment"
        case ModelConnectionError():
            text, fault = f"{name} cannot be reached, or the connection was cut: {first_line(exc)}", "unreachable"
            step = f"check the network, the proxy and the address ({VARIABLES[provider][1]}), then ask again"
        case _ if "without a `finish_reason`" in str(exc):  # the connection ended in order, the answer's end is missing
            return cut_off(name)
        case ModelAPIError() | UnexpectedModelBehavior():
            return unreadable(name, exc)
        case _:
            text, fault = f"{name} cannot be used: {first_line(exc)}", "refused"
            step = f"check MICROCLAW_MODEL and {VARIABLES[provider][0]}"
    return ModelError(text, next_step=step, fault=fault)


def unreadable(name: str, exc: Exception | str) -> ModelError:
    return ModelError(
        f"{name} sent an answer that cannot be read: {exc if isinstance(exc, str) else first_line(exc)}",
        next_step="check that the address is a model's API, or choose another model with MICROCLAW_MODEL",
        fault="unreadable",
    )


def cut_off(name: str) -> ModelError:
    return ModelError(
        f"{name} broke off in the middle of its answer: the connection was cut",
        next_step="ask again; if it stays so, check the network and the proxy",
        fault="unreachable",
    )


def shown_address(url: str | None) -> str:
    """An address without the password that may stand in it."""
    if url is None:
        return "the provider"
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def first_line(exc: Exception) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text.splitlines()[0][:200]


def _http_error(exc: ModelHTTPError, name: str, provider: Provider) -> ModelError:
    status = exc.status_code
    key, address = VARIABLES[provider]
    wait_s = None if exc.retry_after is None else min(max(exc.retry_after, 0.0), MAX_RETRY_AFTER_S)
    if _TOO_LONG.search(json.dumps(exc.body, default=str)):
        return ModelError(
            f"{name}: the request is longer than its context",
            next_step="load it with a larger context, or say less at once: microclaw doctor shows the window",
            fault="too_long",
        )
    wait = f"wait {wait_s:.0f} s, then ask again" if wait_s else "wait a minute, then ask again"
    elsewhere = f"name another one in MICROCLAW_MODEL, or correct {address}"
    told: tuple[str, str, ModelFault]
    match status:
        case 401 | 403:
            told = f"the key was refused ({status})", f"check {key}: microclaw setup tests it", "auth"
        case 404:
            told = "there is no model of that name at that address (404)", elsewhere, "refused"
        case 408 | 504:
            told = f"its service did not answer in time ({status})", "ask again in a minute", "timeout"
        case 429:
            told = "too many requests, or no credit left (429)", wait, "rate_limit"
        case 503 | 529:
            told = f"its service is overloaded ({status})", wait, "overloaded"
        case _ if status >= 500:
            told = f"its service failed ({status})", wait, "server"
        case _:  # its own words: the request was wrong, not the key
            what = f"refused the request ({status}): {_own_message(exc)}"
            told = what, "choose a model that can call tools with MICROCLAW_MODEL", "refused"
    what, step, fault = told
    return ModelError(f"{name}: {what}", next_step=step, fault=fault, retry_after_s=wait_s)


def _own_message(exc: ModelHTTPError) -> str:
    """The message in the usual field of the body; nothing else of the body."""
    body = exc.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(inner, dict) else None
    return str(message).strip().splitlines()[0][:200] if message else "it gave no reason"
