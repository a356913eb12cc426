"""Wait until a descriptor can be read. select() takes none above 1,023, and a host with many boards has more."""

from __future__ import annotations

import math
import select
from typing import Protocol


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def is_readable(source: int | _HasDescriptor, wait_s: float | None) -> bool:
    """True if a read would give something (data, the end, an error) within so many seconds; None waits forever."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if wait_s is None else math.ceil(max(0.0, wait_s) * 1000)))
