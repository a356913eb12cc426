"""BME280 for programs that want decimals: the other form of the driver that people know."""

from array import array

import bme280


class BME280(bme280.BME280):
    def read_compensated_data(self, result=None):
        """Return degrees, Pa, and percent of humidity."""
        whole = super().read_compensated_data()
        data = result or array("f", (0, 0, 0))
        data[0] = whole[0] / 100
        data[1] = whole[1] / 256
        data[2] = whole[2] / 1024
        return data

    @property
    def values(self):
        """Return the texts of temperature, pressure and humidity."""
        t, p, h = self.read_compensated_data()
        return "{:.2f}C".format(t), "{:.2f}hPa".format(p / 100), "{:.2f}%".format(h)
