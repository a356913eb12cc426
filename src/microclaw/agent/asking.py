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

from microclaw.agent.history import Window, fitted
from microclaw.backoff import Backoff
from microclaw.errors import ModelError, ModelFault
from microclaw.events import Delta, Step, TurnEvent
from microclaw.models.protocol import Model, ModelReply, ModelRequest
from microclaw.text import clean_text

Put: TypeAlias = Callable[[TurnEvent], None]

_MAX_HELD: Final = 64  # characters of a piece
_OPEN_END: Final = re.compile(r"(?:\x1b[^@-Z\\^-~]*.?|[^\x00-\x7f]+|\r)\Z", re.DOTALL)
_PASSING: Final[frozenset[ModelFault]] = frozenset({"rate_limit", "overloaded", "server", "unreachable"})


class TurnLimits(Struct, frozen=True):
    """`deploy_tries` counts broken programs one after the other, not those that do not meet an expectation. `tokens` is
    checked before each request.

    `tries` of one request count the first one too; `waits_s` bounds all its waits together: a service that asks for a
    longer one (Retry-After) is not waited for. `pause_s` is the shortest wait. Old orders are asked about when no other
    one came for `settle_s`. `answer_tokens` None is the model's own limit.
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
    model: Model, request: ModelRequest, put: Put, limits: TurnLimits, window: Window | None, older: int, until: float
) -> ModelReply:
    """The reply to what fits the window: less of it when the server says that its window is smaller, and again
    after a failure that may pass, within the limits and before the event loop's time `until`.

    The first `older` messages are of earlier turns. Without a window all is sent. Raises ModelError when the service
    fails for good.
    """
    now = asyncio.get_running_loop().time
    backoff = Backoff(random.random, min_s=limits.pause_s, max_s=limits.waits_s)
    left_s = limits.waits_s
    began_tokens = 0 if window is None else window.tokens
    if window is None:
        sent = request
    else:
        sent = fitted(request, older, window.tokens)
    while True:
        shown = _CleanPieces(put)
        try:
            reply = await model.respond(sent, shown.add)
            break
        except ModelError as exc:
            if exc.fault == "too_long" and window is not None:
                window.refused(sent)
                before = sent
                sent = fitted(request, older, window.tokens)
                if sent == before:
                    window.tokens = began_tokens  # no window is small enough: that is this message's fault
                    raise
                wait_s = 0.0
                then = f"sent again for a window of {window.tokens:,} tokens"
            else:
                wait_s = backoff.next_wait_s(exc.retry_after_s)
                is_last = backoff.failures >= limits.tries or wait_s > left_s or now() + wait_s >= until
                if exc.fault not in _PASSING or is_last:
                    raise
                then = f"asked again in {wait_s:.1f} s   try {backoff.failures + 1} of {limits.tries}"
            put(Step("model", f"{exc.message}; {then}", state="running"))
        left_s -= wait_s
        await asyncio.sleep(wait_s)
        if shown.has_begun:
            put(Delta(f"\n({model.name} broke off; it begins again)\n"))
    shown.add("", is_end=True)
    return replace(reply, text=clean_text(reply.text))


@dataclass(slots=True)
class _CleanPieces:
    """Cleans a text that comes in pieces: what may go on in the next one (an escape, an emoji) waits for it."""

    put: Put
    has_begun: bool = False
    _held: str = ""

    def add(self, text: str, *, is_end: bool = False) -> None:
        self.has_begun = self.has_begun or bool(text)
        text = self._held + text
        if is_end:
            open_end = None
        else:
            open_end = _OPEN_END.search(text[-_MAX_HELD:])
        if open_end is None:
            cut = len(text)
        else:
            cut = len(text) - len(open_end[0])
        self._held = text[cut:]
        shown = clean_text(text[:cut])
        if shown:
            self.put(Delta(shown))
