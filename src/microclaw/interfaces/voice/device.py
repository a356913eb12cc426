"""The interface of a device for a voice session: its microphone, its screen and its speaker."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from microclaw.interfaces.voice.engines.engine import Transcript

Activity: TypeAlias = Literal["idle", "listening", "thinking", "speaking"]


class VoiceDevice(Protocol):
    """A device of the link or of xiaozhi. No method waits."""

    @property
    def device_id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def show(self, activity: Activity) -> None: ...

    def partial(self, stream: int, text: str) -> None: ...

    def final(self, stream: int, transcript: Transcript) -> None: ...

    def stop_listening(self, stream: int) -> None:
        """Notify the device that the utterance is over, although it has not closed the stream."""

    @property
    def rate_hz(self) -> int: ...

    @property
    def frame_ms(self) -> int: ...

    @property
    def ahead_ms(self) -> int:
        """The audio in ms that the device can hold before it plays it."""

    def begin_speech(self) -> None: ...

    def say(self, text: str, samples: int) -> None:
        """Announce the next audio: its number of samples, and the text that it begins ("" if it continues a text)."""

    def play(self, frame: bytes) -> None:
        """Send one frame of PCM in the device's rate."""

    def end_speech(self, *, failed: bool) -> None:
        """End the speech when all of it is played."""

    def cancel_speech(self) -> None:
        """Discard at once all audio that is not played yet, here and on the device."""
