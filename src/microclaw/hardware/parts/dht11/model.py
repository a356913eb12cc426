"""A DHT11: its five bytes of a measurement."""

from __future__ import annotations

from microclaw.hardware.parts.dht_sensor import DhtSensor


class Model(DhtSensor):
    """Whole numbers; the bytes of their decimals are 0."""

    def measured(self) -> bytes:
        row = [round(self.values["humidity"]), 0, round(self.values["temperature"]), 0]
        return bytes([*row, sum(row) & 255])
