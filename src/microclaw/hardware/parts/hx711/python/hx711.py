"""The HX711, with the names of the driver that people know (Avia HX711: serial interface)."""

from time import sleep_us, ticks_diff, ticks_ms

from machine import Pin


class HX711Exception(Exception):
    pass


class InvalidMode(HX711Exception):
    pass


class DeviceIsNotReady(HX711Exception):
    pass


class HX711:
    CHANNEL_A_128 = 1
    CHANNEL_A_64 = 3
    CHANNEL_B_32 = 2

    READY_TIMEOUT_MS = 1000

    def __init__(self, d_out, pd_sck, channel=CHANNEL_A_128):
        self.d_out_pin = Pin(d_out, Pin.IN)
        self.pd_sck_pin = Pin(pd_sck, Pin.OUT, value=0)
        self._channel = channel
        self._is_new = channel != self.CHANNEL_A_128

    @property
    def channel(self):
        return self._channel

    @channel.setter
    def channel(self, value):
        """Choose the input; the chip takes it over with a reading, which `read` leaves out."""
        if value not in (self.CHANNEL_A_128, self.CHANNEL_A_64, self.CHANNEL_B_32):
            raise InvalidMode("Gain should be one of HX711.CHANNEL_A_128, HX711.CHANNEL_A_64, HX711.CHANNEL_B_32")
        self._channel = value
        self._is_new = True

    def is_ready(self):
        return self.d_out_pin.value() == 0

    def power_off(self):
        self.pd_sck_pin.value(0)
        self.pd_sck_pin.value(1)
        sleep_us(80)

    def power_on(self):
        self.pd_sck_pin.value(0)
        self._is_new = self._channel != self.CHANNEL_A_128

    def read(self, raw=False):
        """Return a reading from -8388608 to 8388607; `raw`: its 24 bits."""
        if self._is_new:
            self._is_new = False
            self._fetch()
        bits = self._fetch()
        if not raw and bits & 0x800000:
            bits -= 0x1000000
        return bits

    def _fetch(self):
        """Wait for a reading, and return its bits."""
        begin_ms = ticks_ms()
        while not self.is_ready():
            if ticks_diff(ticks_ms(), begin_ms) > self.READY_TIMEOUT_MS:
                raise DeviceIsNotReady()
            sleep_us(5000)
        bits = 0
        for _ in range(24):
            bits = bits << 1 | self._pulse()
        for _ in range(self._channel):
            self._pulse()
        return bits

    def _pulse(self):
        self.pd_sck_pin.value(1)
        self.pd_sck_pin.value(0)
        return self.d_out_pin.value()
