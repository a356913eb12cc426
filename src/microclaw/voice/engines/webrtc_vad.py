"""Speech or not by WebRTC's detector (webrtcvad, imported when the first one is made)."""

from __future__ import annotations

from typing import Final

from microclaw.errors import ConfigError
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ

MODE: Final = 2
"""From 0, which takes much for speech, to 3."""


class WebrtcVoiceDetector:
    """One a stream. Raises ConfigError where the package is missing."""

    def __init__(self) -> None:
        try:
            from webrtcvad import Vad
        except ImportError as exc:
            raise ConfigError("the package webrtcvad-wheels is missing", next_step="make voice") from exc
        self._vad = Vad(MODE)

    def is_speech(self, frame: bytes) -> bool:
        assert len(frame) == FRAME_BYTES, f"{len(frame)} bytes, not {FRAME_BYTES}"
        return bool(self._vad.is_speech(frame, RATE_HZ))
