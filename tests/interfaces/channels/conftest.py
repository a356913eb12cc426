"""The channels' neighbours for tests: the host's inbox with a scripted agent, people, a Bot API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.interfaces.channels.telegram_server import TOKEN, TelegramServer
from tests.stores import new_store

from microclaw.agent.turn.inbox import Inbox, WhenFull
from microclaw.agent.turn.outbox import AcceptedMessage, Outbox, RunningTurn
from microclaw.errors import MicroclawError, Overloaded, UnknownName
from microclaw.events import Answer, Inbound, ResultFile, TurnEvent
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.people import OWNER, People
from microclaw.host.config.settings import AgentSettings, TelegramSettings
from microclaw.host.store.database import Database
from microclaw.host.store.inbox import InboxTable
from microclaw.host.store.outbox import OutboxTable
from microclaw.host.store.people import Person
from microclaw.interfaces.channels.delivery import ReadFile
from microclaw.interfaces.channels.telegram.api import BotApi, Timing
from microclaw.interfaces.channels.telegram.channel import TelegramChannel, TelegramState

ScriptedTurn = Callable[[Inbound], AsyncIterator[TurnEvent]]
QUICK = Timing(poll_s=5, first_s=0.001, backoff_s=0.001, unknown_sender_s=3600)


class ScriptedAgent:
    """Answers the inbox's messages as a script says: `async with ScriptedAgent(inbox, turn)`."""

    def __init__(self, inbox: Inbox, turn: ScriptedTurn) -> None:
        self._inbox = inbox
        self._turn = turn
        self._group = asyncio.TaskGroup()
        self._working: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        await self._inbox.open()
        self._inbox.resume()
        await self._group.__aenter__()
        self._working.append(self._group.create_task(self._serve()))

    async def __aexit__(self, *raised: Any) -> None:
        self._inbox.close()
        for task in self._working:
            task.cancel()
        for turn in self._inbox.unanswered_turns():
            turn.put(Answer("the host is stopping", error_code="cancelled"))
        await self._group.__aexit__(*raised)

    async def _serve(self) -> None:
        async for turn in self._inbox:
            self._working.append(self._group.create_task(self._work(turn)))

    async def _work(self, turn: RunningTurn) -> None:
        await self._inbox.finish(turn, await self._answer(turn))

    async def _answer(self, turn: RunningTurn) -> Answer:
        script = asyncio.ensure_future(self._play(turn))
        turn.on_stop = script.cancel
        if turn.stopped:
            script.cancel()
        try:
            await asyncio.wait((script,))
        finally:
            script.cancel()
        if script.cancelled():
            return Answer("stopped, as you asked", error_code="cancelled")
        return script.result()

    async def _play(self, turn: RunningTurn) -> Answer:
        async for event in self._turn(turn.message.inbound):
            if isinstance(event, Answer):
                return event
            turn.put(event)
        raise AssertionError("the script gave no answer")


class WatchedOutbox(Outbox):
    """The host's outbox, whose deliveries a test can wait for."""

    def __init__(self, database: Database) -> None:
        super().__init__(OutboxTable(database, now_ms))
        self.done: list[int] = []
        self.changed = asyncio.Condition()

    async def note_delivered(self, outbound_id: int | None, *, soon: bool = False) -> None:
        await super().note_delivered(outbound_id, soon=soon)
        if outbound_id is not None:
            self.done.append(outbound_id)
        async with self.changed:
            self.changed.notify_all()


class WatchedInbox(Inbox):
    """The host's inbox, whose messages a test can wait for. `refusals` are raised by `accept` first, each once."""

    def __init__(self, database: Database, settings: AgentSettings) -> None:
        self.watched = WatchedOutbox(database)
        super().__init__(InboxTable(database, now_ms), self.watched, settings=settings)
        self.inbound: list[Inbound] = []
        self.refusals: list[MicroclawError] = []

    @property
    def done(self) -> list[int]:
        return self.watched.done

    async def accept(self, inbound: Inbound, *, when_full: WhenFull = "refuse") -> AcceptedMessage:
        if self.refusals:
            raise self.refusals.pop(0)
        accepted = await super().accept(inbound, when_full=when_full)
        if not accepted.duplicate:
            self.inbound.append(inbound)
            async with self.watched.changed:
                self.watched.changed.notify_all()
        return accepted

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60), self.watched.changed:
            await self.watched.changed.wait_for(condition)


def now_ms() -> int:
    return 1_760_000_000_000


@asynccontextmanager
async def served_inbox(
    home: Path, turn: ScriptedTurn, settings: AgentSettings | None = None
) -> AsyncIterator[WatchedInbox]:
    """The inbox of a host with this home; a second one takes up what the first left."""
    async with Database.open(new_store(home / "microclaw.db")) as database:
        inbox = WatchedInbox(database, settings or AgentSettings())
        async with ScriptedAgent(inbox, turn):
            yield inbox


@dataclass
class MemoryPeople(People):
    """People without a store."""

    known: dict[tuple[str, str], Person] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    full: bool = False

    async def find(self, channel: str, external_id: str) -> Person | None:
        return self.known.get((channel, external_id))

    async def ask_pairing(self, channel: str, external_id: str, display_name: str) -> str:
        if self.full:
            raise Overloaded("64 people wait to be let in already", next_step="write again in 120 s")
        self.asked.append((channel, external_id, display_name))
        return "482913"

    def list(self) -> tuple[Person, ...]:
        everybody = {person.person_id: person for person in self.known.values()}.values()
        return tuple(replace(p, addresses=tuple(at for at in self.known if self.known[at] == p)) for p in everybody)

    def get(self, person_id: str) -> Person | None:
        return next((person for person in self.known.values() if person.person_id == person_id), None)


async def echo(inbound: Inbound) -> AsyncIterator[TurnEvent]:
    """A turn that answers with what was said."""
    yield Answer(f"you said: {inbound.text}")


MEMBER = Person("p-1", "Bea", "member")
GUEST = Person("p-2", "Gus", "guest")


@dataclass
class Telegram:
    """A running channel with its neighbours."""

    server: TelegramServer
    inbox: WatchedInbox
    people: MemoryPeople
    approvals: Approvals


async def no_files(file: ResultFile) -> bytes:
    raise UnknownName(f"there is no file {file.name!r}")


async def run_telegram(settings: TelegramSettings, **parts: Any) -> None:
    async with BotApi.opened(settings) as api:
        await TelegramChannel(**{"api": api, "state": TelegramState(), "read_file": no_files, **parts}).run()


@asynccontextmanager
async def telegram(
    server: TelegramServer,
    home: Path,
    turn: ScriptedTurn = echo,
    *,
    settings: AgentSettings | None = None,
    timing: Timing = QUICK,
    approval_s: float = 60.0,
    read_file: ReadFile = no_files,
) -> AsyncIterator[Telegram]:
    """User 100 is the owner, 200 a member, 300 a guest; everybody else a stranger."""
    people = MemoryPeople({("tg", "100"): OWNER, ("tg", "200"): MEMBER, ("tg", "300"): GUEST})
    approvals = Approvals(timeout_s=approval_s, roles=people)
    async with served_inbox(home, turn, settings) as inbox:
        running = asyncio.create_task(
            run_telegram(
                TelegramSettings(TOKEN, server.base_url),
                inbox=inbox,
                people=people,
                approvals=approvals,
                timing=timing,
                read_file=read_file,
            )
        )
        try:
            yield Telegram(server, inbox, people, approvals)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer.running() as running:
        yield running
