"""Asks the model for one turn: keeps to its window, and asks again when its service fails. It runs no call.

A request changes nothing, so it may be sent again: the results of the calls before it are in its messages, and an act
that was done is never repeated by this.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.history import ContextWindow, fit_window
from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault
from microclaw.events import Delta, Step, TurnEvent
from microclaw.models.protocol import Model, ModelReply, ModelRequest
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
    backoff = Backoff(random.random, min_s=limits.pause_s, max_s=limits.waits_s)
    left_s = limits.waits_s
    sent = request
    if window is not None:
        first_tokens = window.tokens
        sent = fit_window(request, older, window.tokens)
    while True:
        pieces = _CleanPieces(put)
        try:
            reply = await model.respond(sent, pieces.add)
            break
        except ModelError as exc:
            if exc.fault == "too_long" and window is not None:
                window.refused(sent)
                shorter = fit_window(request, older, window.tokens)
                if shorter == sent:
                    # No window is small enough for this message, so the next messages get the first window again.
                    window.tokens = first_tokens
                    raise
                sent = shorter
                wait_s = 0.0
                plan = f"sent again for a window of {window.tokens:,} tokens"
            else:
                wait_s = backoff.next_wait_s(exc.retry_after_s)
                has_time = wait_s <= left_s and asyncio.get_running_loop().time() + wait_s < until
                if exc.fault not in _PASSING or backoff.failures >= limits.tries or not has_time:
                    raise
                plan = f"asked again in {wait_s:.1f} s   try {backoff.failures + 1} of {limits.tries}"
            put(Step("model", f"{exc.message}; {plan}", state="running"))
        left_s -= wait_s
        await asyncio.sleep(wait_s)
        if pieces.has_begun:
            put(Delta(f"\n({model.name} broke off; it begins again)\n"))
    pieces.add("", is_end=True)
    return replace(reply, text=clean_text(reply.text))


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
