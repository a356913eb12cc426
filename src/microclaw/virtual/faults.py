"""Ways in which the WASMachine port can be told to misbehave, for tests of those who talk to it. Counts down, no IO."""

from __future__ import annotations

import threading
from enum import StrEnum

from microclaw.errors import UnknownName


class FaultName(StrEnum):
    REFUSE = "refuse"
    """The next `count` connections are reset at once."""
    CUT = "cut"
    """The connection is reset once `after_bytes` more bytes have come in, for `count` connections."""
    MUTE = "mute"
    """The next `count` answers are never sent."""
    HALF = "half"
    """The next `count` answers end after their header, and with them the connection."""


class Faults:
    """What is armed. Each `take_` says whether the fault happens now, and uses it up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[FaultName, int] = {}
        self._cut_after_bytes = 0
        self._cut_left = 0

    def arm(self, name: str, count: int, after_bytes: int = 0) -> None:
        """Arm a fault anew; count 0 disarms it."""
        try:
            fault = FaultName(name)
        except ValueError as exc:
            raise UnknownName(f"no fault {name!r}", next_step=f"faults: {', '.join(FaultName)}") from exc
        with self._lock:
            self._counts[fault] = count
            if fault is FaultName.CUT:
                self._cut_after_bytes = self._cut_left = after_bytes

    def take(self, fault: FaultName) -> bool:
        with self._lock:
            left = self._counts.get(fault, 0)
            if left:
                self._counts[fault] = left - 1
            return left > 0

    def bytes_before_cut(self, received: int) -> int | None:
        """How many of `received` bytes still get through before the cut; None when there is none now."""
        with self._lock:
            if not self._counts.get(FaultName.CUT, 0):
                return None
            if received < self._cut_left:
                self._cut_left -= received
                return None
            through, self._cut_left = self._cut_left, self._cut_after_bytes
            self._counts[FaultName.CUT] -= 1
            return through
