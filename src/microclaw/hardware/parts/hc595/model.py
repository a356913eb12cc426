"""A 74HC595: SHCP shifts DS in, and STCP brings what was shifted in to the outputs."""

from __future__ import annotations

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart


class Model(PinDevice):
    """A chain is one long register. Outputs that OE switches off show as 0."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._mask = (1 << 8 * int(self.attribute("count"))) - 1
        self._shifted = 0
        self._stored = 0

    def reset(self) -> None:
        self._shifted = 0
        self._stored = 0
        self._show()

    def edge(self, role: str, level: int) -> None:
        if role == "shcp" and level:
            data = self.bench.level(self.wired.pins["ds"])
            self._shifted = (self._shifted << 1 | data) & self._mask
        elif role == "stcp" and level:
            self._stored = self._shifted
            self._show()
        elif role == "oe":
            self._show()
        if self._is_low("mr"):
            self._shifted = 0

    def _show(self) -> None:
        outputs = self._stored
        if "oe" in self.wired.pins and not self._is_low("oe"):
            outputs = 0
        self.bench.show("outputs", outputs)

    def _is_low(self, role: str) -> bool:
        """Return True if that pin is wired and low."""
        gpio = self.wired.pins.get(role)
        return gpio is not None and not self.bench.level(gpio)
