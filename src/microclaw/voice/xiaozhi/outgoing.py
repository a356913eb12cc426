"""The messages for one WebSocket, in order, each not before its time. Nobody who puts something in waits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

MAX_WAITING: Final = 512
"""Messages: a device that reads nothing has some twelve frames a second waiting, and is given up before this."""
SEND_S: Final = 5.0


class TextAndBinary(Protocol):
    """The WebSocket's writing half."""

    async def send_str(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...


class _Message(Struct, frozen=True):
    data: str | bytes
    not_before_s: float
    pause_s: float


class Outgoing:
    """`await run(socket)` until it is cancelled, or the device takes nothing any more (it returns then)."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._messages: deque[_Message] = deque()
        self._sent_s = now_s()
        self._changed = asyncio.Event()
        self._is_over = False

    def put(self, data: str | bytes, *, pause_s: float = 0.0) -> None:
        """Send it after everything before it, at the earliest `pause_s` after that and from now."""
        if self._is_over or len(self._messages) >= MAX_WAITING:
            self._is_over = True
        else:
            self._messages.append(_Message(data, self._now_s() + pause_s if pause_s else 0.0, pause_s))
        self._changed.set()

    def drop_audio(self) -> None:
        """No binary message that waits is sent any more."""
        self._messages = deque(message for message in self._messages if isinstance(message.data, str))
        self._changed.set()

    async def run(self, socket: TextAndBinary) -> None:
        while not self._is_over:
            if (wait_s := self._wait_s()) is None or wait_s > 0:
                await self._change(wait_s)
                continue
            data = self._messages.popleft().data
            try:
                async with asyncio.timeout(SEND_S):
                    await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))
            except (OSError, TimeoutError):
                self._is_over = True
            self._sent_s = self._now_s()

    def _wait_s(self) -> float | None:
        """Until the first message may go; None when there is none."""
        if not self._messages:
            return None
        first = self._messages[0]
        return max(first.not_before_s, self._sent_s + first.pause_s) - self._now_s()

    async def _change(self, wait_s: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            pass  # the first message's time has come
