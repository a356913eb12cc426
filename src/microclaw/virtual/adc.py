"""The voltages on the ADC pins of a virtual board."""

from __future__ import annotations

from typing import Final, NamedTuple

from microclaw.errors import PinRefused
from microclaw.hardware.boards.profile import BoardProfile

FULL_SCALE_V: Final = 3.3
MAX_VALUE: Final = 4095  # of 12 bits


class AdcSample(NamedTuple):
    value: int
    volts: float


class AdcInputs:
    """The ADC pins of one board. Each is at 0 V until a voltage is set."""

    def __init__(self, profile: BoardProfile) -> None:
        self._profile = profile
        self._volts: dict[int, float] = {}

    def set(self, pin: int, volts: float) -> None:
        """Put a voltage on a pin. Raises PinRefused if the pin has no ADC or the voltage is outside of 0 to 3.3 V."""
        self._check(pin)
        if not 0.0 <= volts <= FULL_SCALE_V:
            raise PinRefused(f"{volts} V on GPIO {pin}", next_step=f"choose 0 to {FULL_SCALE_V} V")
        self._volts[pin] = volts

    def read(self, pin: int) -> AdcSample:
        """Return the voltage of a pin, and its 12 bits over 3.3 V. Raises PinRefused if the pin has no ADC."""
        self._check(pin)
        volts = self._volts.get(pin, 0.0)
        return AdcSample(round(volts / FULL_SCALE_V * MAX_VALUE), volts)

    def _check(self, pin: int) -> None:
        facts = self._profile.pins.get(pin)
        if facts is not None and "adc" in facts.uses:
            return
        reason = "it has no ADC"
        if facts is not None:
            reason = facts.lacks.get("adc", reason)
        able = sorted(number for number, other in self._profile.pins.items() if "adc" in other.uses)
        raise PinRefused(f"GPIO {pin}: {reason}", next_step=f"ADC pins: {', '.join(map(str, able))}")
