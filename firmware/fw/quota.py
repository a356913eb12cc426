"""What a program holds of MicroPython's heap, against what it claimed. Knows nothing of the board's own memory.

Samples of stretches, which count rubbish too, say when to look. Then each stretch of the program is measured with the
rubbish collected before and after, and what is freed meanwhile is taken off. What it took before that is not counted,
nor what grew in other stretches: the result is too little rather than too much.
"""

import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

DEFAULT_CLAIM = 4_096  # of an upload that names none; a usual program takes 2 KB
_WINDOW = const(32)  # stretches that are measured one after the other
_LEAK = const(256)  # a window that found so much is followed by another
_PAUSE_MS = const(10_000)  # collecting holds programs up: after a look that found nothing
_WIDE = 2 if sys.maxsize > 1 << 31 else 1  # the 64-bit unix port's objects are twice as wide as a chip's


class Quota:
    """`loaded`: the bytes that the program's code and names took."""

    def __init__(self, board, claim, loaded):
        self.claim = claim
        self.held = self._loaded = loaded
        self._limit = _WIDE * (claim + max(2048, claim // 4))
        self._board = board
        self._exact = 1  # so many more stretches are measured; the first is always
        self._found = 0  # in this window
        self._raw = 0  # allocated since the last look, by samples
        self._used = self._seen = None  # the heap's bytes in use after the last measured stretch; at the last look
        self._rests_until = ticks_ms()
        self._began = 0
        self._take, self._see = self._measured, self._look  # made once: what a call makes would be measured too

    @property
    def is_exact(self):
        return self._exact > 0

    def begin(self):
        """A stretch begins: the bytes in use."""
        if not self._exact:
            return gc.mem_alloc()
        used = self._board.used()
        if self._used is not None and used < self._used:
            self.held = max(0, self.held + used - self._used)
        return used

    def end(self, began, stretches):
        """It ends, and stands for so many since the last sample: about the bytes that they allocated."""
        grown = max(0, gc.mem_alloc() - began)
        self._raw += grown * stretches
        if self._exact or grown > self._limit:
            self._began = began
            self._board.settle(self._take, self._exact > 1)
        elif 2 * self._raw > self._limit and ticks_diff(ticks_ms(), self._rests_until) >= 0:
            self._board.settle(self._see, True)
        return grown * stretches

    def over(self):
        """What is wrong, as a text; None while it keeps to its claim. It is watched on then."""
        if self.held <= self._limit:
            return None
        self._exact = _WINDOW
        text = "it took too much memory: it holds %d bytes and claims %d: keep less, or claim more"
        return text % (self.held // _WIDE, self.claim)

    def _look(self, used):
        """Without the rubbish: has the heap grown since the last look?"""
        self._raw = 0
        if self._seen is None or used - self._seen <= self._limit // 8:
            self._seen = used
            self._rests_until = ticks_add(ticks_ms(), _PAUSE_MS // 10)
            return
        self._exact, self._found, self.held, self._used = _WINDOW, 0, self._loaded, None

    def _measured(self, used):
        grown = used - self._began
        self.held = max(0, self.held + grown)
        self._found += grown
        self._used = used
        if self._exact:
            self._exact -= 1
        elif self.held <= self._limit:
            self.held = self._loaded
        if self._exact:
            return
        if self.held > self._limit or (self._found > _LEAK and self._seen is not None):
            self._exact = _WINDOW
        else:
            self.held = self._loaded
            if self._seen is not None:
                self._rests_until = ticks_add(ticks_ms(), _PAUSE_MS)
        self._found, self._seen = 0, used
