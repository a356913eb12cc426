"""What runs where: what this host wants on a device beside what the device says. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from microclaw.apps.ledger import Ledger

AppCondition: TypeAlias = Literal["running", "listed", "returned", "exited", "trapped", "dead", "missing", "unreachable"]


@dataclass(frozen=True, slots=True)
class AppListing:
    """One app on one device.

    `condition`: "listed" is all that stock firmware tells of an app; "dead" is loaded and without effect; "missing" is
    wanted and not there; "unreachable" is wanted on a device that does not answer. `foreign`: this host did not put
    it there. `size_bytes`, `sha256`, `source` are None for a foreign app.
    """

    device_id: str
    device_name: str
    name: str
    condition: AppCondition
    foreign: bool
    heap_bytes: int
    pins: tuple[int, ...]
    size_bytes: int | None
    sha256: str | None
    error: str | None = None
    installed_ms: int | None = None
    source: str | None = None


class Catalogue:
    """`Catalogue(devices=registry, ledger=...)`"""

    def __init__(self, *, devices: Any, ledger: Ledger) -> None: ...

    async def list_apps(self, device: str | None = None) -> tuple[AppListing, ...]:
        """Apps of one device (name or id) or of all; a device that does not answer lists what is wanted there."""
        raise NotImplementedError

    async def show(self, device: str, name: str) -> AppListing:
        """One app; raises AppNotFound naming what there is."""
        raise NotImplementedError
