"""Calls that outlive a connection: what the host waits for, what the device answered. No IO.

Host: PendingCall says what is sent again after a reconnect, and what is lost when the device rebooted. Device:
ReplyCache answers a repeated call with the first answer. Both within one boot of the device.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.errors import Overloaded
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import Id

MAX_REPLIES: Final = 64
REPLY_KEPT_MS: Final = 600_000


class PendingCall(Struct, kw_only=True):
    """`sent_in_boot`: the device's boot to which it was written last; None for one that was never sent."""

    call: Call
    sent_in_boot: bytes | None = None

    @property
    def may_repeat(self) -> bool:
        """True if it may be carried out, where it is not known whether it was."""
        return self.sent_in_boot is None or self.call.idempotent

    def is_lost(self, boot_id: bytes) -> bool:
        """Return True if its outcome is unknown: another boot had it. Other calls are sent (again) with their ids."""
        return not self.may_repeat and self.sent_in_boot != boot_id


class ReplyCache:
    """A device's answers by the id of the call: in RAM, so that they end with the boot."""

    def __init__(self) -> None:
        self._answers: dict[Id, tuple[Result | None, float]] = {}  # with when it came; the oldest first

    def begin(self, message_id: Id, now_ms: float) -> tuple[bool, Result | None]:
        """Return True if the call is new and must be carried out, else its answer: None while it is worked on.

        Overloaded when every place is taken by a call that is still being worked on.
        """
        answered = {i: at_ms for i, (result, at_ms) in self._answers.items() if result is not None}
        for old in [i for i, at_ms in answered.items() if now_ms - at_ms >= REPLY_KEPT_MS]:
            del self._answers[old], answered[old]
        if message_id in self._answers:
            return False, self._answers[message_id][0]
        if len(self._answers) >= MAX_REPLIES:
            if not answered:
                raise Overloaded(f"{MAX_REPLIES} calls are being worked on")
            del self._answers[next(iter(answered))]
        self._answers[message_id] = None, now_ms
        return True, None

    def finish(self, message_id: Id, result: Result, now_ms: float) -> None:
        self._answers.pop(message_id, None)
        self._answers[message_id] = result, now_ms
