"""Outbox and inbox of the board's end of the link, in its flash. Sends nothing (wire.link.storage has the rules)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from microclaw.errors import Overloaded
from microclaw.virtual.link_flash import Flash
from microclaw.wire.link.messages import Id
from microclaw.wire.link.storage import InboxCursor, OutboxCursor, Stored

MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 65_536
RESERVED_MESSAGES: Final = 64
"""Room on top for answers to durable calls: those must never be refused, and at most so many calls are taken."""
RECENT_IDS: Final = 256


class FlashOutbox:
    """Durable messages for the host, at most 256 or 64 KiB of them. Only the link's thread uses it."""

    def __init__(self, flash: Flash, random_bytes: Callable[[int], bytes]) -> None:
        self._flash = flash
        self._random_bytes = random_bytes
        if flash.get("outbox") is None:
            flash.commit({"outbox": [random_bytes(8), 0, 0]})
        self._rows = {_seq_of(name): (row[0], row[1]) for name, row in flash.under("out/").items()}
        self._bytes = sum(len(payload) for _, payload in self._rows.values())

    @property
    def depth(self) -> int:
        return len(self._rows)

    def cursor(self) -> OutboxCursor:
        return OutboxCursor(*self._flash.get("outbox"))

    def append(
        self, message_id: Id, payload: bytes, *, also: Mapping[str, Any] | None = None, reserved: bool = False
    ) -> int:
        """The message's number. `also` is committed with it; `reserved`: it may use the room kept for answers."""
        known = next((seq for seq, row in self._rows.items() if row[0] == message_id), None)
        if known is not None:
            return known
        most = MAX_MESSAGES + (RESERVED_MESSAGES if reserved else 0)
        if len(self._rows) >= most or (not reserved and self._bytes + len(payload) > MAX_BYTES):
            raise Overloaded(f"the outbox is full: {len(self._rows)} messages, {self._bytes} bytes")
        epoch, acked, last = self.cursor()
        seq = last + 1
        self._flash.commit({"outbox": [epoch, acked, seq], _name(seq): [message_id, payload], **(also or {})})
        self._rows[seq] = (message_id, payload)
        self._bytes += len(payload)
        return seq

    def unacked_after(self, seq: int, limit: int) -> Sequence[Stored]:
        numbers = sorted(n for n in self._rows if n > seq)[:limit]
        return [Stored(n, self._rows[n][1]) for n in numbers]

    def ack(self, seq: int) -> None:
        epoch, acked, last = self.cursor()
        if seq <= acked:
            return
        done = [n for n in self._rows if n <= seq]
        self._flash.commit({"outbox": [epoch, seq, last], **{_name(n): None for n in done}})
        for n in done:
            self._bytes -= len(self._rows.pop(n)[1])

    def renew(self) -> OutboxCursor:
        rows = [self._rows[n] for n in sorted(self._rows)]
        fresh = OutboxCursor(self._random_bytes(8), 0, len(rows))
        changes: dict[str, Any] = {_name(n): None for n in self._rows}
        changes |= {_name(n): list(row) for n, row in enumerate(rows, 1)}
        self._flash.commit({"outbox": list(fresh), **changes})
        self._rows = dict(enumerate(rows, 1))
        return fresh


class FlashInbox:
    """What of the host's outbox has had its effect. Only the link's thread uses it."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._recent: dict[Id, None] = dict.fromkeys(flash.under("recent/").values())

    def cursor(self) -> InboxCursor:
        epoch, seq, _ = self._flash.get("inbox", (None, 0, 0))
        return InboxCursor(epoch, seq)

    def advance(self, epoch: bytes, seq: int, message_id: Id, effect: Mapping[str, Any]) -> bool:
        """Commit the effect and the new cursor as one; False, without the effect, when it was committed before."""
        at = self.cursor()
        if at.epoch == epoch and seq <= at.seq:
            return False
        count = self._flash.get("inbox", (None, 0, 0))[2]
        is_new = message_id not in self._recent
        changes: dict[str, Any] = {"inbox": [epoch, seq, count + is_new]}
        if is_new:
            changes |= {f"recent/{count % RECENT_IDS}": message_id, **effect}
        self._flash.commit(changes)
        if is_new:
            self._recent = dict.fromkeys(self._flash.under("recent/").values())
        return is_new


def _name(seq: int) -> str:
    return f"out/{seq}"


def _seq_of(name: str) -> int:
    return int(name.removeprefix("out/"))
