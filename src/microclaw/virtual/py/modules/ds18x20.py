"""ds18x20.DS18X20 as in micropython-lib. It has the last conversion's temperatures, 85 degrees before the first.

A conversion takes 750 ms, as with 12 bits at the most.
"""

from time import ticks_diff, ticks_ms

from _board import call as _call

_CONVERSION_MS = 750


class DS18X20:
    def __init__(self, onewire):
        self.ow = onewire
        self._converted = {}
        self._converting = None
        self._began_ms = 0

    def scan(self):
        return [rom for rom in self.ow.scan() if rom[0] in (0x10, 0x22, 0x28)]

    def convert_temp(self):
        self.ow.reset(True)
        self._finish_conversion()
        self._converting = _call("onewire", self.ow.pin._id)
        self._began_ms = ticks_ms()

    def read_temp(self, rom):
        self.ow.reset(True)
        self._finish_conversion()
        scratchpad = self._converted.get(rom.hex())
        if scratchpad is None:
            return 85.0
        data = bytes.fromhex(scratchpad)
        raw = data[1] << 8 | data[0]
        if raw & 0x8000:
            raw -= 0x10000
        return raw / 16

    def _finish_conversion(self):
        """Take over the temperatures of a conversion that has had its time."""
        if self._converting is not None and ticks_diff(ticks_ms(), self._began_ms) >= _CONVERSION_MS:
            self._converted = self._converting
            self._converting = None
