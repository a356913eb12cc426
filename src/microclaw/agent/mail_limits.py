"""What a message may be, and how many may wait for an answer: in all, and of one person. It holds no message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from microclaw.errors import EmptyMessage, MessageTooLong, Overloaded
from microclaw.events import Inbound

SHARE: Final = 4  # one person may have a quarter of the room, so that nobody keeps the others out


@dataclass(frozen=True, slots=True)
class MailLimits:
    """Of one message, and of all that wait together; one person may have the part of those that SHARE says."""

    message_bytes: int = 16 * 1024
    attachments: int = 8
    attachment_bytes: int = 20 << 20
    unanswered: int = 2048


class Unanswered:
    """How many messages wait, and of whom. A token's are its person's; what devices ask for has a share of its own."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Counter[str] = Counter()

    @property
    def each(self) -> int:
        """How many one person may wait for."""
        return max(1, self._limit // SHARE)

    def refusal(self, inbound: Inbound) -> Overloaded | None:
        """Why this message finds no room, if it finds none."""
        total, theirs = self._waiting.total(), self._waiting[_whose(inbound)]
        if total >= self._limit:
            return Overloaded(
                f"{total} messages wait for an answer, {self._limit} is the limit",
                next_step="wait a little, then say it again",
            )
        if theirs < self.each:
            return None
        if inbound.origin == "device":
            return Overloaded(
                f"{theirs} messages of devices wait for an answer, {self.each} is the limit for all of them together",
                next_step="ask again later, and let the devices ask less often",
            )
        return Overloaded(
            f"{theirs} messages of yours wait for an answer in all your chats together, {self.each} is the limit for "
            "one person",
            next_step="wait for some of those answers, or cancel what you need no more, then say it again",
        )

    def came(self, inbound: Inbound) -> None:
        self._waiting[_whose(inbound)] += 1

    def went(self, inbound: Inbound, count: int = 1) -> None:
        """So many like it were answered, or were never taken in."""
        whose = _whose(inbound)
        self._waiting[whose] -= count
        if self._waiting[whose] <= 0:
            del self._waiting[whose]


def _whose(inbound: Inbound) -> str:
    return "devices" if inbound.origin == "device" else f"person {inbound.principal}"


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
