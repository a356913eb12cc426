"""A request goes on for as long as the token or session that it came in with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Message

from microclaw.api.caller import CALLER_KEY, CHANNEL, Caller
from microclaw.api.credential_end import EndsWithCredential, has_ended
from microclaw.api.jobs import MEDIA_TYPE
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import Person
from microclaw.auth.tokens import TokenWatch
from microclaw.errors import PermissionRefused
from microclaw.wire.host_api import Failure, decode_event

TOKEN = "t-1"


@dataclass
class Door:
    """What is behind it is `app`; `end` removes the token."""

    role: str = "guest"
    watches: list[TokenWatch] = field(default_factory=list)
    approvals: Approvals = field(default_factory=lambda: Approvals(timeout_s=60))
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)

    @asynccontextmanager
    async def watching(self, token_id: str | None) -> AsyncGenerator[TokenWatch]:
        watch, role = TokenWatch(token_id), self.role
        watch.is_good = lambda: self.role == role
        self.watches.append(watch)
        self.watched.set()
        yield watch

    def get(self, person_id: str) -> Person | None:
        return Person(person_id, "gus", self.role)  # type: ignore[arg-type]  # the test's own roles

    async def ask(self, app: ASGIApp, method: str, act: Callable[[], object]) -> list[Message]:
        """What is sent to a client that stays; `act` is done once the request is watched."""
        door = EndsWithCredential(app, self.watching, self, self.approvals)
        read = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if not read:
                await asyncio.Event().wait()
            return read.pop()

        async def send(message: Message) -> None:
            self.sent.append(message)

        caller = Caller("p-gus", direct=False, source=TOKEN)
        scope = {"type": "http", "method": method, "path": "/v1/x", "headers": [], "query_string": b""}
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(door({**scope, CALLER_KEY: caller}, receive, send))
            await self.watched.wait()
            act()
        return self.sent

    def end(self) -> None:
        for watch in self.watches:
            watch.end()


def body_of(sent: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("how", ["removed", "role"])
async def test_a_stream_ends_with_its_token_says_why_and_its_work_is_cancelled(how: str) -> None:
    left = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield b'{"type":"keepalive"}\n'
            await asyncio.Event().wait()
        finally:
            left.set()

    door = Door()

    def lower() -> None:
        door.role = "read-only"

    sent = await door.ask(
        StreamingResponse(lines(), media_type=MEDIA_TYPE), "POST", door.end if how == "removed" else lower
    )
    assert left.is_set()
    end = decode_event(body_of(sent).splitlines()[-1])
    assert isinstance(end, Failure)
    assert end.code == "unauthorized"
    assert sent[-1].get("more_body", False) is False


async def test_a_wait_that_only_reads_is_cancelled_and_refused() -> None:
    cancelled = asyncio.Event()

    async def waits(_scope: Any, _receive: Any, _send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    door = Door()
    sent = await door.ask(waits, "GET", door.end)
    assert cancelled.is_set()
    assert sent[0]["status"] == 401
    assert json.loads(body_of(sent))["error"]["next"]


async def test_a_question_of_the_token_is_withdrawn_and_another_ones_is_not() -> None:
    door = Door()
    other = asyncio.ensure_future(
        door.approvals.ask("p-ada", "set pin 3", (), channel=CHANNEL, chat_id="t-2.abc", risky=True)
    )

    async def acts(scope: Any, receive: Any, send: Any) -> None:
        try:
            await door.approvals.ask("p-gus", "set pin 2", (), channel=CHANNEL, chat_id=f"{TOKEN}.abc", risky=True)
        except PermissionRefused as exc:
            assert has_ended(scope)
            await JSONResponse({"why": str(exc)}, 403)(scope, receive, send)

    sent = await door.ask(acts, "POST", door.end)
    assert sent[0]["status"] == 403
    assert [one.action for one in door.approvals.pending()] == ["set pin 3"]
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other


async def test_what_changes_something_comes_to_its_end_and_learns_that_its_client_left() -> None:
    steps: list[str] = []

    async def changes(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await request.body()
        while (await receive())["type"] != "http.disconnect":
            pass
        steps.append("left")
        await JSONResponse({"done": True})(scope, receive, send)

    door = Door()
    sent = await door.ask(changes, "POST", door.end)
    assert steps == ["left"]
    assert (sent[0]["status"], json.loads(body_of(sent))) == (200, {"done": True})
