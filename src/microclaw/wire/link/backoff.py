"""How long a device waits before it connects again: full jitter, so that a thousand do not return at once. No IO."""

from __future__ import annotations

from collections.abc import Callable

MIN_S = 0.5
MAX_S = 60.0


class Backoff:
    """`random` gives a number in [0, 1). After n failures the wait is anywhere in 0.5 s .. min(60 s, 0.5 s x 2^n)."""

    def __init__(self, random: Callable[[], float], *, min_s: float = MIN_S, max_s: float = MAX_S) -> None:
        self._random = random
        self._min_s = min_s
        self._max_s = max_s
        self.failures = 0

    def next_wait_s(self, retry_after_s: float | None = None) -> float:
        """The wait after one more connection that ended; at least what the host asked for, with the jitter on top."""
        self.failures += 1
        top_s = min(self._max_s, self._min_s * 2.0 ** min(self.failures, 32))
        wait_s = self._min_s + self._random() * (top_s - self._min_s)
        if retry_after_s is None:
            return wait_s
        return retry_after_s + (wait_s if retry_after_s else 0.0)

    def succeeded(self) -> None:
        """The handshake was done: the next failure is the first."""
        self.failures = 0
