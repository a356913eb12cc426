"""`voice talk` after a pause: what is said before the answer is an utterance of its own, and echo is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.voice.scripted_engines import LOUD, QUIET, LoudnessDetector

from microclaw.link_client.identity import LinkAddress
from microclaw.voice.talk.conversation import Conversation
from microclaw.voice.talk.speaker import SpeakerBuffer
from microclaw.wire.link.messages import AnyMessage, CancelStream, StartAsr, TtsStart


class Link:
    """A conversation whose streams go nowhere: what it sends is kept."""

    def __init__(self, folder: Path, *, interrupts: bool = False) -> None:
        self.speaker = SpeakerBuffer()
        address = LinkAddress("wss://127.0.0.1:1/link", "0" * 64, None)
        self.talk = Conversation(folder, address, self.speaker, new_detector=LoudnessDetector, interrupts=interrupts)
        self.streams = self.talk.device.streams
        self.sent: list[AnyMessage] = []
        self.audio: list[bytes] = []

        def now(run: Callable[[], None]) -> bool:
            run()
            return True

        self.streams._post = now
        self.streams._send, self.streams._send_audio = self.sent.append, self.audio.append

    def hears(self, *frames: bytes) -> None:
        for frame in frames:
            self.talk.heard_frame(frame)

    @property
    def opened(self) -> int:
        return sum(isinstance(one, StartAsr) for one in self.sent)


@pytest.mark.parametrize("before", [0, 2, 6])
def test_a_word_after_the_end_of_the_stream_opens_another_with_its_beginning(tmp_path: Path, before: int) -> None:
    link = Link(tmp_path)
    link.talk.listen("button")
    link.hears(*[LOUD] * 20, *[QUIET] * 30, *[LOUD] * before)
    link.streams.took(CancelStream(1))  # the host has heard enough, and thinks
    link.audio.clear()
    link.hears(*[LOUD] * (10 - before), *[QUIET] * 5)
    assert link.opened == 2
    assert link.audio.count(LOUD) == 10
    assert len(link.talk.turns) == 2


def test_silence_and_a_click_open_none(tmp_path: Path) -> None:
    link = Link(tmp_path)
    link.talk.listen("button")
    link.hears(*[LOUD] * 20, *[QUIET] * 30)
    link.streams.took(CancelStream(1))
    link.hears(*[QUIET] * 40, LOUD, *[QUIET] * 40)
    assert link.opened == 1


def test_a_button_that_was_released_is_the_end(tmp_path: Path) -> None:
    link = Link(tmp_path)
    link.talk.listen("button")
    link.hears(*[LOUD] * 20)
    link.talk.stop("released")
    link.hears(*[QUIET] * 20)
    assert link.opened == 1


@pytest.mark.parametrize(("interrupts", "opened"), [(False, 1), (True, 2)])
def test_what_the_speaker_says_is_heard_only_with_headphones(tmp_path: Path, interrupts: bool, opened: int) -> None:
    link = Link(tmp_path, interrupts=interrupts)
    link.talk.listen("button")
    link.hears(*[LOUD] * 20, *[QUIET] * 30)
    link.streams.took(CancelStream(1))
    link.streams.took(TtsStart(2, "pcm16", 16_000))
    link.speaker.put(bytes(32_000))
    assert link.speaker.is_playing
    link.hears(*[LOUD] * 20)
    assert link.opened == opened
