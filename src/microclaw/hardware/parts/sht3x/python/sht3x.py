"""SHT3x for programs, with the names of the drivers that people know as sht3x."""

from machine import I2C, Pin
from reading import read


class SHT3X:
    """`measure` measures; the other methods return what it measured."""

    def __init__(self, i2c, address=0x45):
        self.bus = i2c
        self.slv_addr = address
        self._measured = {"temperature_c": 0.0, "humidity_pct": 0.0}

    def measure(self):
        self._measured = _read(self.bus, self.slv_addr)

    def temperature(self):
        return self._measured["temperature_c"]

    def humidity(self):
        return self._measured["humidity_pct"]


class SHT3x_Sensor:
    def __init__(self, freq, sdapin, sclpin):
        self.i2c = I2C(0, scl=Pin(sclpin), sda=Pin(sdapin), freq=freq)

    def read_temp_humd(self):
        """Return degrees and percent with four decimals."""
        measured = _read(self.i2c, 0x44)
        return [round(measured["temperature_c"], 4), round(measured["humidity_pct"], 4)]


def _read(i2c, address):
    measured = read(i2c, address)
    if measured is None:
        raise OSError(5, "no SHT3x at address 0x%x" % address)
    return measured
