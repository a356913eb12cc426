"""The journaled bus of messages: what is accepted is answered, what is answered is delivered. It runs no turn itself.

Turns of one chat follow each other, those of different chats run side by side. A message is on the disk before
`accept` returns, its answer before anybody hears of it. What a crash left unanswered is taken up by `resume`.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import insort
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, Protocol, TypeAlias

from microclaw.agent.delivery import Delivery, Outbound
from microclaw.agent.mail_limits import MailLimits, Unanswered, check_readable
from microclaw.agent.received import ChatQueue, Received, RunningTurn, Waiting, outbound_of, received_from, row_of
from microclaw.agent.stream import TurnStream
from microclaw.agent.turn_log import answer_from
from microclaw.config import AgentSettings
from microclaw.errors import MessageTooLong, MicroclawError, Overloaded
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.store.inbox import InboxRow, InboxTable
from microclaw.store.outbox import OutboxTable

__all__ = ["Accepted", "Mail", "MailLimits", "Outbound", "Received", "RunningTurn"]

MAX_STARTS: Final = 3  # a message whose turn ended the host so many times is not tried again
PRUNE_EVERY: Final = 256  # answers
DRAIN_S: Final = 1.5

_log = logging.getLogger(__name__)

Place: TypeAlias = tuple[str, str]
_NUMBER: Final = attrgetter("number")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is on the disk. `events` ends with the answer; a duplicate's is empty, as the first one's listener
    or `Mail.outgoing` has it.

    Who reads `events` delivers the answer and says so (`Mail.delivered`). Without a reader, or when the reader leaves,
    the answer comes out of `Mail.outgoing`. Leaving never ends the turn. Messages that joined one turn end with the
    same answer: deliver each `outbound_id` once.
    """

    message_id: int
    duplicate: bool
    events: AsyncIterator[TurnEvent]


class Serve(Protocol):
    """Answers one message (agent.loop); `answered` is told once the answer is on the disk, before the next turn."""

    async def turn(self, running: RunningTurn) -> Answer: ...

    async def answered(self, received: Received, answer: Answer) -> None: ...

    async def prune(self) -> None: ...


