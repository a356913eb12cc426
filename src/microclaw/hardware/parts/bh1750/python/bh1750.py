"""BH1750 for programs, with the names of the drivers that people know as bh1750."""

from time import sleep_us


class BH1750:
    """`luminance` is one driver's way, `measurement` another's: that one measures all the time."""

    PWR_OFF = 0x00
    PWR_ON = 0x01
    RESET = 0x07
    CONT_LOWRES = 0x13
    CONT_HIRES_1 = 0x10
    CONT_HIRES_2 = 0x11
    ONCE_HIRES_1 = 0x20
    ONCE_HIRES_2 = 0x21
    ONCE_LOWRES = 0x23
    MEASUREMENT_MODE_CONTINUOUSLY = 1
    MEASUREMENT_MODE_ONE_TIME = 2
    RESOLUTION_HIGH = 0
    RESOLUTION_HIGH_2 = 1
    RESOLUTION_LOW = 2
    MEASUREMENT_TIME_DEFAULT = 69

    def __init__(self, bus=None, addr=0x23, i2c=None, address=None):
        if isinstance(bus, int):
            # One driver has the bus first, the other one the address.
            bus, addr = addr, bus
        self.bus = i2c or bus
        self.addr = address or addr
        self.mode = None
        self._continuous = self.CONT_HIRES_1
        self._time = 69
        self.on()
        self.reset()

    def off(self):
        self._set(self.PWR_OFF)
        self.mode = None

    def on(self):
        self._set(self.PWR_ON)

    def reset(self):
        self.on()
        self._set(self.RESET)

    def set_mode(self, mode):
        """Begin to measure, and wait for the first value."""
        self.mode = mode
        self._set(mode)
        # In pieces, which stay busy waits in the property.
        for _ in range(24 if mode & 3 == 3 else 180):
            sleep_us(1000)

    def luminance(self, mode=ONCE_HIRES_1):
        """Return lux."""
        if mode & 0x20 or mode != self.mode:
            self.set_mode(mode)
        raw = self.bus.readfrom(self.addr, 2)
        factor = 2.0 if mode & 3 == 1 else 1.0
        return (raw[0] << 8 | raw[1]) / (1.2 * factor)

    def configure(self, measurement_mode, resolution, measurement_time=69):
        """Choose how `measurement` measures; the time of one measurement stays the usual one."""
        base = 0x10 if measurement_mode == self.MEASUREMENT_MODE_CONTINUOUSLY else 0x20
        self._continuous = base + (0, 1, 3)[resolution]

    @property
    def measurement(self):
        """Return lux."""
        return self.luminance(self._continuous)

    def _set(self, instruction):
        self.bus.writeto(self.addr, bytes((instruction,)))
