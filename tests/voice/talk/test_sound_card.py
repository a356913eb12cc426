"""PortAudio as the sound card sees it: what is missing is named with the next step; blocks go both ways."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from microclaw.errors import ConfigError
from microclaw.link_client.speech import FRAME_BYTES
from microclaw.voice.talk.sound_card import SoundCard, sound_devices
from microclaw.voice.talk.speaker import SpeakerBuffer


class PortAudioError(Exception):
    pass


class Stream:
    """A stream of the library whose callback the test calls in PortAudio's place."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.is_running = False

    def start(self) -> None:
        self.is_running = True

    def close(self) -> None:
        self.is_running = False
        self.options["finished_callback"]()


class Library(SimpleNamespace):
    """PortAudio with one card that offers `rates`; what sounddevice has of it here."""

    def __init__(self, *, rates: tuple[int, ...] = (16_000,), has_card: bool = True) -> None:
        super().__init__(PortAudioError=PortAudioError, RawInputStream=Stream, RawOutputStream=Stream)
        self.default = SimpleNamespace(device=[0, 0])
        self._rates, self._has_card = rates, has_card
        self.check_input_settings = self.check_output_settings = self._check

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "ALSA"}]

    def query_devices(self, name: int | str | None = None, side: str | None = None) -> Any:
        row = {"index": 0, "name": "card", "hostapi": 0, "max_input_channels": 1, "max_output_channels": 2,
               "default_samplerate": 48_000.0}  # fmt: skip
        if side is None:
            return [row] if self._has_card else []
        if not self._has_card:
            raise PortAudioError("Error querying device -1")
        if name not in (None, 0, "card"):
            raise ValueError(f"No {side} device matching {name!r}")
        return row

    def _check(self, *, samplerate: int, **_: object) -> None:
        if samplerate not in self._rates:
            raise PortAudioError("Invalid sample rate")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(found: Any) -> Any:
        monkeypatch.setitem(sys.modules, "sounddevice", found)
        return found

    return put


def test_without_the_package_the_extra_is_named(library: Any) -> None:
    library(None)
    with pytest.raises(ConfigError, match="sounddevice is not installed") as caught:
        sound_devices()
    assert "pip install sounddevice" in str(caught.value.next_step)
    assert "--wav" in str(caught.value.next_step)


def test_without_a_card_the_way_without_one_is_named(library: Any) -> None:
    library(Library(has_card=False))
    assert sound_devices() == []
    with pytest.raises(ConfigError, match="this machine has no microphone") as caught:
        SoundCard(None, None)
    assert "--wav FILE" in str(caught.value.next_step)


def test_a_name_that_fits_no_device_names_the_list(library: Any) -> None:
    library(Library())
    with pytest.raises(ConfigError, match="no speaker 'other'") as caught:
        SoundCard("0", "other")
    assert caught.value.next_step == "microclaw voice talk --list"


def test_a_card_without_16_khz_is_used_at_its_own_rate(library: Any) -> None:
    library(Library(rates=(48_000,)))
    card = SoundCard(None, "card")
    assert (card.input_hz, card.output_hz) == (48_000, 48_000)
    library(Library(rates=()))
    with pytest.raises(ConfigError, match="the microphone card cannot be used: Invalid sample rate"):
        SoundCard(None, None)


def test_blocks_are_heard_and_filled_and_only_an_end_of_its_own_is_told(library: Any) -> None:
    library(Library())
    heard: list[bytes] = []
    gone: list[bool] = []
    speaker = SpeakerBuffer()
    speaker.begin()
    speaker.put(b"\1\0" * (FRAME_BYTES // 2))
    speaker.end()
    with SoundCard(None, None).opened(speaker, heard.append, lambda: gone.append(True)) as card:
        microphone, loud = card.streams
        assert microphone.is_running
        assert microphone.options["blocksize"] == 320
        microphone.options["callback"](b"\2\0" * 320, 320, None, None)
        block = bytearray(FRAME_BYTES)
        loud.options["callback"](block, 320, None, None)
        assert bytes(block) == b"\1\0" * 320
    assert heard == [b"\2\0" * 320]
    assert gone == []
    with SoundCard(None, None).opened(speaker, heard.append, lambda: gone.append(True)) as card:
        card.streams[0].options["finished_callback"]()  # the cable is pulled
        assert gone == [True]
