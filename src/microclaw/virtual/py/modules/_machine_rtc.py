"""The parts of `machine` that know the time: the calendar clock with its memory, and the watchdog."""

from _board import call as _call


class RTC:
    def __init__(self, id=0):
        pass

    def datetime(self, value=None):
        if value is None:
            return tuple(_call("rtc"))
        _call("rtc", *value)

    def init(self, value):
        year, month, day, hour, minute, second, micro = (tuple(value) + (0,) * 7)[:7]
        self.datetime((year, month, day, 0, hour, minute, second, micro))

    def memory(self, data=None):
        """Outlives a reset, not a power cut."""
        if data is None:
            return bytes.fromhex(_call("rtc_memory"))
        _call("rtc_memory", (data.encode() if isinstance(data, str) else bytes(data)).hex())


class WDT:
    """Once there it stays, as on the chip; it bites `timeout` ms of board time after the last feed."""

    def __init__(self, id=0, timeout=5000):
        if id != 0 or timeout <= 0:
            raise ValueError
        _call("wdt", timeout)
        self._timeout = timeout

    def feed(self):
        _call("wdt", self._timeout)
