"""The present boot of a device: a restart is proved by another one that comes. It asks for none."""

from __future__ import annotations

import asyncio


class Boots:
    """Of one device, since the host started. `current` is the boot that is connected, `began_ms` when it first was."""

    def __init__(self) -> None:
        self.count = 0
        self.current: bytes | None = None
        self.began_ms = 0.0
        self._last: bytes | None = None
        self._new = asyncio.Event()
        self._moves = 0

    def came(self, boot_id: bytes, now_ms: float) -> None:
        if boot_id != self._last:
            self.count += 1
            self.began_ms = now_ms
            self._new.set()
        self.current = self._last = boot_id

    def left(self) -> bytes | None:
        """The boot that was here until now."""
        was_here, self.current = self.current, None
        return was_here

    def moved(self) -> None:
        """The device is connected to another host: nobody need wait for it here."""
        self._moves += 1
        self._new.set()

    async def another(self, count: int, timeout_s: float) -> bool:
        """True if one more boot than `count` comes to this host within the time."""
        moves = self._moves
        try:
            async with asyncio.timeout(timeout_s):
                while self.count <= count and self._moves == moves:
                    self._new.clear()
                    await self._new.wait()
        except TimeoutError:
            return False
        return self.count > count
