"""SHT31 for programs, with the names of the driver that people know."""

from reading import read

R_HIGH = 1
R_MEDIUM = 2
R_LOW = 3


class SHT31:
    """Each measurement has high repeatability."""

    def __init__(self, i2c, addr=0x44):
        if i2c is None:
            raise ValueError("I2C object needed as argument!")
        self._i2c = i2c
        self._addr = addr

    def get_temp_humi(self, resolution=R_HIGH, clock_stretch=True, celsius=True):
        """Return degrees (Celsius or Fahrenheit) and percent."""
        measured = read(self._i2c, self._addr)
        if measured is None:
            raise OSError(5, "no SHT3x at address 0x%x" % self._addr)
        degrees = measured["temperature_c"]
        if not celsius:
            degrees = degrees * 1.8 + 32
        return degrees, measured["humidity_pct"]
