"""microclaw.screen for programs: text, numbers, bars, icons and graphs, in layouts that fit the display's size.

The functions of the parts' screen.py are in it, too: each opens a display by the name of its part, with its roles and
attributes; `_pins` is for one without I2C.
"""

from time import ticks_add, ticks_diff, ticks_ms

_MINUTE_MS = 60_000
_HOUR = 60


class Hour:
    """The values of the last hour in `values`, one for each minute, the newest last."""

    def __init__(self):
        self.values = []
        self._minute_ms = 0

    def add(self, value):
        """Take a value: within a minute the newest one counts, and a minute without any repeats the one before."""
        now_ms = ticks_ms()
        values = self.values
        if not values:
            values.append(value)
            self._minute_ms = now_ms
        minutes = ticks_diff(now_ms, self._minute_ms) // _MINUTE_MS
        self._minute_ms = ticks_add(self._minute_ms, minutes * _MINUTE_MS)
        values += [values[-1]] * min(minutes, _HOUR)
        values[-1] = value
        self.values = values[-_HOUR:]
