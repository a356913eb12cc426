"""How much the inbox takes: of one message, of one person, of all together. It keeps no message."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from microclaw.errors import EmptyMessage, MessageTooLong, Overloaded
from microclaw.events import Inbound

SHARE: Final = 4  # one person may have a quarter of all waiting messages


class InboxLimits(Struct, frozen=True):
    """Limits of one message, and of all that wait; SHARE limits the part of one person."""

    message_bytes: int = 16 * 1024
    attachments: int = 8
    attachment_bytes: int = 20 << 20
    unanswered: int = 2048


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


def check_readable(inbound: Inbound, limits: InboxLimits) -> None:
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
