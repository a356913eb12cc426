"""Acts at once on a pin and leaves no program behind; the change is journaled with its inverse and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microclaw.apps.ledger import Ledger
from microclaw.bus.events import Evidence
from microclaw.devices.calls import PinLevel, PwmState


@dataclass(frozen=True, slots=True)
class Acted:
    """What was set, how it is known, and the change to undo."""

    device_id: str
    device_name: str
    state: PinLevel | PwmState
    evidence: Evidence
    change_id: int
    warning: str | None = None


class Explorer:
    """`Explorer(devices=registry, ledger=...)`; reads need no journal: call the device itself for them."""

    def __init__(self, *, devices: Any, ledger: Ledger) -> None: ...

    async def set_pin(self, device: str, pin: int, level: int) -> Acted:
        """Drive a pin; raises PinRefused by board profile, NotSupported, DeviceError."""
        raise NotImplementedError

    async def set_pwm(self, device: str, pin: int, duty: int, frequency_hz: int = 5000) -> Acted:
        """Drive a pin with PWM, `duty` 0-255; raises as set_pin."""
        raise NotImplementedError
