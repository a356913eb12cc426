"""The time of day that the parts are given. Nothing else reads it for them."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
