"""A message that was taken in, its chat's queue, and its turn's way to those who listen. It stores nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from microclaw.agent.stream import TurnStream
from microclaw.agent.turn_log import answer_text
from microclaw.events import Answer, Attachment, Inbound, ToolRun, TurnEvent
from microclaw.store.inbox import AttachmentRow, InboxRow, NewMessage
from microclaw.store.outbox import NewOutbound


@dataclass(frozen=True, slots=True)
class Received:
    """A message to answer; `starts` is how many turns were begun for it before: more than 0 after a crash; `begun`: the
    one that comes is counted already."""

    message_id: int
    inbound: Inbound
    received_ms: int
    starts: int
    begun: bool = False


class RunningTurn:
    """A turn's way to the outside: who listens, what joins it, and its end. One for each turn."""

    def __init__(self, received: Received) -> None:
        self.received = received
        self.streams: list[TurnStream] = []
        self.joining: list[tuple[Received, TurnStream]] = []
        self.quiet = asyncio.Event()  # while no tool call runs
        self.quiet.set()
        self._closed = False
        self._stopped = False
        self._when_stopped: Callable[[], None] | None = None

    @property
    def open(self) -> bool:
        """Whether messages may still join."""
        return not self._closed and not self._stopped

    def takes(self, inbound: Inbound) -> bool:
        """Whether a message may join: what it asks for is done with the rights of who began the turn."""
        begun = self.received.inbound
        asks = (inbound.principal, inbound.origin, inbound.device)
        return asks == (begun.principal, begun.origin, begun.device)

    def put(self, event: TurnEvent) -> None:
        if isinstance(event, ToolRun):
            if event.state == "started":
                self.quiet.clear()
            else:
                self.quiet.set()
        for stream in self.streams:
            stream.put(event)

    def when_stopped(self, act: Callable[[], None]) -> None:
        """Call `act` when somebody cancels; at once when somebody has."""
        self._when_stopped = act
        if self._stopped:
            act()

    def stop(self) -> None:
        self._stopped = True
        if self._when_stopped is not None:
            self._when_stopped()

    def take_joining(self, *, last: bool) -> tuple[Received, ...]:
        """Messages that joined since; with none, and `last`, no other can join."""
        taken = tuple(received for received, _ in self.joining)
        self.streams += [stream for _, stream in self.joining]
        self.joining.clear()
        self._closed = self._closed or (last and not taken)
        return taken


@dataclass(slots=True)
class Waiting:
    received: Received
    stream: TurnStream
    left_over: bool = False
    cancelled: bool = False

    @property
    def number(self) -> int:
        return self.received.message_id


@dataclass(slots=True)
class ChatQueue:
    """One chat's messages in order. `arriving` are on their way to the disk; `worker` says that a task answers them;
    `held`: what the last run left over waits for `Mail.resume`."""

    waiting: list[Waiting] = field(default_factory=list)
    running: RunningTurn | None = None
    arriving: int = 0
    worker: bool = False
    held: bool = False

    @property
    def idle(self) -> bool:
        """Whether the one message that arrives is answered at once."""
        return not (self.waiting or self.worker or self.held or self.arriving > 1)


def row_of(inbound: Inbound) -> NewMessage:
    attachments = tuple(AttachmentRow(a.kind, a.media_type, a.name, a.data) for a in inbound.attachments)
    return NewMessage(
        inbound.channel,
        inbound.chat_id,
        inbound.key,
        inbound.principal,
        inbound.device,
        inbound.text,
        inbound.origin,
        attachments,
    )


def received_from(row: InboxRow) -> Received:
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
    return Received(row.message_id, inbound, row.received_ms, row.starts)


def outbound_of(inbound: Inbound, answer: Answer) -> NewOutbound:
    return NewOutbound(inbound.channel, inbound.chat_id, "answer", inbound.principal, inbound.key, answer_text(answer))
