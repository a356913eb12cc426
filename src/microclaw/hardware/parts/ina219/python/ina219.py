"""INA219 for programs, with the names of the driver that people know (TI SBOS448: 8.5.1 calibration, 8.6 registers).

Currents are computed from the voltage at the shunt, so that none is clipped by a calibration.
"""

from struct import unpack


class DeviceRangeError(Exception):
    """The voltage at the shunt is beyond what the chip measures."""


class INA219:
    RANGE_16V = 0
    RANGE_32V = 1
    GAIN_1_40MV = 0
    GAIN_2_80MV = 1
    GAIN_4_160MV = 2
    GAIN_8_320MV = 3
    GAIN_AUTO = -1
    ADC_9BIT = 0
    ADC_10BIT = 1
    ADC_11BIT = 2
    ADC_12BIT = 3
    ADC_2SAMP = 9
    ADC_4SAMP = 10
    ADC_8SAMP = 11
    ADC_16SAMP = 12
    ADC_32SAMP = 13
    ADC_64SAMP = 14
    ADC_128SAMP = 15

    def __init__(self, shunt_ohms, i2c, max_expected_amps=None, address=0x40, log_level=None):
        self._ohms = shunt_ohms
        self._i2c = i2c
        self._address = address
        self._settings = 0x399F

    def configure(self, voltage_range=1, gain=-1, bus_adc=3, shunt_adc=3):
        """Set ranges and resolution, and measure all the time. An automatic gain has the widest range."""
        if gain < 0:
            gain = 3
        self._set(voltage_range << 13 | gain << 11 | bus_adc << 7 | shunt_adc << 3 | 7)

    def sleep(self):
        self._write(self._settings & ~7)

    def wake(self):
        self._set(self._settings)

    def reset(self):
        self._set(0x399F)
        self._write(0x8000)

    def voltage(self):
        """Return the volts of the bus."""
        return (self._read(2) >> 3) * 0.004

    def shunt_voltage(self):
        """Return the millivolts at the shunt."""
        limit = 4000 << (self._settings >> 11 & 3)
        microvolts = self._read(1) * 10
        if microvolts in (limit * 10, -limit * 10):
            raise DeviceRangeError("Current out of range (overflow), for gain %d mV" % (limit // 100))
        return microvolts / 1000

    def supply_voltage(self):
        return self.voltage() + self.shunt_voltage() / 1000

    def current(self):
        """Return milliamperes."""
        return self.shunt_voltage() / self._ohms

    def power(self):
        """Return milliwatts."""
        return self.voltage() * self.current()

    def is_conversion_ready(self):
        return self._read(2) & 2 != 0

    def current_overflow(self):
        return self._read(2) & 1 != 0

    def _set(self, settings):
        self._settings = settings
        self._write(settings)

    def _write(self, settings):
        self._i2c.writeto_mem(self._address, 0, bytes((settings >> 8, settings & 255)))

    def _read(self, register):
        return unpack(">h", self._i2c.readfrom_mem(self._address, register, 2))[0]
