"""Asks the model for one turn: keeps to its window, and asks again when its service fails. It runs no call.

A request changes nothing, so it may be sent again: the results of the calls before it are in its messages, and an act
that was done is never repeated by this.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.acts import model_step
from microclaw.agent.turn_journal import TurnCancelled
from microclaw.agent.window import Window, fitted
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
    """`deploy_tries` counts programs that fail their checks or their trial. `tokens` is checked before each request.

    `tries` of one request count the first one too; `waits_s` bounds all its waits together: a service that asks for a
    longer one (Retry-After) is not waited for. `pause_s` is the shortest wait.
    """

    iterations: int = 10
    turn_s: float = 120.0
    calls_a_reply: int = 8
    deploy_tries: int = 3
    tokens: int | None = None
    tries: int = 4
    waits_s: float = 30.0
    pause_s: float = 0.5


class Asking:
    """The requests of one turn. `stop` ends the one under way."""

    def __init__(self, model: Model, window: Window | None, limits: TurnLimits) -> None:
        self._model = model
        self._window = window
        self._limits = limits
        self._timeout: asyncio.Timeout | None = None
        self._stopped = False
        self._stand_in = ""  # the stand-in model that was announced last

    def stop(self) -> None:
        self._stopped = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0)

    async def ask(self, request: ModelRequest, put: Put, *, older: int, deadline: float) -> ModelReply:
        """The reply, by the event loop's time `deadline`. The first `older` messages are of earlier turns.

        Raises ModelError when the service fails for good, TurnCancelled after `stop`.
        """
        if self._stopped:
            raise TurnCancelled()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(deadline) as self._timeout:
                reply = await self._patiently(request, put, older, deadline)
        except TimeoutError as exc:
            if self._stopped:
                raise TurnCancelled() from exc
            raise ModelError(
                f"{self._model.name} did not answer before the turn's {self._limits.turn_s:g} s were over",
                next_step="ask again; if it stays slow, choose another model with MICROCLAW_MODEL",
            ) from exc
        finally:
            self._timeout = None
        if reply.instead and reply.model != self._stand_in:  # said once, not with each of its replies
            put(Step("model", reply.instead))
        self._stand_in = reply.model if reply.instead else ""
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        if step := model_step(reply.model or self._model.name, reply, took_ms):
            put(step)
        return reply

    async def _patiently(self, request: ModelRequest, put: Put, older: int, deadline: float) -> ModelReply:
        """Send what fits the window: less of it when the server says that its window is smaller, and again after a
        failure that may pass, within the limits and the turn's time."""
        now, limits, window = asyncio.get_running_loop().time, self._limits, self._window
        backoff = Backoff(random.random, min_s=limits.pause_s, max_s=limits.waits_s)
        left_s = limits.waits_s
        began_tokens = 0 if window is None else window.tokens
        sent = request if window is None else fitted(request, older, window.tokens)
        while True:
            shown = _CleanPieces(put)
            try:
                reply = await self._model.respond(sent, shown.add)
                shown.add("", is_end=True)
                return replace(reply, text=clean_text(reply.text))
            except ModelError as exc:
                if exc.fault == "too_long" and window is not None:
                    window.refused(sent)
                    before, sent = sent, fitted(request, older, window.tokens)
                    if sent == before:
                        window.tokens = began_tokens  # no window is small enough: that is this message's fault
                        raise
                    wait_s, then = 0.0, f"sent again for a window of {window.tokens:,} tokens"
                else:
                    wait_s = backoff.next_wait_s(exc.retry_after_s)
                    is_last = backoff.failures >= limits.tries or wait_s > left_s or now() + wait_s >= deadline
                    if exc.fault not in _PASSING or is_last:
                        raise
                    attempt = f"try {backoff.failures + 1} of {limits.tries}"
                    then = f"asked again in {wait_s:.1f} s   {attempt}"
                put(Step("model", f"{exc.message}; {then}", state="running"))
            left_s -= wait_s
            await asyncio.sleep(wait_s)
            if shown.has_begun:
                put(Delta(f"\n({self._model.name} broke off; it begins again)\n"))


class _CleanPieces:
    """Cleans a text that comes in pieces: what may go on in the next one (an escape, an emoji) waits for it."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._held = ""
        self.has_begun = False

    def add(self, text: str, *, is_end: bool = False) -> None:
        self.has_begun = self.has_begun or bool(text)
        text = self._held + text
        open_end = None if is_end else _OPEN_END.search(text[-_MAX_HELD:])
        cut = len(text) if open_end is None else len(text) - len(open_end[0])
        self._held = text[cut:]
        if shown := clean_text(text[:cut]):
            self._put(Delta(shown))
