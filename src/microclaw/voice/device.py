"""A device as a voice session sees it: its microphone, then its speaker. The link and xiaozhi have one. None waits."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from microclaw.voice.engines.engine import Transcript

Activity: TypeAlias = Literal["idle", "listening", "thinking", "speaking"]


class VoiceDevice(Protocol):
    @property
    def device_id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def show(self, activity: Activity) -> None: ...

    def partial(self, stream: int, text: str) -> None: ...

    def final(self, stream: int, transcript: Transcript) -> None: ...

    def stop_listening(self, stream: int) -> None:
        """The utterance is over, and it has not closed the stream: it need not send more of it."""

    @property
    def rate_hz(self) -> int: ...

    @property
    def frame_ms(self) -> int: ...

    @property
    def ahead_ms(self) -> int:
        """The audio that it may hold before it plays it."""

    def begin_speech(self) -> None: ...

    def say(self, text: str, samples: int) -> None:
        """The audio that comes next: so many samples, and the text that they begin ("": they go on)."""

    def play(self, frame: bytes) -> None:
        """One frame of PCM of its rate."""

    def end_speech(self, *, failed: bool) -> None:
        """Everything is played."""

    def cancel_speech(self) -> None:
        """Forget what is not played yet, here and on the device, at once."""
