"""neopixel.NeoPixel as in micropython-lib, on machine.bitstream."""

from machine import Pin, bitstream


class NeoPixel:
    ORDER = (1, 0, 2, 3)

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self.buf = bytearray(n * bpp)
        if isinstance(timing, int):
            if timing:
                self.timing = (400, 850, 800, 450)
            else:
                self.timing = (800, 1700, 1600, 900)
        else:
            self.timing = timing
        self.pin.init(Pin.OUT)

    def __len__(self):
        return self.n

    def __setitem__(self, i, v):
        offset = i * self.bpp
        for i in range(self.bpp):
            self.buf[offset + self.ORDER[i]] = v[i]

    def __getitem__(self, i):
        offset = i * self.bpp
        return tuple(self.buf[offset + self.ORDER[i]] for i in range(self.bpp))

    def fill(self, v):
        b = self.buf
        for i in range(self.bpp):
            c = v[i]
            for j in range(self.ORDER[i], len(b), self.bpp):
                b[j] = c

    def write(self):
        bitstream(self.pin, 0, self.timing, self.buf)