class Mail:
    """Made before the agent, so that tools may `say`; messages are accepted inside `async with mail.serving(agent)`."""

    def __init__(
        self,
        *,
        inbox: InboxTable,
        outbox: OutboxTable,
        settings: AgentSettings | None = None,
        limits: MailLimits | None = None,
    ) -> None:
        self.settings = settings or AgentSettings()
        self._limits = limits or MailLimits()
        self._inbox = inbox
        self._delivery = Delivery(outbox)
        self._outbox = outbox
        self._chats: dict[Place, ChatQueue] = {}
        self._slots = asyncio.Semaphore(self.settings.parallel_turns)
        self._unanswered = Unanswered(self._limits.unanswered)
        self._answers = 0
        self._serve: Serve | None = None
        self._open = False
        self._group: asyncio.TaskGroup | None = None
        self._workers: set[asyncio.Task[None]] = set()

    async def accept(self, inbound: Inbound) -> Accepted:
        """Take a message in. Raises EmptyMessage, MessageTooLong, and Overloaded when the queue of its chat, its
        person's share or the room for all is full."""
        if not self._open:
            raise Overloaded("the host is stopping", next_step="microclaw up, then say it again")
        check_readable(inbound, self._limits)
        place = (inbound.channel, inbound.chat_id)
        chat = self._chats.setdefault(place, ChatQueue())
        chat.arriving += 1
        try:
            if (full := self._full(chat, inbound)) is not None:
                if inbound.key is not None and await self._inbox.has(inbound.channel, inbound.key):
                    return Accepted(0, True, _nothing())
                raise full
            begun = chat.idle
            row, known = await self._add(inbound, begun=begun)
        finally:
            chat.arriving -= 1
            self._forget_idle(place, chat)
        if known:
            return Accepted(row.message_id, True, _nothing())
        stream = TurnStream()
        self._enqueue(place, Received(row.message_id, inbound, row.received_ms, row.starts, begun), stream)
        return Accepted(row.message_id, False, self._delivery.following(stream))

    async def delivered(self, outbound_id: int) -> None:
        """The channel has sent it."""
        await self._delivery.delivered(outbound_id)

    def leave(self, outbound_id: int) -> None:
        """Who has read the answer does not deliver it: its channel is to."""
        self._delivery.give_back(outbound_id)

    def outgoing(self, channel: str) -> AsyncIterator[Outbound]:
        """Endless: answers that no listener delivered and pushes, oldest first; each again until it is delivered."""
        return self._delivery.outgoing(channel)

    async def undelivered(self, channel: str, chat_id: str) -> tuple[Outbound, ...]:
        """What waits for this chat now, oldest first, for a channel that nobody serves all the time (the terminal)."""
        return await self._delivery.undelivered(channel, chat_id)

    async def say(self, channel: str, chat_id: str, text: str, *, person: str = "owner") -> int:
        """Put a push into the outbox; returns its number. Raises MessageTooLong, and Overloaded when too many wait."""
        size = len(text.encode(errors="replace"))
        if size > self._limits.message_bytes:
            raise MessageTooLong(
                f"that text has {size:,} bytes, at most {self._limits.message_bytes:,} go out",
                next_step="say it shorter",
            )
        return await self._delivery.say(channel, chat_id, text, person=person)

    def cancel(self, channel: str, chat_id: str, *, message_id: int | None = None) -> bool:
        """End the chat's running turn at the next safe point, or what waits where none runs; False with neither.

        `message_id` means that message alone, running or waiting.
        """
        chat = self._chats.get((channel, chat_id))
        if chat is None:
            return False
        running = chat.running
        if running is not None and message_id in (None, running.received.message_id):
            running.stop()
            return True
        meant = [w for w in chat.waiting if message_id in (None, w.number)]
        for waiting in meant:
            waiting.cancelled = True
        return bool(meant)

    def running(self, channel: str, chat_id: str) -> RunningTurn | None:
        """The chat's running turn."""
        chat = self._chats.get((channel, chat_id))
        return chat.running if chat is not None else None

    def serving(self, serve: Serve) -> AbstractAsyncContextManager[None]:
        """Accept messages inside and have `serve` answer them; leaving cancels running turns, which stay unanswered."""
        return self._serving(serve)

    async def resume(self) -> frozenset[int]:
        """Take up what the last run left unanswered, once, when its devices may be asked; returns their numbers."""
        found: set[int] = set()
        for place, chat in list(self._chats.items()):
            if chat.held:
                found |= {waiting.received.message_id for waiting in chat.waiting if waiting.left_over}
                chat.held = False
                self._start(place, chat)
        return frozenset(found)

    async def unkept(self) -> tuple[tuple[int, Inbound, Answer], ...]:
        """Answers that their conversations may lack, oldest first: message, where it came from, the answer."""
        return tuple(
            (row.message_id, Inbound(row.channel, row.chat_id, "", row.person), answer_from(row.body))
            for row in await self._inbox.unkept()
        )

    async def kept(self, message_id: int) -> None:
        """The conversation has the answer."""
        await self._inbox.kept(message_id)

    async def drain(self) -> None:
        """Accept nothing more, let tool calls that run end, for a while; then cut every turn off: they are resumed."""
        self._open = False
        acting = [chat.running.quiet for chat in self._chats.values() if chat.running is not None]
        try:
            async with asyncio.timeout(DRAIN_S):
                for quiet in acting:
                    await quiet.wait()
        except TimeoutError:
            _log.warning("a tool call was cut off by the host's end; it is looked after at the next start")
        for worker in tuple(self._workers):
            worker.cancel()

    async def part_of(self, message_id: int) -> tuple[Received, ...]:
        """The messages that had joined this one's turn before a crash."""
        return tuple(received_from(row) for row in await self._inbox.joined(message_id))

    async def log(self, message_id: int, position: int, body: str, *, joins: int | None = None) -> None:
        """Keep a row of the turn that answers this message; `joins` is another one that is part of it from here on."""
        await self._inbox.log(message_id, position, body, joins=joins)

    async def rows(self, message_id: int) -> tuple[str, ...]:
        """The rows kept of its turn."""
        return await self._inbox.turn(message_id)

    @asynccontextmanager
    async def _serving(self, serve: Serve) -> AsyncIterator[None]:
        for row in await self._inbox.unanswered():
            received = received_from(row)
            place = (received.inbound.channel, received.inbound.chat_id)
            chat = self._chats.setdefault(place, ChatQueue())
            chat.held = True
            insort(chat.waiting, Waiting(received, TurnStream(), left_over=True), key=_NUMBER)
            self._unanswered.came(received.inbound)
        async with asyncio.TaskGroup() as self._group:
            self._serve, self._open = serve, True
            try:
                yield
            finally:
                await self.drain()

    async def _add(self, inbound: Inbound, *, begun: bool) -> tuple[InboxRow, bool]:
        """Onto the disk, its place among the unanswered taken before: many may arrive at the same time."""
        known = True
        self._unanswered.came(inbound)
        try:
            row, known = await self._inbox.add(row_of(inbound), begun=begun)
        finally:
            if known:
                self._unanswered.went(inbound)
        return row, known

    def _full(self, chat: ChatQueue, inbound: Inbound) -> Overloaded | None:
        """Why the message that arrives finds no room, if it finds none."""
        waiting = len(chat.waiting) + chat.arriving + (len(chat.running.joining) if chat.running else 0)
        idle = chat.running is None and not chat.held
        if waiting > self.settings.queue + idle:  # of an idle chat the first one does not wait
            return Overloaded(
                f"{waiting - 1} messages of this chat wait already, {self.settings.queue} is the limit",
                next_step="wait for the answers to those",
            )
        return self._unanswered.refusal(inbound)

    def _enqueue(self, place: Place, received: Received, stream: TurnStream) -> None:
        chat = self._chats.setdefault(place, ChatQueue())
        turn = chat.running
        steers = self.settings.second_message == "steer" and not chat.waiting
        if steers and turn is not None and turn.open and turn.takes(received.inbound):
            turn.joining.append((received, stream))
            return
        insort(chat.waiting, Waiting(received, stream), key=_NUMBER)
        self._start(place, chat)

    def _start(self, place: Place, chat: ChatQueue) -> None:
        if chat.worker or chat.held or not chat.waiting or not self._open or self._group is None:
            return
        chat.worker = True
        worker = self._group.create_task(self._work(place, chat), name=f"chat {place[0]}/{place[1]}")
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self, place: Place, chat: ChatQueue) -> None:
        """Answer a chat's messages one after another; ends when none waits."""
        waiting: Waiting | None = None
        try:
            while chat.waiting:
                async with self._slots:
                    waiting = chat.waiting.pop(0)
                    chat.running = RunningTurn(waiting.received)
                    chat.running.streams.append(waiting.stream)
                    if waiting.cancelled:
                        chat.running.stop()
                    await self._answer(chat, chat.running)
        except asyncio.CancelledError:
            self._tell_stopping(chat)
            raise
        finally:
            chat.worker = False
            chat.running = None
            self._forget_idle(place, chat)

    async def _answer(self, chat: ChatQueue, turn: RunningTurn) -> None:
        """Run the turn to its answer whatever goes wrong: the mail outlives every message."""
        received = turn.received
        answer = await self._ask(turn)
        for late, stream in turn.joining:  # the turn ended without them: they have turns of their own
            insort(chat.waiting, Waiting(late, stream), key=_NUMBER)
        turn.joining.clear()
        with self._delivery.handing_out(received.inbound.channel, received.inbound.chat_id):
            await self._settle(chat, turn, answer)
        self._answers += 1
        if self._answers % PRUNE_EVERY == 0:
            await self._prune()

    async def _settle(self, chat: ChatQueue, turn: RunningTurn, answer: Answer) -> None:
        """The answer onto the disk, into the conversation, and to those who listen."""
        received = turn.received
        outbound_id: int | None = None
        try:
            outbound_id = await self._inbox.answer(received.message_id, outbound_of(received.inbound, answer))
        except MicroclawError as exc:  # what was done is done: the person must hear of it
            _log.warning("an answer could not be kept: %s", exc.message)
        self._unanswered.went(received.inbound, len(turn.streams))
        chat.running = None
        answer = replace(answer, outbound_id=outbound_id)
        try:
            assert self._serve is not None
            await self._serve.answered(received, answer)
            if outbound_id is not None:
                await self._inbox.kept(received.message_id)
        except MicroclawError as exc:
            _log.warning("a conversation could not be kept: %s", exc.message)
            answer = replace(answer, text=f"{answer.text}\n(This conversation could not be kept: {exc.message}.)")
        finally:
            self._delivery.hand_out(received.inbound.channel, answer, turn.streams)

    async def _ask(self, turn: RunningTurn) -> Answer:
        received = turn.received
        assert self._serve is not None
        try:
            if received.starts >= MAX_STARTS:
                return Answer(
                    f"the host stopped {received.starts} times while it worked on this message; it is not tried again",
                    error_code="interrupted",
                    next_step="say it in other words; the host's log may tell why",
                )
            if not received.begun:
                await self._inbox.begin(received.message_id)
            return await self._serve.turn(turn)
        except MicroclawError as exc:
            return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        except Exception:
            _log.exception("a turn failed (%s/%s)", received.inbound.channel, received.inbound.chat_id)
            return Answer("something went wrong inside the host", error_code="internal", next_step="see the host's log")

    def _tell_stopping(self, chat: ChatQueue) -> None:
        stopping = Answer(
            "the host is stopping; your message is kept and answered when it is back",
            error_code="cancelled",
            next_step="microclaw up",
        )
        streams = [waiting.stream for waiting in chat.waiting]
        if chat.running is not None:
            streams += [*chat.running.streams, *(stream for _, stream in chat.running.joining)]
        for stream in streams:
            stream.put(stopping)

    def _forget_idle(self, place: Place, chat: ChatQueue) -> None:
        if not (chat.waiting or chat.worker or chat.arriving or chat.held) and self._chats.get(place) is chat:
            del self._chats[place]

    async def _prune(self) -> None:
        try:
            await self._inbox.prune()
            await self._outbox.prune()
            if self._serve is not None:
                await self._serve.prune()
        except MicroclawError as exc:
            _log.warning("old messages could not be pruned: %s", exc.message)


async def _nothing() -> AsyncIterator[TurnEvent]:
    none: tuple[TurnEvent, ...] = ()
    for event in none:
        yield event
