"""`time` as a chip has it: whole seconds since 2000, tuples of eight. The image's own has fractions since 1970."""

import utime
from utime import *

_EPOCH_S = 946684800


def time():
    return time_ns() // 1000000000


def time_ns():
    """Since 2000. A clock that nobody set began with 0 at the boot, which is 2000 to a chip and 1970 to the image."""
    ns = utime.time_ns()
    if ns >= _EPOCH_S * 1000000000:
        return ns - _EPOCH_S * 1000000000
    return ns


def gmtime(seconds=None):
    return utime.gmtime((time() if seconds is None else int(seconds)) + _EPOCH_S)[:8]


localtime = gmtime


def mktime(parts):
    return int(utime.mktime(tuple(parts[:8]) + (0,))) - _EPOCH_S
