"""Counts the wrong tokens that each address shows, so that it can be told to wait. It checks no token."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WRONG_TOKENS_S: Final = 60.0
MAX_ADDRESSES: Final = 1024


class WrongTokens:
    """`limit` wrong tokens are allowed within WRONG_TOKENS_S. With too many addresses the oldest one is forgotten."""

    def __init__(self, limit: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now_s = now_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._times)

    def add(self, address: str) -> None:
        self._times.setdefault(address, deque(maxlen=self._limit)).append(self._now_s())
        self._times.move_to_end(address)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)

    def take_back(self, address: str) -> None:
        """What was added last was right after all."""
        times = self._times.get(address)
        if times:
            times.pop()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait; 0 while it is below the limit."""
        times = self._times.get(address)
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + WRONG_TOKENS_S - self._now_s())
