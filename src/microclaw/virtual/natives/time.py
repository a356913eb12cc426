"""Clocks, sleeping, timers, random numbers. Until a link's host says the time, it is 1970 at each boot."""

from __future__ import annotations

import time
from struct import pack
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.app import App

_CLOCKS: Final = (0, 1)  # CLOCK_REALTIME, CLOCK_MONOTONIC
_MAX_TIME: Final = 253_402_300_799


def _clock_gettime(app: App, clock_id: int, out: int) -> int:
    if clock_id not in _CLOCKS:
        return -1
    nanoseconds = round(app.now_ms() * 1000) * 1000  # WAMR: of whole microseconds
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    app.memory.write(out, pack("<qi4x", seconds, rest))
    return 0


def _time(app: App, out: int) -> int:
    # Address 0 is memory too: time(NULL) writes there.
    seconds = int(app.board.calendar_ms(app.now_ms()) // 1000)
    app.memory.write_i64(out, seconds)
    return seconds


def _srand(app: App, seed: int) -> None:
    app.rand_state = seed & 0xFFFFFFFF


def _localtime_r(app: App, when: int, out: int) -> int:
    """struct tm of nine ints (newlib's and musl's first nine), time zone UTC. Raw addresses: no check before ours."""
    when = when & 0xFFFFFFFF
    out = out & 0xFFFFFFFF
    seconds = app.memory.i64(when)
    if not 0 <= seconds <= _MAX_TIME:
        return 0
    t = time.gmtime(seconds)
    fields = (t.tm_sec, t.tm_min, t.tm_hour, t.tm_mday, t.tm_mon - 1, t.tm_year - 1900, (t.tm_wday + 1) % 7)
    app.memory.write(out, pack("<9i", *fields, t.tm_yday - 1, 0))
    return out


HANDLERS: dict[str, Handler] = {
    "clock_gettime": _clock_gettime,
    "clock": lambda app: round(app.now_ms() * 1000) * 1000,  # WAMR: nanoseconds, of whole microseconds
    "time": _time,
    "sleep": lambda app, seconds: app.sleep((seconds & 0xFFFFFFFF) * 1000.0),
    "usleep": lambda app, microseconds: app.sleep((microseconds & 0xFFFFFFFF) / 1000.0),
    "srand": _srand,
    "rand": lambda app: app.next_random(),
    "localtime_r": _localtime_r,
    "wasm_create_timer": lambda app, ms, periodic, start: app.timers.create(
        ms & 0xFFFFFFFF, bool(periodic), bool(start)
    ),
    "wasm_timer_destroy": lambda app, number: app.timers.destroy(number),
    "wasm_timer_cancel": lambda app, number: app.timers.cancel(number),
    "wasm_timer_restart": lambda app, number, interval_ms: app.timers.restart(number, interval_ms & 0xFFFFFFFF),
    "wasm_get_sys_tick_ms": lambda app: int(app.now_ms()) & 0xFFFFFFFF,
}
