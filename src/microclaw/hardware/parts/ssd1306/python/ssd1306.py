"""SSD1306 for programs, with the names of the driver that people know (SSD1306 rev 1.1: sections 9 and 10.1)."""

import framebuf


class SSD1306(framebuf.FrameBuffer):
    def __init__(self, width, height, external_vcc):
        self.width = width
        self.height = height
        self.external_vcc = external_vcc
        self.pages = height // 8
        self.buffer = bytearray(self.pages * width)
        super().__init__(self.buffer, width, height, framebuf.MONO_VLSB)
        self.init_display()

    def init_display(self):
        pins = 0x12
        if self.width > 2 * self.height:
            pins = 0x02
        charge = 0xF1
        pump = 0x14
        if self.external_vcc:
            charge = 0x22
            pump = 0x10
        self._send((0xAE, 0x20, 0x00, 0x40, 0xA1, 0xA8, self.height - 1, 0xC8, 0xD3, 0x00, 0xDA, pins))
        self._send((0xD5, 0x80, 0xD9, charge, 0xDB, 0x30, 0x81, 0xFF, 0xA4, 0xA6, 0x8D, pump))
        # The chip's memory has anything in it at first: it is cleared before it is seen.
        self.fill(0)
        self.show()
        self.poweron()

    def poweroff(self):
        self.write_cmd(0xAE)

    def poweron(self):
        self.write_cmd(0xAF)

    def contrast(self, contrast):
        self._send((0x81, contrast))

    def invert(self, invert):
        self.write_cmd(0xA6 | (invert & 1))

    def rotate(self, rotate):
        """Turn by 180 degrees, or back; call show() for the picture that is there."""
        self._send((0xC0 | ((rotate & 1) << 3), 0xA0 | (rotate & 1)))

    def show(self):
        first = (128 - self.width) // 2
        self._send((0x21, first, first + self.width - 1, 0x22, 0, self.pages - 1))
        self.write_data(self.buffer)

    def _send(self, commands):
        for command in commands:
            self.write_cmd(command)


class SSD1306_I2C(SSD1306):
    def __init__(self, width, height, i2c, addr=0x3C, external_vcc=False):
        self.i2c = i2c
        self.addr = addr
        self.temp = bytearray(2)
        self.write_list = [b"\x40", None]
        super().__init__(width, height, external_vcc)

    def write_cmd(self, cmd):
        self.temp[0] = 0x80
        self.temp[1] = cmd
        self.i2c.writeto(self.addr, self.temp)

    def write_data(self, buf):
        self.write_list[1] = buf
        self.i2c.writevto(self.addr, self.write_list)


class SSD1306_SPI(SSD1306):
    def __init__(self, width, height, spi, dc, res, cs, external_vcc=False):
        self.rate = 10 * 1024 * 1024
        dc.init(dc.OUT, value=0)
        res.init(res.OUT, value=0)
        cs.init(cs.OUT, value=1)
        self.spi = spi
        self.dc = dc
        self.res = res
        self.cs = cs
        # At least 3 us, without a wait: no __init__ of a FrameBuffer can wait.
        for _ in range(8):
            res(0)
        res(1)
        super().__init__(width, height, external_vcc)

    def write_cmd(self, cmd):
        self._write(0, bytes((cmd,)))

    def write_data(self, buf):
        self._write(1, buf)

    def _write(self, is_picture, data):
        self.spi.init(baudrate=self.rate, polarity=0, phase=0)
        self.dc(is_picture)
        self.cs(0)
        self.spi.write(data)
        self.cs(1)
