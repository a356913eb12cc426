"""An NTC thermistor between the output and ground, with a resistor from there to the supply: warmer, less voltage."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Final

from microclaw.hardware.parts.models import SUPPLY_V, AnalogDevice

_ZERO_C_K: Final = 273.15
_REFERENCE_K: Final = 298.15


class Model(AnalogDevice):
    """The beta equation, with the resistance at 25 °C."""

    def volts(self) -> Mapping[str, float]:
        kelvin = self.values["temperature"] + _ZERO_C_K
        exponent = self.attribute("beta") * (1 / kelvin - 1 / _REFERENCE_K)
        ntc_kohm = self.attribute("r25_kohm") * exp(exponent)
        return {"out": SUPPLY_V * ntc_kohm / (ntc_kohm + self.attribute("resistor_kohm"))}
