"""The inbox: messages on the disk become turns, in order within their chat. It runs no turn itself.

`async for turn in inbox` gives a chat's next turn when the one before is finished. The settings limit how many run at
the same time. A message is on the disk before `accept` returns. Messages left over by a crash wait for `resume`.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import insort
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final, Self

from microclaw.agent.outbox import Outbox
from microclaw.agent.running_turn import ChatKey, Message, RunningTurn, TurnStream, message_from, row_of
from microclaw.agent.turn_journal import answer_from, encode
from microclaw.config.settings import AgentSettings
from microclaw.errors import EmptyMessage, MessageTooLong, MicroclawError, Overloaded
from microclaw.events import Answer, Inbound, TurnEvent
from microclaw.store.inbox import InboxRow, InboxTable
from microclaw.store.outbox import NewOutbound

SHARE: Final = 4  # one person may have a quarter of all waiting messages

_log = logging.getLogger(__name__)

_NUMBER: Final = attrgetter("number")


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """Limits of one message, and of all that wait; SHARE limits the part of one person."""

    message_bytes: int = 16 * 1024
    attachments: int = 8
    attachment_bytes: int = 20 << 20
    unanswered: int = 2048


@dataclass(frozen=True, slots=True)
class AcceptedMessage:
    """A message that is on the disk, or that was answered without a turn. `events` ends with the answer; it is empty
    for a duplicate.

    The reader of `events` delivers the answer and then calls `Outbox.delivered`. Without a reader, or when it leaves,
    `Outbox.outgoing` gives the answer. Leaving never ends the turn. Messages that joined one turn end with the same
    answer: deliver each `outbound_id` once.
    """

    message_id: int
    duplicate: bool
    events: AsyncGenerator[TurnEvent, None]

    async def answer(self) -> Answer | None:
        """Read the events to their end and return the answer; None for a duplicate."""
        answers = [event async for event in self.events if isinstance(event, Answer)]
        return answers[-1] if answers else None


@dataclass(slots=True)
class _Chat:
    """One chat's turns in order. `arriving` messages are being written to the disk; `busy`: a turn is ready or runs;
    `held`: messages of the last run wait for `Inbox.resume`."""

    waiting: list[RunningTurn] = field(default_factory=list)
    running: RunningTurn | None = None
    arriving: int = 0
    busy: bool = False
    held: bool = False


class Inbox:
    """The queue of messages. It accepts them between `open` and `close`."""

    def __init__(
        self,
        table: InboxTable,
        outbox: Outbox,
        *,
        settings: AgentSettings | None = None,
        limits: InboxLimits | None = None,
    ) -> None:
        self.outbox = outbox
        self._settings = settings or AgentSettings()
        self._limits = limits or InboxLimits()
        self._table = table
        self._chats: dict[ChatKey, _Chat] = {}
        self._ready: deque[_Chat] = deque()
        self._left_over: set[int] = set()
        self._unanswered = WaitingCount(self._limits.unanswered)
        self._news = asyncio.Event()
        self._slots = self._settings.parallel_turns
        self._open = False
        self.answer_at_once: Callable[[Inbound], Answer | None] = lambda _inbound: None  # instead of a turn

    async def open(self) -> None:
        """Accept messages. What the last run left unanswered is loaded, and its chats wait for `resume`."""
        for row in await self._table.unanswered():
            message = message_from(row)
            chat = self._chats.setdefault((message.inbound.channel, message.inbound.chat_id), _Chat())
            chat.held = True
            insort(chat.waiting, RunningTurn(message, TurnStream()), key=_NUMBER)
            self._left_over.add(message.message_id)
            self._unanswered.came(message.inbound)
        self._open = True

    def resume(self) -> frozenset[int]:
        """Start what the last run left unanswered, once its devices can be asked; returns the message numbers."""
        found = frozenset(self._left_over)
        self._left_over.clear()
        for chat in self._chats.values():
            chat.held = False
            self._make_ready(chat)
        return found

    def close(self) -> None:
        """Accept no more messages and give out no more turns."""
        self._open = False
        self._news.set()

    def end_streams(self, answer: Answer) -> None:
        """Send `answer` to every listener of an unanswered turn. The messages stay on the disk."""
        for chat in self._chats.values():
            for turn in (*chat.waiting, *([chat.running] if chat.running is not None else ())):
                turn.end(answer)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunningTurn:
        while self._open:
            if self._ready and self._slots > 0:
                chat = self._ready.popleft()
                chat.running = chat.waiting.pop(0)
                self._slots -= 1
                return chat.running
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    async def accept(self, inbound: Inbound) -> AcceptedMessage:
        """Store a message. Raises EmptyMessage, MessageTooLong, or Overloaded when its chat, its person or the whole
        inbox has too many waiting."""
        if not self._open:
            raise Overloaded("the host is stopping", next_step="microclaw up, then say it again")
        _check_readable(inbound, self._limits)
        if (answer := await self._without_a_turn(inbound)) is not None:
            return AcceptedMessage(0, False, _events_of(answer))
        chat_key = (inbound.channel, inbound.chat_id)
        chat = self._chats.setdefault(chat_key, _Chat())
        chat.arriving += 1
        try:
            if (full := self._full(chat, inbound)) is not None:
                if inbound.key is not None and await self.has(inbound.channel, inbound.key):
                    return AcceptedMessage(0, True, _no_events())
                raise full
            begun = not (chat.waiting or chat.busy or chat.held or chat.arriving > 1)  # its turn is the next
            row, known = await self._add(inbound, begun=begun)
            if known:
                return AcceptedMessage(row.message_id, True, _no_events())
            stream = TurnStream()
            self._enqueue(chat, Message(row.message_id, inbound, row.received_ms, row.starts, begun), stream)
        finally:
            chat.arriving -= 1
            self._forget_idle(chat_key, chat)
        return AcceptedMessage(row.message_id, False, self.outbox.following(stream))

    async def has(self, channel: str, key: str) -> bool:
        """Whether a message with this key was accepted before."""
        return await self._table.has(channel, key)

    async def _without_a_turn(self, inbound: Inbound) -> Answer | None:
        """An answer that needs no turn. It is not kept, nor is the message; one that came in before has had its own."""
        if inbound.key is not None and await self.has(inbound.channel, inbound.key):
            return None
        return self.answer_at_once(inbound)

    def cancel(self, channel: str, chat_id: str, *, message_id: int | None = None) -> bool:
        """Stop the chat's running turn at the next safe point, or its waiting turns if none runs; False without any.

        With `message_id` only the turn of that message, running or waiting.
        """
        chat = self._chats.get((channel, chat_id))
        if chat is None:
            return False
        if chat.running is not None and message_id in (None, chat.running.number):
            chat.running.stop()
            return True
        meant = [turn for turn in chat.waiting if message_id in (None, turn.number)]
        for turn in meant:
            turn.stop()
        return bool(meant)

    def is_busy(self, channel: str, chat_id: str) -> bool:
        """Whether a message of the chat arrives, waits or is being answered."""
        return (channel, chat_id) in self._chats

    def running(self) -> tuple[RunningTurn, ...]:
        """The turns that run now."""
        return tuple(chat.running for chat in self._chats.values() if chat.running is not None)

    async def begin(self, message: Message) -> None:
        """Count a start of the message's turn, on the disk."""
        if not message.begun:
            await self._table.begin(message.message_id)

    async def joined(self, message: Message) -> tuple[Message, ...]:
        """The messages that had joined its turn before a crash."""
        return tuple(message_from(row) for row in await self._table.joined(message.message_id))

    async def answer(self, turn: RunningTurn, answer: Answer) -> Answer:
        """Put the answer on the disk and return it with its number.

        If the store fails it has no number: its actions are done, so the person must still get it.
        """
        chat, inbound = self._chats[turn.chat_key], turn.message.inbound
        for late in turn.leave_out():
            insort(chat.waiting, late, key=_NUMBER)
        body = encode(replace(answer, outbound_id=None))
        outbound = NewOutbound(inbound.channel, inbound.chat_id, "answer", inbound.person_id, inbound.key, body)
        outbound_id: int | None = None
        try:
            outbound_id = await self._table.answer(turn.number, outbound)
        except MicroclawError as exc:
            _log.warning("an answer could not be kept: %s", exc.message)
        self._unanswered.went(inbound, len(turn.streams))
        chat.running = None
        return replace(answer, outbound_id=outbound_id)

    def kept(self, message_id: int) -> None:
        """The conversation has the answer."""
        self._table.kept(message_id)

    def finish(self, turn: RunningTurn) -> None:
        """The listeners have the answer: the chat's next turn may begin."""
        chat = self._chats[turn.chat_key]
        chat.busy = False
        self._slots += 1
        self._make_ready(chat)
        self._forget_idle(turn.chat_key, chat)
        self._news.set()

    async def unsaved(self) -> tuple[tuple[tuple[Message, ...], Answer], ...]:
        """Answers that may be missing in their conversations, oldest first, each with its messages."""
        found = await self._table.unsaved()
        return tuple((tuple(map(message_from, one.messages)), answer_from(one.body)) for one in found)

    async def prune(self) -> None:
        """Delete old rows."""
        await self._table.prune()

    async def _add(self, inbound: Inbound, *, begun: bool) -> tuple[InboxRow, bool]:
        """Write it to the disk. It is counted first, as many may arrive at the same time."""
        known = True
        self._unanswered.came(inbound)
        try:
            row, known = await self._table.add(row_of(inbound), begun=begun)
        finally:
            if known:
                self._unanswered.went(inbound)
        return row, known

    def _full(self, chat: _Chat, inbound: Inbound) -> Overloaded | None:
        """Why there is no room for the message, or None."""
        waiting = len(chat.waiting) + chat.arriving + (chat.running.joining if chat.running else 0)
        idle = chat.running is None and not chat.held
        if waiting > self._settings.queue + idle:  # of an idle chat the first one does not wait
            return Overloaded(
                f"{waiting - 1} messages of this chat wait already, {self._settings.queue} is the limit",
                next_step="wait for the answers to those",
            )
        return self._unanswered.refusal(inbound)

    def _enqueue(self, chat: _Chat, message: Message, stream: TurnStream) -> None:
        steers = self._settings.second_message == "steer" and not chat.waiting
        if steers and chat.running is not None and chat.running.join(message, stream):
            return
        insort(chat.waiting, RunningTurn(message, stream), key=_NUMBER)
        self._make_ready(chat)

    def _make_ready(self, chat: _Chat) -> None:
        if chat.waiting and not chat.busy and not chat.held:
            chat.busy = True
            self._ready.append(chat)
            self._news.set()

    def _forget_idle(self, chat_key: ChatKey, chat: _Chat) -> None:
        if not (chat.waiting or chat.busy or chat.arriving or chat.held) and self._chats.get(chat_key) is chat:
            del self._chats[chat_key]


