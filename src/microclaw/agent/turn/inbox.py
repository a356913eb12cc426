"""The inbox: messages on the disk become turns, in order within their chat. It runs no turn itself.

`async for turn in inbox` gives a chat's next turn when the turn before it is finished. The settings limit how many run
at the same time. A message is on the disk before `accept` returns. If its chat has no room, the sender chooses what
happens (`WhenFull`). Messages that a crash left unanswered wait for `resume`.

In a cluster a turn is claimed in the store before it is given out: not while an older message of its chat waits at
another host. One other host takes over the messages of a dead host (`take_over`).
"""

from __future__ import annotations

import asyncio
import logging
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Literal, Self, TypeAlias

from msgspec import structs

from microclaw.agent.turn.outbox import AcceptedMessage, ChatKey, Outbox, RunningTurn, events_of
from microclaw.backoff import Backoff
from microclaw.clock import now_ms
from microclaw.errors import (
    EmptyMessage,
    MessageTooLong,
    MicroclawError,
    OutcomeUnknown,
    Overloaded,
    StoreError,
    StoreUnreachable,
    StoreUnwritable,
    TakenOver,
)
from microclaw.events import Answer, ChatChanged, Inbound
from microclaw.host.cluster.live_hosts import ALONE, Fleet, dead_among
from microclaw.host.config.settings import AgentSettings
from microclaw.host.store.inbox import InboxMessage, InboxTable
from microclaw.host.store.journal import EffectKey, Work
from microclaw.host.store.outbox import OutboxRow

# After the store failed.
RETRY_S: Final = 1.0
# Of one message.
MAX_ATTACHMENTS: Final = 8
MAX_ATTACHMENT_BYTES: Final = 20 << 20
# Of one chat: messages that wait for room, or are being written to the disk.
MAX_ARRIVALS: Final = 32
# One person, or all devices together, may have a quarter of all waiting messages.
SHARE: Final = 4
TAKEN: Final = Answer(
    "this host could not be reached by the others for a time: another one answers this message",
    error_code=TakenOver.code,
    next_step="wait for that answer, or look for it: microclaw chat",
)
STOPPING: Final = Answer(
    "the host is stopping; your message is kept and answered when it is back",
    error_code="cancelled",
    next_step="microclaw up",
)

WhenFull: TypeAlias = Literal["refuse", "wait", "take"]
"""If a chat has no room, its next message is refused, or waits in its order, or is accepted all the same."""

_log = logging.getLogger(__name__)

_STORE_CODES: Final = (StoreError.code, StoreUnreachable.code, StoreUnwritable.code)
_NUMBER: Final = attrgetter("number")
# The number of a message that is being written to the disk: it sorts after all others.
_ARRIVING: Final = 2**62


@dataclass(slots=True)
class _Chat:
    """The turns of a chat in order; turns whose message is being written to the disk are last.

    `running` is ready or runs. `held`: messages of the host's last run wait for `Inbox.resume`. The message that waits
    for room holds `arriving`, and the messages behind it wait for this lock in their order; `arrivals` counts them all.
    `changed` is set when there may be room.
    """

    turns: list[RunningTurn] = field(default_factory=list)
    running: RunningTurn | None = None
    held: bool = False
    arriving: asyncio.Lock = field(default_factory=asyncio.Lock)
    arrivals: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room(self, queue: int) -> bool:
        """Return True if one more turn fits; the turn that runs or is the next does not count."""
        return len(self.turns) + self.held <= queue


