"""BMP180 for programs, with the names of the driver that people know: degrees, Pa and metres."""

from reading import read


class BMP180:
    """Each value is measured when it is asked for, without oversampling."""

    def __init__(self, i2c_bus):
        self._i2c = i2c_bus
        self.oversample_sett = 3
        self.baseline = 101325.0
        self._read()

    @property
    def temperature(self):
        return self._read()["temperature_c"]

    @property
    def pressure(self):
        return self._read()["pressure_hpa"] * 100

    @property
    def altitude(self):
        """Return metres above the height where the pressure is `baseline` Pa."""
        return 44330 * (1 - (self.pressure / self.baseline) ** 0.1903)

    def blocking_read(self):
        """Measure; there is nothing to keep, as each value is measured when it is read."""
        self._read()

    def _read(self):
        measured = read(self._i2c, 0x77)
        if measured is None:
            raise OSError(19, "no BMP180 at address 0x77")
        return measured
