"""A chain of WS2812: each LED takes the first 24 bits that come to it, and passes the others on."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import LedChain

_BYTES_AN_LED: Final = 3
_COUNT: Final = "count"


class Model(LedChain):
    """Only a wiring that says how many LEDs there are ends the chain."""

    def lit(self, data: bytes) -> bytes:
        if _COUNT not in self.wired.attributes:
            return data
        count = int(self.attribute(_COUNT))
        sent_count = len(data) // _BYTES_AN_LED
        if sent_count > count:
            self.bench.warn(f"it has {count} LEDs, and the program sends colors for {sent_count}")
        return data[: _BYTES_AN_LED * count]
