"""A message from its arrival to its answer: its turn, and the events that its listeners get. It runs no turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.events import Answer, ToolRun, TurnEvent
from microclaw.store.inbox import Message
from microclaw.store.journal import Work, no_work

ChatKey: TypeAlias = tuple[str, str]  # channel and chat id

MAX_WAITING_EVENTS: Final = 1024


class AcceptedMessage(Struct, frozen=True):
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


async def events_of(*answers: Answer) -> AsyncGenerator[TurnEvent, None]:
    for answer in answers:
        yield answer


class TurnStream:
    """One writer, one reader, in order. When full, the oldest waiting event is dropped; the answer never is."""

    def __init__(self, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self._news = asyncio.Event()
        self._has_reader = self._left = False
        self.answer: Answer | None = None

    @property
    def listening(self) -> bool:
        return self._has_reader and not self._left

    def leave(self) -> None:
        """The listener has gone: drop its events."""
        self._left = True
        self._waiting.clear()

    def put(self, event: TurnEvent) -> None:
        """Add an event without waiting, in the event loop's thread. What comes after the answer is dropped."""
        if self.answer is not None:
            return
        if isinstance(event, Answer):
            self.answer = event
        if not self._left:
            self._waiting.append(event)
            self._news.set()

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Every event; the answer is the last."""
        self._has_reader = True
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Answer):
                    return
            self._news.clear()
            await self._news.wait()


class RunningTurn:
    """A turn that waits or runs: its listeners, the messages that join it, and whether it is to stop."""

    def __init__(self, message: Message, stream: TurnStream) -> None:
        self.message = message
        self.number = message.message_id
        self.chat_key: ChatKey = (message.inbound.channel, message.inbound.chat_id)
        self.joined: list[Message] = []
        self.streams = [stream]
        self.quiet = asyncio.Event()  # while no tool call runs
        self.quiet.set()
        self.carried: Callable[[], AbstractContextManager[Work]] = lambda: nullcontext(no_work)  # with its answer
        self.joining: list[tuple[Message, TurnStream]] = []
        self._closed = False
        self._stopped = False
        self._when_stopped: Callable[[], None] | None = None

    @property
    def messages(self) -> list[Message]:
        """Its message and those that joined it, or are to."""
        return [self.message, *self.joined, *(message for message, _ in self.joining)]

    def join(self, message: Message, stream: TurnStream) -> bool:
        """Let a message join; False when it is too late, or when person, origin or device differ.

        A turn acts with the rights of the person who began it.
        """
        first, new = self.message.inbound, message.inbound
        is_alike = (new.person_id, new.origin, new.device) == (first.person_id, first.origin, first.device)
        if self._closed or self._stopped or not is_alike:
            return False
        self.joining.append((message, stream))
        return True

    def take_joining(self, *, last: bool) -> tuple[Message, ...]:
        """The messages that joined since the last call. With `last` and no message, none can join after it."""
        taken = tuple(message for message, _ in self.joining)
        self.joined += taken
        self.streams += [stream for _, stream in self.joining]
        self.joining.clear()
        self._closed = self._closed or (last and not taken)
        return taken

    def leave_out(self) -> list[RunningTurn]:
        """The turn has ended: each message that it did not take in gets a turn of its own."""
        self._closed = True
        late = [RunningTurn(message, stream) for message, stream in self.joining]
        self.joining.clear()
        return late

    def put(self, event: TurnEvent) -> None:
        if isinstance(event, ToolRun):
            if event.state == "started":
                self.quiet.clear()
            else:
                self.quiet.set()
        for stream in self.streams:
            stream.put(event)

    def end(self, answer: Answer) -> None:
        """Send the answer to every listener, also of messages that wait to join."""
        for stream in (*self.streams, *(stream for _, stream in self.joining)):
            stream.put(answer)

    def when_stopped(self, act: Callable[[], None]) -> None:
        """Call `act` when the turn is cancelled, or at once if it was."""
        self._when_stopped = act
        if self._stopped:
            act()

    def stop(self) -> None:
        self._stopped = True
        if self._when_stopped is not None:
            self._when_stopped()
