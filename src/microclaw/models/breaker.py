"""When to leave a failing service alone: a circuit breaker as values and moves. Asks nobody; time comes in.

closed ── failures in a row, or one that waiting alone mends ──> open ── its pause is over ──> half-open
  ^                                                               ^                              │
  └────────────────────────── one request succeeded ──────────────┼── it failed: a longer pause ─┤
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.errors import ModelError, ModelFault

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# What says that the service fails, and not the request: the next service is asked.
FAULTS_OF_THE_SERVICE: frozenset[ModelFault] = frozenset(
    {"unreachable", "timeout", "rate_limit", "quota", "overloaded", "server", "auth", "unreadable"}
)
_LONG: frozenset[ModelFault] = frozenset({"auth", "quota"})  # a person has to mend it


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """`pause_s` doubles with each failed trial, up to `longest_pause_s`."""

    failures: int = 3
    pause_s: float = 15.0
    long_pause_s: float = 600.0
    longest_pause_s: float = 3600.0


class Breaker:
    """One service's. Each `enter` that gave True is followed by `succeeded`, `failed` or `left`."""

    def __init__(self, now: Callable[[], float], limits: BreakerLimits = BreakerLimits()) -> None:
        self._now = now
        self._limits = limits
        self._failures = 0
        self._open_until: float | None = None
        self._pause_s = limits.pause_s
        self.last: ModelError | None = None  # why it is not closed
        self._trying = False  # the one request of a half-open breaker is under way

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "half-open"

    @property
    def wait_s(self) -> float:
        """How long it stays open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def enter(self) -> bool:
        """Whether the service may be asked now; a half-open breaker lets one request through at a time."""
        match self.state:
            case "closed":
                return True
            case "open":
                return False
            case "half-open":
                if self._trying:
                    return False
                self._trying = True
                return True

    def succeeded(self) -> None:
        """It answered, if only to say that the request is wrong."""
        self._trying, self._failures, self._open_until, self.last = False, 0, None, None
        self._pause_s = self._limits.pause_s

    def failed(self, error: ModelError) -> None:
        """It failed; what it asked for itself (Retry-After) counts more than our own pause."""
        if error.fault not in FAULTS_OF_THE_SERVICE:
            if error.fault == "refused":
                self.succeeded()
            else:
                self.left()
            return
        was_trying, self._trying = self._trying, False
        self.last = error
        self._failures += 1
        if error.fault in _LONG:
            self._open(max(self._limits.long_pause_s, error.retry_after_s or 0.0))
        elif error.retry_after_s is not None:
            self._open(error.retry_after_s)
        elif was_trying or self._failures >= self._limits.failures:
            self._open(self._pause_s)
            self._pause_s = min(self._pause_s * 2, self._limits.longest_pause_s)

    def left(self) -> None:
        """Nothing is known of it: the request was cancelled, or never sent."""
        self._trying = False

    def _open(self, pause_s: float) -> None:
        until = self._now() + min(pause_s, self._limits.longest_pause_s)
        self._open_until = max(until, self._open_until or until)  # a late failure shortens no pause
