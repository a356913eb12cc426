"""What the tests of engines share: all that is spoken, and how loud it is."""

from __future__ import annotations

import array
from contextlib import aclosing

from microclaw.voice.engines.engine import Speech, Synthesizer


async def spoken(engine: Synthesizer, text: str) -> list[Speech]:
    async with aclosing(engine.speak(text)) as pieces:
        return [piece async for piece in pieces]


def seconds(pieces: list[Speech]) -> float:
    return sum(len(piece.pcm) / 2 / piece.rate_hz for piece in pieces)


def loudness(pieces: list[Speech]) -> float:
    """The mean of the samples' sizes."""
    samples = array.array("h", b"".join(piece.pcm for piece in pieces))
    return sum(map(abs, samples)) / max(1, len(samples))
