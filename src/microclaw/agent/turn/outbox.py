"""A turn's listener, and the outbox: answers and pushes that wait, and who delivers them. It sends nothing.

In a cluster the store says which host holds a message. The other hosts do not send it until that host gives it back, is
dead, or has not delivered it within the time of a lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import Struct, ValidationError
from msgspec.structs import replace

from microclaw.backoff import Backoff
from microclaw.bounded_map import BoundedMap
from microclaw.errors import MessageTooLong, MicroclawError, Overloaded
from microclaw.events import Answer, Step, ToolRun, TurnEvent
from microclaw.host.cluster.live_hosts import ALONE, Fleet
from microclaw.host.store.inbox import InboxMessage
from microclaw.host.store.journal import Work
from microclaw.host.store.outbox import OutboxRow, OutboxTable

ChatKey: TypeAlias = tuple[str, str]  # channel and chat id

MAX_WAITING_EVENTS: Final = 1024
MAX_KEPT_STEPS: Final = 64
MAX_KEPT_LINES: Final = 200
"""Of a step's detail, which may be a whole program: a conversation is read again and again."""


class AcceptedMessage(Struct, frozen=True):
    """A message that is on the disk, or that was answered without a turn.

    `events` ends with the answer; it is empty for a duplicate. The reader of `events` delivers the answer and then
    calls `Outbox.note_delivered`. Without a reader, or when it leaves, `Outbox.outgoing` gives the answer. Leaving
    never ends the turn. `after` is set if it was answered without a turn: the newest message of its chat before it.
    """

    message_id: int
    duplicate: bool
    events: AsyncGenerator[TurnEvent, None]
    after: int | None = None

    async def answer(self) -> Answer | None:
        """Read the events to their end and return the answer; None for a duplicate."""
        answer = None
        async for event in self.events:
            if isinstance(event, Answer):
                answer = event
        return answer


async def events_of(*answers: Answer | OutboxRow) -> AsyncGenerator[TurnEvent, None]:
    """Yield the answers. The answer of a row is decoded here, so that a broken row ends only these events."""
    for answer in answers:
        if isinstance(answer, OutboxRow):
            yield answer.answer
        else:
            yield answer


