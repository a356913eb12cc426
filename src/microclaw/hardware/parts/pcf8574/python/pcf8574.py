"""PCF8574 for programs, with the names of the driver that people know (NXP PCF8574, section 8)."""


class PCF8574:
    def __init__(self, i2c, address=0x20):
        self._i2c = i2c
        self._address = address
        self._out = 0xFF

    def check(self):
        """Return True; raise OSError if nothing answers."""
        self._read()
        return True

    @property
    def port(self):
        return self._read()

    @port.setter
    def port(self, value):
        self._write(value & 0xFF)

    def pin(self, pin, value=None):
        """Return the level of a pin, or set it; a pin must be high to be read as an input."""
        mask = self._mask(pin)
        if value is None:
            return int(self._read() & mask != 0)
        if value:
            self._write(self._out | mask)
        else:
            self._write(self._out & ~mask)
        return None

    def toggle(self, pin):
        self._write(self._out ^ self._mask(pin))

    def _mask(self, pin):
        if not 0 <= pin <= 7:
            raise ValueError("Invalid pin %d. Use 0-7." % pin)
        return 1 << pin

    def _read(self):
        return self._i2c.readfrom(self._address, 1)[0]

    def _write(self, value):
        self._out = value
        self._i2c.writeto(self._address, bytes((value,)))
