"""The buses of `machine`: I2C, SPI and UART, each also in its bit-banged form, on the simulated board."""

import time

from _board import call as _call


def _number(pin):
    if pin is None:
        return None
    if isinstance(pin, int):
        return pin
    return pin._id


class SoftI2C:
    """An address that nothing answers at raises OSError(ENODEV)."""

    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self._open(scl, sda)

    def _open(self, scl, sda):
        self._bus = _call("i2c_open", _number(scl), _number(sda))

    def init(self, scl=None, sda=None, *, freq=400000):
        if scl is not None and sda is not None:
            self._open(scl, sda)

    def scan(self):
        return _call("i2c_scan", self._bus)

    def readfrom(self, addr, nbytes, stop=True):
        return bytes.fromhex(_call("i2c_read", self._bus, addr, nbytes))

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf))

    def writeto(self, addr, buf, stop=True):
        buf = bytes(buf)
        _call("i2c_write", self._bus, addr, buf.hex())
        if stop is None:
            return len(buf) + 1
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector))

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big"))
        return self.readfrom(addr, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf))


class I2C(SoftI2C):
    """Without pins it has the ESP32's own: 18 and 19 for bus 0, 25 and 26 for bus 1."""

    def __init__(self, id=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        self._open(scl if scl is not None else (18, 25)[id], sda if sda is not None else (19, 26)[id])


class SPI:
    """Nothing is wired to it: what it reads are zeros."""

    MSB = 0
    LSB = 1

    def __init__(self, id=1, baudrate=1000000, **options):
        self._bus = id
        self.init(baudrate, **options)

    def init(
        self, baudrate=1000000, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None, cs=None
    ):
        _call("bus_open", "SPI", self._bus, _number(sck), _number(mosi), _number(miso))

    def deinit(self):
        pass

    def read(self, nbytes, write=0):
        return bytes(nbytes)

    def readinto(self, buf, write=0):
        buf[:] = bytes(len(buf))

    def write(self, buf):
        bytes(buf)  # whatever is no buffer is refused

    def write_readinto(self, write_buf, read_buf):
        read_buf[:] = bytes(len(write_buf))


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, **options):
        super().__init__(1, baudrate, **options)


class UART:
    """Nothing is wired to it. Reads wait for `timeout` ms, 0 when it is not given. The baud rate takes no time."""

    INV_TX = 1
    INV_RX = 2

    def __init__(self, id, baudrate=115200, *args, **options):
        self._port = id
        self.init(baudrate, *args, **options)

    def init(self, baudrate=115200, bits=8, parity=None, stop=1, *, tx=None, rx=None, timeout=0, **_options):
        self._timeout = timeout
        _call("bus_open", "UART", self._port, _number(tx), _number(rx))

    def deinit(self):
        pass

    flush = sendbreak = deinit

    def any(self):
        return 0

    def read(self, nbytes=128):
        time.sleep_ms(self._timeout)

    readline = read

    def readinto(self, buf, nbytes=None):
        return self.read()

    def write(self, buf):
        return len(buf.encode() if isinstance(buf, str) else buf)

    def txdone(self):
        return True
