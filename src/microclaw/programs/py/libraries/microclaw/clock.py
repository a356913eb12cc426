"""The clock of a program that sets one. The board's clock is the host's: this one is as far ahead as was asked for."""

from time import gmtime as _gmtime
from time import mktime as _mktime
from time import ticks_diff as _ticks_diff
from time import ticks_ms as _ticks_ms
from time import time_ns as _board_ns

# Before its host has set it, the board's clock counts from 2000.
_FIRST_YEAR = 2024
_ahead_ns = 0
_last_ns = 0
_last_ms = 0


def time_ns():
    global _ahead_ns, _last_ns, _last_ms
    now_ns = _board_ns()
    now_ms = _ticks_ms()
    if _ahead_ns and _year(_last_ns) < _FIRST_YEAR <= _year(now_ns):
        # The host has set the board's clock meanwhile. This clock goes on.
        passed_ns = _ticks_diff(now_ms, _last_ms) * 1_000_000
        _ahead_ns -= now_ns - _last_ns - passed_ns
    _last_ns = now_ns
    _last_ms = now_ms
    return now_ns + _ahead_ns


def time():
    return time_ns() // 1_000_000_000


def localtime(seconds=None):
    if seconds is None:
        seconds = time()
    return _gmtime(seconds)


def datetime():
    """Return what RTC().datetime() returns."""
    now_ns = time_ns()
    year, month, day, hour, minute, second, weekday = _gmtime(now_ns // 1_000_000_000)[:7]
    return year, month, day, weekday, hour, minute, second, now_ns // 1000 % 1_000_000


def set_datetime(moment):
    """Set this clock as RTC().datetime(moment) sets a board's; the weekday follows from the date."""
    global _ahead_ns
    year, month, day, _, hour, minute, second, microsecond = moment
    seconds = _mktime((year, month, day, hour, minute, second, 0, 0))
    _ahead_ns += seconds * 1_000_000_000 + microsecond * 1000 - time_ns()


def settime():
    """Set this clock to UTC, as ntptime.settime() does."""
    global _ahead_ns
    _ahead_ns = 0


def _year(ns):
    return _gmtime(ns // 1_000_000_000)[0]
