"""A door contact: the magnet of a shut door closes its reed switch, which bounces."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart


class Model(PartModel):
    """A shut door connects the pin with the level that is not the active one. An open one lets go of the pin."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        held_level = None
        if self.attribute("resistor"):
            held_level = wired.active_level
        self._contact = Contact(
            bench,
            wired.pins["pin"],
            closed_level=1 - wired.active_level,
            open_level=held_level,
            bounce_ms=self.attribute("bounce_ms"),
        )

    def reset(self) -> None:
        self._contact.put(is_closed=not self.values["open"])

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "open" in values:
            self._contact.move(is_closed=not values["open"])
