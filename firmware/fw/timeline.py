"""The pins' levels over time: a ring of the last changes, and how much each pin's record can be trusted."""

from array import array

from micropython import const

# Entries in one answer: 256, as link-methods.md allows, take 14 KB while they are sent.
PAGE = 64
# The interrupt of a stock image loses edges above about this rate (measured).
_COUNTED_PER_S = const(200)


class Timeline:
    """The changes of pins. `now_ms` is a function: milliseconds since the start, never going back."""

    def __init__(self, now_ms, size=192):
        self._now_ms = now_ms
        self._size = size
        self._t = array("I", bytes(4 * size))
        # The highest bit is the level.
        self._pin = bytearray(size)
        # The number of entries ever written.
        self._end = 0
        # Pin -> [evidence, last level, edges, second, edges in that second].
        self._pins = {}

    def watch(self, pin, evidence, level=None):
        """Begin entries for this pin; `evidence` is "written", "counted" or "pwm"."""
        self._pins[pin] = [evidence, level, 0, 0, 0]

    def __contains__(self, pin):
        return pin in self._pins

    def forget(self, pin):
        self._pins.pop(pin, None)

    def write(self, pin, level):
        """Note that a program wrote `level`; only a change is an entry."""
        state = self._pins[pin]
        if state[1] != level:
            state[1] = level
            state[2] += 1
            self._add(pin, level, self._now_ms())

    def count(self, pin, level):
        """Count one edge at the interrupt of an input; above 200 in a second some may be lost."""
        state = self._pins.get(pin)
        if state is None:
            return
        now = self._now_ms()
        if now // 1000 != state[3]:
            state[3] = now // 1000
            state[4] = 0
        state[4] += 1
        # The same again: a pulse ended before the interrupt came.
        if state[4] > _COUNTED_PER_S or level == state[1]:
            state[0] = "at_least"
        state[1] = level
        state[2] += 1
        self._add(pin, level, now)

    def _add(self, pin, level, now):
        at = self._end % self._size
        self._end += 1
        self._t[at] = now & 0xFFFFFFFF
        self._pin[at] = pin | level << 7

    def read(self, cursor):
        """Return the value of edges.read.

        Times are whole ms; a cursor past the end (of another boot) continues from the end.
        """
        end = self._end
        now = self._now_ms()
        first = max(0, end - self._size)
        if cursor > end:
            start = end
        else:
            start = max(cursor, first)
        stop = min(end, start + PAGE)
        edges = []
        for i in range(start, stop):
            at = i % self._size
            edges.append([now - ((now - self._t[at]) & 0xFFFFFFFF), self._pin[at] & 127, self._pin[at] >> 7])
        return {
            "edges": edges,
            "cursor": stop,
            "dropped": max(0, start - cursor),
            "now_ms": now,
            "more": stop < end,
            "evidence": {str(pin): state[0] for pin, state in self._pins.items()},
            "counts": {str(pin): state[2] for pin, state in self._pins.items()},
        }
