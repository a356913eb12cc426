"""The buses of `machine`: I2C, SPI and UART, each also in its bit-banged form, on the simulated board."""

import time

from _board import call as _call
from _board import send as _send


def _number(pin):
    if pin is None:
        return None
    if isinstance(pin, int):
        return pin
    return pin._id


def _given(value, usual):
    if value is None:
        return usual
    return value


class SoftI2C:
    """An address that nothing answers at raises OSError(ENODEV)."""

    _is_soft = True

    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self._open(scl, sda, freq)

    def _open(self, scl, sda, freq):
        self._bus = _call("i2c_open", _number(scl), _number(sda), freq)
        self._message = b""  # what `write` sent since the last start condition: the address and what follows

    def init(self, scl=None, sda=None, *, freq=400000):
        if scl is not None and sda is not None:
            self._open(scl, sda, freq)

    def scan(self):
        return _call("i2c_scan", self._bus)

    def start(self):
        self._end(False)

    def stop(self):
        self._end(True)

    def _end(self, stop):
        self._check_soft()
        message = self._message
        self._message = b""
        if message and not message[0] & 1 and message[0] >> 1 in self.scan():
            self.writeto(message[0] >> 1, message[1:], stop)

    def _check_soft(self):
        if not self._is_soft:
            raise OSError("I2C operation not supported")

    def write(self, buf):
        """Return how many bytes a part acknowledges."""
        self._check_soft()
        self._message += bytes(buf)
        if self._message and self._message[0] >> 1 in self.scan():
            return len(buf)
        return 0

    def readinto(self, buf, nack=True):
        self._check_soft()
        self.readfrom_into(self._message[0] >> 1, buf, False)

    def readfrom(self, addr, nbytes, stop=True):
        return bytes.fromhex(_call("i2c_read", self._bus, addr, nbytes, bool(stop)))

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf), stop)

    def writeto(self, addr, buf, stop=True):
        buf = bytes(buf)
        _send("i2c_write", buf, self._bus, addr, bool(stop))
        if stop is None:
            return len(buf) + 1
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector), stop)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big"), False)
        return self.readfrom(addr, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf))


class I2C(SoftI2C):
    """Without pins it has the ESP32's own: 18 and 19 for bus 0, 25 and 26 for bus 1.

    With pins and no number, or -1, it is bit-banged, as in programs for the first MicroPython.
    """

    def __init__(self, id=None, *pins, scl=None, sda=None, freq=400000, timeout=50000):
        self._is_soft = id == -1 or (id is None and (scl is not None or sda is not None))
        if self._is_soft and pins:
            scl, sda = pins
        elif pins:
            raise TypeError("extra positional arguments given")
        bus = id
        if self._is_soft or id is None:
            bus = 0
        if bus not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % bus)
        self._open(_given(scl, (18, 25)[bus]), _given(sda, (19, 26)[bus]), freq)


_SENT_AT_ONCE = 2048  # bytes of one call of the board
_RECEIVED_AT_ONCE = 256  # an answer of the board is short


class SPI:
    """Without pins it has the chip's own. It reads zeros where no part answers."""

    MSB = 0
    LSB = 1

    def __init__(self, id=1, baudrate=500000, **options):
        if id == -1:
            # Of the first MicroPython: bit-banged.
            id = 1
        self._bus = id
        self._sck, self._mosi = _call("spi_pins", id)
        self._baudrate = 500000
        self._polarity = 0
        self._phase = 0
        self._first_bit = 0
        self.init(baudrate, **options)

    def init(
        self,
        baudrate=None,
        *,
        polarity=None,
        phase=None,
        bits=8,
        firstbit=None,
        sck=None,
        mosi=None,
        miso=None,
        cs=None,
    ):
        """Whatever is left out stays as it is."""
        if baudrate is not None:
            if baudrate < 1:
                raise ValueError("invalid baudrate")
            self._baudrate = baudrate
        self._polarity = _given(polarity, self._polarity)
        self._phase = _given(phase, self._phase)
        self._first_bit = _given(firstbit, self._first_bit)
        self._sck = _given(_number(sck), self._sck)
        self._mosi = _given(_number(mosi), self._mosi)
        _call("bus_open", "SPI", self._bus, self._sck, self._mosi, _number(miso))
        mode = (self._polarity << 1) | self._phase
        self._settings = (self._sck, self._mosi, mode, self._first_bit, self._baudrate)

    def deinit(self):
        pass

    def _exchange(self, data):
        received = b""
        for start in range(0, len(data), _RECEIVED_AT_ONCE):
            piece = bytes(data[start : start + _RECEIVED_AT_ONCE])
            received += bytes.fromhex(_send("spi_transfer", piece, self._settings))
        return received

    def read(self, nbytes, write=0):
        return self._exchange(bytes((write,)) * nbytes)

    def readinto(self, buf, write=0):
        buf[:] = self.read(len(buf), write)

    def write(self, buf):
        data = memoryview(buf)  # whatever is no buffer is refused
        for start in range(0, len(data), _SENT_AT_ONCE):
            piece = bytes(data[start : start + _SENT_AT_ONCE])
            _send("spi_send", piece, self._settings)

    def write_readinto(self, write_buf, read_buf):
        read_buf[:] = self._exchange(memoryview(write_buf))


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, **options):
        super().__init__(1, baudrate, **options)


class UART:
    """Nothing is wired to it. Reads wait for `timeout` ms, 0 when it is not given.

    A write waits until what is left fits into the buffer, 256 bytes when `txbuf` is not given, and the FIFO.
    """

    INV_TX = 1
    INV_RX = 2

    def __init__(self, id, baudrate=115200, *args, **options):
        self._port = id
        self._txbuf = 256
        self.init(baudrate, *args, **options)

    def init(
        self, baudrate=115200, bits=8, parity=None, stop=1, *, tx=None, rx=None, timeout=0, txbuf=None, **_options
    ):
        if baudrate < 1:
            raise ValueError("invalid baudrate")
        self._baudrate = baudrate
        self._bits = 1 + bits + (parity is not None) + stop
        self._timeout = timeout
        if txbuf is not None:
            self._txbuf = txbuf
        _call("bus_open", "UART", self._port, _number(tx), _number(rx))

    def deinit(self):
        pass

    def sendbreak(self):
        self.flush()

    def flush(self):
        time.sleep_us(int(_call("uart_left_ms", self._port) * 1000))

    def any(self):
        return 0

    def read(self, nbytes=128):
        time.sleep_ms(self._timeout)

    readline = read

    def readinto(self, buf, nbytes=None):
        return self.read()

    def write(self, buf):
        size = len(buf.encode() if isinstance(buf, str) else buf)
        _call("uart_write", self._port, size, self._baudrate, self._bits, self._txbuf)
        return size

    def txdone(self):
        return not _call("uart_left_ms", self._port)
