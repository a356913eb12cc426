"""A message on its way to an answer: as it was taken in, its turn, and the stream of events to who listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from microclaw.events import Answer, Attachment, Inbound, ToolRun, TurnEvent
from microclaw.store.inbox import AttachmentRow, InboxRow, NewMessage

MAX_WAITING_EVENTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A message on the disk. `starts`: how many turns were begun for it before, more than 0 after a crash; `begun`: the
    one that comes is counted already."""

    message_id: int
    inbound: Inbound
    received_ms: int
    starts: int = 0
    begun: bool = False


class TurnStream:
    """One writer, one reader, in order. When full, the oldest waiting event is dropped; the answer never is."""

    def __init__(self, max_waiting: int = MAX_WAITING_EVENTS) -> None:
        self._waiting: deque[TurnEvent] = deque(maxlen=max_waiting)
        self._news = asyncio.Event()
        self.listening = False
        self._left = False
        self.answer: Answer | None = None

    def leave(self) -> None:
        """The listener has gone: nothing more is kept for it."""
        self._left = True
        self.listening = False
        self._waiting.clear()

    def put(self, event: TurnEvent) -> None:
        """Never waits; belongs to the event loop's thread. The answer is the last, whatever comes after it."""
        if self.answer is not None:
            return
        if isinstance(event, Answer):
            self.answer = event
        if not self._left:
            self._waiting.append(event)
            self._news.set()

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Every event up to the answer, which is the last."""
        self.listening = not self._left
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Answer):
                    return
            self._news.clear()
            await self._news.wait()


class RunningTurn:
    """The turn that answers a message, waiting or running: who listens, what joins it, and whether it is to stop."""

    def __init__(self, message: Message, stream: TurnStream) -> None:
        self.message = message
        self.joined: list[Message] = []
        self.streams = [stream]
        self.quiet = asyncio.Event()  # while no tool call runs
        self.quiet.set()
        self._joining: list[tuple[Message, TurnStream]] = []
        self._closed = False
        self._stopped = False
        self._when_stopped: Callable[[], None] | None = None

    @property
    def number(self) -> int:
        return self.message.message_id

    @property
    def place(self) -> tuple[str, str]:
        return self.message.inbound.channel, self.message.inbound.chat_id

    @property
    def joining(self) -> int:
        """How many messages have come and are not part of it yet."""
        return len(self._joining)

    def join(self, message: Message, stream: TurnStream) -> bool:
        """Take another message in; False when the turn takes none any more, or none of this kind: what it asks for is
        done with the rights of who began the turn."""
        begun, comes = self.message.inbound, message.inbound
        asks = (comes.principal, comes.origin, comes.device)
        if self._closed or self._stopped or asks != (begun.principal, begun.origin, begun.device):
            return False
        self._joining.append((message, stream))
        return True

    def take_joining(self, *, last: bool) -> tuple[Message, ...]:
        """Messages that joined since; with none, and `last`, no other can join."""
        taken = tuple(message for message, _ in self._joining)
        self.joined += taken
        self.streams += [stream for _, stream in self._joining]
        self._joining.clear()
        self._closed = self._closed or (last and not taken)
        return taken

    def leave_out(self) -> list[RunningTurn]:
        """The turn has ended: messages that it did not take in have turns of their own."""
        self._closed = True
        late = [RunningTurn(message, stream) for message, stream in self._joining]
        self._joining.clear()
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
        """Tell everybody who listens or waits to join that this is the end."""
        for stream in (*self.streams, *(stream for _, stream in self._joining)):
            stream.put(answer)

    def when_stopped(self, act: Callable[[], None]) -> None:
        """Call `act` when somebody cancels; at once when somebody has."""
        self._when_stopped = act
        if self._stopped:
            act()

    def stop(self) -> None:
        self._stopped = True
        if self._when_stopped is not None:
            self._when_stopped()


def row_of(inbound: Inbound) -> NewMessage:
    return NewMessage(
        inbound.channel,
        inbound.chat_id,
        inbound.key,
        inbound.principal,
        inbound.device,
        inbound.text,
        inbound.origin,
        tuple(AttachmentRow(a.kind, a.media_type, a.name, a.data) for a in inbound.attachments),
    )


def message_from(row: InboxRow) -> Message:
    kept = row.message
    attachments = tuple(Attachment(a.kind, a.media_type, a.data, a.name) for a in kept.attachments)  # type: ignore[arg-type]  # as it was stored
    inbound = Inbound(
        kept.channel,
        kept.chat_id,
        kept.text,
        kept.principal,
        kept.device,
        attachments,
        kept.key,
        kept.origin,  # type: ignore[arg-type]  # as it was stored
    )
    return Message(row.message_id, inbound, row.received_ms, row.starts)
