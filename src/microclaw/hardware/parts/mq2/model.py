"""An MQ-2 module: its resistance falls with the gas, so that the voltage at its load resistor rises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.hardware.parts.models import AnalogDevice

_MODULE_V: Final = 5.0
_LOAD_KOHM: Final = 5.0
_CLEAN_AIR_RATIO: Final = 9.83
_RATIO_AT_200_PPM: Final = 1.62
_SLOPE: Final = -0.47


class Model(AnalogDevice):
    """Its comparator makes DO low while AO is above the threshold."""

    def volts(self) -> Mapping[str, float]:
        return {"ao": self._output_v()}

    def levels(self) -> Mapping[str, int]:
        is_gas = self._output_v() > self.attribute("threshold_v")
        return {"do": int(not is_gas)}

    def _output_v(self) -> float:
        sensor_kohm = self._ratio() * self.attribute("r0_kohm")
        return _MODULE_V * _LOAD_KOHM / (_LOAD_KOHM + sensor_kohm)

    def _ratio(self) -> float:
        """Return Rs / R0; at little gas it is the one of clean air."""
        ppm = self.values["gas"]
        if ppm <= 0:
            return _CLEAN_AIR_RATIO
        ratio: float = _RATIO_AT_200_PPM * (ppm / 200) ** _SLOPE
        return min(ratio, _CLEAN_AIR_RATIO)
