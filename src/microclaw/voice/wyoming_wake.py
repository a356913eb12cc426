"""A Wyoming client's audio that is listened to for wake words. It sends nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from microclaw.errors import ProtocolError
from microclaw.voice.engines.engine import FRAME_BYTES, RATE_HZ, WakeDetector, WakeModel, WakeWords
from microclaw.wire.wyoming import WyomingEvent

MAX_NAMES: Final = 32
MAX_AHEAD_S: Final = 60.0
"""Audio may be so much longer than the time in which it came: a file's worth, and not a day's."""
_NO_WORDS: Final = "this host has no wake words (next: microclaw config set voice.wake_words okay_nabu)"


def models_of(words: WakeWords | None) -> Sequence[WakeModel]:
    return () if words is None else words.models


def wanted_names(words: WakeWords | None, detect: WyomingEvent) -> Sequence[str]:
    """The words that a client wants to hear; none for all of them. Raises ProtocolError for others than there are."""
    if words is None:
        raise ProtocolError(_NO_WORDS)
    names = detect.data.get("names") or []
    if not isinstance(names, list) or len(names) > MAX_NAMES:
        raise ProtocolError(f"detect: names is a list of at most {MAX_NAMES}")
    known = [model.name for model in words.models]
    for name in names:
        if name not in known:
            raise ProtocolError(f"there is no wake word {str(name)[:40]!r}; there are {', '.join(known)}")
    return tuple(dict.fromkeys(names))


class WakeListening:
    """From audio-start to audio-stop. It goes on after a detection."""

    def __init__(self, detector: WakeDetector, now_s: Callable[[], float] = time.monotonic) -> None:
        self.has_woken = False
        self._detector = detector
        self._now_s = now_s
        self._began_s = now_s()
        self._heard_bytes = 0

    async def hear(self, pcm: bytes, timestamp: object) -> AsyncIterator[dict[str, object]]:
        """The data of each detection. Its time is the chunk's `timestamp`; without one, ms since the audio began."""
        for at in range(0, len(pcm), FRAME_BYTES):
            frame = pcm[at : at + FRAME_BYTES]
            self._heard_bytes += len(frame)
            heard_s = self._heard_bytes / RATE_HZ / 2
            if heard_s - (self._now_s() - self._began_s) > MAX_AHEAD_S:
                raise ProtocolError(f"more than {MAX_AHEAD_S:g} s of audio came before they can have been spoken")
            if (wake := self._detector.hear(frame)) is not None:
                self.has_woken = True
                yield {"name": wake.name, "timestamp": timestamp if isinstance(timestamp, int) else int(heard_s * 1000)}
            await asyncio.sleep(0)  # a chunk may be seconds

    def close(self) -> None:
        self._detector.close()
