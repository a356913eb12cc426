"""Engines in order: when one fails, the next one hears the whole utterance again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import Engine, Recognizer, Speech, Synthesizer, Transcript

HEAR_S: Final = 15.0
PIECE_S: Final = 5.0
REST_S: Final = 30.0
"""How long an engine that failed is tried last, in seconds."""
_log = logging.getLogger(__name__)
E = TypeVar("E", bound=Engine)


class Chain(Engine, Generic[E]):
    """An engine that tries one or more other engines."""

    def __init__(self, engines: Sequence[E], now_s: Callable[[], float] = time.monotonic) -> None:
        self.engines = engines
        self.name = engines[0].name
        self._now_s = now_s
        self._failed_s: dict[int, float] = {}

    def engines_by_health(self) -> list[E]:
        """Return the engines; engines that failed in the last REST_S come last."""
        now_s = self._now_s()

        def has_failed_lately(engine: E) -> bool:
            return now_s - self._failed_s.get(id(engine), -REST_S) < REST_S

        return sorted(self.engines, key=has_failed_lately)

    def note_failure(self, engine: E, exc: Exception) -> None:
        """Log a failure, and try the engine last for a while."""
        reason = exc.message if isinstance(exc, VoiceError) else "it did not answer in time"
        _log.warning("%s failed: %s", engine.name, reason)
        self._failed_s[id(engine)] = self._now_s()

    async def warm_up(self) -> None:
        """Prepare the engine that is tried first."""
        await self.engines_by_health()[0].warm_up()

    async def check(self) -> None:
        fault = common_fault([await engine.health() for engine in self.engines])
        if fault is not None:
            raise VoiceError(fault)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()


def common_fault(faults: Sequence[str | None]) -> str | None:
    """Return the faults of engines with one role; None if at least one of them works."""
    if None in faults:
        return None
    return "; ".join(fault for fault in faults if fault is not None)


def engines_in(engine: Engine) -> Sequence[Engine]:
    """Return the engines of a chain in their order; for any other engine, the engine itself."""
    if isinstance(engine, Chain):
        return engine.engines
    return (engine,)


class RecognizerChain(Chain[Recognizer], Recognizer):
    """Recognizers in order."""

    def hears_at_pauses(self) -> bool:
        return self.engines_by_health()[0].hears_at_pauses()

    async def hear(self, pcm: bytes) -> Transcript:
        for engine in self.engines_by_health():
            try:
                async with asyncio.timeout(HEAR_S):
                    return await engine.hear(pcm)
            except (VoiceError, TimeoutError) as exc:
                self.note_failure(engine, exc)
        raise VoiceError("no engine for recognition works", next_step="microclaw doctor says which and why")


class SynthesizerChain(Chain[Synthesizer], Synthesizer):
    """Synthesizers in order."""

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """Speak the text with the first engine that works. After its first piece, no other engine is tried."""
        for engine in self.engines_by_health():
            has_begun = False
            try:
                async with aclosing(engine.speak(text)) as pieces:
                    while True:
                        timeout_s = PIECE_S if has_begun else engine.first_piece_s
                        async with asyncio.timeout(timeout_s):
                            piece = await anext(pieces, None)
                        if piece is None:
                            return
                        has_begun = True
                        yield piece
            except (VoiceError, TimeoutError) as exc:
                self.note_failure(engine, exc)
                if has_begun:
                    raise VoiceError(f"{engine.name} failed in the middle of a sentence") from exc
        raise VoiceError("no engine for speech works", next_step="microclaw doctor says which and why")
