"""Changes, desired apps and images as the apps stage sees them, over the host's one database. Touches no device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from microclaw.apps.change import AppVersion, Change, ChangeKind, DeviceAction
from microclaw.wasm.image import Image


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app that this host wants on a device, since when."""

    device_id: str
    name: str
    version: AppVersion
    since_ms: int


@dataclass(frozen=True, slots=True)
class StoredImage:
    sha256: str
    wasm: bytes
    source: str | None
    compiler: str


class Ledger:
    """`Ledger(database)`: the store's rows as typed changes."""

    def __init__(self, database: Any) -> None: ...

    async def keep_image(self, image: Image) -> None:
        raise NotImplementedError

    async def image(self, sha256: str) -> StoredImage:
        """Raises StoreError when the store has lost it."""
        raise NotImplementedError

    async def plan(
        self,
        device_id: str,
        kind: ChangeKind,
        summary: str,
        forward: DeviceAction,
        inverse: DeviceAction | None,
        *,
        undoes: int | None = None,
    ) -> int:
        """Write the change down before acting; the number it has from now on."""
        raise NotImplementedError

    async def complete(self, change_id: int) -> Change:
        """The device did it: the change is done, desired apps follow, and what it undoes is marked, all at once."""
        raise NotImplementedError

    async def fail(self, change_id: int) -> None:
        """The device did not do it, or it was taken back at once: desired apps are as before the change."""
        raise NotImplementedError

    async def leave_open(self, change_id: int) -> None:
        """Nobody knows whether the device did it; `unfinished` lists it until it is settled."""
        raise NotImplementedError

    async def unfinished(self, device_id: str | None = None) -> Sequence[Change]:
        """Changes planned or of unknown outcome, oldest first."""
        raise NotImplementedError

    async def change(self, change_id: int) -> Change:
        """Raises UnknownName."""
        raise NotImplementedError

    async def changes(self, device_id: str | None = None, limit: int = 50) -> Sequence[Change]:
        """Newest first."""
        raise NotImplementedError

    async def desired(self, device_id: str | None = None) -> Sequence[DesiredApp]:
        """Apps wanted on a device, or on any, by name."""
        raise NotImplementedError
