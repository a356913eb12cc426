"""The host's half of a conversation for bench.link_streams, the same over the link and over bare aiohttp.

From the first frame heard it says one every 20 ms, each when it is due or as soon after as it can, none left out.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

FRAME_S: Final = 0.02
PAYLOAD_BYTES: Final = 640
STAMP: Final = struct.Struct("<d")  # in AUDIO_IN: when it was due on the device's clock; OVER after the last
SAID: Final = struct.Struct("<ddddddd")  # in AUDIO_OUT: when it was due; of three heard frames when due and when heard
OVER: Final = -1.0
_NOTHING: Final = (OVER, OVER)
MOST_UNTOLD: Final = 256
_PAD: Final = bytes(PAYLOAD_BYTES - SAID.size)


class PacedStream:
    """`speak` runs until it is cancelled; times are `time.monotonic`, one clock for all processes of a machine."""

    def __init__(self, say: Callable[[bytes], Awaitable[None]]) -> None:
        self._say = say
        self._is_spoken_to = asyncio.Event()
        self._heard: deque[tuple[float, float]] = deque(maxlen=MOST_UNTOLD)

    def heard(self, payload: bytes) -> None:
        (due_s,) = STAMP.unpack_from(payload)
        if due_s == OVER:
            self._is_spoken_to.clear()
            return
        self._heard.append((due_s, time.monotonic()))
        self._is_spoken_to.set()

    async def speak(self) -> None:
        while True:
            await self._is_spoken_to.wait()
            due_s = time.monotonic() + FRAME_S / 2
            while self._is_spoken_to.is_set():
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await self._say(SAID.pack(due_s, *self._told(), *self._told(), *self._told()) + _PAD)
                due_s += FRAME_S
            self._heard.clear()

    def _told(self) -> tuple[float, float]:
        """A frame that was heard and not told of."""
        return self._heard.popleft() if self._heard else _NOTHING
