"""The begin and end of an utterance, from what the detector says of each frame. Hears no audio."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.voice.engines.engine import FRAME_BYTES, FRAME_MS, VoiceDetector

Moment: TypeAlias = Literal["began", "ended", "nothing", "too long"]
WINDOW_FRAMES: Final = 8
VOICED_TO_BEGIN: Final = 4
"""So many of the last WINDOW_FRAMES frames are speech when an utterance begins: one click is none."""
VOICED_TO_GO_ON: Final = 2
"""A single voiced frame in a pause does not make it longer."""


class EndpointLimits(Struct, frozen=True):
    """All in ms: the silence that ends an utterance, how long to wait for one, how long one may be."""

    silence_ms: int = 600
    nothing_ms: int = 6_000
    longest_ms: int = 15_000


class Endpointer:
    """One utterance. `frame` answers what the frame changed: began, ended, nothing (was said), too long."""

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._heard_ms = 0
        self.quiet_ms = 0
        """The silence since the last speech."""
        self.has_begun = False
        self.speech_end_ms = 0
        """When the last speech was, in ms since the stream began."""

    def frame(self, is_speech: bool) -> Moment | None:
        self._heard_ms += FRAME_MS
        self._recent.append(is_speech)
        voiced = sum(self._recent)
        if not self.has_begun:
            if voiced >= VOICED_TO_BEGIN:
                self.has_begun = True
                self.speech_end_ms = self._heard_ms
                return "began"
            return "nothing" if self._heard_ms >= self._limits.nothing_ms else None
        if is_speech and voiced >= VOICED_TO_GO_ON:
            self.quiet_ms = 0
            self.speech_end_ms = self._heard_ms
        else:
            self.quiet_ms += FRAME_MS
            if self.quiet_ms >= self._limits.silence_ms:
                return "ended"
        return "too long" if self._heard_ms >= self._limits.longest_ms else None


def has_speech(pcm: bytes, detector: VoiceDetector) -> bool:
    """True if an utterance begins in the audio; what is no whole frame at its end does not count."""
    endpointer = Endpointer(EndpointLimits(nothing_ms=len(pcm)))
    starts = range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
    return any(endpointer.frame(detector.is_speech(pcm[at : at + FRAME_BYTES])) == "began" for at in starts)
