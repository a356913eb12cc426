"""A photoresistor between the output and ground, with 10 kohm from there to the supply: more light, less voltage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import SUPPLY_V, AnalogDevice

_RESISTOR_KOHM: Final = 10.0
_DARKEST_LUX: Final = 0.01


class Model(AnalogDevice):
    """Its comparator makes DO high in the dark, and low in the light."""

    def volts(self) -> Mapping[str, float]:
        return {"ao": self._output_v()}

    def levels(self) -> Mapping[str, int]:
        is_dark = self._output_v() > self.attribute("threshold_v")
        return {"do": int(is_dark)}

    def _output_v(self) -> float:
        lux = max(self.values["light"], _DARKEST_LUX)
        ldr_kohm: float = self.attribute("rl10_kohm") * (lux / 10) ** -self.attribute("gamma")
        return SUPPLY_V * ldr_kohm / (ldr_kohm + _RESISTOR_KOHM)
