"""What a message may be, and how many may wait for an answer: in all, and of one person. It holds no message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from microclaw.bus.events import Inbound
from microclaw.errors import EmptyMessage, MessageTooLong, Overloaded

SHARE: Final = 4  # one person may have a quarter of the room, so that nobody keeps the others out


@dataclass(frozen=True, slots=True)
class MailLimits:
    """Of one message, and of all that wait together; one person may have the part of those that SHARE says."""

    message_bytes: int = 16 * 1024
    attachments: int = 8
    attachment_bytes: int = 20 << 20
    unanswered: int = 2048


class Unanswered:
    """How many messages each person waits for. A token's messages are its person's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_person: Counter[str] = Counter()

    @property
    def each(self) -> int:
        """How many one person may wait for."""
        return max(1, self._limit // SHARE)

    def refusal(self, person: str) -> Overloaded | None:
        """Why one more message of this person finds no room, if it finds none."""
        total, theirs = self._by_person.total(), self._by_person[person]
        if total >= self._limit:
            return Overloaded(
                f"{total} messages wait for an answer, {self._limit} is the limit",
                next_step="wait a little, then say it again",
            )
        if theirs >= self.each:
            return Overloaded(
                f"{theirs} messages of yours wait for an answer in all your chats together, {self.each} is the limit "
                "for one person",
                next_step="wait for some of those answers, or cancel what you need no more, then say it again",
            )
        return None

    def came(self, person: str) -> None:
        self._by_person[person] += 1

    def went(self, person: str, count: int = 1) -> None:
        """So many were answered, or were never taken in."""
        self._by_person[person] -= count
        if self._by_person[person] <= 0:
            del self._by_person[person]


def check_readable(inbound: Inbound, limits: MailLimits) -> None:
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
