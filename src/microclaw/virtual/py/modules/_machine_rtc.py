"""The parts of `machine` that know the time: the calendar clock and the watchdog."""

from _board import call as _call


class RTC:
    def __init__(self, id=0):
        pass

    def datetime(self, value=None):
        if value is None:
            return tuple(_call("rtc"))
        _call("rtc", *value)


class WDT:
    """Once there it stays, as on the chip; it bites `timeout` ms of board time after the last feed."""

    def __init__(self, id=0, timeout=5000):
        if id != 0 or timeout <= 0:
            raise ValueError
        _call("wdt", timeout)
        self._timeout = timeout

    def feed(self):
        _call("wdt", self._timeout)
