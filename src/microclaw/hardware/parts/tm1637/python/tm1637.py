"""The TM1637 on two pins, with the names of the driver that people know (Titan Micro TM1637 V2.4: instructions)."""

from time import sleep_ms, sleep_us

from machine import Pin

# Segments a to g are bits 0 to 6: digits, letters from a to z, blank, dash, degree.
_DIGITS = b"\x3f\x06\x5b\x4f\x66\x6d\x7d\x07\x7f\x6f"
_LETTERS = b"\x77\x7c\x39\x5e\x79\x71\x3d\x74\x04\x1e\x75\x38\x55\x54\x5c\x73\x67\x50\x6d\x78\x1c\x3e\x6a\x76\x6e\x5b"
_DEGREE = 0x63
_OTHERS = {" ": 0x00, "-": 0x40, "*": _DEGREE, "\u00b0": _DEGREE, "_": 0x08, "=": 0x48}
_DOT = 0x80


class TM1637:
    def __init__(self, clk, dio, brightness=7):
        self.clk = clk
        self.dio = dio
        self._brightness = self._checked_brightness(brightness)
        self.clk.init(Pin.OUT, value=1)
        self.dio.init(Pin.OUT, value=1)
        sleep_us(10)
        self._control()

    def brightness(self, val=None):
        """Set the brightness, 0 to 7, if it is given; return it."""
        if val is not None:
            self._brightness = self._checked_brightness(val)
            self._control()
        return self._brightness

    def write(self, segments, pos=0):
        """Show the segments of digits from the position `pos` on."""
        if not 0 <= pos <= 5:
            raise ValueError("Position out of range")
        self._transfer((0x40,))
        self._transfer(bytes([0xC0 | pos]) + bytes(segments))
        self._control()

    def encode_digit(self, digit):
        return self.encode_char("0123456789abcdef"[digit & 0x0F])

    def encode_string(self, string):
        segments = bytearray(len(string))
        for place, char in enumerate(string):
            segments[place] = self.encode_char(char)
        return segments

    def encode_char(self, char):
        char = char.lower()
        if "0" <= char <= "9":
            return _DIGITS[ord(char) - 48]
        if "a" <= char <= "z":
            return _LETTERS[ord(char) - 97]
        if char not in _OTHERS:
            raise ValueError("Character out of range: {:d} '{:s}'".format(ord(char), char))
        return _OTHERS[char]

    def hex(self, val):
        self.write(self.encode_string("{:04x}".format(val & 0xFFFF)))

    def number(self, num):
        """Show a number from -999 to 9999."""
        self.write(self.encode_string("{:4d}".format(max(-999, min(num, 9999)))))

    def numbers(self, num1, num2, colon=True):
        """Show two numbers from -9 to 99, with a colon between them."""
        first = max(-9, min(num1, 99))
        second = max(-9, min(num2, 99))
        self.show("{:02d}{:02d}".format(first, second), colon)

    def temperature(self, num):
        """Show degrees from -9 to 99; "lo" and "hi" beyond."""
        if num < -9:
            self.show("lo")
        elif num > 99:
            self.show("hi")
        else:
            self.write(self.encode_string("{:2d}".format(num)))
        self.write((_DEGREE, self.encode_char("c")), 2)

    def show(self, string, colon=False):
        segments = self.encode_string(string)
        if len(segments) > 1 and colon:
            segments[1] |= _DOT
        self.write(segments[:4])

    def scroll(self, string, delay=250):
        """Move a text, or a list of segments, from right to left through the display; `delay` is in ms."""
        segments = string
        if isinstance(string, str):
            segments = self.encode_string(string)
        data = bytes(4) + bytes(segments) + bytes(5)
        for begin in range(len(segments) + 5):
            self.write(data[begin : begin + 4])
            sleep_ms(delay)

    def _checked_brightness(self, value):
        if not 0 <= value <= 7:
            raise ValueError("Brightness out of range")
        return value

    def _control(self):
        self._transfer((0x88 | self._brightness,))

    def _transfer(self, data):
        """Send bytes between a start and a stop, the lowest bit first."""
        self.dio(0)
        for byte in data:
            for bit in range(8):
                self.clk(0)
                self.dio(byte >> bit & 1)
                sleep_us(10)
                self.clk(1)
                sleep_us(10)
            self.clk(0)
            # The chip pulls DIO low now, for one clock.
            self.dio(0)
            sleep_us(10)
            self.clk(1)
            sleep_us(10)
        self.clk(0)
        sleep_us(10)
        self.clk(1)
        sleep_us(10)
        self.dio(1)
        sleep_us(10)


class TM1637Decimal(TM1637):
    """A module whose digits have points: a point of a text goes to the digit before it."""

    def encode_string(self, string):
        segments = bytearray()
        for char in string:
            if char == "." and segments:
                segments[-1] |= _DOT
            else:
                segments.append(self.encode_char(char))
        return segments
