"""A message that was taken in. It takes none."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from msgspec import Struct

from microclaw.events import Answer, TurnEvent


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
