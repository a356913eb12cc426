"""Several models behind one: the first that works answers, with a circuit breaker for each. Knows no provider.

A request that fails because of its service goes to the next model. If the person has seen part of the first answer,
the text says that another model starts again.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText, TextCounter

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# The service is at fault, not the request: the next model is asked.
FAULTS_OF_THE_SERVICE: frozenset[ModelFault] = frozenset(
    {"unreachable", "timeout", "rate_limit", "quota", "overloaded", "server", "auth", "unreadable"}
)
_LONG: frozenset[ModelFault] = frozenset({"auth", "quota"})  # a person has to fix it


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """`pause_s` doubles with each failed trial, up to `longest_pause_s`."""

    failures: int = 3
    pause_s: float = 15.0
    long_pause_s: float = 600.0
    longest_pause_s: float = 3600.0


class Breaker:
    """The breaker of one service. After each `enter` that gave True, call `succeeded`, `failed` or `left`."""

    def __init__(self, now: Callable[[], float], limits: BreakerLimits = BreakerLimits()) -> None:
        self._now = now
        self._limits = limits
        self._failures = 0
        self._open_until: float | None = None
        self._backoff = Backoff(min_s=limits.pause_s, max_s=limits.longest_pause_s)
        self.last: ModelError | None = None  # why it is not closed
        self._trying = False  # the one request of a half-open breaker is under way

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "half-open"

    @property
    def wait_s(self) -> float:
        """How long the breaker stays open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def enter(self) -> bool:
        """Whether the service may be asked now; a half-open breaker lets one request through at a time."""
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
            self._open(max(self._limits.long_pause_s, error.retry_after_s or 0.0))
        elif error.retry_after_s is not None:
            self._open(error.retry_after_s)
        elif was_trying or self._failures >= self._limits.failures:
            self._open(self._backoff.next_wait_s())

    def left(self) -> None:
        """The request was cancelled or never sent, so it says nothing about the service."""
        self._trying = False

    def _open(self, pause_s: float) -> None:
        until = self._now() + min(pause_s, self._limits.longest_pause_s)
        self._open_until = max(until, self._open_until or until)  # a late failure shortens no pause


_log = logging.getLogger(__name__)


class Outage(Struct, frozen=True):
    """A model that is out. `instead` answered last, if any did; `retry_in_s` 0 means the next request."""

    model: str
    fault: ModelFault
    reason: str
    next_step: str | None
    instead: str | None
    retry_in_s: float

    @property
    def why(self) -> str:
        """The fault in words."""
        return self.fault.replace("_", " ")

    @property
    def again(self) -> str:
        """When the model is asked again, in words."""
        return f"asked again in {max(1, round(self.retry_in_s))} s" if self.retry_in_s > 0 else "asked again next time"


class Fallback:
    """Asks `models` in order. `breakers` has one for each of them."""

    def __init__(self, models: Sequence[Model], breakers: Sequence[Breaker]) -> None:
        if not models or len(models) != len(breakers):
            raise ValueError(f"{len(models)} models and {len(breakers)} breakers")
        self._members = tuple(zip(models, breakers, strict=True))
        self._answered_last: Model | None = None

    @property
    def name(self) -> str:
        """The first model's name; the reply says who answered."""
        return self._members[0][0].name

    def outages(self) -> tuple[Outage, ...]:
        """The first model, while its last request failed because of its service."""
        model, breaker = self._members[0]
        last, other = breaker.last, self._answered_last
        if last is None:
            return ()
        instead = None if other is None or other is model else other.name
        return (Outage(model.name, last.fault, last.message, last.next_step, instead, breaker.wait_s),)

    async def warm_up(self) -> None:
        """Load the first model's libraries; most providers share them."""
        await self._members[0][0].warm_up()

    async def aclose(self) -> None:
        for model, _ in self._members:
            await model.aclose()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The first answer. ModelError when a request is wrong for any model, or when none could be asked."""
        failures: list[tuple[str, ModelError]] = []
        seen = TextCounter(on_text)
        for model, breaker in self._members:
            if not breaker.enter():
                continue
            if seen.chars:
                seen.add(f"\n({failures[-1][0]} broke off; {model.name} begins anew)\n")
            try:
                reply = await model.respond(request, seen.add if on_text is not None else None)
            except ModelError as exc:
                breaker.failed(exc)
                if exc.fault not in FAULTS_OF_THE_SERVICE:
                    raise
                _log.warning("%s failed (%s); the next model is asked", model.name, exc.fault)
                failures.append((model.name, exc))
            except BaseException:
                breaker.left()
                raise
            else:
                breaker.succeeded()
                self._answered_last = model
                return self._with_source(model, reply)
        self._answered_last = None
        raise self._no_answer(failures)

    def _with_source(self, model: Model, reply: ModelReply) -> ModelReply:
        """The reply with the name of its model, and why the models before it did not answer."""
        who = reply.model or model.name
        members = itertools.takewhile(lambda member: member[0] is not model, self._members)
        out = [f"{before.name} is out ({_fault(breaker)})" for before, breaker in members]
        if not out:
            return replace(reply, model=who)
        again = "".join(f"; {first.model} is {first.again}" for first in self.outages())
        return replace(reply, model=who, instead=f"{who} answers: {', '.join(out)}{again}")

    def _no_answer(self, failures: Sequence[tuple[str, ModelError]]) -> ModelError:
        """The error when no model answered: the first model's failure, then the others' in a few words."""
        if not failures:
            return self._all_open()
        (_, first), *others = failures
        if not others:
            return first
        reasons = "; ".join(error.message for _, error in others)
        return _with_more(first, f"then {reasons}", first.retry_after_s)

    def _all_open(self) -> ModelError:
        """Every breaker is open: why the first one is, and when a model is asked again."""
        wait_s = min(breaker.wait_s for _, breaker in self._members)
        model, breaker = self._members[0]
        recent = ModelError(f"{model.name} failed recently", next_step="ask again then", fault="overloaded")
        return _with_more(breaker.last or recent, f"no request is sent to it for {max(1, round(wait_s))} s", wait_s)


def _with_more(error: ModelError, more: str, retry_after_s: float | None) -> ModelError:
    text = f"{error.message}; {more}"
    return ModelError(text, next_step=error.next_step, fault=error.fault, retry_after_s=retry_after_s)


def _fault(breaker: Breaker) -> str:
    """Why the service was not asked, or how it failed."""
    return breaker.last.fault.replace("_", " ") if breaker.last is not None else "being tried"
