"""Waits until a descriptor can be read. select() takes none above 1,023, and a host with many boards has more."""

from __future__ import annotations

import math
import select
from typing import Protocol


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def is_readable(source: int | _HasDescriptor, wait_s: float | None) -> bool:
    """Return True once a read would return data, the end or an error, or False after `wait_s`; None waits forever."""
    wait_ms = None
    if wait_s is not None:
        wait_ms = math.ceil(max(0.0, wait_s) * 1000)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(wait_ms))