class RunningTurn:
    """A turn that waits or runs: its message, its events for one listener in order, and whether it is to stop.

    When more than `max_waiting` events wait, the oldest is dropped, but never the answer.
    """

    def __init__(self, message: InboxMessage, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self.message = message
        self.number = message.message_id
        self.chat_key: ChatKey = (message.inbound.channel, message.inbound.chat_id)
        if message.inbound.origin == "device":
            self.share_key = "devices"
        else:
            self.share_key = f"person {message.inbound.person_id}"
        self.answer: Answer | None = None
        # The newest steps, without their pictures.
        self.steps: deque[Step] = deque(maxlen=MAX_KEPT_STEPS)
        # Set while no tool call runs.
        self.quiet = asyncio.Event()
        self.quiet.set()
        # Gives the rows that are written with its answer.
        self.carried: Callable[[], AbstractContextManager[Sequence[Work]]] = lambda: nullcontext(())
        # The events that its listener has not read.
        self.waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self.news = asyncio.Event()
        self.listening = False
        self.left = False
        self.stopped = False
        self.on_stop: Callable[[], object] = lambda: None

    def put(self, event: TurnEvent) -> None:
        """Add an event without waiting, in the event loop's thread. Events after the answer are dropped."""
        if isinstance(event, ToolRun) and event.state == "started":
            self.quiet.clear()
        elif isinstance(event, ToolRun):
            self.quiet.set()
        if self.answer is not None:
            return
        if isinstance(event, Answer):
            self.answer = event
        elif isinstance(event, Step):
            self._keep_step(event)
        if not self.left:
            self.waiting.append(event)
            self.news.set()

    def stop(self) -> None:
        self.stopped = True
        self.on_stop()

    def _keep_step(self, step: Step) -> None:
        """Keep a step. The end of a stage takes the place of the step that said that the stage runs."""
        if self.steps and self.steps[-1].state == "running" and self.steps[-1].stage == step.stage:
            self.steps.pop()
        detail = step.detail
        if len(detail) > MAX_KEPT_LINES:
            detail = (*detail[:MAX_KEPT_LINES], "... the rest is not kept")
        self.steps.append(replace(step, screens=(), detail=detail))


# After the store failed.
RETRY_S: Final = 1.0
# A message that its holder did not deliver by then is given out again.
LEASE_S: Final = 60.0
MAX_LEASE_S: Final = 3600.0
# Pushes that may wait for one channel.
MAX_PUSHES: Final = 1000
# If there are more, expired leases are forgotten.
MAX_LEASES: Final = 4096
_BATCH: Final = 64
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lease:
    """The time in which only one holder may send a message. `host` is that holder if it is another host."""

    channel: str
    until: float
    # A lease is twice as long as the one before it, in which the message was not delivered.
    backoff: Backoff
    host: str | None = None


class Outbox:
    """The messages that wait to be sent, and the holder of each of them."""

    def __init__(self, table: OutboxTable, *, text_bytes: int = 16 * 1024, fleet: Fleet = ALONE) -> None:
        """`text_bytes` is the limit of a push."""
        self._table = table
        self._fleet = fleet
        table.listen(self._wake_all)
        fleet.listen(self._wake_all)
        self._text_bytes = text_bytes
        self._leases: dict[int, _Lease] = {}
        # The latest delivered messages: their rows may still say that they wait.
        self._delivered: BoundedMap[int, None] = BoundedMap(MAX_LEASES)
        self._sending: set[int | None] = set()
        self._news: dict[str, asyncio.Event] = {}
        # Chats whose answers are being handed out.
        self._handing: set[ChatKey] = set()

    async def push(self, channel: str, chat_id: str, text: str, *, person: str = "owner") -> int:
        """Send a text of the host itself to a chat; return its number. Raises MessageTooLong, Overloaded."""
        size = len(text.encode(errors="replace"))
        if size > self._text_bytes:
            reason = f"that text has {size:,} bytes, at most {self._text_bytes:,} are sent"
            raise MessageTooLong(reason, next_step="send a shorter text")
        waiting_count = await self._table.count(channel)
        if waiting_count >= MAX_PUSHES:
            reason = f"{waiting_count} messages wait for the channel {channel} already"
            raise Overloaded(reason, next_step=f"see why {channel} does not deliver: microclaw status")
        outbound_id = await self._table.add(OutboxRow(channel, chat_id, "push", person, None, Answer(text)))
        self.look_again(channel)
        return outbound_id

    async def note_delivered(self, outbound_id: int | None, *, soon: bool = False) -> None:
        """Note that a message was sent by its channel or its listener. None: it was never in the outbox.

        `soon`: after a crash the message may come once more without harm, so the note needs no write of its own.
        """
        if outbound_id is None:
            return
        self._leases.pop(outbound_id, None)
        self._delivered[outbound_id] = None
        if soon and not self._table.is_shared:
            self._table.mark_delivered_soon(outbound_id)
        else:
            await self._table.mark_delivered(outbound_id)

    async def fail(self, outbound_id: int, why: str) -> None:
        """Note that a message cannot be delivered by its channel, and never will be."""
        await self._table.fail(outbound_id, why)
        self._leases.pop(outbound_id, None)

    async def answers(self, channel: str, chat_id: str, since: int) -> dict[int | None, Answer]:
        """Return the answers that are kept of a chat by their messages, from the number `since` on."""
        answers = {}
        for row in await self._table.answers(channel, chat_id, since):
            # A row that another version wrote hides no other answer.
            with suppress(ValidationError):
                answers[row.message_id] = row.answer
        return answers

    async def failures(self) -> tuple[OutboxRow, ...]:
        """Return the messages that no channel could deliver within the last day, newest first."""
        return await self._table.failures()

    @asynccontextmanager
    async def while_delivering(self, channel: str, outbound_id: int | None) -> AsyncGenerator[None]:
        """Hold a message while its channel sends it, however long that takes, then note it as delivered.

        It is not given out here again, even if the note fails. After an error of the sending it is given out again when
        its lease is over.
        """
        self._sending.add(outbound_id)
        try:
            yield
            await self.note_delivered(outbound_id)
        except BaseException:
            self.look_again(channel)
            raise
        finally:
            self._sending.discard(outbound_id)

    @contextmanager
    def handing_out(self, turn: RunningTurn) -> Iterator[None]:
        """Hold back a chat's answers while the turn's answer is stored and put to its listener.

        Without a listener the channel gets it from `outgoing`, and not earlier.
        """
        channel = turn.chat_key[0]
        self._handing.add(turn.chat_key)
        try:
            yield
            if turn.listening and turn.answer is not None and turn.answer.outbound_id is not None:
                self._lease(channel, turn.answer.outbound_id)
        finally:
            self._handing.discard(turn.chat_key)
            # `outgoing` may have passed over the answer meanwhile.
            self.look_again(channel)

    async def listener_events(self, turn: RunningTurn) -> AsyncGenerator[TurnEvent, None]:
        """Yield a listener's events; the last is the answer. If the listener leaves early, the channel delivers it."""
        turn.listening = True
        try:
            while True:
                while turn.waiting:
                    event = turn.waiting.popleft()
                    yield event
                    if isinstance(event, Answer):
                        return
                turn.news.clear()
                await turn.news.wait()
        finally:
            unread = turn.answer if turn.waiting else None
            turn.listening = False
            turn.left = True
            turn.waiting.clear()
            if unread is not None:
                await self.give_back(unread.outbound_id)

    async def give_back(self, outbound_id: int | None) -> None:
        """Let its channel deliver a message, in a cluster at the host with that channel: no listener here does it."""
        if outbound_id is None:
            return
        self._leases.pop(outbound_id, None)
        if self._table.is_shared:
            try:
                await self._table.hold(outbound_id, None, instead_of=self._table.host)
            except MicroclawError as exc:
                _log.info("another host delivers an answer late: %s", exc.message)
        self._wake_all()

    async def undelivered(self, channel: str, chat_id: str) -> tuple[OutboxRow, ...]:
        """Return the waiting messages of a chat, oldest first: for a channel that comes and goes (the terminal)."""
        now = asyncio.get_running_loop().time()
        rows = await self._table.undelivered(channel, chats=(chat_id,))
        return tuple(row for row in rows if not self._is_held(row, now))

    async def outgoing(
        self, channel: str, *, retry_s: float = RETRY_S, chats: Callable[[], Collection[str]] | None = None
    ) -> AsyncGenerator[OutboxRow, None]:
        """Yield pushes, and answers that no listener delivered, oldest first, without end.

        A message is yielded again until it is delivered. When the store cannot be read, it is read again after
        `retry_s`. `chats` returns the chats that this host can deliver to, for a channel whose clients come and go:
        call `look_again` when a chat is added.
        """
        news = self._news.setdefault(channel, asyncio.Event())
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            news.clear()
            try:
                reachable = None if chats is None else tuple(chats())
                rows = await self._table.undelivered(channel, chats=reachable, limit=_BATCH + len(self._leases))
                for row in rows:
                    if not self._is_held(row, loop.time()) and await self._hold(row):
                        self._lease(channel, row.outbound_id)
                        yield row
            except MicroclawError as exc:
                _log.warning("%s: the outbox cannot be read, trying again: %s", channel, exc.message)
                await asyncio.sleep(retry_s)
                continue
            # A lease that ended after `began` was still held when its row was looked at.
            lease_ends = [lease.until for lease in self._leases.values() if lease.channel == channel]
            next_end = min((until for until in lease_ends if until > began), default=None)
            try:
                async with asyncio.timeout_at(next_end):
                    await news.wait()
            except TimeoutError:
                continue

    def look_again(self, channel: str) -> None:
        """Read the messages of a channel again: a message came, or a chat can be reached now."""
        news = self._news.get(channel)
        if news is not None:
            news.set()

    async def _hold(self, row: OutboxRow) -> bool:
        """Note in the store that this host holds a message. Return False if another host was faster."""
        host = self._table.host
        return row.host == host or await self._table.hold(row.outbound_id, host, instead_of=row.host)

    def _lease(self, channel: str, outbound_id: int, host: str | None = None) -> None:
        """Begin a lease of a message. `host` is its holder if that is another host."""
        now = asyncio.get_running_loop().time()
        if len(self._leases) > MAX_LEASES:
            self._leases = {number: lease for number, lease in self._leases.items() if lease.until > now}
        earlier = self._leases.get(outbound_id)
        if earlier is None:
            backoff = Backoff(min_s=LEASE_S, max_s=MAX_LEASE_S)
        else:
            backoff = earlier.backoff
        self._leases[outbound_id] = _Lease(channel, now + backoff.next_wait_s(), backoff, host)

    def _is_held(self, row: OutboxRow, now: float) -> bool:
        """Return True if a message is sent or being sent, or if a host or a listener may still send it."""
        if row.outbound_id in self._delivered or row.outbound_id in self._sending:
            return True
        lease = self._leases.get(row.outbound_id)
        own_host = self._table.host
        holder = row.host
        if holder not in (None, own_host) and not self._fleet.is_live(holder):
            holder = None
        # That host is dead, or the message was given back.
        if lease is not None and (lease.host or own_host) != holder:
            del self._leases[row.outbound_id]
            lease = None
        if lease is None and holder not in (None, own_host):
            self._lease(row.channel, row.outbound_id, holder)
            return True
        if lease is not None and lease.until > now:
            return True
        return row.kind == "answer" and (row.channel, row.chat_id) in self._handing

    def _wake_all(self) -> None:
        for news in self._news.values():
            news.set()
