"""A sentence said by one engine and heard by another, without a device."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ, Recognizer, Synthesizer
from microclaw.voice.operations import EngineTrial
from microclaw.voice.resampling import Resampler


async def try_engines(synthesizer: Synthesizer, recognizer: Recognizer, text: str) -> EngineTrial:
    """Raises VoiceError when one of them fails."""
    began_s = time.monotonic()
    pcm, first_s = b"", 0.0
    resampler = Resampler(RATE_HZ)
    async with aclosing(synthesizer.speak(text)) as pieces:
        async for piece in pieces:
            first_s = first_s or time.monotonic() - began_s
            pcm += resampler.feed(piece.pcm, piece.rate_hz)
    pcm += resampler.rest()
    partials: list[float] = []
    recognition = await recognizer.begin(lambda _text: partials.append(time.monotonic()))
    try:
        begun_s = time.monotonic()
        for at in range(0, len(pcm), FRAME_BYTES):
            recognition.feed(pcm[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))
            await asyncio.sleep(0)
        fed_s = time.monotonic()
        heard = await recognition.finish()
    finally:
        recognition.abandon()
    return EngineTrial(
        said=text,
        heard=heard.text,
        confidence=round(heard.confidence, 2),
        speech_s=round(len(pcm) / (2 * RATE_HZ), 2),
        first_audio_ms=round(first_s * 1000),
        first_partial_ms=round((partials[0] - begun_s) * 1000) if partials else None,
        recognition_ms=round((time.monotonic() - fed_s) * 1000),
        ok=_words(heard.text) == _words(text),
    )


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
