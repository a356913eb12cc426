"""The outbox: who delivers an answer or a push, a turn's listener or else the channel that asks. It sends nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from microclaw.agent.running_turn import TurnStream
from microclaw.agent.turn_journal import answer_from, encode
from microclaw.backoff import Backoff
from microclaw.errors import MessageTooLong, Overloaded
from microclaw.events import Answer, Evidence, TurnEvent
from microclaw.store.outbox import NewOutbound, OutboxRow, OutboxTable

LEASE_S: Final = 60.0  # what was given to somebody and not delivered by then is given out again
MAX_LEASE_S: Final = 3600.0
MAX_PUSHES: Final = 1000  # that wait for one channel
MAX_LEASES: Final = 4096  # beyond it, those that are over are forgotten
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a channel is to send. `key` is its own id of the message that is answered; `answer` is the whole of it."""

    outbound_id: int
    channel: str
    chat_id: str
    text: str
    kind: Literal["answer", "push"]
    person: str
    answer: Answer
    key: str | None = None

    @property
    def error_code(self) -> str | None:
        return self.answer.error_code

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return self.answer.evidence


@dataclass(slots=True)
class _Lease:
    channel: str
    until: float
    backoff: Backoff  # twice as long each time that nobody delivered it
    holders: int  # listeners of one turn: messages that joined it have the same answer


class Outbox:
    """What is to go out, and who has it in hand."""

    def __init__(self, table: OutboxTable, *, text_bytes: int = 16 * 1024) -> None:
        """`text_bytes` is the most that a push may have."""
        self._table = table
        self._text_bytes = text_bytes
        self._leases: dict[int, _Lease] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._gone: dict[int, set[int]] = {}
        self._handing: Counter[tuple[str, str]] = Counter()
        self._passed_over: set[tuple[str, str]] = set()  # places with answers that were not given out for that

    async def push(self, channel: str, chat_id: str, text: str, *, person: str = "owner") -> int:
        """Put a text of the host's own into a chat; returns its number. Raises MessageTooLong, Overloaded."""
        size = len(text.encode(errors="replace"))
        if size > self._text_bytes:
            raise MessageTooLong(
                f"that text has {size:,} bytes, at most {self._text_bytes:,} go out",
                next_step="say it shorter",
            )
        waiting = await self._table.count(channel)
        if waiting >= MAX_PUSHES:
            raise Overloaded(
                f"{waiting} messages wait for the channel {channel} already",
                next_step=f"see why {channel} does not deliver: microclaw status",
            )
        outbound_id = await self._table.add(NewOutbound(channel, chat_id, "push", person, None, encode(Answer(text))))
        self._tell(channel)
        return outbound_id

    async def delivered(self, outbound_id: int) -> None:
        """Its channel or its listener has sent it."""
        await self._table.delivered(outbound_id)
        self._leases.pop(outbound_id, None)
        for gone in self._gone.values():
            gone.add(outbound_id)

    @contextmanager
    def handing_out(self, channel: str, chat_id: str) -> Iterator[None]:
        """Inside, an answer of this chat is on the disk or soon will be, and `hand_out` says who has it: no channel is
        given it before."""
        self._handing[channel, chat_id] += 1
        try:
            yield
        finally:
            self._handing[channel, chat_id] -= 1
            if not self._handing[channel, chat_id]:
                del self._handing[channel, chat_id]
                if (channel, chat_id) in self._passed_over:
                    self._passed_over.discard((channel, chat_id))
                    self._tell(channel)

    def hand_out(self, channel: str, answer: Answer, streams: Sequence[TurnStream]) -> None:
        """Give an answer to those who listen; without any the channel is to ask for it."""
        holders = sum(stream.listening for stream in streams)
        if answer.outbound_id is not None and holders:
            self._lease(channel, answer.outbound_id, holders)
        else:
            self._tell(channel)
        for stream in streams:
            stream.put(answer)

    async def following(self, stream: TurnStream) -> AsyncGenerator[TurnEvent, None]:
        """A listener's events; one that leaves before the answer leaves it to the channel."""
        answered = False
        try:
            async for event in stream.events():
                answered = isinstance(event, Answer)
                yield event
        finally:
            stream.leave()
            if not answered and (left := stream.answer) is not None and left.outbound_id is not None:
                self.give_back(left.outbound_id)

    def give_back(self, outbound_id: int) -> None:
        """A listener that had it will not deliver it; without another that has it the channel is to."""
        lease = self._leases.get(outbound_id)
        if lease is None:
            return
        lease.holders -= 1
        if lease.holders <= 0:
            del self._leases[outbound_id]
            self._tell(lease.channel)

    async def undelivered(self, channel: str, chat_id: str) -> tuple[Outbound, ...]:
        """What waits for this chat now, oldest first, for a channel that nobody serves all the time (the terminal)."""
        now = asyncio.get_running_loop().time()
        rows = await self._table.undelivered(channel, chat_id=chat_id)
        return tuple(_outbound(row) for row in rows if not self._in_hand(row, now))

    async def outgoing(self, channel: str) -> AsyncGenerator[Outbound, None]:
        """Endless: answers that no listener delivered and pushes, oldest first; each again until it is delivered."""
        news = self._news.setdefault(channel, asyncio.Event())
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            news.clear()
            gone: set[int] = set()  # delivered by a listener while the rows before were given out
            self._gone[id(gone)] = gone
            try:
                for row in await self._table.undelivered(channel, limit=_BATCH + len(self._leases)):
                    if row.outbound_id not in gone and not self._in_hand(row, loop.time()):
                        self._lease(channel, row.outbound_id)
                        yield _outbound(row)
            finally:
                del self._gone[id(gone)]
            held = (lease.until for lease in self._leases.values() if lease.channel == channel)
            due = min((until for until in held if until > began), default=None)
            try:
                async with asyncio.timeout_at(due):
                    await news.wait()
            except TimeoutError:
                continue

    async def prune(self) -> None:
        """Forget what is old."""
        await self._table.prune()

    def _lease(self, channel: str, outbound_id: int, holders: int = 1) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._leases) > MAX_LEASES:
            self._leases = {number: lease for number, lease in self._leases.items() if lease.until > now}
        before = self._leases.get(outbound_id)
        backoff = Backoff(min_s=LEASE_S, max_s=MAX_LEASE_S) if before is None else before.backoff
        self._leases[outbound_id] = _Lease(channel, now + backoff.next_wait_s(), backoff, holders)

    def _in_hand(self, row: OutboxRow, now: float) -> bool:
        lease = self._leases.get(row.outbound_id)
        if lease is not None and lease.until > now:
            return True
        place = (row.channel, row.chat_id)
        if row.kind == "push" or place not in self._handing:
            return False
        self._passed_over.add(place)
        return True

    def _tell(self, channel: str) -> None:
        if (news := self._news.get(channel)) is not None:
            news.set()


def _outbound(row: OutboxRow) -> Outbound:
    answer = replace(answer_from(row.body), outbound_id=row.outbound_id)
    return Outbound(row.outbound_id, row.channel, row.chat_id, answer.text, row.kind, row.person, answer, row.key)
