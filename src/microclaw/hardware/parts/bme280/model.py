"""A BME280 at register level, with values that are set from outside."""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import Final

from microclaw.hardware.parts.bosch_sensor import CONFIG, CTRL_MEAS, BoschSensor

_RAW_16: Final = range((1 << 16) - 1)
_CTRL_HUM: Final = 0xF2
_NO_HUMIDITY: Final = 0x8000
_H: Final = (75, 362, 0, 314, 50, 30)
"""dig_H1 to dig_H6 of the virtual chip."""


class Model(BoschSensor):
    """Bosch BST-BME280-DS002: register map section 5, compensation section 4.2.3, measurement time 9.1.

    Raw values are found by searching for those that the datasheet's own formulas turn into the wanted ones.
    """

    chip_id = 0x60
    settings = (_CTRL_HUM, CTRL_MEAS, CONFIG)
    no_data = bytes.fromhex("8000008000008000")

    def reset(self) -> None:
        super().reset()
        h1, h2, h3, h4, h5, h6 = _H
        self.registers[0xA1] = h1
        h45 = bytes([h4 >> 4 & 0xFF, (h4 & 0xF) | (h5 & 0xF) << 4, h5 >> 4 & 0xFF])
        self.registers[0xE1:0xE8] = pack("<hB", h2, h3) + h45 + pack("<b", h6)

    def duration_ms(self) -> float:
        """Return the typical time of a measurement, with the humidity."""
        duration_ms = super().duration_ms()
        humidity_samples = self.samples(self.registers[_CTRL_HUM])
        if humidity_samples:
            duration_ms += 2.0 * humidity_samples + 0.5
        return duration_ms

    def measure(self) -> bytes:
        """Return the eight registers of pressure, temperature and humidity."""
        data, fine = self.temperature_and_pressure()
        raw_h = _NO_HUMIDITY
        if self.samples(self.registers[_CTRL_HUM]):
            wanted_h = round(self.values["humidity"] * 1024)
            raw_h = bisect_left(_RAW_16, wanted_h, key=lambda raw: _humidity(raw, fine))
        return data + raw_h.to_bytes(2, "big")


def _humidity(raw: int, fine: int) -> int:
    """Return percent in Q22.10."""
    h1, h2, h3, h4, h5, h6 = _H
    v = fine - 76800
    scale = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
    v = ((raw << 14) - (h4 << 20) - h5 * v + 16384 >> 15) * (scale * h2 + 8192 >> 14)
    v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
    return min(max(v, 0), 419430400) >> 12
