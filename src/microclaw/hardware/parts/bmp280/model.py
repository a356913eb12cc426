"""A BMP280 at register level, with values that are set from outside."""

from __future__ import annotations

from microclaw.hardware.parts.bosch_sensor import BoschSensor


class Model(BoschSensor):
    """Bosch BST-BMP280-DS001: register map section 4.3, writing and reading section 5.2, measurement time 3.8.1."""

    chip_id = 0x58
    no_data = bytes.fromhex("800000800000")

    def measure(self) -> bytes:
        """Return the six registers of pressure and temperature."""
        return self.temperature_and_pressure()[0]
