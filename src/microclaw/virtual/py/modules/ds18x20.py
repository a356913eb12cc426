"""ds18x20.DS18X20 as in micropython-lib. It has the last conversion's temperatures, 85 degrees before the first."""

from _board import call as _call


class DS18X20:
    def __init__(self, onewire):
        self.ow = onewire
        self._converted = {}

    def scan(self):
        return [rom for rom in self.ow.scan() if rom[0] in (0x10, 0x22, 0x28)]

    def convert_temp(self):
        self.ow.reset(True)
        self._converted = _call("onewire", self.ow.pin._id)

    def read_temp(self, rom):
        self.ow.reset(True)
        scratchpad = self._converted.get(rom.hex())
        if scratchpad is None:
            return 85.0
        data = bytes.fromhex(scratchpad)
        raw = data[1] << 8 | data[0]
        if raw & 0x8000:
            raw -= 0x10000
        return raw / 16
