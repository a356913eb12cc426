"""What is between the link and a sound card's callbacks: audio that waits to be played, frames as they are heard.

A sound card calls from a thread of its own and must never wait: each method takes a lock for a moment and returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from microclaw.link_client.speech import FRAME_BYTES, RATE_HZ
from microclaw.voice.resampling import Resampler

PREFILL_MS: Final = 80
"""So much waits before a speech begins to play: a late frame is then no gap."""
AHEAD_MS: Final = 400
"""What the host may send ahead."""
MAX_WAITING_MS: Final = 2_000


class SpeakerBuffer:
    """`put` takes 16 kHz, `fill` gives the card's rate."""

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        self.gaps = 0
        """How often a speech that was not over had nothing to play."""
        self.dropped = 0
        """Frames that came while MAX_WAITING_MS waited."""
        self._lock = threading.Lock()
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz)
        self._waiting = bytearray()
        self._is_playing = self._is_whole = False

    @property
    def is_playing(self) -> bool:
        """Whether something is left to play."""
        return bool(self._waiting)

    def begin(self) -> None:
        with self._lock:
            self._is_playing = self._is_whole = False

    def put(self, pcm: bytes) -> None:
        with self._lock:
            if len(self._waiting) > self._bytes(MAX_WAITING_MS):
                self.dropped += 1
            else:
                self._waiting += self._resampler.feed(pcm, RATE_HZ)

    def end(self) -> None:
        """The speech is whole: its rest is played, however short."""
        with self._lock:
            self._waiting += self._resampler.rest()
            self._is_whole = True

    def purge(self) -> None:
        with self._lock:
            self._resampler.rest()
            self._waiting.clear()
            self._is_playing = self._is_whole = False

    def fill(self, size_bytes: int) -> bytes:
        """The next audio for the card, with silence where there is none."""
        with self._lock:
            if not self._is_playing and (self._is_whole or len(self._waiting) >= self._bytes(PREFILL_MS)):
                self._is_playing = bool(self._waiting)
            if not self._is_playing:
                return bytes(size_bytes)
            found = bytes(self._waiting[:size_bytes])
            del self._waiting[:size_bytes]
            if len(found) < size_bytes:
                self.gaps += not self._is_whole
                self._is_playing = False
            return found.ljust(size_bytes, b"\0")

    def _bytes(self, ms: int) -> int:
        return self._rate_hz * ms // 1000 * 2


class MicrophoneFrames:
    """Blocks of the card's size and rate become frames of FRAME_BYTES at 16 kHz, each given to `heard`."""

    def __init__(self, heard: Callable[[bytes], None], rate_hz: int = RATE_HZ) -> None:
        self._heard = heard
        self._rate_hz = rate_hz
        self._resampler = Resampler(RATE_HZ)
        self._left = b""

    def take(self, block: bytes) -> None:
        self._left += self._resampler.feed(block, self._rate_hz)
        while len(self._left) >= FRAME_BYTES:
            frame, self._left = self._left[:FRAME_BYTES], self._left[FRAME_BYTES:]
            self._heard(frame)
