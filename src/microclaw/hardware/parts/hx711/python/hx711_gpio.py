"""Scales with an HX711, with the names of the driver that people know (Avia HX711: serial interface)."""

from time import sleep_ms, sleep_us, ticks_diff, ticks_ms


class HX711:
    _PULSES = {128: 1, 64: 3, 32: 2}

    def __init__(self, clock, data, gain=128):
        self.clock = clock
        self.data = data
        self.clock.value(0)
        self.OFFSET = 0
        self.SCALE = 1
        # Without a reading, which waits: the first one is still of channel A with 128.
        self.GAIN = self._PULSES.get(gain, 1)

    def set_gain(self, gain):
        """Choose 128 or 64 (channel A) or 32 (channel B): the next reading is the first of it."""
        self.GAIN = self._PULSES.get(gain, self.GAIN)
        self.read()

    def is_ready(self):
        return self.data.value() == 0

    def read(self):
        """Return a reading from -8388608 to 8388607."""
        begin_ms = ticks_ms()
        while self.data.value():
            if ticks_diff(ticks_ms(), begin_ms) > 500:
                raise OSError("Sensor does not respond")
            sleep_ms(5)
        bits = 0
        for _ in range(24):
            bits = bits << 1 | self._pulse()
        for _ in range(self.GAIN):
            self._pulse()
        if bits & 0x800000:
            bits -= 0x1000000
        return bits

    def read_average(self, times=3):
        total = 0
        for _ in range(times):
            total += self.read()
        return total / times

    def get_value(self):
        return self.read_average() - self.OFFSET

    def get_units(self):
        return self.get_value() / self.SCALE

    def tare(self, times=15):
        self.set_offset(self.read_average(times))

    def set_scale(self, scale):
        self.SCALE = scale

    def set_offset(self, offset):
        self.OFFSET = offset

    def power_down(self):
        self.clock.value(0)
        self.clock.value(1)
        sleep_us(80)

    def power_up(self):
        self.clock.value(0)

    def _pulse(self):
        self.clock.value(1)
        self.clock.value(0)
        return self.data.value()
