"""The channels' neighbours for tests: a mail that keeps its contract in memory, people, a Bot API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from tests.channels.telegram_server import TOKEN, TelegramServer

from microclaw.agent.events import Answer, TurnEvent
from microclaw.bus.events import Inbound
from microclaw.channels.telegram.channel import run_telegram
from microclaw.channels.telegram.timing import Timing
from microclaw.config import TelegramSettings
from microclaw.errors import MicroclawError, Overloaded
from microclaw.policy.approval import Approvals
from microclaw.policy.person import OWNER, Person

Turn = Callable[[Inbound], AsyncIterator[TurnEvent]]
QUICK = Timing(
    poll_s=5, pause_s=0.001, group_pause_s=0.001, first_s=0.001, backoff_s=0.001, backoff_most_s=0.01, stranger_s=3600
)


@dataclass(frozen=True)
class MemoryAccepted:
    message_id: int
    duplicate: bool
    events: AsyncIterator[TurnEvent]


@dataclass(frozen=True)
class MemoryOutbound:
    outbound_id: int
    channel: str
    chat_id: str
    text: str
    person: str = "owner"


@dataclass
class MemoryMail:
    """agent.mail's contract without a store: turns run when they are read, and go on when nobody reads."""

    turn: Turn
    inbound: list[Inbound] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[MicroclawError] = field(default_factory=list)
    full: bool = False

    def __post_init__(self) -> None:
        self.waiting: dict[str, asyncio.Queue[MemoryOutbound]] = {}
        self._changed = asyncio.Condition()
        self._keys: set[tuple[str, str]] = set()
        self._next = 1

    async def accept(self, inbound: Inbound) -> MemoryAccepted:
        if self.refusals:
            raise self.refusals.pop(0)
        if self.full:
            raise Overloaded("8 messages of this chat wait already", next_step="wait for the answers to those")
        if inbound.key is not None and (inbound.channel, inbound.key) in self._keys:
            return MemoryAccepted(0, True, self._nothing())
        if inbound.key is not None:
            self._keys.add((inbound.channel, inbound.key))
        self.inbound.append(inbound)
        await self._tell()
        return MemoryAccepted(len(self.inbound), False, self._events(inbound))

    async def delivered(self, outbound_id: int) -> None:
        self.done.append(outbound_id)
        await self._tell()

    async def outgoing(self, channel: str) -> AsyncIterator[MemoryOutbound]:
        queue = self._queue(channel)
        while True:
            yield await queue.get()

    async def say(self, channel: str, chat_id: str, text: str) -> int:
        self._next += 1
        await self._queue(channel).put(MemoryOutbound(self._next, channel, chat_id, text))
        return self._next

    def cancel(self, channel: str, chat_id: str) -> bool:
        self.cancelled.append((channel, chat_id))
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    def _queue(self, channel: str) -> asyncio.Queue[MemoryOutbound]:
        return self.waiting.setdefault(channel, asyncio.Queue())

    async def _events(self, inbound: Inbound) -> AsyncIterator[TurnEvent]:
        self._next += 1
        number = self._next
        try:
            async for event in self.turn(inbound):
                if isinstance(event, Answer):
                    event = Answer(
                        event.text,
                        evidence=event.evidence,
                        error_code=event.error_code,
                        next_step=event.next_step,
                        outbound_id=number,
                    )
                yield event
        except GeneratorExit:  # the listener left: its answer waits in the outbox
            self._queue(inbound.channel).put_nowait(
                MemoryOutbound(number, inbound.channel, inbound.chat_id, "left over")
            )
            raise

    async def _nothing(self) -> AsyncIterator[TurnEvent]:
        for event in ():
            yield event

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@dataclass
class MemoryPeople:
    """policy.people's contract without a store."""

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


@dataclass
class Telegram:
    """A running channel with its neighbours."""

    server: TelegramServer
    mail: MemoryMail
    people: MemoryPeople
    approvals: Approvals


Running = Callable[..., "asynccontextmanager[Telegram]"]


@asynccontextmanager
async def telegram(
    server: TelegramServer,
    turn: Turn = echo,
    *,
    mail: MemoryMail | None = None,
    token: str = TOKEN,
    timing: Timing = QUICK,
    proxy: str | None = None,
    ears: bool = False,
    approval_s: float = 10.0,
) -> AsyncIterator[Telegram]:
    """User 100 is the owner, 200 a member; everybody else a stranger."""
    people = MemoryPeople({("tg", "100"): OWNER, ("tg", "200"): MEMBER})
    approvals = Approvals(timeout_s=approval_s, roles=people)
    mail = mail or MemoryMail(turn)
    running = asyncio.create_task(
        run_telegram(
            TelegramSettings(token, server.base_url),
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


Act = Callable[[], Awaitable[None]]
