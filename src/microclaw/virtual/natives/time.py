"""Clocks, sleeping, timers, random numbers. Until a link's host says the time, it is 1970 at each boot."""

from __future__ import annotations

import time
from struct import pack
from typing import Final

from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv

_CLOCKS: Final = (0, 1)  # CLOCK_REALTIME, CLOCK_MONOTONIC
_MAX_TIME: Final = 253_402_300_799


def _clock_gettime(env: ExecEnv, clock_id: int, out: int) -> int:
    if clock_id not in _CLOCKS:
        return -1
    seconds, rest = divmod(_nanoseconds(env), 1_000_000_000)
    env.memory.write(out, pack("<qi4x", seconds, rest))
    return 0


def _nanoseconds(env: ExecEnv) -> int:
    """Read the time as WAMR does: in nanoseconds, of whole microseconds."""
    return round(env.time.now_ms() * 1000) * 1000


def _time(env: ExecEnv, out: int) -> int:
    # Address 0 is memory too: time(NULL) writes there.
    seconds = int(env.board.calendar_ms(env.time.now_ms()) // 1000)
    env.memory.write_i64(out, seconds)
    return seconds


def _srand(env: ExecEnv, seed: int) -> None:
    env.random.seed(seed)


def _localtime_r(env: ExecEnv, when: int, out: int) -> int:
    """Write a struct tm of nine ints (newlib's and musl's first nine), time zone UTC.

    The addresses are raw: nothing has checked them.
    """
    when = when & 0xFFFFFFFF
    out = out & 0xFFFFFFFF
    seconds = env.memory.i64(when)
    if not 0 <= seconds <= _MAX_TIME:
        return 0
    t = time.gmtime(seconds)
    fields = (t.tm_sec, t.tm_min, t.tm_hour, t.tm_mday, t.tm_mon - 1, t.tm_year - 1900, (t.tm_wday + 1) % 7)
    env.memory.write(out, pack("<9i", *fields, t.tm_yday - 1, 0))
    return out


HANDLERS: dict[str, Handler] = {
    "clock_gettime": _clock_gettime,
    "clock": lambda env: _nanoseconds(env),
    "time": _time,
    "sleep": lambda env, seconds: env.time.sleep((seconds & 0xFFFFFFFF) * 1000.0),
    "usleep": lambda env, microseconds: env.time.sleep((microseconds & 0xFFFFFFFF) / 1000.0),
    "srand": _srand,
    "rand": lambda env: env.random.next(),
    "localtime_r": _localtime_r,
    "wasm_create_timer": lambda env, ms, periodic, start: env.timers.create(
        ms & 0xFFFFFFFF, bool(periodic), bool(start)
    ),
    "wasm_timer_destroy": lambda env, number: env.timers.destroy(number),
    "wasm_timer_cancel": lambda env, number: env.timers.cancel(number),
    "wasm_timer_restart": lambda env, number, interval_ms: env.timers.restart(number, interval_ms & 0xFFFFFFFF),
    "wasm_get_sys_tick_ms": lambda env: int(env.time.now_ms()) & 0xFFFFFFFF,
}
