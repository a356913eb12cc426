"""The time, once an NTP server or the host's `welcome` said it. `now_ms` is 0 before that."""

import time

# An ESP32's clock counts from this time.
_UNIX_S = 946684800 if time.gmtime(0)[0] == 2000 else 0
# 2025: a clock before this time was never set.
NO_EARLIER_S = 1735689600


def now_us():
    """Return the microseconds since 1970; since the boot, while the clock is not set (link.md, Pings)."""
    if is_set():
        return time.time_ns() // 1000 + _UNIX_S * 1000000
    return time.ticks_us()


def now_ms():
    if is_set():
        return now_us() // 1000
    return 0


def is_set():
    return time.time() + _UNIX_S >= NO_EARLIER_S
