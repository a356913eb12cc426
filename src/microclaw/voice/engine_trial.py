"""A sentence said by one engine and heard by another, without a device."""

from __future__ import annotations

import time
from contextlib import aclosing, suppress

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import RATE_HZ, Recognizer, Synthesizer
from microclaw.voice.operations import EngineTrial
from microclaw.voice.resampling import Resampler


async def try_engines(synthesizer: Synthesizer, recognizer: Recognizer, text: str) -> EngineTrial:
    """Raises VoiceError when one of them fails."""
    began_s = time.monotonic()
    pcm, first_s, resampler = b"", 0.0, Resampler(RATE_HZ)
    async with aclosing(synthesizer.speak(text)) as pieces:
        async for piece in pieces:
            first_s = first_s or time.monotonic() - began_s
            pcm += resampler.feed(piece.pcm, piece.rate_hz)
    pcm += resampler.rest()
    with suppress(VoiceError):  # `hear` says it, or asks another engine
        await recognizer.warm_up()
    spoken_s = time.monotonic()
    heard = await recognizer.hear(pcm)
    return EngineTrial(
        said=text,
        heard=heard.text,
        confidence=round(heard.confidence, 2),
        speech_s=round(len(pcm) / (2 * RATE_HZ), 2),
        first_audio_ms=round(first_s * 1000),
        recognition_ms=round((time.monotonic() - spoken_s) * 1000),
        ok=_words(heard.text) == _words(text),
    )


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
