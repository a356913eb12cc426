"""The waits between retries: longer after each failure, up to a limit. No IO, no clock."""

from __future__ import annotations

from collections.abc import Callable

MIN_S = 0.5  # the device link's limits (docs/protocols/link.md)
MAX_S = 60.0


class Backoff:
    """The n-th wait is `min_s` x 2^(n-1), at most `max_s`.

    With `random`, which returns a number in [0, 1), it is anywhere in `min_s` .. `min_s` x 2^n, at most `max_s`: full
    jitter, so that a thousand clients do not retry at once.
    """

    def __init__(
        self,
        random: Callable[[], float] | None = None,
        *,
        min_s: float = MIN_S,
        max_s: float = MAX_S,
    ) -> None:
        self._random = random
        self._min_s = min_s
        self._max_s = max_s
        self.failures = 0

    def next_wait_s(self, retry_after_s: float | None = None) -> float:
        """Count a failure and return the wait: `retry_after_s` of the other side plus ours, or 0 if that is 0."""
        self.failures += 1
        if self._random is None:
            wait_s = min(self._max_s, self._min_s * 2.0 ** min(self.failures - 1, 32))
        else:
            top_s = min(self._max_s, self._min_s * 2.0 ** min(self.failures, 32))
            wait_s = self._min_s + self._random() * (top_s - self._min_s)
        if retry_after_s is None:
            return wait_s
        if not retry_after_s:
            return 0.0
        return retry_after_s + wait_s

    def succeeded(self) -> None:
        """Count the next failure as the first."""
        self.failures = 0
