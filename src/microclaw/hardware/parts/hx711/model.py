"""An HX711: DT falls when a reading is ready, and SCK shifts its 24 bits out, the highest first."""

from __future__ import annotations

from typing import Final

from microclaw.hardware.parts.models import Bench, PinDevice
from microclaw.hardware.parts.wiring import WiredPart

_BITS: Final = 24
_HIGHEST: Final = 0x7FFFFF
_LOWEST: Final = -0x800000
_READING_MS: Final = 100.0
_SETTLING_MS: Final = 400.0
_POWER_DOWN_MS: Final = 0.06
_SHARES: Final = {25: 1.0, 26: 0.25, 27: 0.5}
"""The gain by the pulses of the last reading, as a share of 128: 26 is channel B with 32, 27 channel A with 64."""


class Model(PinDevice):
    """Both channels have the same cell. A reading is what the cell has when it is fetched: nothing runs in between."""

    def __init__(self, wired: WiredPart, bench: Bench) -> None:
        super().__init__(wired, bench)
        self._data = wired.pins["dt"]
        self._bits = 0
        self._pulse_count = 0
        self._share = 1.0
        self._is_asleep = False
        self._cycle_count = 0
        self._edge_count = 0

    def reset(self) -> None:
        self._share = 1.0
        self._is_asleep = False
        self._begin(_SETTLING_MS)

    def edge(self, role: str, level: int) -> None:
        if role != "sck":
            return
        self._edge_count += 1
        if level:
            self._sleep_later()
            self._shift()
        elif self._is_asleep:
            self._is_asleep = False
            self._share = 1.0
            self._begin(_SETTLING_MS)

    def _begin(self, after_ms: float) -> None:
        """Measure, and be ready after that time."""
        self._pulse_count = 0
        self._cycle_count += 1
        self.bench.drive(self._data, 1)
        self._ready_at(self.bench.now_ms() + after_ms)

    def _ready_at(self, t_ms: float) -> None:
        cycle = self._cycle_count

        def be_ready() -> None:
            if self._cycle_count == cycle and not self._is_asleep:
                self.bench.drive(self._data, 0)

        self.bench.call_at(t_ms, be_ready)

    def _counts(self) -> int:
        full = self.values["load"] * self.attribute("counts_per_kg") + self.attribute("zero_counts")
        return min(max(round(full * self._share), _LOWEST), _HIGHEST)

    def _shift(self) -> None:
        """Put the next bit on DT; further pulses choose the input, and DT is high until the next reading."""
        is_ready = self._pulse_count > 0 or self.bench.level(self._data) == 0
        if not is_ready or self._is_asleep:
            return
        if not self._pulse_count:
            self._bits = self._counts() & 0xFFFFFF
        self._pulse_count += 1
        if self._pulse_count <= _BITS:
            self.bench.drive(self._data, self._bits >> (_BITS - self._pulse_count) & 1)
            return
        self.bench.drive(self._data, 1)
        self._share = _SHARES.get(self._pulse_count, 1.0)
        if self._pulse_count == _BITS + 1:
            self._next_at(self.bench.now_ms() + _READING_MS)

    def _next_at(self, t_ms: float) -> None:
        cycle = self._cycle_count

        def end() -> None:
            if self._cycle_count == cycle and not self._is_asleep:
                self._begin(0.0)

        self.bench.call_at(t_ms, end)

    def _sleep_later(self) -> None:
        """Fall asleep if SCK stays high for 60 us."""
        edge_count = self._edge_count

        def sleep() -> None:
            if self._edge_count == edge_count:
                self._is_asleep = True
                self._pulse_count = 0
                self.bench.drive(self._data, 1)

        self.bench.call_at(self.bench.now_ms() + _POWER_DOWN_MS, sleep)
