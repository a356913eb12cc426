"""Engines that give way to the next, and the detector that tells speech from silence and noise."""

from __future__ import annotations

import random
from array import array

import pytest
from tests.interfaces.voice.engines.conftest import Say

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, Recognizer, Transcript, VoiceDetector
from microclaw.interfaces.voice.engines.silero_vad import SileroVoiceDetector
from microclaw.interfaces.voice.fallback import REST_S, RecognizerChain


class Counts(Recognizer):
    """Hears how much it was given; nothing while it is `broken`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = False

    async def hear(self, pcm: bytes) -> Transcript:
        if self.broken:
            raise VoiceError("it broke")
        return Transcript(f"{self.name} {len(pcm)}")

    async def check(self) -> None:
        if self.broken:
            raise VoiceError("broken")


async def test_the_next_engine_hears_what_one_could_not_and_that_one_is_asked_last_for_a_while() -> None:
    now_s = 0.0
    first = Counts("first")
    second = Counts("second")
    chain = RecognizerChain([first, second], lambda: now_s)
    first.broken = True
    assert await chain.hear(b"abcd") == Transcript("second 4")
    first.broken = False
    now_s = REST_S - 1
    assert await chain.hear(b"ab") == Transcript("second 2")
    now_s = REST_S
    assert await chain.hear(b"ab") == Transcript("first 2")
    first.broken = second.broken = True
    with pytest.raises(VoiceError):
        await chain.hear(b"ab")
    assert await chain.health() == "broken; broken"


def voiced(detector: VoiceDetector, pcm: bytes) -> list[bool]:
    whole = len(pcm) - len(pcm) % FRAME_BYTES
    return [detector.is_speech(pcm[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]


def test_speech_is_speech_silence_and_loud_noise_are_not(say: Say) -> None:
    pcm = say("turn on pin two")
    found = voiced(SileroVoiceDetector(), pcm)
    assert not any(found[:10])
    assert sum(found) > len(found) * 0.5
    assert not any(found[-3:])
    dice = random.Random(7)
    noise = array("h", (int(dice.gauss(0, 3000)) for _ in range(32_000))).tobytes()
    assert sum(voiced(SileroVoiceDetector(), noise)) <= 2
