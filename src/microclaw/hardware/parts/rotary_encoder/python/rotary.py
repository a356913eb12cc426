"""Counts the detents of a rotary encoder, with the names of the driver that people know; the pins are a subclass's."""


class Rotary:
    RANGE_UNBOUNDED = 1
    RANGE_WRAP = 2
    RANGE_BOUNDED = 3

    # The place of each state (CLK * 2 + DT) in a cycle: clockwise CLK falls first.
    _PLACES = (2, 1, 3, 0)

    def __init__(self, min_val, max_val, incr, reverse, range_mode, half_step, invert):
        self._min_val = min_val
        self._max_val = max_val
        self._incr = incr
        self._sign = -1 if reverse else 1
        self._range_mode = range_mode
        self._half_step = half_step
        self._invert = 3 if invert else 0
        self._value = min_val
        self._place = 0
        self._quarters = 0
        self._listeners = []

    def value(self):
        return self._value

    def set(self, value=None, min_val=None, incr=None, max_val=None, reverse=None, range_mode=None):
        if min_val is not None:
            self._min_val = min_val
        if max_val is not None:
            self._max_val = max_val
        if incr is not None:
            self._incr = incr
        if reverse is not None:
            self._sign = -1 if reverse else 1
        if range_mode is not None:
            self._range_mode = range_mode
        if value is not None:
            self._value = value
        self._quarters = 0

    def reset(self):
        self._value = 0

    def close(self):
        self._hal_close()

    def add_listener(self, listener):
        self._listeners.append(listener)

    def remove_listener(self, listener):
        if listener not in self._listeners:
            raise ValueError("{} is not an installed listener".format(listener))
        self._listeners.remove(listener)

    def _process_rotary_pins(self, pin):
        """Read the pins after an edge; a step that a bounce undoes counts nothing.

        The subclass, which may be one of the user's own, has _hal_get_clk_value, _hal_get_dt_value and _hal_close.
        """
        state = self._hal_get_clk_value() << 1 | self._hal_get_dt_value()
        place = self._PLACES[state ^ self._invert]
        way = (place - self._place) & 3
        self._place = place
        if way == 1:
            self._quarters += 1
        elif way == 3:
            self._quarters -= 1
        is_detent = place == 0 or (self._half_step and place == 2)
        least = 1 if self._half_step else 2
        if not is_detent:
            return
        if self._quarters >= least:
            self._count(1)
        elif self._quarters <= -least:
            self._count(-1)
        self._quarters = 0

    def _count(self, detents):
        value = self._value + detents * self._sign * self._incr
        if self._range_mode == self.RANGE_WRAP:
            value = self._min_val + (value - self._min_val) % (self._max_val - self._min_val + 1)
        elif self._range_mode == self.RANGE_BOUNDED:
            value = min(max(value, self._min_val), self._max_val)
        if value != self._value:
            self._value = value
            for listener in self._listeners:
                listener()
