"""The virtual board's microphone and speaker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from microclaw.link_client.speech import FRAME_BYTES
from microclaw.virtual.link.audio import BUFFER_MS, BoardAudio
from microclaw.voice.engines.wav import wav_of
from microclaw.wire.link.messages import CancelStream, TtsStart


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
    assert audio.state().answer_ms == 0
    audio.streams.took(CancelStream(1))
    audio.streams.took(TtsStart(2, "pcm16", 16_000))
    for _ in range(10):
        audio.streams.hear(2, bytes(FRAME_BYTES))
    assert 0 < audio.state().answer_ms < 20_000
    assert audio.state().cut_ms == 0
    audio.speak_into(said, "wake")
    audio.streams.took(CancelStream(2))
    state = audio.state()
    assert state.answer_ms == 0
    assert state.cut_ms <= BUFFER_MS
    audio.end_boot()
