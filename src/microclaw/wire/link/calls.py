"""Calls that outlive a connection: what the host waits for, what the device answered. No IO.

Host: PendingCalls says what to send again after a reconnect and what became of a call when the device rebooted. Device:
ReplyCache answers a repeated call with the first answer. Both within one boot of the device.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from microclaw.errors import Overloaded
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import Id


class Fate(Enum):
    """How a call ended without a result."""

    UNKNOWN = "outcome unknown"  # the device rebooted while it had the call
    EXPIRED = "expired"  # never sent
    TIMED_OUT = "timed out"  # sent, and not answered: the outcome is unknown too


@dataclass(slots=True)
class PendingCall:
    call: Call
    sent_in_boot: bytes | None = None


class PendingCalls:
    """A host's calls to one device by message id, at most `most`; they survive reconnects."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._calls: dict[Id, PendingCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, message_id: Id, call: Call) -> None:
        if len(self._calls) >= self._most:
            raise Overloaded(f"{self._most} calls wait for this device", next_step="try again when some are answered")
        self._calls[message_id] = PendingCall(call)

    def sent(self, message_id: Id, boot_id: bytes) -> None:
        """Written to a connection of this boot of the device."""
        self._calls[message_id].sent_in_boot = boot_id

    def reconnected(self, boot_id: bytes) -> tuple[list[tuple[Id, Call]], list[tuple[Id, Fate]]]:
        """What to send (again) with its old id, and what can never be known: sent once, not idempotent, other boot."""
        again: list[tuple[Id, Call]] = []
        lost: list[tuple[Id, Fate]] = []
        for message_id, pending in list(self._calls.items()):
            if pending.sent_in_boot in (None, boot_id) or pending.call.idempotent:
                again.append((message_id, pending.call))
            else:
                del self._calls[message_id]
                lost.append((message_id, Fate.UNKNOWN))
        return again, lost

    def broken_off(self) -> list[tuple[Id, Call]]:
        """The calls that the device has, which are not sent again: an answer that cannot be read ended the link."""
        had = [(message_id, p.call) for message_id, p in self._calls.items() if p.sent_in_boot is not None]
        for message_id, _ in had:
            del self._calls[message_id]
        return had

    def moved(self) -> tuple[list[tuple[Id, Call]], list[tuple[Id, Call]]]:
        """The device is at another host: the calls that can be made there, and those that it may have carried out."""
        calls, self._calls = self._calls, {}
        free: list[tuple[Id, Call]] = []
        lost: list[tuple[Id, Call]] = []
        for message_id, pending in calls.items():
            may_repeat = pending.sent_in_boot is None or pending.call.idempotent
            (free if may_repeat else lost).append((message_id, pending.call))
        return free, lost

    def answered(self, message_id: Id) -> Call | None:
        """The call that a result answers; None if no caller waits for it any more."""
        pending = self._calls.pop(message_id, None)
        return pending.call if pending else None

    def give_up(self, message_id: Id) -> Fate | None:
        """Its deadline has passed, or its caller went away; None when it is not pending any more."""
        pending = self._calls.pop(message_id, None)
        if pending is None:
            return None
        return Fate.EXPIRED if pending.sent_in_boot is None else Fate.TIMED_OUT


@dataclass(slots=True)
class _Answer:
    result: Result | None
    at_ms: float


class ReplyCache:
    """A device's answers by the id of the call: 64 of them, 10 minutes, in RAM, so that it ends with the boot."""

    def __init__(self, most: int = 64, keep_ms: float = 600_000) -> None:
        self._most = most
        self._keep_ms = keep_ms
        self._answers: OrderedDict[Id, _Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def begin(self, message_id: Id, now_ms: float) -> tuple[bool, Result | None]:
        """Whether the call is new and must be carried out, else its answer: None while it is still being worked on.

        Overloaded when every place is taken by a call that is still being worked on.
        """
        self._forget(now_ms)
        known = self._answers.get(message_id)
        if known is not None:
            return False, known.result
        if len(self._answers) >= self._most:
            oldest = next((i for i, answer in self._answers.items() if answer.result is not None), None)
            if oldest is None:
                raise Overloaded(f"{self._most} calls are being worked on")
            del self._answers[oldest]
        self._answers[message_id] = _Answer(None, now_ms)
        return True, None

    def finish(self, message_id: Id, result: Result, now_ms: float) -> None:
        self._answers[message_id] = _Answer(result, now_ms)
        self._answers.move_to_end(message_id)

    def _forget(self, now_ms: float) -> None:
        old = [i for i, a in self._answers.items() if a.result is not None and now_ms - a.at_ms >= self._keep_ms]
        for message_id in old:
            del self._answers[message_id]
