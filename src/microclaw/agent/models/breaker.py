"""The circuit breaker of one service. It sends nothing and has no clock of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault

# The service is at fault, not the request: the next model is asked.
FAULTS_OF_THE_SERVICE: Final[frozenset[ModelFault]] = frozenset(
    {"unreachable", "timeout", "rate_limit", "quota", "overloaded", "server", "auth", "unreadable"}
)
# A person has to fix these.
_LONG: Final[frozenset[ModelFault]] = frozenset({"auth", "quota"})
# This many failures in a row open the breaker.
FAILURES: Final = 3
# The first pause; it doubles with each further failure.
PAUSE_S: Final = 15.0
LONG_PAUSE_S: Final = 600.0
LONGEST_PAUSE_S: Final = 3600.0


class Breaker:
    """The breaker of a service: while `wait_s` is above 0 another service is asked, if there is one.

    Call `note_success` or `note_failure` after each request, unless it was cancelled. `is_wait_asked`: the service
    asked for this wait.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures = 0
        self._open_until = -math.inf
        self._backoff = Backoff(min_s=PAUSE_S, max_s=LONGEST_PAUSE_S)
        self.is_wait_asked = False
        # The error that caused the wait, else the error of the last request.
        self.last: ModelError | None = None

    @property
    def wait_s(self) -> float:
        """The time that the breaker stays open."""
        return max(0.0, self._open_until - self._now())

    def note_success(self) -> None:
        """Close the breaker: the service answered, even if it refused the request."""
        self._failures = 0
        self._open_until = -math.inf
        self.last = None
        self._backoff.succeeded()

    def note_failure(self, error: ModelError) -> None:
        """Count a failed request. A pause that the service asks for (Retry-After) replaces the breaker's own."""
        if error.fault not in FAULTS_OF_THE_SERVICE:
            if error.fault in ("refused", "too_long"):
                self.note_success()
            return
        self._failures += 1
        pause_s = 0.0
        if error.fault in _LONG:
            pause_s = max(LONG_PAUSE_S, error.retry_after_s or 0.0)
        elif error.retry_after_s is not None:
            pause_s = error.retry_after_s
        elif self._failures >= FAILURES:
            pause_s = self._backoff.next_wait_s()
        # A late failure neither shortens a pause nor becomes its reason.
        if pause_s >= self.wait_s:
            self._open_until = self._now() + min(pause_s, LONGEST_PAUSE_S)
            self.is_wait_asked = error.retry_after_s is not None
            self.last = error
