"""A switch or a digital sensor that drives its pin: to the active level while it is on, else to the other."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.models import PartModel


class Model(PartModel):
    """A level on one pin."""

    def reset(self) -> None:
        self.values_changed(self.values)

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "on" not in values:
            return
        active_level = self.wired.active_level
        if values["on"]:
            level = active_level
        else:
            level = 1 - active_level
        self.bench.drive(self.wired.pins["pin"], level)
