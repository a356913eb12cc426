"""Failures in the forms that providers document, and answers that are none.

Each is streamed as in a turn: the words are shown, the fault and the wait are those that they name.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.agent.models.asking import SECRET, anthropic, closing, openai, request
from tests.agent.models.event_streams import Events, anthropic_stream, openai_chunk, openai_stream
from tests.agent.models.model_server import anthropic_reply, openai_reply, server

from microclaw.agent.models.bounded_http import MAX_ANSWER_BYTES
from microclaw.agent.models.provider_errors import MAX_WORDS_CHARS, error_words
from microclaw.errors import ModelError

HTML = "<!DOCTYPE html><html><head><title>502 Bad Gateway &amp; more</title></head><body>nginx</body></html>"
GOOGLE_KEY = [{"error": {"code": 400, "message": "API key not valid. Please pass one.", "status": "INVALID_ARGUMENT"}}]
GOOGLE_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"}
GOOGLE_WAIT = [{"error": {"code": 429, "message": "You exceeded your current quota.", "details": [GOOGLE_INFO]}}]
MEMORY = "model requires more system memory (9.3 GiB) than is available (5.1 GiB)"
LIMIT = "Worker local total request limit reached (33/32)"
IN_STREAM = openai_chunk({"content": ""}, "error", error={"code": 502, "message": LIMIT})
WITHOUT_CODE = openai_chunk(None, error={"code": "provider_gone", "message": "Provider disconnected"})


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


async def failure(answer: tuple[int, Any], make: Any = openai, **how: Any) -> ModelError:
    """The error of a streamed request, which is sent once."""
    async with server(answer, **how) as s, closing(make(s.url)) as model:
        with pytest.raises(ModelError) as caught:
            await model.respond(request(), lambda _: None)
        assert len(s.paths) == 1
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "fault", "words", "step"),
    [
        (500, said(MEMORY, type="api_error"), "server", MEMORY, "smaller model"),
        (400, GOOGLE_KEY, "auth", "API key not valid. Please pass one.", "OPENAI_API_KEY"),
        (400, said("registry.ollama.ai/library/gemma:2b does not support tools"), "refused", "gemma:2b", "call tools"),
        (400, said('"auto" tool choice requires --enable-auto-tool-choice'), "refused", "--enable", "call tools"),
        (400, said('"nomic-embed-text" does not support chat'), "refused", "nomic", "can chat"),
        (404, said('model "qwen9" not found, try pulling it first'), "refused", "qwen9", "load it"),
        (400, {"error": "No models loaded. Please load a model"}, "refused", "No models loaded", "load it"),
        (429, said("You have no quota", code="insufficient_quota"), "quota", "no quota", "top it up"),
        (402, said("This request requires more credits", code=402), "quota", "more credits", "top it up"),
        (503, said("Loading model", type="unavailable_error", code=503), "overloaded", "Loading model", "wait"),
        (502, HTML.encode(), "server", "502 Bad Gateway & more", "wait"),
        (500, b"upstream connect error", "server", "upstream connect error", "wait"),
        (422, {"detail": "the field is required"}, "refused", "the field is required", "another"),
        (400, {"object": "error", "message": "bad role", "code": 400}, "refused", "bad role", "another"),
        (504, said("gateway"), "timeout", "gateway", "ask again"),
        (418, {}, "refused", "(418)", "another"),
        (200, said("Provider returned error", code=429, metadata={"raw": "busy upstream"}), "rate_limit",
         "Provider returned error: busy upstream", "wait"),
        (200, said("Internal error"), "server", "Internal error", "wait"),
        (200, [said("Not now", code=503)], "overloaded", "Not now", "wait"),
        (200, Events([*openai_stream("Hel")[:2], IN_STREAM]), "server", LIMIT, "wait"),
        (200, Events([WITHOUT_CODE]), "server", "Provider disconnected", "wait"),
    ],
)  # fmt: skip
async def test_a_providers_own_words_are_shown_and_choose_the_next_step(
    status: int, body: Any, fault: str, words: str, step: str
) -> None:
    error = await failure((status, body))
    assert error.fault == fault
    assert words in error.message
    assert step in str(error.next_step)


async def test_their_words_are_bounded_on_one_line_and_without_the_key() -> None:
    error = await failure((400, said(f"a\x1b[31m\nb {'x' * (MAX_WORDS_CHARS - 20)} {SECRET} {'y' * 900}")))
    assert "a b xxx" in error.message
    assert SECRET[:6] not in error.message
    assert len(error.message) < MAX_WORDS_CHARS + 60


@pytest.mark.parametrize("page", ["<title>" * 100_000 + "</title>", " " * 5000 + "<title>late</title>"])
def test_a_title_is_one_piece_of_text_in_the_head_of_a_page(page: str) -> None:
    assert error_words(page) == page


@pytest.mark.parametrize(
    ("body", "head", "wait_s"),
    [
        (said("slow down"), "retry-after: 7", 7.0),
        (said("slow down"), "retry-after-ms: 1500", 1.5),
        (GOOGLE_WAIT, "", 9.0),
        (said("Quota exceeded. Please retry in 10.25s."), "", 10.25),
        (said("Rate limit reached. Please try again in 1m2.5s. See the page."), "", 62.5),
        (said("Rate limit reached. Please try again in 120ms."), "", 0.12),
        (said("Too many. Try again in 2 minutes"), "", 120.0),
        (said("Come back in 10h17m, please retry in 10h17m5.7s."), "", 3600.0),
        (said("slow down"), "", None),
    ],
)
async def test_the_wait_that_a_provider_names_is_read(body: Any, head: str, wait_s: float | None) -> None:
    error = await failure((429, body), head=head or "connection: close")
    assert error.fault == "rate_limit"
    assert error.retry_after_s == (None if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize("place", ["header", "body"])
async def test_openrouters_time_of_reset_is_a_wait(place: str) -> None:
    reset_ms = f"{time.time() * 1000 + 60_000:.0f}"
    body = said("limit", metadata={"headers": {"X-RateLimit-Reset": reset_ms}} if place == "body" else {})
    if place == "header":
        head = f"x-ratelimit-reset: {reset_ms}"
    else:
        head = "connection: close"
    error = await failure((429, body), head=head)
    assert error.retry_after_s == pytest.approx(60, abs=30)


BIG = b" " * (10 << 20)


@pytest.mark.parametrize(
    ("answer", "kind", "fault", "words"),
    [
        ((200, anthropic_reply()), "application/json", "unreadable", "a stream was asked"),
        ((200, openai_reply("on")), "application/json", "unreadable", "a stream was asked"),
        ((200, []), "application/json", "unreadable", "a stream was asked"),
        ((200, HTML.encode()), "text/html; charset=utf-8", "unreadable", "502 Bad Gateway"),
        ((200, HTML.encode()), "application/json", "unreadable", "502 Bad Gateway"),
        ((200, b""), "application/json", "unreadable", "empty"),
        ((200, b""), "text/event-stream", "unreadable", "empty"),
        ((200, BIG), "application/json", "unreadable", f"{MAX_ANSWER_BYTES:,}"),
        ((200, Events([b": wait\n\n", BIG])), "", "unreadable", f"{MAX_ANSWER_BYTES:,}"),
        ((200, Events([b": keep-alive\n\n"] * 3)), "", "unreachable", "without an end"),
        ((307, b""), "text/html", "unreadable", "https://other.example/"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [anthropic, openai])
async def test_what_is_no_answer_is_told_in_one_line(
    make: Any, answer: tuple[int, Any], kind: str, fault: str, words: str
) -> None:
    head = "location: https://other.example/" if answer[0] == 307 else "connection: close"
    error = await failure(answer, make, kind=kind, head=head)
    assert (error.fault, "\n" in error.message) == (fault, False)
    assert words in error.message
    assert "_BASE_URL" in str(error.next_step)


@pytest.mark.filterwarnings("ignore:Failed to extract usage")  # the library's, of numbers in another form
@pytest.mark.parametrize(("make", "other"), [(anthropic, openai_stream("on")), (openai, anthropic_stream("on"))])
async def test_a_stream_of_another_providers_form_is_told(make: Any, other: list[bytes]) -> None:
    error = await failure((200, Events(other)), make)
    assert "form of" in error.message
    assert "_BASE_URL" in str(error.next_step)
