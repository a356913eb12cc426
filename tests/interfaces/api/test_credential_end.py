"""A request's connection is there for as long as the token or session that it came in with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.errors import PermissionRefused, StoreUnreachable
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.tokens import TokenWatch
from microclaw.host.store.people import Person, Role
from microclaw.interfaces.api.caller import CALLER_KEY, CHANNEL, Caller
from microclaw.interfaces.api.credential_end import ENDED_KEY, ends_with_credential

TOKEN = "t-1"


class Door:
    """One request of a guest; `role` None: the person is not there, `unreachable`: the store does not answer."""

    def __init__(self, *, unreachable: bool = False) -> None:
        self.role: Role | None = "guest"
        self.unreachable = unreachable
        self.watches: list[TokenWatch] = []
        self.watched, self.cut = asyncio.Event(), asyncio.Event()
        self.approvals = Approvals(timeout_s=60)
        self.people = self
        self.ended = False

    @asynccontextmanager
    async def watch(self, token_id: str | None) -> AsyncGenerator[TokenWatch]:
        self.watched.set()
        if self.unreachable:
            raise StoreUnreachable("it is away")
        watch = TokenWatch(token_id)
        role = self.role
        watch.is_good = lambda: self.role == role
        self.watches.append(watch)
        yield watch

    def get(self, person_id: str) -> Person | None:
        if self.role is None:
            return None
        return Person(person_id, "gus", self.role)

    async def ask(self, app: ASGIApp | None = None) -> None:
        """A request to the app, or one that waits until its connection is cut."""

        async def waits(scope: Scope, _receive: Receive, _send: Send) -> None:
            await self.cut.wait()
            self.ended = scope[ENDED_KEY].is_set()

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(_: Message) -> None: ...

        caller = Caller("p-gus", direct=False, source=TOKEN)
        scope = {"type": "http", "method": "POST", "path": "/v1/x", "state": {"abort": self.cut.set}}
        door = ends_with_credential(app or waits, cast("Admission", self))
        await door({**scope, CALLER_KEY: caller}, receive, send)


@pytest.mark.parametrize("how", ["removed", "role", "person", "unreachable"])
async def test_a_connection_is_cut_with_its_token_and_its_questions_are_withdrawn(how: str) -> None:
    door = Door(unreachable=how == "unreachable")
    chats = f"{TOKEN}.abc", "t-2.abc"
    asking = [
        asyncio.ensure_future(door.approvals.ask("p-gus", chat, (), channel=CHANNEL, chat_id=chat)) for chat in chats
    ]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(door.ask())
        await door.watched.wait()
        if how == "removed":
            door.watches[0].end()
        elif how in ("role", "person"):
            door.role = "read-only" if how == "role" else None
    assert door.ended
    assert [one.action for one in door.approvals.pending()] == [chats[1]]
    for one in asking:
        one.cancel()
        with suppress(asyncio.CancelledError, PermissionRefused):
            await one


async def test_a_role_that_changes_before_the_watch_begins_counts() -> None:
    door = Door()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(door.ask())
        await asyncio.sleep(0)
        door.role = "read-only"
    assert door.ended


async def test_a_connection_whose_request_was_answered_is_left_to_its_next_one() -> None:
    door = Door()

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"state": "waiting"}, 202)(scope, receive, send)
        with suppress(PermissionRefused):
            await door.approvals.ask("p-gus", "act", (), channel=CHANNEL, chat_id=f"{TOKEN}.abc")

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(door.ask(told))
        await door.watched.wait()
        door.watches[0].end()
    assert not door.cut.is_set()
