"""onewire.OneWire with the parts that are wired to its pin; ds18x20.py reads them."""

from _board import call as _call


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin

    def scan(self):
        return [bytearray(bytes.fromhex(rom)) for rom in _call("onewire", self.pin._id)]

    def reset(self, required=False):
        found = bool(self.scan())
        if required and not found:
            raise OneWireError
        return found
