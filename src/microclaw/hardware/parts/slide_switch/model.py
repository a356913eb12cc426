"""A slide switch between both levels, whose contact bounces."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart


class Model(PartModel):
    """Right connects its pin with the active level, left with the other."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._contact = Contact(
            bench,
            wired.pins["pin"],
            closed_level=wired.active_level,
            open_level=1 - wired.active_level,
            bounce_ms=self.attribute("bounce_ms"),
        )

    def reset(self) -> None:
        self._contact.put(is_closed=bool(self.values["position"]))

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "position" in values:
            self._contact.move(is_closed=bool(values["position"]))
