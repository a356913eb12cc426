"""A linear potentiometer between 3.3 V and ground."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.models import SUPPLY_V, AnalogDevice


class Model(AnalogDevice):
    """Its tap is at 0 V at 0 %, and at the supply at 100 %."""

    def volts(self) -> Mapping[str, float]:
        return {"pin": SUPPLY_V * self.values["position"] / 100}
