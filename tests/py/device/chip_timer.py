"""`machine.Timer` of the original program, as the esp32 port has it; the rewritten one gets the firmware's."""

import _board


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **options):
        self._id = id if id >= 0 else self
        if options:
            self.init(**options)

    def init(self, *, mode=1, freq=-1, period=-1, callback=None):
        if freq != -1:
            period = 1000 / freq
        _board.listen("timer", self._id, lambda event: callback(self))
        _board.call("timer_start", self._id, period, mode == 1)

    def deinit(self):
        _board.listen("timer", self._id, None)
        _board.call("timer_stop", self._id)
