"""Ends what a device may do, and tells who holds its live connection. Closes nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.store.identity import IdentityTable

_log = logging.getLogger(__name__)

Cause: TypeAlias = Literal["person", "token_copied", "paired_again"]


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device's credentials ended. `token_copied` is an alarm: somebody has a copy of what the device had."""

    device_id: str
    cause: Cause
    at_ms: int


class Revocation:
    """Revokes credentials. Each listener is called on the event loop after the revocation is on the disk."""

    def __init__(self, table: IdentityTable, *, now_ms: Callable[[], int]) -> None:
        self._table = table
        self._now_ms = now_ms
        self._listeners: list[Callable[[Revoked], None]] = []

    def listen(self, listener: Callable[[Revoked], None]) -> Callable[[], None]:
        """Be told of every revocation until the returned function is called: close the live connection (4403)."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def revoke(self, device_id: str) -> int:
        """A person's word: nothing the device has opens anything any more. Returns how many credentials could."""
        ended = await self._table.revoke(device_id, self._now_ms())
        self.announce(device_id, "person")
        return ended

    def announce(self, device_id: str, cause: Cause) -> None:
        """Tell the listeners of a revocation that is on the disk already."""
        revoked = Revoked(device_id, cause, self._now_ms())
        if cause == "token_copied":
            _log.warning("device %s: a retired token was used, somebody copied it; all are revoked", device_id)
        for listener in tuple(self._listeners):
            listener(revoked)
