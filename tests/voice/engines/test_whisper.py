"""Recognition by real Whisper processes over what flite says, over noise, and what happens when a process fails."""

from __future__ import annotations

import array
import asyncio
import math
import os
import random

import pytest
from tests.voice.engines.conftest import Make, Say

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ
from microclaw.voice.engines.whisper import MAX_HEARD_BYTES


async def test_sentences_and_a_known_name_are_recognised_and_silence_noise_and_a_cough_are_nothing(
    make: Make, say: Say
) -> None:
    names: tuple[str, ...] = ()
    recognizer = make(names=lambda: names, most=1)
    for sentence in ("blink pin two every half second", "my brother lives in another town"):
        found = await recognizer.hear(say(sentence))
        assert (found.text, found.confidence > 0.5) == (sentence, True)
    [pid] = recognizer.pool.pids
    hearing = asyncio.create_task(recognizer.hear(say("toggle pin nine")))
    await asyncio.sleep(0)
    hearing.cancel()  # which leaves nothing for the next one
    names = ("garage", "pump")
    assert (await recognizer.hear(say("turn on the pump"))).text == "turn on the pump"
    assert recognizer.pool.pids == {pid}
    quiet = [0.0] * RATE_HZ
    sounds = {
        "silence": quiet * 2,
        "noise": hiss(0.3, 3),
        "a cough": [*quiet, *cough(), *quiet],
        "clicks": [0.9 if t % 5000 == 0 else 0.0 for t in range(2 * RATE_HZ)],
    }
    for name, samples in sounds.items():
        assert (await recognizer.hear(pcm_of(samples))).text == "", name
    for odd in (b"", b"\x01", os.urandom(FRAME_BYTES * 50)):
        assert (await recognizer.hear(odd)).text == ""
    with pytest.raises(VoiceError):  # more than 20 s
        await recognizer.hear(bytes(MAX_HEARD_BYTES + 2))


def hiss(size: float, seconds: float) -> list[float]:
    random_ = random.Random(5)
    return [random_.gauss(0, size) for _ in range(int(seconds * RATE_HZ))]


def cough() -> list[float]:
    return [0.8 * value * math.exp(-t / RATE_HZ * 18) for t, value in enumerate(hiss(0.5, 0.4))]


def pcm_of(samples: list[float]) -> bytes:
    return array.array("h", [int(32767 * max(-1.0, min(1.0, one))) for one in samples]).tobytes()
