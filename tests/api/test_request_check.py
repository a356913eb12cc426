"""The guard in front of an app: slow bodies and hang-ups."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from microclaw.api.failures import DRAIN_BYTES, AnswersInForm
from microclaw.api.request_check import with_body


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def call(guard: AnswersInForm, messages: list[Message]) -> tuple[int, bytes]:
    """Send the messages, then nothing more."""
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
    async with asyncio.timeout(60):
        await guard(scope, receive, send)
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


async def test_body_in_pieces_reaches_the_app_whole() -> None:
    guard = AnswersInForm(with_body(echo, 10, 5))
    pieces: list[Message] = [
        {"type": "http.request", "body": b"abc", "more_body": True},
        {"type": "http.request", "body": b"def", "more_body": False},
    ]
    assert await call(guard, pieces) == (200, b"abcdef")


async def test_body_that_does_not_come_is_given_up() -> None:
    guard = AnswersInForm(with_body(echo, 10, 0.02))
    status, body = await call(guard, [{"type": "http.request", "body": b"a", "more_body": True}])
    assert status == 408
    assert json.loads(body)["error"]["code"] == "timeout"


async def test_peer_that_hangs_up_in_its_body_does_not_reach_the_app() -> None:
    guard = AnswersInForm(with_body(echo, 10, 5))
    status, _ = await call(guard, [{"type": "http.disconnect"}])
    assert status == 400


async def test_pieces_that_add_up_over_the_limit_are_refused() -> None:
    guard = AnswersInForm(with_body(echo, 4, 5))
    pieces: list[Message] = [{"type": "http.request", "body": b"abc", "more_body": True} for _ in range(2)]
    assert (await call(guard, pieces))[0] == 413


async def test_what_a_refused_client_still_sends_is_read_before_the_connection_ends() -> None:
    guard = AnswersInForm(with_body(echo, 4, 5))
    pieces: list[Message] = [
        {"type": "http.request", "body": b"x" * 65_536, "more_body": number < 19} for number in range(20)
    ]
    status, body = await call(guard, pieces)
    assert (status, json.loads(body)["error"]["code"]) == (413, "too_large")
    assert pieces == []


async def test_a_client_that_never_stops_is_cut_off() -> None:
    guard = AnswersInForm(with_body(echo, 4, 5))
    piece = b"x" * 65_536
    pieces: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for _ in range(2 * DRAIN_BYTES // len(piece))
    ]
    assert (await call(guard, pieces))[0] == 413
    assert len(pieces) > 0.9 * DRAIN_BYTES / len(piece)
