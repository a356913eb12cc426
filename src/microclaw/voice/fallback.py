"""Engines in order: one that fails gives way to the next, which hears the whole utterance again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import Engine, Recognizer, Speech, Synthesizer, Transcript

HEAR_S: Final = 15.0
PIECE_S: Final = 5.0
REST_S: Final = 30.0
"""An engine that failed is asked last for so long."""
_log = logging.getLogger(__name__)
E = TypeVar("E", bound=Engine)


class Chain(Engine, Generic[E]):
    """An engine over others, of which there is at least one."""

    def __init__(self, engines: Sequence[E], now_s: Callable[[], float] = time.monotonic) -> None:
        self.engines = engines
        self.name = engines[0].name
        self._now_s = now_s
        self._failed_s: dict[int, float] = {}

    def in_order(self) -> list[E]:
        """Those that failed lately last."""
        now_s = self._now_s()
        return sorted(self.engines, key=lambda one: now_s - self._failed_s.get(id(one), -REST_S) < REST_S)

    def failed(self, engine: E, exc: Exception) -> None:
        reason = exc.message if isinstance(exc, VoiceError) else "it did not answer in time"
        _log.warning("%s failed: %s", engine.name, reason)
        self._failed_s[id(engine)] = self._now_s()

    async def warm_up(self) -> None:
        """The engine that is asked first."""
        await self.in_order()[0].warm_up()

    async def check(self) -> None:
        fault = common_fault([await engine.health() for engine in self.engines])
        if fault is not None:
            raise VoiceError(fault)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()


def common_fault(faults: Sequence[str | None]) -> str | None:
    """Of engines of one role, by the health of each: the first one that works is enough."""
    if None in faults:
        return None
    return "; ".join(f for f in faults if f is not None)


def engines_in(one: Engine) -> Sequence[Engine]:
    """Those that a chain tries, in its order; of an engine, itself."""
    if isinstance(one, Chain):
        return one.engines
    return (one,)


class RecognizerChain(Chain[Recognizer], Recognizer):
    def hears_at_pauses(self) -> bool:
        return self.in_order()[0].hears_at_pauses()

    async def hear(self, pcm: bytes) -> Transcript:
        for engine in self.in_order():
            try:
                async with asyncio.timeout(HEAR_S):
                    return await engine.hear(pcm)
            except (VoiceError, TimeoutError) as exc:
                self.failed(engine, exc)
        raise VoiceError("no engine for recognition works", next_step="microclaw doctor says which and why")


class SynthesizerChain(Chain[Synthesizer], Synthesizer):
    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """Another engine speaks the text only if not a piece of it was said."""
        for engine in self.in_order():
            has_begun = False
            try:
                async with aclosing(engine.speak(text)) as pieces:
                    while True:
                        async with asyncio.timeout(PIECE_S if has_begun else engine.first_piece_s):
                            piece = await anext(pieces, None)
                        if piece is None:
                            return
                        has_begun = True
                        yield piece
            except (VoiceError, TimeoutError) as exc:
                self.failed(engine, exc)
                if has_begun:
                    raise VoiceError(f"{engine.name} failed in the middle of a sentence") from exc
        raise VoiceError("no engine for speech works", next_step="microclaw doctor says which and why")
