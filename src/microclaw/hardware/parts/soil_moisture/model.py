"""A capacitive soil moisture sensor: the drier the soil, the higher its voltage."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.models import AnalogDevice


class Model(AnalogDevice):
    """Its voltage lies on a line between those in air and in water."""

    def volts(self) -> Mapping[str, float]:
        dry_v = self.attribute("dry_v")
        wet_v = self.attribute("wet_v")
        share = self.values["soil_moisture"] / 100
        return {"out": dry_v + (wet_v - dry_v) * share}
