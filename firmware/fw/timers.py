"""machine.Timer as a task, machine.Signal, RTC and reset: read in when a program asks for one."""

import asyncio
from errno import EPERM
from time import gmtime, ticks_add, ticks_diff, ticks_ms, time_ns

MAX_TIMERS = 8


def restarting(env):
    """Return machine.reset() of a program: it starts again, and the call does not return."""

    def restart():
        env._runner.leave(env.name, "restarted")
        raise SystemExit

    return restart


class TimerMaker:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, env):
        self._env = env
        self._numbered = {}

    def __call__(self, number=-1, **kwargs):
        """Return a timer; a number from 0 always means the same timer, and a new start replaces the earlier one."""
        timer = self._numbered.get(number) or SoftTimer(self._env)
        if number >= 0:
            self._numbered[number] = timer
        if kwargs:
            timer.init(**kwargs)
        return timer


class SoftTimer:
    """A timer as a task: two programs may both have "timer 0", and it ends for sure with its program."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, env):
        self._env = env
        self._task = None

    def init(self, mode=1, period=-1, callback=None, freq=None, **_):
        if freq is not None:
            period = int(1000 / freq)
        if period < 1:
            raise ValueError("a timer's period is at least 1 ms")
        self.deinit()
        if not self._env.is_open:
            raise asyncio.CancelledError()
        if len(self._env._timers) >= MAX_TIMERS:
            raise RuntimeError("a program may have %d timers" % MAX_TIMERS)
        self._env._timers.append(self)
        self._task = asyncio.create_task(self._run(mode, period, callback))

    def deinit(self):
        task = self._task
        self._task = None
        if self in self._env._timers:
            self._env._timers.remove(self)
        # In its own callback, the timer ends by itself.
        if task is not None and task is not asyncio.core.cur_task:
            task.cancel()

    async def _run(self, mode, period, callback):
        me = asyncio.current_task()
        due = ticks_ms()
        while self._task is me:
            now = ticks_ms()
            due = ticks_add(due, period)
            # It was held up: what was missed is left out.
            if ticks_diff(now, due) > period:
                due = now
            await asyncio.sleep_ms(max(0, ticks_diff(due, now)))
            if self._task is me and callback is not None:
                self._env.call(callback, self, True)
            if mode == self.ONE_SHOT and self._task is me:
                self.deinit()


class Signal:
    """machine.Signal over a pin of ours."""

    def __init__(self, pin, *args, invert=False):
        self._pin = pin
        self._invert = invert

    def value(self, *level):
        if not level:
            return self._pin.value() ^ self._invert
        self._pin.value(bool(level[0]) ^ self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class RTC:
    """machine.RTC: the board's clock in UTC, which only the host sets."""

    def __init__(self, *_):
        pass

    def datetime(self, *moment):
        """Return (year, month, day, weekday, hour, minute, second, microsecond); weekday 0 is Monday."""
        if moment:
            raise OSError(EPERM, "the host sets the clock, in UTC: add your offset to time.time()")
        ns = time_ns()
        year, month, day, hour, minute, second, weekday = gmtime(ns // 1_000_000_000)[:7]
        return year, month, day, weekday, hour, minute, second, ns // 1000 % 1_000_000

    init = datetime
