"""The heap as a board of 160 KB would show it, and when it may be collected for real. Takes the place of `gc`.

This image's collector does not see what the interpreter's own frames hold in WebAssembly's locals: a collection while
Python code is being called frees what that code still uses. So none runs by itself, and `gc.collect()` of the firmware
and of programs does nothing; main.py collects between two turns of the event loop, where only its own small frame is
left, which lies in memory. Meanwhile rubbish piles up in a heap of many times the board's size.
"""

import gc as real
from time import ticks_diff, ticks_ms

import _board
from micropython import mem_total

BOARD_BYTES = 160 * 1024
FIRMWARE_BYTES = 56 * 1024  # what the firmware with its link takes of it on a chip (measured: 160 KB, 104 KB left)
COLLECT_BYTES = 256 * 1024  # less than RUBBISH_BYTES, or rubbish would count as used
FRESH_MS = 300  # what the last collection left is taken as true for so long
FOLLOWED_STEPS = 16  # until a program's next stretch, usually
RUBBISH_BYTES = 384 * 1024  # so much may pile up before it counts as used

_baseline = 0
_live = 0  # after the last collection
_total_then = 0
_board_then = 0
_at = ticks_ms()
_is_asked = False
_waiting = []  # who is to be told after the next collection
_steps = 0  # so many more steps of tasks are followed by one


def is_due():
    return _is_asked or _steps or mem_total() - _total_then > COLLECT_BYTES


def _rubbish():
    """Return the bytes that were taken since the last collection, without those of the simulation's own calls."""
    return mem_total() - _total_then - (_board.rubbish - _board_then)


def note():
    """To be called just after a real collection, between the board's "pause" and "resume": no board does all that.

    The first one is with no program.
    """
    global _baseline, _live, _total_then, _board_then, _at, _is_asked, _steps
    _live = real.mem_alloc()  # looks through the whole heap
    _total_then = mem_total()
    _board_then = _board.rubbish
    _at = ticks_ms()
    _is_asked = False
    _steps = max(0, _steps - 1)
    if not _baseline:
        _baseline = _live
    waiting = _waiting[:]
    _waiting.clear()
    if waiting:
        follow = [take(mem_alloc()) for take in waiting]
        _steps = FOLLOWED_STEPS if any(follow) else 0


def used():
    """While steps are followed by collections: what the last one left, just before this step. Else with rubbish."""
    if _steps:
        return FIRMWARE_BYTES + _live - _baseline
    return mem_alloc()


def settle(take):
    """`take` gets the bytes in use, after this step; if it says so the next steps are followed by a collection too."""
    _waiting.append(take)
    collect()


def collect():
    """At the end of this turn."""
    global _is_asked
    _is_asked = True
    return 0


def mem_alloc():
    return FIRMWARE_BYTES + _live - _baseline + _rubbish()


def mem_free():
    if _is_asked and ticks_diff(ticks_ms(), _at) > FRESH_MS:
        return BOARD_BYTES - FIRMWARE_BYTES  # nobody knows yet: the next to ask will
    rubbish = _rubbish()
    used = FIRMWARE_BYTES + _live - _baseline + (rubbish if rubbish > RUBBISH_BYTES else 0)
    return max(0, BOARD_BYTES - used)


def threshold(amount=-1):
    return -1


def enable():
    pass


disable = enable


def isenabled():
    return True
