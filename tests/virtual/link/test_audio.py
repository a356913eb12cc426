"""The virtual board's microphone and speaker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from microclaw.link_client.speech import FRAME_BYTES
from microclaw.virtual.link.audio import BUFFER_MS, BoardAudio
from microclaw.voice.engines.wav import wav_of
from microclaw.wire.link.messages import AsrFinal, CancelStream, TtsStart


def _audio() -> BoardAudio:
    return BoardAudio(lambda _: True, lambda _: None, lambda _: None)


def test_what_waits_to_be_played_is_not_played_yet() -> None:
    audio = _audio()
    audio.streams.took(TtsStart(2, "pcm16", 16_000))
    audio.streams.hear(2, bytes(FRAME_BYTES))  # it waits before it begins
    state = audio.state(None)
    assert state.speaking
    assert 0 <= state.played_ms <= 20


def test_a_stream_without_words_is_no_transcript() -> None:
    audio = _audio()
    assert audio.streams.took(AsrFinal(1, "", 0.0))
    assert audio.streams.took(AsrFinal(3, "hello", 0.9))
    assert audio.state(None).heard == ("hello",)


def test_it_tells_when_it_was_answered_and_how_long_the_interrupted_speaker_still_played(tmp_path: Path) -> None:
    sent = threading.Event()

    def send(frame: Callable[[], None]) -> bool:
        frame()
        return True

    audio = BoardAudio(send, lambda _: None, lambda _: sent.set())
    said = tmp_path / "said.wav"
    said.write_bytes(wav_of(bytes(FRAME_BYTES), 16_000))
    audio.speak_into(said, "button")
    assert sent.wait(20)
    assert audio.state(None).answer_ms == 0
    audio.streams.took(CancelStream(1))
    audio.streams.took(TtsStart(2, "pcm16", 16_000))
    for _ in range(10):
        audio.streams.hear(2, bytes(FRAME_BYTES))
    assert 0 < audio.state(None).answer_ms < 20_000
    assert audio.state(None).cut_ms == 0
    audio.speak_into(said, "wake")
    audio.streams.took(CancelStream(2))
    state = audio.state(None)
    assert state.answer_ms == 0
    assert state.cut_ms <= BUFFER_MS
    assert state.purged >= 1
    audio.end_boot()
