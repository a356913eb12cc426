"""The detector tells speech from silence and from noise, by chunks that are longer than a frame."""

from __future__ import annotations

import random
from array import array

from tests.voice.engines.conftest import Say

from microclaw.voice.engines.engine import FRAME_BYTES, VoiceDetector
from microclaw.voice.engines.silero_vad import SileroVoiceDetector


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
