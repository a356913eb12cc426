"""The channels' neighbours for tests: the host's mail with a scripted agent, people, a Bot API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.channels.telegram_server import TOKEN, TelegramServer

from microclaw.agent.mail import Accepted, Mail, Outbound, Received, RunningTurn
from microclaw.auth.approvals import Approvals
from microclaw.auth.people import OWNER, People, Person
from microclaw.channels.telegram.api import Timing
from microclaw.channels.telegram.channel import run_telegram
from microclaw.config import AgentSettings, TelegramSettings
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.outbox import OutboxTable

ScriptedTurn = Callable[[Inbound], AsyncIterator[TurnEvent]]
QUICK = Timing(
    poll_s=5, pause_s=0.001, group_pause_s=0.001, first_s=0.001, backoff_s=0.001, backoff_most_s=0.01, stranger_s=3600
)


class ScriptedAgent:
    """Answers messages as a script says (agent.mail.Serve)."""

    def __init__(self, turn: ScriptedTurn) -> None:
        self._turn = turn

    async def turn(self, running: RunningTurn) -> Answer:
        stopped = asyncio.Event()
        running.when_stopped(stopped.set)
        script = asyncio.ensure_future(self._play(running))
        stopping = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait((script, stopping), return_when=asyncio.FIRST_COMPLETED)
            return script.result() if script.done() else Answer("stopped, as you asked", error_code="cancelled")
        finally:
            script.cancel()
            stopping.cancel()

    async def answered(self, received: Received, answer: Answer) -> None: ...

    async def prune(self) -> None: ...

    async def _play(self, running: RunningTurn) -> Answer:
        async for event in self._turn(running.received.inbound):
            if isinstance(event, Answer):
                return event
            running.put(event)
        raise AssertionError("the script gave no answer")


class WatchedMail(Mail):
    """The host's mail, whose messages and deliveries a test can wait for.

    `refusals` are raised by `accept` first, `broken` by `outgoing`, each once.
    """

    def __init__(self, database: Database, settings: AgentSettings) -> None:
        super().__init__(inbox=InboxTable(database, now_ms), outbox=OutboxTable(database, now_ms), settings=settings)
        self.inbound: list[Inbound] = []
        self.done: list[int] = []
        self.refusals: list[MicroclawError] = []
        self.broken: list[MicroclawError] = []
        self._changed = asyncio.Condition()

    async def accept(self, inbound: Inbound) -> Accepted:
        if self.refusals:
            raise self.refusals.pop(0)
        accepted = await super().accept(inbound)
        if not accepted.duplicate:
            self.inbound.append(inbound)
            await self._tell()
        return accepted

    async def outgoing(self, channel: str) -> AsyncIterator[Outbound]:
        if self.broken:
            raise self.broken.pop(0)
        async for outbound in super().outgoing(channel):
            yield outbound

    async def delivered(self, outbound_id: int) -> None:
        await super().delivered(outbound_id)
        self.done.append(outbound_id)
        await self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def now_ms() -> int:
    return 1_760_000_000_000


@asynccontextmanager
async def served_mail(
    home: Path, turn: ScriptedTurn, settings: AgentSettings | None = None
) -> AsyncIterator[WatchedMail]:
    """The mail of a host with this home; a second one takes up what the first left."""
    async with Database.open(home / "microclaw.db") as database:
        mail = WatchedMail(database, settings or AgentSettings())
        async with mail.serving(ScriptedAgent(turn)):
            await mail.resume()
            yield mail


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
            raise Overloaded("4 people wait to be let in already")
        self.asked.append((channel, external_id, display_name))
        return "482913"

    def owners(self) -> tuple[Person, ...]:
        return tuple({p.person_id: p for p in self.known.values() if p.role == "owner"}.values())

    def addresses(self, person_id: str) -> tuple[tuple[str, str], ...]:
        return tuple(address for address, person in self.known.items() if person.person_id == person_id)

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
    mail: WatchedMail
    people: MemoryPeople
    approvals: Approvals


@asynccontextmanager
async def telegram(
    server: TelegramServer,
    home: Path,
    turn: ScriptedTurn = echo,
    *,
    settings: AgentSettings | None = None,
    timing: Timing = QUICK,
    proxy: str | None = None,
    ears: bool = False,
    approval_s: float = 10.0,
) -> AsyncIterator[Telegram]:
    """User 100 is the owner, 200 a member, 300 a guest; everybody else a stranger."""
    people = MemoryPeople({("tg", "100"): OWNER, ("tg", "200"): MEMBER, ("tg", "300"): GUEST})
    approvals = Approvals(timeout_s=approval_s, roles=people)
    async with served_mail(home, turn, settings) as mail:
        running = asyncio.create_task(
            run_telegram(
                TelegramSettings(TOKEN, server.base_url),
                mail=mail,
                people=people,
                approvals=approvals,
                timing=timing,
                proxy=proxy,
                ears=ears,
            )
        )
        try:
            yield Telegram(server, mail, people, approvals)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer.running() as running:
        yield running
