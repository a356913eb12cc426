"""A message from its arrival to its answer: its turn, and the events that its listener gets. It runs no turn."""

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
    `Outbox.outgoing` gives the answer. Leaving never ends the turn.
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


class RunningTurn:
    """A turn that waits or runs: its message, its events for one listener in order, and whether it is to stop.

    When `max_waiting` events wait, the oldest is dropped; the answer never is.
    """

    def __init__(self, message: Message, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self.message = message
        self.number = message.message_id
        self.chat_key: ChatKey = (message.inbound.channel, message.inbound.chat_id)
        self.answer: Answer | None = None
        self.quiet = asyncio.Event()  # while no tool call runs
        self.quiet.set()
        self.carried: Callable[[], AbstractContextManager[Work]] = lambda: nullcontext(no_work)  # with its answer
        self._waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self._news = asyncio.Event()
        self.listening = self._left = self._stopped = False
        self._when_stopped: Callable[[], None] = lambda: None

    def leave(self) -> None:
        """The listener has gone: drop its events."""
        self.listening, self._left = False, True
        self._waiting.clear()

    def put(self, event: TurnEvent) -> None:
        """Add an event without waiting, in the event loop's thread. What comes after the answer is dropped."""
        if isinstance(event, ToolRun):
            (self.quiet.clear if event.state == "started" else self.quiet.set)()
        if self.answer is not None:
            return
        if isinstance(event, Answer):
            self.answer = event
        if not self._left:
            self._waiting.append(event)
            self._news.set()

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Every event; the answer is the last."""
        self.listening = not self._left
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Answer):
                    return
            self._news.clear()
            await self._news.wait()

    def when_stopped(self, act: Callable[[], None]) -> None:
        """Call `act` when the turn is cancelled, or at once if it was."""
        self._when_stopped = act
        if self._stopped:
            act()

    def stop(self) -> None:
        self._stopped = True
        self._when_stopped()
