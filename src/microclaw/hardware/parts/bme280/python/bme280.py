"""BME280 for programs, with the names and units of the driver that people know: whole numbers, or texts."""

from array import array

from reading import read


class BME280:
    def __init__(self, mode=1, address=0x76, i2c=None, **kwargs):
        if i2c is None:
            raise ValueError("An I2C object is required.")
        self.i2c = i2c
        self.address = address
        self.sealevel = 101325

    def read_compensated_data(self, result=None):
        """Return hundredths of a degree, 1/256 Pa, and 1/1024 percent of humidity."""
        measured = read(self.i2c, self.address)
        if measured is None:
            raise OSError(19, "no BME280 at address 0x%x" % self.address)
        data = result or array("i", (0, 0, 0))
        data[0] = round(measured["temperature_c"] * 100)
        data[1] = int(measured["pressure_hpa"] * 25600)
        data[2] = int(measured["humidity_pct"] * 1024)
        return data

    @property
    def values(self):
        """Return the texts of temperature, pressure and humidity."""
        t, p, h = self.read_compensated_data()
        return "{:.2f}C".format(t / 100), "{:.2f}hPa".format(p / 25600), "{:.2f}%".format(h / 1024)

    @property
    def altitude(self):
        """Return metres above the height where the pressure is `sealevel` Pa."""
        # Not of a class that inherits, whose units may differ.
        pascals = BME280.read_compensated_data(self)[1] / 256
        return 44330 * (1 - (pascals / self.sealevel) ** 0.1903)