class WaitingCount:
    """Counts waiting messages by person. All devices together count as one person."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Counter[str] = Counter()

    def refusal(self, inbound: Inbound) -> Overloaded | None:
        """Why there is no room for this message, or None."""
        total, theirs = self._waiting.total(), self._waiting[_whose(inbound)]
        each = max(1, self._limit // SHARE)
        if total >= self._limit:
            return Overloaded(
                f"{total} messages wait for an answer, {self._limit} is the limit",
                next_step="wait a little, then say it again",
            )
        if theirs < each:
            return None
        if inbound.origin == "device":
            return Overloaded(
                f"{theirs} messages of devices wait for an answer, {each} is the limit for all of them together",
                next_step="ask again later, and let the devices ask less often",
            )
        return Overloaded(
            f"{theirs} messages of yours wait for an answer in all your chats together, {each} is the limit for "
            "one person",
            next_step="wait for some of those answers, or cancel what you need no more, then say it again",
        )

    def came(self, inbound: Inbound) -> None:
        self._waiting[_whose(inbound)] += 1

    def went(self, inbound: Inbound, count: int = 1) -> None:
        """`count` messages like it were answered or never stored."""
        whose = _whose(inbound)
        self._waiting[whose] -= count
        if self._waiting[whose] <= 0:
            del self._waiting[whose]


def _whose(inbound: Inbound) -> str:
    return "devices" if inbound.origin == "device" else f"person {inbound.person_id}"


def _check_readable(inbound: Inbound, limits: InboxLimits) -> None:
    """Raise EmptyMessage or MessageTooLong, before anything of the message is stored."""
    if not inbound.text.strip() and not inbound.attachments:
        raise EmptyMessage("that message is empty", next_step="try: what can you do")
    size = len(inbound.text.encode(errors="replace"))
    if size > limits.message_bytes:
        raise MessageTooLong(
            f"that message has {size:,} bytes, at most {limits.message_bytes:,} are read",
            next_step="say it shorter",
        )
    attached = sum(len(attachment.data) for attachment in inbound.attachments)
    if len(inbound.attachments) > limits.attachments or attached > limits.attachment_bytes:
        raise MessageTooLong(
            f"that message has {len(inbound.attachments)} attachments with {attached:,} bytes; at most "
            f"{limits.attachments} with {limits.attachment_bytes:,} bytes are read",
            next_step="send fewer or smaller ones",
        )


async def _events_of(answer: Answer) -> AsyncGenerator[TurnEvent, None]:
    yield answer


async def _no_events() -> AsyncGenerator[TurnEvent, None]:
    none: tuple[TurnEvent, ...] = ()
    for event in none:
        yield event
