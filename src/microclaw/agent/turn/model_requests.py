"""Requests to the model for one turn: within its window, and sent again when its service fails. It runs no call.

A request changes nothing, so it may be sent again: the results of the calls before it are in its messages, so it never
repeats an act.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.models.protocol import Model, ModelReply, ModelRequest
from microclaw.agent.turn.history import ContextWindow, fit_window
from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault
from microclaw.events import Delta, Step, TurnEvent
from microclaw.text import clean_text

Put: TypeAlias = Callable[[TurnEvent], None]

# Characters of a piece that may wait for the next one.
_MAX_HELD: Final = 64
_OPEN_END: Final = re.compile(r"(?:\x1b[^@-Z\\^-~]*.?|[^\x00-\x7f]+|\r)\Z", re.DOTALL)
_PASSING: Final[frozenset[ModelFault]] = frozenset({"rate_limit", "overloaded", "server", "unreachable"})


class TurnLimits(Struct, frozen=True):
    """The limits of a turn.

    `deploy_tries` counts broken programs in a row, but not programs that only miss an expectation. `tokens` is checked
    before each request. `tries` of a request include the first. `waits_s` bounds all its waits together: the turn does
    not wait for a service that asks for more (Retry-After). `pause_s` is the shortest wait. The question about old
    orders is asked when no further order came for `settle_s`. `answer_tokens` None is the model's own limit.
    """

    iterations: int = 10
    turn_s: float = 120.0
    calls_a_reply: int = 8
    deploy_tries: int = 3
    tokens: int | None = None
    answer_tokens: int | None = None
    tries: int = 4
    waits_s: float = 30.0
    pause_s: float = 0.5
    settle_s: float = 3.0


async def ask(
    model: Model,
    request: ModelRequest,
    put: Put,
    *,
    limits: TurnLimits,
    window: ContextWindow | None,
    older: int,
    until: float,
) -> ModelReply:
    """Return the model's reply to the part of the request that fits the window.

    A shorter request is sent if the server says that its window is smaller. After a failure that may pass the request
    is sent again, within the limits and before the event loop's time `until`. The first `older` messages belong to
    earlier turns. Without a window the whole request is sent. Raises ModelError if the service fails for good.
    """
    attempts = _Attempts(request, limits, window, older, until)
    while True:
        pieces = _CleanPieces(put)
        try:
            reply = await model.respond(attempts.fitted_request, pieces.add)
            break
        except ModelError as exc:
            wait_s, plan = attempts.plan_next(exc)
            put(Step("model", f"{exc.message}; {plan}", state="running"))
        await asyncio.sleep(wait_s)
        if pieces.has_begun:
            put(Delta(f"\n({model.name} broke off; it begins again)\n"))
    pieces.add("", is_end=True)
    return replace(reply, text=clean_text(reply.text))


@dataclass(slots=True)
class _Attempts:
    """The attempts to send a request: the part of it that fits the window, and the waits that are left."""

    request: ModelRequest
    limits: TurnLimits
    window: ContextWindow | None
    older: int
    until: float
    fitted_request: ModelRequest = field(init=False)
    _first_tokens: int = field(default=0, init=False)
    _backoff: Backoff = field(init=False)
    _left_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(random.random, min_s=self.limits.pause_s, max_s=self.limits.waits_s)
        self._left_s = self.limits.waits_s
        self.fitted_request = self.request
        if self.window is not None:
            self._first_tokens = self.window.tokens
            self.fitted_request = fit_window(self.request, self.older, self.window.tokens)

    def plan_next(self, error: ModelError) -> tuple[float, str]:
        """Return the seconds until the next attempt and a sentence about it. Raises `error` if there is none."""
        if error.fault == "too_long" and self.window is not None:
            self._shorten(self.window, error)
            return 0.0, f"sent again for a window of {self.window.tokens:,} tokens"
        wait_s = self._backoff.next_wait_s(error.retry_after_s)
        failure_count = self._backoff.failures
        has_time = wait_s <= self._left_s and asyncio.get_running_loop().time() + wait_s < self.until
        if error.fault not in _PASSING or failure_count >= self.limits.tries or not has_time:
            raise error
        self._left_s -= wait_s
        return wait_s, f"asked again in {wait_s:.1f} s   try {failure_count + 1} of {self.limits.tries}"

    def _shorten(self, window: ContextWindow, error: ModelError) -> None:
        """Fit the request into a smaller window. Raises `error` if it cannot be shorter."""
        window.shrink(self.fitted_request)
        shorter = fit_window(self.request, self.older, window.tokens)
        if shorter == self.fitted_request:
            # No window is small enough for this message, so the next messages get the first window again.
            window.tokens = self._first_tokens
            raise error
        self.fitted_request = shorter


@dataclass(slots=True)
class _CleanPieces:
    """A cleaner of a text that comes in pieces: an escape or emoji that may continue waits for the next piece."""

    put: Put
    has_begun: bool = False
    _held: str = ""

    def add(self, text: str, *, is_end: bool = False) -> None:
        self.has_begun = self.has_begun or bool(text)
        text = self._held + text
        cut = len(text)
        if not is_end:
            open_end = _OPEN_END.search(text[-_MAX_HELD:])
            if open_end is not None:
                cut -= len(open_end[0])
        self._held = text[cut:]
        shown = clean_text(text[:cut])
        if shown:
            self.put(Delta(shown))
