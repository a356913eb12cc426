"""Puts apps back on boards that lost them; never removes one, and never fights an app that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from microclaw.apps.deploy import Deployer
from microclaw.apps.ledger import Ledger
from microclaw.bus.events import Report


@dataclass(frozen=True, slots=True)
class KeptDevice:
    """What the keeper last found at a device; `unreachable_since_ms` is Unix time, None while it answers."""

    device_id: str
    device_name: str
    checked_ms: int
    unreachable_since_ms: int | None
    put_back: tuple[str, ...]
    problem: str | None = None


class Keeper:
    """`Keeper(devices=registry, ledger=..., deployer=..., report=...)`; `run()` belongs in the host's TaskGroup."""

    def __init__(
        self,
        *,
        devices: Any,
        ledger: Ledger,
        deployer: Deployer,
        report: Report | None = None,
        interval_s: float = 5.0,
        now_ms: Callable[[], int] | None = None,
    ) -> None: ...

    async def run(self) -> None:
        """Look after every device with desired apps until cancelled."""
        raise NotImplementedError

    async def check(self, device_id: str) -> KeptDevice:
        """Ask one device once and put back what it lost."""
        raise NotImplementedError

    def status(self) -> tuple[KeptDevice, ...]:
        raise NotImplementedError
