"""The detector tells speech from silence."""

from __future__ import annotations

from tests.voice.engines.conftest import Say

from microclaw.voice.engines.engine import FRAME_BYTES
from microclaw.voice.engines.webrtc_vad import WebrtcVoiceDetector


def test_speech_is_speech_and_silence_is_not(say: Say) -> None:
    pcm, detector = say("turn on pin two"), WebrtcVoiceDetector()
    frames = [pcm[n : n + FRAME_BYTES] for n in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]
    found = [detector.is_speech(frame) for frame in frames]
    assert not any(found[:10])
    assert sum(found) > len(found) * 0.5
