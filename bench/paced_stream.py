"""The host's half of conversations for bench.link_streams, the same over the link and over bare aiohttp.

From the first frame heard it says one every 20 ms, each when it is due or as soon after as it can, none left out. One
task paces all streams: a timer each would cost as much as what is measured.
"""

from __future__ import annotations

import asyncio
import heapq
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
TICK_S: Final = 0.001  # a loop's timers are no finer: less would only spin
MOST_UNTOLD: Final = 256
_NOTHING: Final = (OVER, OVER)
_PAD: Final = bytes(PAYLOAD_BYTES - SAID.size)


class Pacer:
    """`run` until it is cancelled; times are `time.monotonic`, one clock for all processes of a machine."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, PacedStream]] = []
        self._has_some = asyncio.Event()

    def begin(self, stream: PacedStream, heard_due_s: float) -> None:
        """Half-way between two frames of the device, however late the first was heard: streams stay evenly apart."""
        heapq.heappush(self._due, (heard_due_s + 1.5 * FRAME_S, id(stream), stream))
        self._has_some.set()

    async def run(self) -> None:
        due = self._due
        while True:
            await self._has_some.wait()
            wait_s = due[0][0] - time.monotonic()
            await asyncio.sleep(max(TICK_S, wait_s) if wait_s > 0 else 0)
            now_s = time.monotonic()
            while due and due[0][0] <= now_s:
                due_s, number, stream = due[0]
                if stream.is_on:
                    heapq.heapreplace(due, (due_s + FRAME_S, number, stream))
                    await stream.speak(due_s)
                else:
                    heapq.heappop(due)
                    stream.is_paced = False
            if not due:
                self._has_some.clear()


class PacedStream:
    """`say` writes a payload to the device and waits for nobody who reads slowly."""

    def __init__(self, pacer: Pacer, say: Callable[[bytes], Awaitable[None]]) -> None:
        self.is_on = self.is_paced = False
        self._pacer = pacer
        self._say = say
        self._heard: deque[tuple[float, float]] = deque(maxlen=MOST_UNTOLD)

    def heard(self, payload: bytes) -> None:
        (due_s,) = STAMP.unpack_from(payload)
        self.is_on = due_s != OVER
        if not self.is_on:
            self._heard.clear()
            return
        self._heard.append((due_s, time.monotonic()))
        if not self.is_paced:
            self.is_paced = True
            self._pacer.begin(self, due_s)

    async def speak(self, due_s: float) -> None:
        await self._say(SAID.pack(due_s, *self._told(), *self._told(), *self._told()) + _PAD)

    def _told(self) -> tuple[float, float]:
        """A frame that was heard and not told of."""
        if self._heard:
            return self._heard.popleft()
        return _NOTHING
