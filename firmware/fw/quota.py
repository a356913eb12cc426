"""The part of MicroPython's heap that a program holds, against its claim: more is too much if others need the rest.

Samples of stretches, which count rubbish too, say when to look. Then each stretch of the program is measured with the
rubbish collected before and after, and what is freed meanwhile is subtracted. Earlier memory is not counted,
nor growth in other stretches: the result is too little rather than too much.
Names are those that other files have: a new name costs memory (firmware/README.md).
"""

import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

# Stretches that are measured one after the other.
_WINDOW = const(32)
# A window that found so much is followed by another.
_LEAK = const(256)
# Collecting holds programs up. The pause after a look that found nothing; it doubles each time.
_LOOK_MS = const(1_000)
# The longest pause, and the pause after a window that found nothing.
_PAUSE_MS = const(10_000)
# With this multiple of its size in samples, a look does not wait.
_MUCH = const(4)


class Quota:
    """The quota of one program. `heap`: the bytes that the program's code and names took; `has_room` is Runner's."""

    def __init__(self, board, claim, heap, has_room):
        self._has_room = has_room
        self.claim = claim
        self.heap = self.holds = heap
        # The 64-bit unix port's objects are twice as wide as a chip's.
        wide = 2 if sys.maxsize > 1 << 31 else 1
        # What is clearly too much.
        self._size = wide * (claim + max(2048, claim // 4))
        self._board = board
        # The number of further stretches to measure; the first is always measured.
        self.active = 1
        # Bytes by which it holds more than at this window's begin.
        self.found = 0
        # Allocated since the last look, by samples.
        self.grown = 0
        # The bytes in use when the stretch began that is measured; None: a look.
        self._memory = None
        # The bytes in use after the last measured stretch, and at the last look.
        self._kept = self.last = None
        # No look before this time.
        self._due = None
        self._pause_ms = _LOOK_MS
        # Bound once: an object made at each call would be measured too.
        self._take = self._apply

    def begin(self):
        """Begin a stretch; return the bytes in use."""
        if not self.active:
            return gc.mem_alloc()
        used = self._board.mem_alloc()
        if self._kept is not None and used < self._kept:
            self.holds = max(0, self.holds + used - self._kept)
            self.found += used - self._kept
        return used

    def end(self, at, counts):
        """End a stretch that stands for `counts` since the last sample; return about the bytes that they allocated."""
        grown = max(0, gc.mem_alloc() - at)
        self.grown += grown * counts
        if self.active or grown > self._size:
            self._memory = at
            self._board.measure(self._take)
        elif 2 * self.grown > self._size:
            if self._due is None:
                left_ms = 0
            else:
                left_ms = ticks_diff(self._due, ticks_ms())
            if left_ms <= (self._pause_ms - _LOOK_MS if self.grown > _MUCH * self._size else 0):
                self._memory = None
                self._board.measure(self._take)
        return grown * counts

    def memory_short(self):
        """Return the fault as a text, or None if the program keeps to its claim or the board has room.

        A program with a fault is watched further.
        """
        if self.holds <= self._size or self._has_room(self._board.reserve):
            return None
        self.active = _WINDOW
        text = "it took too much memory: it holds %d bytes and claims %d: keep less, or claim more"
        return text % (self.holds, self.claim)

    def _apply(self, used):
        """Take the bytes in use without the rubbish: after a stretch, or to see whether the heap has grown.

        Return True while stretches are measured, which must not begin with rubbish.
        """
        if self._memory is not None:
            self._count(used - self._memory, used)
        elif self.last is None or used - self.last <= self._size // 8:
            self.grown = 0
            self.last = used
            self._due = ticks_add(ticks_ms(), self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, _PAUSE_MS)
        else:
            self.grown = 0
            self._pause_ms = _LOOK_MS
            self.active = _WINDOW
            self.found = 0
            self.holds = self.heap
            self._kept = None
        return self.active

    def _count(self, grown, used):
        self.holds = max(0, self.holds + grown)
        self.found += grown
        self._kept = used
        if self.active:
            self.active -= 1
        if self.active:
            return
        if self.holds > self._size or (self.found > _LEAK and self.last is not None):
            self.active = _WINDOW
        else:
            self.holds = self.heap
            if self.last is not None:
                self._due = ticks_add(ticks_ms(), _PAUSE_MS)
                self._pause_ms = _PAUSE_MS
        self.found = 0
        self.last = used
