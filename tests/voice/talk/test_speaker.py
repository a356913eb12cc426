"""What is between the link and a sound card's callbacks: prefill, gaps, purging, other rates, frames of one size."""

from __future__ import annotations

import array
import math

import pytest

from microclaw.link_client.speech import FRAME_BYTES, RATE_HZ
from microclaw.voice.talk.speaker import MAX_WAITING_MS, PREFILL_MS, MicrophoneFrames, SpeakerBuffer

FRAME_MS = 20


def tone(ms: int, rate_hz: int = RATE_HZ) -> bytes:
    samples = (round(10_000 * math.sin(math.tau * 440 * at / rate_hz)) for at in range(rate_hz * ms // 1000))
    return array.array("h", samples).tobytes()


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


def test_a_speech_begins_when_enough_waits_and_is_played_whole() -> None:
    speaker, said = SpeakerBuffer(), tone(200)
    speaker.begin()
    for frame in frames(said)[: PREFILL_MS // FRAME_MS - 1]:
        speaker.put(frame)
        assert speaker.fill(FRAME_BYTES) == bytes(FRAME_BYTES)
    for frame in frames(said)[PREFILL_MS // FRAME_MS - 1 :]:
        speaker.put(frame)
    speaker.end()
    played = b"".join(speaker.fill(FRAME_BYTES) for _ in range(10))
    assert played == said
    assert not speaker.is_playing
    assert speaker.fill(FRAME_BYTES) == bytes(FRAME_BYTES)
    assert speaker.gaps == 0


def test_a_speech_shorter_than_the_prefill_is_played_once_it_is_whole() -> None:
    speaker, said = SpeakerBuffer(), tone(FRAME_MS)
    speaker.begin()
    speaker.put(said)
    assert speaker.fill(FRAME_BYTES) == bytes(FRAME_BYTES)
    assert speaker.is_playing
    speaker.end()
    assert speaker.fill(FRAME_BYTES) == said
    assert speaker.gaps == 0


def test_audio_that_comes_too_late_is_a_gap_and_goes_on_after_a_new_prefill() -> None:
    speaker = SpeakerBuffer()
    speaker.begin()
    speaker.put(tone(PREFILL_MS))
    for _ in range(PREFILL_MS // FRAME_MS + 1):
        speaker.fill(FRAME_BYTES)
    assert speaker.gaps == 1
    speaker.put(tone(FRAME_MS))
    assert speaker.fill(FRAME_BYTES) == bytes(FRAME_BYTES)
    speaker.put(tone(PREFILL_MS))
    assert any(speaker.fill(FRAME_BYTES))


def test_nothing_is_played_after_a_purge_until_there_is_a_new_speech() -> None:
    speaker = SpeakerBuffer()
    speaker.begin()
    speaker.put(tone(400))
    assert any(speaker.fill(FRAME_BYTES))
    speaker.purge()
    assert not speaker.is_playing
    assert speaker.fill(FRAME_BYTES) == bytes(FRAME_BYTES)
    speaker.begin()
    speaker.put(tone(PREFILL_MS))
    assert any(speaker.fill(FRAME_BYTES))


def test_a_host_that_sends_without_pace_fills_no_memory() -> None:
    speaker = SpeakerBuffer()
    speaker.begin()
    for _ in range(10 * MAX_WAITING_MS // FRAME_MS):
        speaker.put(tone(FRAME_MS))
    assert speaker.dropped > 0
    speaker.end()
    played = 0
    while speaker.is_playing:
        speaker.fill(FRAME_BYTES)
        played += 1
    assert played <= MAX_WAITING_MS // FRAME_MS + 2


@pytest.mark.parametrize("block", [100, FRAME_BYTES, 1_024, 5_000])
def test_blocks_of_any_size_become_frames(block: int) -> None:
    heard: list[bytes] = []
    said = tone(400)
    microphone = MicrophoneFrames(heard.append)
    for at in range(0, len(said), block):
        microphone.take(said[at : at + block])
    assert b"".join(heard) == said
    assert {len(frame) for frame in heard} == {FRAME_BYTES}


def test_a_card_of_another_rate_hears_and_plays_as_long_as_one_of_ours() -> None:
    heard: list[bytes] = []
    microphone = MicrophoneFrames(heard.append, 48_000)
    said = tone(1_000, 48_000)
    for at in range(0, len(said), 1_920):
        microphone.take(said[at : at + 1_920])
    assert 960 <= len(heard) * FRAME_MS <= 1_000
    assert {len(frame) for frame in heard} == {FRAME_BYTES}
    speaker = SpeakerBuffer(48_000)
    speaker.begin()
    for frame in frames(tone(1_000)):
        speaker.put(frame)
    speaker.end()
    played = 0
    while speaker.is_playing:
        speaker.fill(1_920)
        played += 1
    assert 49 <= played <= 51
