"""The parts of `bench voice`: what they count is right; their figures are not looked at."""

from __future__ import annotations

from bench.voice_devices import FRAME_S, PREFILL_S, Speaker

from bench import voice_streams

STREAMS = voice_streams.Effort(numbers=(2,), lasts_s=0.1, warm=1, idle=2, settle_s=0.05)


def test_a_frame_that_comes_when_all_is_played_is_a_gap() -> None:
    speaker = Speaker()
    assert speaker.take(10.0) == (False, False)
    assert speaker.take(10.0 + PREFILL_S + FRAME_S) == (False, False)  # just in time
    assert speaker.take(10.0 + PREFILL_S + 2 * FRAME_S + 0.001) == (True, False)
    assert speaker.take(10.0 + PREFILL_S + 2 * FRAME_S + 0.002) == (False, False)


def test_many_devices_talk_and_are_answered() -> None:
    metrics = {metric.name: metric.value for metric in voice_streams.measure(STREAMS)}
    assert metrics["memory of a voice device that is silent"] >= 0
    assert 500 < metrics["with 2: end of speech to first audio, p50"] < 60_000
