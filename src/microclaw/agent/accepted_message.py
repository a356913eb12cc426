"""A message that was taken in, here or for a host that answers it. It takes none."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from microclaw.events import Answer, Inbound, TurnEvent


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


class Relay(Protocol):
    """Turns at other hosts of a cluster (agent/turn_relay.py)."""

    async def accept(self, inbound: Inbound) -> AcceptedMessage | None:
        """The message as another host took it; None: it is for this host."""

    async def stop(self, channel: str, chat_id: str, message_id: int | None = None) -> bool:
        """As Inbox.cancel, at the other hosts."""

    def stop_later(self, channel: str, chat_id: str, message_id: int | None = None) -> bool:
        """The same without waiting for it; False where no turn of the chat is known here."""


async def events_of(answer: Answer) -> AsyncGenerator[TurnEvent, None]:
    yield answer


async def no_events() -> AsyncGenerator[TurnEvent, None]:
    none: tuple[TurnEvent, ...] = ()
    for event in none:
        yield event
