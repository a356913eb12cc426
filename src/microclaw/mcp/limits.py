"""What a stranger's MCP server may send: how large a message, how many. Decides from counts; reads no message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

MAX_MESSAGE_BYTES: Final = 1 << 20
BURST: Final = 500
A_SECOND: Final = 100.0


class MessageLimit:
    """A token bucket; over it the connection ends, as a queue would only put the flood off."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._room = float(BURST)
        self._at = now_s()

    def wrong_with(self, size_bytes: int) -> str | None:
        """Count one message; what is wrong with it, or None."""
        if size_bytes > MAX_MESSAGE_BYTES:
            return f"it sent a message of {size_bytes:,} bytes, at most {MAX_MESSAGE_BYTES:,} are read"
        now = self._now_s()
        self._room = min(float(BURST), self._room + (now - self._at) * A_SECOND)
        self._at = now
        if self._room < 1:
            return f"it flooded this host: more than {BURST} messages at once"
        self._room -= 1
        return None


class Closed:
    """Why a connection ended; the first reason counts."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = "it ended"

    def because(self, reason: str) -> None:
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> str:
        await self._event.wait()
        return self.reason
