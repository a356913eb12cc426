"""The environment of a rewritten program: waits, limits, and the modules that touch the board. Starts nothing.

`Environment` is the `E` of `async def main(E)`. A program gets every module by `E.module`; there `machine`, `neopixel`,
`dht` and `onewire` claim pins for it and count what it writes; modules.py has the others.
"""

import asyncio
import gc
import sys
from time import sleep_us, ticks_add, ticks_diff, ticks_ms

from errors import CallError, Squeezed
from micropython import const
from peripherals import Machine, OutputPin

_YIELD_MS = const(4)
_BUSY_US = const(5_000)
_GUARD_MS = const(1_500)
_CHECK_MS = const(100)
_MAX_TASKS = const(16)
_MAX_LINE = const(240)
_LINES_PER_S = const(20)
# The link keeps 32 lines that wait for the host.
LINES_AT_ONCE = 30
# What must be left once a module is read in.
_LEFT_BYTES = const(3_072)
# Awaiting it takes no memory and does not yield.
_READY = ()


class Environment:
    """The environment of one run of a program. `runner` has the board, `emit`, `events` and `failed`."""

    Cancelled = asyncio.CancelledError

    def __init__(self, runner, name, quota):
        self.name = name
        self.quota = quota
        # About how many bytes the program allocated lately, by samples.
        self.grown = 0
        # The MemoryError that it is to get.
        self.doomed = None
        self.is_open = True
        self._runner = runner
        self._board = runner.board
        self._modules = {}
        self._tasks = []
        # standstill.Loop, once the program uses asyncio.
        self._loop = None
        self._timers = []
        self._inputs = {}  # pin -> InputPin
        # PWM, UART, SPI…: what has deinit().
        self._closing = []
        # When the stretch without a wait began.
        self._since = ticks_ms()
        self._checked = self._since
        # Bytes in use when the stretch began, if it is a sample.
        self._memory = None
        # Whose stretch, and when it was resumed.
        self._work = self._due = None
        # Stretches since the last sample, which stands for all of them.
        self._stretches = 0
        self._text = ""
        self._refilled = self._since
        # The number of lines that may be sent now.
        self._lines = LINES_AT_ONCE
        self._dropped = 0

    def begin(self):
        """Begin the first stretch."""
        self._since = ticks_ms()
        self._count(self._since)

    def y(self):
        """Let other tasks run after 4 ms; the host puts it first in each loop of a coroutine."""
        if ticks_diff(ticks_ms(), self._since) < _YIELD_MS:
            return _READY
        return self._wait(0)

    def g(self):
        """Guard a loop of a function that cannot wait: RuntimeError if no other task could run for 1.5 s."""
        now = ticks_ms()
        if ticks_diff(now, self._checked) >= _CHECK_MS:
            self._check_memory(now)
            self._count(now)
        if ticks_diff(now, self._since) > _GUARD_MS and ticks_diff(now, self._runner.beat) > _GUARD_MS:
            text = "the program ran for %s s without a wait: put a sleep into the loop"
            raise RuntimeError(text % (_GUARD_MS / 1000))

    async def sleep(self, seconds):
        us = int(seconds * 1_000_000)
        if us % 1000 and us < _BUSY_US:
            sleep_us(us)
        else:
            await self._wait(-(-us // 1000))

    async def sleep_ms(self, ms):
        await self._wait(int(ms))

    async def sleep_us(self, us):
        # For a pulse, the loop's milliseconds are too coarse.
        if us < _BUSY_US:
            sleep_us(us)
        else:
            await self._wait(-(-int(us) // 1000))

    async def _wait(self, ms):
        self.before_wait()
        await asyncio.sleep_ms(ms if ms > 0 else 0)
        self.after_wait()

    def before_wait(self):
        """End the stretch: what is awaited now is not the program's work."""
        now = ticks_ms()
        if self._memory is not None or self.doomed is not None or ticks_diff(now, self._checked) >= _CHECK_MS:
            self._check_memory(now)

    def after_wait(self):
        self._since = ticks_ms()
        self._count(self._since)

    def _count(self, now):
        """Count the stretch that begins; a few of them are measured."""
        self._stretches += 1
        if self.quota.active or ticks_diff(now, self._checked) >= _CHECK_MS:
            self._memory = self.quota.begin()
            self._work = asyncio.core.cur_task
            self._due = self._work.ph_key

    def _check_memory(self, now):
        """Raise MemoryError if the program holds more than its claim, or if it is the greediest on a short board."""
        if self._memory is not None:
            # If the stretch is another, other tasks ran meanwhile.
            if asyncio.core.cur_task is self._work and self._work.ph_key == self._due:
                self.grown += self.quota.end(self._memory, self._stretches)
            self._memory = self._work = None
            self._stretches = 0
        self._runner.check_memory(self.name)
        # A big heap takes long to look at: at most 2 % of the time.
        spent = ticks_diff(ticks_ms(), now)
        self._checked = ticks_add(now, 50 * spent)
        if self.doomed is not None:
            exc = self.doomed
            self.doomed = None
            raise exc

    async def aw(self, value):
        """Return the result of a call that may wait."""
        if _is_coroutine(value):
            return await value
        return value

    async def new(self, kind, *args, **kwargs):
        """Return an object whose `__init__` waits: it became `_ainit_`."""
        value = object.__new__(kind)
        await self.aw(value._ainit_(*args, **kwargs))
        return value

    def run(self, coro):
        return self._asyncio().run(coro)

    def spawn(self, coro):
        """Create a task, as asyncio.create_task."""
        loop = self._asyncio()
        task = self.spawn_lasting(loop.stepped(coro))
        loop.add(task)
        return task

    def _asyncio(self):
        if self._loop is None:
            self._loop = self.ours("standstill").Loop(self)
        return self._loop

    def spawn_lasting(self, coro):
        """Start a task that continues after asyncio.run is over."""
        if not self.is_open:
            raise self.Cancelled()
        self._tasks = self.running_tasks()
        if len(self._tasks) >= _MAX_TASKS:
            raise RuntimeError("a program may have %d tasks" % _MAX_TASKS)
        task = asyncio.create_task(self._guarded(coro))
        self._tasks.append(task)
        return task

    async def _guarded(self, coro):
        try:
            return await coro
        except (asyncio.CancelledError, Exception):
            raise
        except SystemExit:
            self._runner.leave(self.name)
        except BaseException as exc:
            # The loop does not catch these: they would end the firmware.
            self._runner.crashed(self.name, exc)

    def call(self, handler, argument, active=False):
        """Call a handler of a timer (a task) or an interrupt; report what it raises, and let the program continue."""
        try:
            self._since = ticks_ms()
            if active:
                self._count(self._since)
            value = handler(argument)
            if _is_coroutine(value):
                self.spawn_lasting(value)
            if active and self._memory is not None:
                self._check_memory(ticks_ms())
        except SystemExit:
            self._runner.leave(self.name)
        except Exception as exc:
            self._runner.failed(self.name, exc)
        except BaseException as exc:
            self._runner.crashed(self.name, exc)
        self._runner.wake.set()

    def irq(self, pin, handler=None, trigger=None, **_):
        if not isinstance(pin, OutputPin):
            raise ValueError("an interrupt needs a pin")
        if self._inputs.get(pin._pin) is not pin:
            pin = self.input(pin._real, pin._pin)
        pin.handle(handler, trigger)
        return pin

    def timer(self, timer, *args, **kwargs):
        """Call Timer.init, or make a Timer with a period."""
        if not hasattr(timer, "init"):
            return timer(*args, **kwargs)
        timer.init(*args, **kwargs)
        return timer

    def print(self, *args, sep=" ", end="\n", file=None):
        if file is not None:
            print(*args, sep=sep, end=end, file=file)
            return
        text = self._text + sep.join([str(arg) for arg in args]) + end
        *lines, rest = text.split("\n")
        self._text = rest[:_MAX_LINE]
        for line in lines:
            self.log(line)

    def log(self, text, level="info"):
        if self._may_tell():
            at = self._memory and gc.mem_alloc()
            self._runner.emit("log", {"source": self.name, "level": level, "text": text[:_MAX_LINE]})
            if at:
                # The memory of a line that waits for the host is not the program's.
                self._memory += max(0, gc.mem_alloc() - at)

    def event(self, name, data):
        """Send an event; return True if it is kept for the host: up to EVENTS, and 720 an hour of all programs."""
        if not self._runner.events or not self._may_tell():
            return False
        self._runner.events -= 1
        return self._runner.emit("event", {"name": name, "data": data}) is not False

    def _may_tell(self):
        """Return True if a line or event may be sent: a few at once, then 20 a second."""
        self.refill()
        if self._lines:
            self._lines -= 1
            return True
        self._dropped += 1
        return False

    def refill(self):
        """Allow more lines each second, and report how many were dropped; called ten times a second."""
        seconds = ticks_diff(ticks_ms(), self._refilled) // 1000
        if seconds > 0:
            self._refilled = ticks_add(self._refilled, 1000 * seconds)
            self._lines = min(LINES_AT_ONCE, self._lines + _LINES_PER_S * seconds)
            self._tell_dropped()

    def _tell_dropped(self):
        if self._dropped:
            text = "(%d lines were left out)" % self._dropped
            self._dropped = 0
            self._runner.emit("log", {"source": self.name, "level": "warning", "text": text})

    def module(self, name):
        if name not in self._modules:
            is_machine = name == "machine"
            if is_machine:
                module = Machine(self, self._board.machine)
            else:
                module = self.ours("modules").module(self, name)
            self._modules[name] = module
        return self._modules[name]

    def ours(self, name):
        """Load a module for programs: the memory that it takes is the board's, not this program's."""
        is_new = name not in sys.modules
        at = is_new and self._memory is not None and self._board.mem_alloc()
        module = None
        try:
            if not is_new or self._runner.can_load(name):
                module = __import__(name)
        except MemoryError:
            pass
        if module is None or (is_new and not self._runner.has_room(_LEFT_BYTES)):
            # Stop before the heap grows for it, or for what the link does next, which would cost the link.
            sys.modules.pop(name, None)
            raise Squeezed("no room to read in " + name)
        if at:
            self._memory += max(0, self._board.mem_alloc() - at)
        if is_new:
            # Reading in takes long on a slow chip: the stretch without a wait begins again.
            self._since = ticks_ms()
        return module

    def input(self, real, number):
        pin = self._inputs[number] = self.ours("inputs").InputPin(self, real, number)
        return pin

    def wrapped(self, value, name):
        return self.ours("unwrapping").wrapped(self, value, name)

    def claim(self, pin):
        self._board.claim(pin, self.name)

    def i2c_bus(self):
        """Return the bus at the board's I2C pins, which programs share."""
        try:
            return self._board.i2c_bus(self.name)
        except CallError as exc:
            raise OSError(exc.message)

    def holds(self):
        """Return True if a pin, a timer or a task that does not stand still continues after `main` has ended."""
        if self._loop:
            standing = self._loop.standing
        else:
            standing = ()
        return bool(self.pins() or self._timers or [task for task in self.running_tasks() if task not in standing])

    def pins(self):
        return self._board.pins_of(self.name)

    def running_tasks(self):
        return [task for task in self._tasks if not task.done()]

    def quiet(self):
        """Stop all calls into the program, and let it begin nothing new."""
        self.is_open = False
        for timer in list(self._timers):
            timer.deinit()
        for pin in self._inputs.values():
            pin._real.irq(handler=None)

    def close(self):
        """Restore the board as it was before the program; its tasks have ended."""
        self.quiet()
        for device in self._closing:
            try:
                device.deinit()
            except Exception as exc:
                self._runner.emit("log", {"source": self.name, "level": "warning", "text": "deinit: %r" % exc})
        if self._text:
            self.log(self._text)
        self._tell_dropped()
        self._board.release(self.name)
        self._modules = self._inputs = {}
        self._timers = self._closing = self._tasks = []
        self._loop = None


async def _nothing():
    pass


_COROUTINE = type(_nothing())


def _is_coroutine(value):
    return isinstance(value, _COROUTINE)
