"""dht.DHT11 and DHT22 as in micropython-lib. The part that is wired to the pin answers."""

import time

from _board import call as _call

_READ_MS = 268  # the driver of MicroPython holds the line high for 250 ms and low for 18 (drivers/dht/dht.c)


class DHTBase:
    _kind = 22

    def __init__(self, pin):
        self.pin = pin
        self.buf = bytearray(5)

    def measure(self):
        time.sleep_ms(_READ_MS)
        data = bytes.fromhex(_call("dht", self.pin._id, self._kind))
        if (data[0] + data[1] + data[2] + data[3]) & 0xFF != data[4]:
            raise Exception("checksum error")
        self.buf[:] = data


class DHT11(DHTBase):
    _kind = 11

    def humidity(self):
        return self.buf[0]

    def temperature(self):
        return self.buf[2]


class DHT22(DHTBase):
    def humidity(self):
        return (self.buf[0] << 8 | self.buf[1]) * 0.1

    def temperature(self):
        t = ((self.buf[2] & 0x7F) << 8 | self.buf[3]) * 0.1
        return -t if self.buf[2] & 0x80 else t
