"""Chains of LED matrices, with the names of the driver that people know (Maxim MAX7219: tables 2 to 10)."""

import framebuf


class Matrix8x8(framebuf.FrameBuffer):
    """A FrameBuffer of 8 * num x 8 pixels; the last chip of the chain is on the left."""

    def __init__(self, spi, cs, num):
        self.spi = spi
        self.cs = cs
        self.cs.init(cs.OUT, value=1)
        self.num = num
        self.buffer = bytearray(8 * num)
        super().__init__(self.buffer, 8 * num, 8, framebuf.MONO_HLSB)
        self.init()

    def init(self):
        # Display test off, all 8 rows, no decoding; it is cleared before it is seen.
        for register, value in ((0x0C, 0), (0x0F, 0), (0x0B, 7), (0x09, 0)):
            self._write(register, value)
        self.show()
        self._write(0x0C, 1)

    def brightness(self, value):
        if not 0 <= value <= 15:
            raise ValueError("Brightness out of range")
        self._write(0x0A, value)

    def show(self):
        for row in range(8):
            begin = row * self.num
            self._send(bytes((row + 1, pixels)) for pixels in self.buffer[begin : begin + self.num])

    def _write(self, register, value):
        """Write the same into that register of each chip."""
        self._send(bytes((register, value)) for _ in range(self.num))

    def _send(self, words):
        self.cs(0)
        for word in words:
            self.spi.write(word)
        self.cs(1)
