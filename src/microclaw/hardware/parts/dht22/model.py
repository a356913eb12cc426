"""A DHT22 (AM2302): its five bytes of a measurement."""

from __future__ import annotations

from microclaw.hardware.parts.dht_sensor import DhtSensor


class Model(DhtSensor):
    """Tenths, the high byte first; the top bit of the temperature is its sign."""

    def measured(self) -> bytes:
        humidity = round(self.values["humidity"] * 10)
        temperature = round(abs(self.values["temperature"]) * 10)
        if self.values["temperature"] < 0:
            temperature |= 0x8000
        row = [humidity >> 8, humidity & 255, temperature >> 8, temperature & 255]
        return bytes([*row, sum(row) & 255])
