"""The parts of `bench voice`: what they count is right; their figures are not looked at."""

from __future__ import annotations

import array

import pytest
from bench.voice_devices import BUFFER_S, FRAME_S, PREFILL_S, Speaker
from bench.voice_host import LoudDetector
from bench.voice_turn import Alone, Answered, Interruption, Turn, interruption_metrics, trimmed, turn_metrics

from bench import voice_devices, voice_streams
from microclaw.opus import OpusDecoder
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ

STREAMS = voice_streams.Effort(numbers=(2,), lasts_s=0.1, warm=1, idle=2, settle_s=0.05)


def test_a_frame_that_comes_when_all_is_played_is_a_gap() -> None:
    speaker = Speaker()
    assert speaker.take(10.0) == (False, False)
    assert speaker.take(10.0 + PREFILL_S + FRAME_S) == (False, False)  # just in time
    assert speaker.take(10.0 + PREFILL_S + 2 * FRAME_S + 0.001) == (True, False)
    assert speaker.take(10.0 + PREFILL_S + 2 * FRAME_S + 0.002) == (False, False)


def test_a_frame_for_which_the_buffer_has_no_room_is_counted() -> None:
    speaker = Speaker()
    found = [speaker.take(10.0) for _ in range(round((BUFFER_S - PREFILL_S) / FRAME_S) + 2)]
    assert found[-1] == (False, True)
    assert found[:-2] == [(False, False)] * (len(found) - 2)


@pytest.mark.parametrize("codec", ["pcm16", "opus"])
def test_what_devices_say_is_speech_and_then_silence(codec: str) -> None:
    detector, decoder = LoudDetector(), OpusDecoder(RATE_HZ)
    frames = [
        packet[4 + 4 + 1 :] if len(packet) > 134 else packet[2 + 4 + 1 :] for packet in voice_devices.utterance(codec)
    ]
    pcm = b"".join(frames if codec == "pcm16" else map(decoder.decode, frames))
    found = [detector.is_speech(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]
    assert all(found[5:95])
    assert not any(found[110:])


def test_many_devices_talk_and_are_answered() -> None:
    metrics = {metric.name: metric.value for metric in voice_streams.measure(STREAMS)}
    assert metrics["memory of a voice device that is silent"] >= 0
    assert 500 < metrics["with 2: end of speech to first audio, p50"] < 60_000


def test_a_turn_is_told_stage_by_stage_and_beside_the_engines() -> None:
    steps = {
        "first audio": 0, "speech end": 1000, "end heard": 1600, "final": 1610,
        "first token": 1640, "first sentence": 1641, "first audio out": 1700, "first audible": 1701,
    }  # fmt: skip
    turns = [
        Turn(Answered(760, "It is on."), steps),
        Turn(Answered(700, "What?"), {"speech end": 0, "first audible": 600}),
    ]
    alone = [Alone(200, 50), Alone(200, 50)]
    metrics = {metric.name: metric for metric in turn_metrics(turns, alone)}
    assert metrics["end of speech to first audible, p95"].value == 701
    assert metrics["  end heard to final, p50"].value == 10
    assert metrics["first sentence to first audible, beyond the synthesizer, p50"].value == 10
    assert metrics["final, beyond the recognizer, p50"].value == -190


def test_what_came_after_a_cancel_is_a_missed_goal() -> None:
    good, bad = (
        interruption_metrics([Interruption(20, 0)]),
        interruption_metrics([Interruption(20, 0), Interruption(45, 1)]),
    )
    assert all(metric.ok for metric in good)
    assert [metric.ok for metric in bad] == [False, True, False]


def test_speech_ends_with_its_last_loud_sample() -> None:
    assert trimmed(array.array("h", [0, 900, 5, -900, 5, 0])).tolist() == [0, 900, 5, -900]
