"""An analog water level sensor: the more of its traces are under water, the higher its voltage."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.models import AnalogDevice


class Model(AnalogDevice):
    """Its voltage is in proportion to the length that is under water."""

    def volts(self) -> Mapping[str, float]:
        return {"out": self.attribute("full_v") * self.values["water_level"] / 100}
