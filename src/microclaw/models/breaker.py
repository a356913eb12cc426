"""The circuit breaker of one service, on a clock that it is given. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# The service is at fault, not the request: the next model is asked.
FAULTS_OF_THE_SERVICE: frozenset[ModelFault] = frozenset(
    {"unreachable", "timeout", "rate_limit", "quota", "overloaded", "server", "auth", "unreadable"}
)
_LONG: frozenset[ModelFault] = frozenset({"auth", "quota"})  # a person has to fix it


FAILURES = 3
PAUSE_S, LONG_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0, 3600.0  # the first doubles with each failed trial, up to the last


class Breaker:
    """The breaker of one service. After each `enter` that gave True, call `succeeded`, `failed` or `left`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures = 0
        self._open_until: float | None = None
        self._backoff = Backoff(min_s=PAUSE_S, max_s=LONGEST_PAUSE_S)
        self.last: ModelError | None = None  # why it is not closed
        self._trying = False  # the one request of a half-open breaker is under way

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "half-open"

    @property
    def wait_s(self) -> float:
        """The time that the breaker stays open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def enter(self) -> bool:
        """True if the service may be asked now; a half-open breaker lets one request through at a time."""
        state = self.state
        if state == "open" or (state == "half-open" and self._trying):
            return False
        self._trying = state == "half-open"
        return True

    def succeeded(self) -> None:
        """The service answered, even if the answer was that the request is wrong."""
        self._trying, self._failures, self._open_until, self.last = False, 0, None, None
        self._backoff.succeeded()

    def failed(self, error: ModelError) -> None:
        """The request failed. A pause that the service asks for (Retry-After) replaces our own."""
        if error.fault not in FAULTS_OF_THE_SERVICE:
            if error.fault in ("refused", "too_long"):
                self.succeeded()
            else:
                self.left()
            return
        was_trying, self._trying = self._trying, False
        self.last = error
        self._failures += 1
        if error.fault in _LONG:
            self._open(max(LONG_PAUSE_S, error.retry_after_s or 0.0))
        elif error.retry_after_s is not None:
            self._open(error.retry_after_s)
        elif was_trying or self._failures >= FAILURES:
            self._open(self._backoff.next_wait_s())

    def left(self) -> None:
        """The request was cancelled or never sent, so it says nothing about the service."""
        self._trying = False

    def _open(self, pause_s: float) -> None:
        until = self._now() + min(pause_s, LONGEST_PAUSE_S)
        self._open_until = max(until, self._open_until or until)  # a late failure shortens no pause