@dataclass(eq=False)
class Inbox:
    """The queue of messages. It accepts them between `open` and `close`.

    `message_bytes` is the limit of one text, `unanswered` of all messages that wait; SHARE limits the part of one
    person.
    """

    table: InboxTable
    outbox: Outbox
    settings: AgentSettings = field(default_factory=AgentSettings)
    message_bytes: int = 16 * 1024
    unanswered: int = 2048
    fleet: Fleet = ALONE
    # Stops a chat's turn at the other hosts of a cluster.
    stop_elsewhere: Callable[[str, str], Awaitable[bool]] | None = None
    # Returns the answer to a message that needs no turn.
    answer_at_once: Callable[[Inbound], Answer | None] = lambda _inbound: None
    publish: Callable[[ChatChanged], object] = lambda _event: None
    _chats: dict[ChatKey, _Chat] = field(default_factory=dict)
    _ready: deque[RunningTurn] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _open: bool = False
    _unclaimed: dict[ChatKey, _Chat] = field(default_factory=dict)
    _claim_due: bool = False

    def __post_init__(self) -> None:
        self._slots = self.settings.parallel_turns
        self.table.listen(self._look_again)

    async def open(self) -> None:
        """Accept messages. The messages that the host's last run left unanswered are loaded; they wait for `resume`."""
        for row in await self.table.unanswered():
            self._load(row, held=True)
        self._open = True

    async def take_over(self, *, at_start: bool = False) -> tuple[list[int], list[EffectKey]]:
        """Take over the messages and open effects of dead hosts; return their numbers and keys, as `InboxTable.take`.

        `at_start` is passed to `dead_among`. Before `open` the messages are only taken; afterwards they are loaded, and
        their turns begin in the order of their chats. Messages of this host that the store has and this host does not
        know are loaded too: the store failed when they came or were answered, and other hosts wait for them.
        """
        if not self.table.is_shared:
            return [], []
        dead_hosts = dead_among(self.fleet, await self.table.hosts(), at_start=at_start)
        numbers: list[int] = []
        effect_keys: list[EffectKey] = []
        if dead_hosts:
            numbers, effect_keys = await self.table.take(dead_hosts)
        if self._open:
            await self._load_unknown()
        return numbers, effect_keys

    async def _load_unknown(self) -> None:
        """Load the messages that the store has for this host and that no chat here has."""
        known_numbers = [turn.number for turn in self.unanswered_turns()]
        for message in await self.table.unanswered(besides=known_numbers):
            chat = self._chats.get((message.inbound.channel, message.inbound.chat_id), _Chat())
            # A turn that is being written to the disk may be the one of this message.
            if not any(turn.number in (_ARRIVING, message.message_id) for turn in chat.turns):
                self._load(message)

    def _load(self, message: InboxMessage, *, held: bool = False) -> None:
        """Put a message that is in the store already in its place in its chat. It has no listener."""
        turn = RunningTurn(message)
        chat = self._chats.setdefault(turn.chat_key, _Chat())
        chat.held = chat.held or held
        insort(chat.turns, turn, key=_NUMBER)
        self._make_ready(turn.chat_key)

    def resume(self) -> frozenset[int]:
        """Start the turns that `open` loaded, once their devices can be asked. Return their message numbers."""
        numbers: set[int] = set()
        for chat_key, chat in tuple(self._chats.items()):
            if chat.held:
                chat.held = False
                numbers.update(turn.number for turn in chat.turns)
                self._make_ready(chat_key)
        return frozenset(numbers)

    def close(self) -> None:
        """Accept no more messages and give out no more turns."""
        self._open = False
        self._news.set()
        for chat in self._chats.values():
            chat.changed.set()

    def unanswered_turns(self) -> list[RunningTurn]:
        """Return the turns that run or wait at this host."""
        turns: list[RunningTurn] = []
        for chat in self._chats.values():
            turns += chat.turns
        return turns

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunningTurn:
        while self._open:
            if self._ready and self._slots > 0:
                self._slots -= 1
                return self._ready.popleft()
            self._news.clear()
            if self._claim_due:
                await self._claim()
            else:
                await self._news.wait()
        raise StopAsyncIteration

    async def accept(self, inbound: Inbound, *, when_full: WhenFull = "refuse") -> AcceptedMessage:
        """Store a message.

        Raises EmptyMessage, MessageTooLong, AlreadyAnswered, or Overloaded if its chat has no room, or if its person or
        the whole inbox has too many messages waiting.
        """
        self._check_open()
        self._check_size(inbound)
        if inbound.key is not None:
            number = await self.table.number_of(inbound.channel, inbound.key)
            if number is not None:
                return AcceptedMessage(number, duplicate=True, events=events_of())
        answer = self.answer_at_once(inbound)
        if answer is not None:
            # Neither the message nor the answer is stored.
            newest_number = await self.table.newest(inbound.channel, inbound.chat_id)
            return AcceptedMessage(0, duplicate=False, events=events_of(answer), after=newest_number)
        turn = RunningTurn(InboxMessage(_ARRIVING, inbound, 0))
        chat = self._chats.setdefault(turn.chat_key, _Chat())
        chat.arrivals += 1
        is_new = False
        try:
            if when_full == "wait" and chat.arrivals <= MAX_ARRIVALS:
                await self._wait_for_room(chat)
            elif when_full != "take":
                self._check_room(chat)
            self._check_share(turn.share_key)
            chat.turns.append(turn)
            is_next = len(chat.turns) == 1 and not chat.held
            message, is_duplicate = await self.table.add(inbound, begun=is_next)
            is_new = not is_duplicate
        finally:
            if is_new:
                turn.message = message
                turn.number = message.message_id
                chat.turns.sort(key=_NUMBER)
            elif turn in chat.turns:
                chat.turns.remove(turn)
            chat.arrivals -= 1
            self._make_ready(turn.chat_key)
        if is_new:
            self._publish(turn, "accepted")
            return AcceptedMessage(message.message_id, duplicate=False, events=self.outbox.listener_events(turn))
        return AcceptedMessage(message.message_id, duplicate=True, events=events_of())

    async def cancel_anywhere(self, channel: str, chat_id: str) -> bool:
        """Cancel as `cancel` does, here or at another host of the cluster."""
        if self.cancel(channel, chat_id):
            return True
        return self.stop_elsewhere is not None and await self.stop_elsewhere(channel, chat_id)

    def cancel(self, channel: str, chat_id: str, *, message_id: int | None = None) -> bool:
        """Stop the chat's running turn at the next safe point, or its waiting turns if none runs.

        With `message_id` only the turn of that message is stopped, running or waiting. Return False if there is none.
        """
        chat = self._chats.get((channel, chat_id), _Chat())
        turns = [turn for turn in chat.turns if message_id in (None, turn.number)]
        is_running = chat.running in turns and chat.running not in self._ready
        for turn in turns:
            if turn is chat.running or not is_running:
                turn.stop()
        return bool(turns)

    def waiting(self, channel: str, chat_id: str) -> tuple[RunningTurn, ...]:
        """Return the chat's turns without an answer at this host."""
        return tuple(self._chats.get((channel, chat_id), _Chat()).turns)

    async def finish(self, turn: RunningTurn, answer: Answer, *keeping: Work) -> None:
        """Store the answer with the waiting rows of its turn, and hand it out. The chat's next turn may begin.

        `keeping` adds the answer to its conversation in the same transaction. If the store fails, the actions are done,
        so the person must still get the answer. In a cluster the message is answered again; a single host returns when
        the store has its end. If another host answers the message, this answer does not count.
        """
        chat = self._chats[turn.chat_key]
        inbound = turn.message.inbound
        outbound = OutboxRow(
            inbound.channel,
            inbound.chat_id,
            "answer",
            inbound.person_id,
            inbound.key,
            answer,
            reply_to=inbound.reply_to,
        )
        with self.outbox.handing_out(turn):
            try:
                with turn.carried() as waiting_rows:
                    number = await self.table.answer(turn.number, outbound, (*waiting_rows, *keeping))
                answer = structs.replace(answer, outbound_id=number)
            except TakenOver as exc:
                _log.warning("a turn ends here: %s", exc.message)
                answer = TAKEN
            except MicroclawError as exc:
                _log.warning("an answer could not be stored: %s", exc.message)
                answer = _unstored_answer(answer, is_repeated=self.table.is_shared)
            turn.put(answer)
        self._publish(turn, "answered")
        chat.turns.remove(turn)
        chat.running = None
        self._slots += 1
        self._make_ready(turn.chat_key)
        self._news.set()
        has_listener = turn.listening
        if not has_listener:
            await self.outbox.give_back(answer.outbound_id)
        if answer.outbound_id is None and not self.table.is_shared:
            await self._store_later(turn, structs.replace(outbound, body=answer), is_delivered=has_listener)

    def _publish(self, turn: RunningTurn, state: Literal["accepted", "answered"]) -> None:
        inbound = turn.message.inbound
        self.publish(ChatChanged("", now_ms(), turn.number, state, inbound.channel, inbound.person_id))

    async def _store_later(self, turn: RunningTurn, outbound: OutboxRow, *, is_delivered: bool) -> None:
        """Store the answer of a message when the store works again.

        Without it a restart would begin the message again, after newer messages of the chat.
        """
        backoff = Backoff()
        is_written = False
        while not is_written:
            await asyncio.sleep(backoff.next_wait_s())
            with suppress(MicroclawError), self.outbox.handing_out(turn):
                number = await self.table.answer(turn.number, outbound)
                is_written = True
                if is_delivered:
                    await self.outbox.note_delivered(number)

    def has_room(self, inbound: Inbound) -> bool:
        """Return True if its chat has room for a message: for a channel whose messages can stay with their sender."""
        chat = self._chats.get((inbound.channel, inbound.chat_id), _Chat())
        return chat.has_room(self.settings.queue) and not chat.arriving.locked()

    def _check_room(self, chat: _Chat) -> None:
        if chat.arriving.locked() or not chat.has_room(self.settings.queue):
            text = f"{len(chat.turns)} messages of this chat wait for an answer"
            raise Overloaded(text, next_step="wait for an answer, then say it again")

    async def _wait_for_room(self, chat: _Chat) -> None:
        async with chat.arriving:
            while self._open and not chat.has_room(self.settings.queue):
                chat.changed.clear()
                await chat.changed.wait()
            self._check_open()

    def _check_size(self, inbound: Inbound) -> None:
        files = inbound.attachments
        size = len(inbound.text.encode(errors="replace"))
        if not inbound.text.strip() and not files:
            raise EmptyMessage("that message is empty", next_step="try: what can you do")
        if size > self.message_bytes:
            text = f"that message has {size:,} bytes, at most {self.message_bytes:,} are read"
            raise MessageTooLong(text, next_step="send a shorter message")
        attached_bytes = sum(len(file.data) for file in files)
        if len(files) > MAX_ATTACHMENTS or attached_bytes > MAX_ATTACHMENT_BYTES:
            limits = f"{MAX_ATTACHMENTS} with {MAX_ATTACHMENT_BYTES:,}"
            text = f"that message has {len(files)} attachments with {attached_bytes:,} bytes; at most {limits} are read"
            raise MessageTooLong(text, next_step="send fewer or smaller ones")

    def _check_open(self) -> None:
        if not self._open:
            raise Overloaded("the host is stopping", next_step="microclaw up, then say it again")

    def _check_share(self, share_key: str) -> None:
        """Raise Overloaded if too many messages wait in all, or too many of this person."""
        share_keys = [turn.share_key for turn in self.unanswered_turns()]
        _check_count(len(share_keys), self.unanswered, "of all")
        group = "of devices" if share_key == "devices" else "of yours in all chats"
        _check_count(share_keys.count(share_key), max(1, self.unanswered // SHARE), group)

    def _make_ready(self, chat_key: ChatKey) -> None:
        """Begin or claim the chat's next turn if it may begin; forget a chat without turns."""
        chat = self._chats[chat_key]
        chat.changed.set()
        if not chat.turns:
            if not chat.arrivals:
                del self._chats[chat_key]
            return
        next_turn = chat.turns[0]
        if chat.running is not None or chat.held or next_turn.number == _ARRIVING:
            return
        if self.table.is_shared and not next_turn.message.begun:
            self._unclaimed[chat_key] = chat
            self._look_again()
            return
        chat.running = next_turn
        self._ready.append(next_turn)
        self._news.set()

    def _look_again(self) -> None:
        """Claim turns again, as another host answered a message or a turn is new here."""
        if self._unclaimed:
            self._claim_due = True
            self._news.set()

    async def _claim(self) -> None:
        """Claim the next turn of each chat that waits; if that fails, the chat waits for changes of other hosts."""
        self._claim_due = False
        next_chats = {chat.turns[0].number: chat for chat in self._unclaimed.values()}
        try:
            claims = await self.table.claim(tuple(next_chats))
        except MicroclawError as exc:
            _log.warning("turns wait, as the store cannot be written: %s", exc.message)
            asyncio.get_running_loop().call_later(RETRY_S, self._look_again)
            return
        for number, chat in next_chats.items():
            turn = chat.turns[0]
            # During the claim an older message of the chat may have come from a dead host.
            if turn.number != number:
                self._look_again()
                continue
            if claims[number] == "waits":
                continue
            del self._unclaimed[turn.chat_key]
            if claims[number] == "begun":
                turn.message = structs.replace(turn.message, begun=True)
            else:
                # Another host has this message now.
                chat.turns.pop(0).put(TAKEN)
            self._make_ready(turn.chat_key)


def _check_count(count: int, limit: int, group: str) -> None:
    if count >= limit:
        text = f"{count} messages {group} wait for an answer, {limit} is the limit"
        raise Overloaded(text, next_step="wait for some answers, then say it again")


def _unstored_answer(answer: Answer, *, is_repeated: bool) -> Answer:
    """Return the answer for the person if it could not be stored. `is_repeated`: another turn answers the message."""
    if answer.error_code in _STORE_CODES:
        text = f"the store failed after it took your message: outcome unknown\n{answer.text}"
        next_step = "look before you say it again"
        if is_repeated:
            next_step = "it is answered again: wait for that answer, or look for it: microclaw chat"
        return structs.replace(answer, text=text, error_code=OutcomeUnknown.code, next_step=next_step)
    note = "(This answer could not be stored in the conversation: the store failed.)"
    return structs.replace(answer, text=f"{answer.text}\n{note}")
