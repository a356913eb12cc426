"""What DHT sensors have in common: the time that they need between two readings."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from microclaw.hardware.parts.models import Bench, OneWireDevice
from microclaw.hardware.parts.wiring import WiredPart

_SILENT_MS: Final = 500.0
"""A sensor that was read less than this ago does not answer: the least that drivers which read early give it."""


class DhtSensor(OneWireDevice):
    """A sensor that measures at most once in `interval_s`. A reading before has the values of the last measurement."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._last = b""
        self._read_ms = 0.0
        self._measured_ms = 0.0

    def reset(self) -> None:
        self._last = b""

    def message(self) -> bytes:
        now_ms = self.bench.now_ms()
        since_reading_ms = now_ms - self._read_ms
        since_measurement_ms = now_ms - self._measured_ms
        interval_s = self.attribute("interval_s")
        self._read_ms = now_ms
        if not self._last or since_measurement_ms >= interval_s * 1000:
            self._last = self.measured()
            self._measured_ms = now_ms
            return self._last
        needs = f"it needs {interval_s:g} s between two readings"
        if since_reading_ms < _SILENT_MS:
            self.bench.warn(f"{needs}; read again within {_SILENT_MS / 1000:g} s it does not answer")
            return b""
        self.bench.warn(f"{needs}; read before it gives its last values again")
        return self._last

    @abstractmethod
    def measured(self) -> bytes:
        """Return the five bytes of a new measurement."""
