"""Engines in order: one that fails gives way to the next. What was heard so far is given to it again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import RATE_HZ, Recognition, Recognizer, Speech, Synthesizer, Transcript

BEGIN_S: Final = 20.0
FINISH_S: Final = 15.0
PIECE_S: Final = 5.0
MAX_KEPT_BYTES: Final = 20 * RATE_HZ * 2
REST_S: Final = 30.0
"""An engine that failed is asked last for so long."""
_log = logging.getLogger(__name__)
E = TypeVar("E", Recognizer, Synthesizer)


class _Engines(Generic[E]):
    def __init__(self, engines: Sequence[E], now_s: Callable[[], float]) -> None:
        self.engines: Sequence[E] = engines
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

    async def health(self) -> str | None:
        return common_fault([await engine.health() for engine in self.engines])

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()


def common_fault(faults: Sequence[str | None]) -> str | None:
    """Of engines of one role, by the health of each: the first one that works is enough."""
    return None if None in faults else "; ".join(f for f in faults if f is not None)


def engines_in(one: Recognizer | Synthesizer) -> Sequence[Recognizer | Synthesizer]:
    """Those that a chain tries, in its order; of an engine, itself."""
    return one.engines if isinstance(one, RecognizerChain | SynthesizerChain) else (one,)


class RecognizerChain:
    """A Recognizer over others, of which there is at least one."""

    def __init__(self, engines: Sequence[Recognizer], now_s: Callable[[], float] = time.monotonic) -> None:
        self._engines = _Engines[Recognizer](engines, now_s)
        self.engines = engines
        self.health, self.close = self._engines.health, self._engines.close

    @property
    def name(self) -> str:
        return str(self._engines.engines[0].name)

    async def warm_up(self) -> None:
        """The engine that is asked first."""
        await self._engines.in_order()[0].warm_up()

    async def begin(self, on_partial: Callable[[str], None]) -> Recognition:
        recognition = _ChainRecognition(self._engines, on_partial)
        await recognition.change_engine()
        return recognition


class _ChainRecognition:
    def __init__(self, engines: _Engines[Recognizer], on_partial: Callable[[str], None]) -> None:
        self._engines = engines
        self._left = engines.in_order()
        self._on_partial = on_partial
        self._heard = bytearray()
        self._engine: Recognizer | None = None
        self._recognition: Recognition | None = None

    async def change_engine(self) -> None:
        """Go on with the next engine, which hears everything again. Raises VoiceError when there is none left."""
        while self._left:
            self._engine = engine = self._left.pop(0)
            try:
                async with asyncio.timeout(BEGIN_S):
                    recognition = await engine.begin(self._on_partial)
                if self._heard:
                    recognition.feed(bytes(self._heard))
            except (VoiceError, TimeoutError) as exc:
                self._engines.failed(engine, exc)
                continue
            self._recognition = recognition
            return
        raise VoiceError("no engine for recognition works", next_step="microclaw doctor says which and why")

    def feed(self, pcm: bytes) -> None:
        self._heard += pcm[: MAX_KEPT_BYTES - len(self._heard)]
        if self._recognition is None:
            return  # it failed: the next one gets it all in `finish`
        try:
            self._recognition.feed(pcm)
        except VoiceError as exc:
            self._give_up(exc)

    def pause(self) -> None:
        if self._recognition is None:
            return
        try:
            self._recognition.pause()
        except VoiceError as exc:
            self._give_up(exc)

    async def finish(self) -> Transcript:
        while True:
            if self._recognition is None:
                await self.change_engine()
            assert self._recognition is not None
            try:
                async with asyncio.timeout(FINISH_S):
                    return await self._recognition.finish()
            except (VoiceError, TimeoutError) as exc:
                self._give_up(exc)

    def abandon(self) -> None:
        if self._recognition is not None:
            self._recognition.abandon()
        self._left = []

    def _give_up(self, exc: Exception) -> None:
        assert self._recognition is not None
        assert self._engine is not None
        self._recognition.abandon()
        self._recognition = None
        self._engines.failed(self._engine, exc)


class SynthesizerChain:
    """A Synthesizer over others, of which there is at least one."""

    def __init__(self, engines: Sequence[Synthesizer], now_s: Callable[[], float] = time.monotonic) -> None:
        self._engines = _Engines[Synthesizer](engines, now_s)
        self.engines = engines
        self.health, self.close = self._engines.health, self._engines.close

    @property
    def name(self) -> str:
        return str(self._engines.engines[0].name)

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """Another engine speaks the text only if not a piece of it was said."""
        for engine in self._engines.in_order():
            has_begun = False
            try:
                async with aclosing(engine.speak(text)) as pieces:
                    while True:
                        async with asyncio.timeout(PIECE_S):
                            piece = await anext(pieces, None)
                        if piece is None:
                            return
                        has_begun = True
                        yield piece
            except (VoiceError, TimeoutError) as exc:
                self._engines.failed(engine, exc)
                if has_begun:
                    raise VoiceError(f"{engine.name} failed in the middle of a sentence") from exc
        raise VoiceError("no engine for speech works", next_step="microclaw doctor says which and why")
