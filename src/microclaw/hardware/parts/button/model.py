"""A push button whose contacts bounce: a press or release comes as several edges within some milliseconds."""

from __future__ import annotations

from collections.abc import Mapping

from microclaw.hardware.parts.contacts import Contact
from microclaw.hardware.parts.models import Bench, PartModel
from microclaw.hardware.parts.wiring import WiredPart


class Model(PartModel):
    """A switch between its pin and the active level. Released, it lets go of the pin."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        released_level = None
        if self.attribute("resistor"):
            released_level = 1 - wired.active_level
        self._contact = Contact(
            bench,
            wired.pins["pin"],
            closed_level=wired.active_level,
            open_level=released_level,
            bounce_ms=self.attribute("bounce_ms"),
        )

    def reset(self) -> None:
        self._contact.put(is_closed=bool(self.values["pressed"]))

    def values_changed(self, values: Mapping[str, float]) -> None:
        if "pressed" in values:
            self._contact.move(is_closed=bool(values["pressed"]))
