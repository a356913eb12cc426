"""The values of a part that follow from what is at its pins, as `known` of its part.toml says. Reads no pin."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from microclaw.hardware.parts.reader import Active, KnownValue
from microclaw.hardware.parts.wiring import WiredPart

_PERCENT: Final = "%"
_DECIMALS: Final = 1


class PinSignal(Struct, frozen=True):
    """What is at a pin: a steady level, or PWM with its frequency and the high time of a period in microseconds."""

    level: int
    frequency_hz: float = 0.0
    pulse_us: float = 0.0

    @property
    def high_share(self) -> float:
        """The share of the time in which it is high."""
        if self.frequency_hz:
            return self.pulse_us * self.frequency_hz / 1e6
        return float(self.level)

    def active_share(self, active: Active) -> float:
        """Return the share of the time in which it has the active level."""
        if active == "low":
            return 1 - self.high_share
        return self.high_share


def known_value(wired: WiredPart, name: str, signal: PinSignal) -> float | None:
    """Return the value that a part has while this is at the pin of its `known` value; None if it does not follow."""
    known = wired.facts.known[name]
    share = signal.active_share(known.active or wired.active)
    match known.by:
        case "level":
            return float(share > 0)
        case "share":
            return _share_in_unit(wired, name, share)
        case "frequency":
            if 0 < share < 1:
                return signal.frequency_hz
            return 0.0
        case "pulse":
            return _pulse_value(known, signal)


def _share_in_unit(wired: WiredPart, name: str, share: float) -> float:
    if wired.facts.shows[name].unit == _PERCENT:
        return round(100 * share, _DECIMALS)
    return share


def _pulse_value(known: KnownValue, signal: PinSignal) -> float | None:
    """Return the value on the line between the two ends; None without pulses, or with too many or few a second."""
    least_hz, most_hz = known.rates_hz
    if not signal.pulse_us or not least_hz <= signal.frequency_hz <= most_hz:
        return None
    first_us, last_us = known.pulses_us
    first, last = known.values
    share = (signal.pulse_us - first_us) / (last_us - first_us)
    value = first + min(max(share, 0.0), 1.0) * (last - first)
    return round(value, _DECIMALS)
