"""Inputs of a program: an interrupt counts their edges. Read in with the first one."""

from peripherals import OutputPin


class InputPin(OutputPin):
    """A pin whose edges an interrupt counts; the program's own handler is called from there."""

    def __init__(self, env, real, number):
        self._real = real
        self._pin = number
        self._env = env
        self._timeline = env._board.timeline
        self._handler = None
        self._trigger = 0
        self._rising = real.IRQ_RISING
        self._falling = real.IRQ_FALLING
        self._count()

    def _count(self):
        self._counts = True
        self._timeline.watch(self._pin, "counted", self._real.value())
        self._real.irq(handler=self._edge, trigger=self._rising | self._falling)

    def stop_counting(self):
        self._counts = False
        self._timeline.watch(self._pin, "written", self._real.value())
        self._real.irq(handler=None)

    def handle(self, handler, trigger):
        self._handler = handler
        if trigger is None:
            self._trigger = self._rising | self._falling
        else:
            self._trigger = trigger
        if not self._counts:
            self._count()

    def _edge(self, real):
        level = real.value()
        self._timeline.count(self._pin, level)
        if self._handler is not None and self._trigger & (self._rising if level else self._falling):
            self._env.call(self._handler, self)

    def value(self, *level):
        """Return the level, or write it.

        A pin that the program writes became an output by `init`; its own interrupt would not fire then.
        """
        if level and self._counts:
            self.stop_counting()
        return OutputPin.value(self, *level)

    __call__ = value
