"""The virtual board's microphone and speaker."""

from __future__ import annotations

from microclaw.virtual.link.audio import FRAME_BYTES, BoardAudio
from microclaw.wire.link.messages import AsrFinal, TtsStart


def _audio() -> BoardAudio:
    return BoardAudio(lambda _: True, lambda _: None, lambda _: None)


def test_what_waits_to_be_played_is_not_played_yet() -> None:
    audio = _audio()
    audio.took(TtsStart(2, "pcm16", 16_000))
    audio.hear(2, bytes(FRAME_BYTES))  # it waits before it begins
    state = audio.state(None)
    assert state.speaking
    assert 0 <= state.played_ms <= 20


def test_a_stream_without_words_is_no_transcript() -> None:
    audio = _audio()
    assert audio.took(AsrFinal(1, "", 0.0))
    assert audio.took(AsrFinal(3, "hello", 0.9))
    assert audio.state(None).heard == ("hello",)
