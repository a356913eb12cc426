"""Adc, Pwm, Servo and Strip of `microclaw`: read in when a program makes one."""

COLORS = {
    "off": (0, 0, 0), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "yellow": (255, 180, 0), "orange": (255, 90, 0), "purple": (160, 0, 255), "cyan": (0, 255, 255),
    "white": (255, 255, 255),
}  # fmt: skip


class Adc:
    def __init__(self, kind, number):
        self._adc = kind(number, atten=kind.ATTN_11DB)

    def volts(self):
        return self._adc.read_uv() / 1_000_000

    def raw(self):
        """Return the reading, 0 to 65535."""
        return self._adc.read_u16()

    def percent(self):
        return self._adc.read_u16() * 100 / 65535


class Pwm:
    def __init__(self, kind, number, freq, duty):
        self._pwm = kind(number, freq=freq, duty_u16=_share(duty))

    def duty(self, percent):
        self._pwm.duty_u16(_share(percent))

    def freq(self, hz):
        self._pwm.freq(hz)

    def off(self):
        self._pwm.duty_u16(0)


class Servo:
    """`min_us` and `max_us` are the pulses for 0 and 180 degrees, 50 times a second."""

    def __init__(self, kind, number, min_us, max_us):
        # A constructor with duty_ns fails on stock images.
        self._pwm = kind(number, freq=50, duty_u16=0)
        self._min = min_us
        self._range = max_us - min_us

    def angle(self, degrees):
        share = min(180, max(0, degrees)) / 180
        self._pwm.duty_ns(int((self._min + self._range * share) * 1000))

    def off(self):
        """Stop the pulses: the servo is free."""
        self._pwm.duty_u16(0)


class Strip:
    """WS2812 LEDs. A color is a name ("red") or (red, green, blue), each 0 to 255; a change shows at once."""

    def __init__(self, pixels, count):
        self._pixels = pixels
        self.count = count

    def fill(self, color):
        self._pixels.fill(_color(color))
        self._pixels.write()

    def set(self, index, color):
        if not 0 <= index < self.count:
            raise IndexError("there are %d LEDs, from 0" % self.count)
        self._pixels[index] = _color(color)
        self._pixels.write()

    def off(self):
        self.fill("off")


def _share(percent):
    if not 0 <= percent <= 100:
        raise ValueError("a duty is 0 to 100 percent")
    return int(percent * 65535 / 100)


def _color(color):
    if isinstance(color, str):
        if color not in COLORS:
            raise ValueError("no color %s: %s, or (red, green, blue)" % (color, ", ".join(sorted(COLORS))))
        return COLORS[color]
    return color
