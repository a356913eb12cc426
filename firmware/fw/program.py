"""What a rewritten program runs in: waits, limits, and the modules that touch the board. Starts and stops nothing.

`Environment` is the `E` of `async def main(E)`. A program gets every module by `E.module`; there `machine`, `neopixel`,
`dht` and `onewire` claim pins for it and count what it writes.
"""

import asyncio
import gc
import sys
from time import sleep_us, ticks_add, ticks_diff, ticks_ms

from errors import CallError
from micropython import const
from peripherals import Machine, OutputPin

_YIELD_MS = const(4)
_BUSY_US = const(5_000)
_GUARD_MS = const(1_500)
_CHECK_MS = const(100)
_MAX_TASKS = const(16)
_MAX_LINE = const(240)
_LINES_PER_S = const(20)
UNWRAPPING = ("neopixel", "dht", "onewire", "ds18x20", "apa106")
_READY = ()  # awaiting it takes no memory and does not yield


class Environment:
    """One run of one program. `runner` has the board, `emit`, `greediest` and `failed`."""

    Cancelled = asyncio.CancelledError

    def __init__(self, runner, name):
        self.name = name
        self.grown = 0  # about how many bytes the program allocated lately, by samples
        self.doomed = None  # why it is to get a MemoryError
        self.is_open = True
        self._runner = runner
        self._board = runner.board
        self._modules = {}
        self._tasks = []
        self._timers = []
        self._inputs = {}  # pin -> InputPin
        self._closing = []  # PWM, UART, SPI…: what has deinit()
        self._since = ticks_ms()  # when the stretch without a wait began
        self._checked = self._since
        self._memory = None  # bytes in use when the stretch began, if it is a sample
        self._stretches = 0  # since the last sample, which stands for all of them
        self._text = ""
        self._second = 0
        self._lines = 0
        self._dropped = 0

    # Waits

    def begin(self):
        """The first stretch begins."""
        self._since = ticks_ms()
        self._memory = gc.mem_alloc()
        self._stretches = 1

    def y(self):
        """First in each loop of a coroutine: lets the others run after 4 ms."""
        if ticks_diff(ticks_ms(), self._since) < _YIELD_MS:
            return _READY
        return self._wait(0)

    def g(self):
        """In loops of functions that cannot wait: RuntimeError when nobody else could run for 1.5 s."""
        now = ticks_ms()
        if ticks_diff(now, self._checked) >= _CHECK_MS:
            self._check_memory(now)
        if ticks_diff(now, self._since) > _GUARD_MS and ticks_diff(now, self._runner.beat) > _GUARD_MS:
            raise RuntimeError(
                "the program ran for %d s without a wait: put a sleep into the loop" % (_GUARD_MS // 1000)
            )

    async def sleep(self, seconds):
        us = int(seconds * 1_000_000)
        if us % 1000 and us < _BUSY_US:
            sleep_us(us)
        else:
            await self._wait(-(-us // 1000))

    async def sleep_ms(self, ms):
        await self._wait(int(ms))

    async def sleep_us(self, us):
        if us < _BUSY_US:  # a pulse: the loop's milliseconds are too coarse for it
            sleep_us(us)
        else:
            await self._wait(-(-int(us) // 1000))

    async def _wait(self, ms):
        now = ticks_ms()
        if self._memory is not None or self.doomed is not None or ticks_diff(now, self._checked) >= _CHECK_MS:
            self._check_memory(now)
        await asyncio.sleep_ms(ms if ms > 0 else 0)
        self._since = now = ticks_ms()
        self._stretches += 1
        if ticks_diff(now, self._checked) >= _CHECK_MS:
            self._memory = gc.mem_alloc()

    def _check_memory(self, now):
        """MemoryError for the program that took the most, when the board is short of memory."""
        if self._memory is not None:
            self.grown += max(0, gc.mem_alloc() - self._memory) * self._stretches
            self._memory = None
            self._stretches = 0
        self._runner.check_memory()
        spent = ticks_diff(ticks_ms(), now)  # a big heap takes long to look at: at most 2 % of the time
        self._checked = ticks_add(now, 50 * spent)
        if self.doomed is not None:
            why, self.doomed = self.doomed, None
            raise MemoryError(why)

    # Calls

    async def aw(self, value):
        """What a call that perhaps waits came to."""
        return await value if _is_coroutine(value) else value

    async def new(self, kind, *args, **kwargs):
        """An object whose `__init__` waits: it became `_ainit_`."""
        made = object.__new__(kind)
        await self.aw(made._ainit_(*args, **kwargs))
        return made

    async def run(self, coro):
        return await coro

    def spawn(self, coro):
        if not self.is_open:
            raise self.Cancelled()
        self._tasks = [task for task in self._tasks if not task.done()]
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
        except BaseException as exc:  # the loop lets those through: they would end the firmware
            self._runner.may_end(exc)
            raise RuntimeError(repr(exc))

    def call(self, handler, argument):
        """A callback of a timer or an interrupt; what it raises is told, and the program goes on."""
        try:
            self._since = ticks_ms()
            value = handler(argument)
            if _is_coroutine(value):
                self.spawn(value)
        except SystemExit:
            self._runner.leave(self.name)
        except BaseException as exc:
            self._runner.may_end(exc)
            self._runner.failed(self.name, exc)
        self._runner.wake.set()

    def irq(self, pin, handler=None, trigger=None, **_):
        if not isinstance(pin, OutputPin):
            raise ValueError("an interrupt needs a pin")
        if self._inputs.get(pin.number) is not pin:
            from inputs import InputPin

            pin = self._inputs[pin.number] = InputPin(self, pin.real, pin.number)
        pin.handle(handler, trigger)
        return pin

    def timer(self, timer, *args, **kwargs):
        """Timer.init, or a Timer that is made with a period."""
        if hasattr(timer, "init"):
            timer.init(*args, **kwargs)
            return timer
        return timer(*args, **kwargs)

    # Text

    def print(self, *args, sep=" ", end="\n", file=None):
        if file is not None and file not in (sys.stdout, sys.stderr):
            print(*args, sep=sep, end=end, file=file)
            return
        text = self._text + sep.join([str(arg) for arg in args]) + end
        *lines, rest = text.split("\n")
        self._text = rest[:_MAX_LINE]
        for line in lines:
            self.log(line)

    def log(self, text, level="info"):
        if not self._may_tell():
            return
        if self._dropped:
            text, self._dropped = "(%d lines were left out) %s" % (self._dropped, text), 0
        self._runner.emit("log", {"source": self.name, "level": level, "text": text[:_MAX_LINE]})

    def event(self, name, data):
        if self._may_tell():
            self._runner.emit("event", {"name": name, "data": data})

    def _may_tell(self):
        """At most 20 lines and events a second; the next line says how many were left out."""
        second = ticks_ms() // 1000
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _LINES_PER_S:
            self._dropped += 1
        return self._lines <= _LINES_PER_S

    # The board

    def module(self, name):
        if name in self._modules:
            return self._modules[name]
        if name == "_thread":
            raise ImportError("programs have tasks, no threads")
        real = __import__(name, None, None, ("*",))
        if name == "machine":
            found = Machine(self, real)
        elif name in UNWRAPPING:
            from unwrapping import Unwrapping

            found = Unwrapping(self, real, name)
        elif name == "microclaw":
            found = real.api(self)
        else:
            found = real
        self._modules[name] = found
        return found

    def claim(self, pin):
        self._board.claim(pin, self.name)

    def i2c_bus(self):
        """The bus at the board's I2C pins, which no program has for itself."""
        try:
            return self._board.i2c_bus(self.name)
        except CallError as exc:
            raise OSError(exc.message)

    def holds(self):
        """Whether something goes on after `main` has ended: a pin, a timer, a task."""
        return bool(self.pins() or self._timers or self.running_tasks())

    def pins(self):
        return sorted([pin for pin, owner in self._board.owners.items() if owner == self.name])

    def running_tasks(self):
        return [task for task in self._tasks if not task.done()]

    def quiet(self):
        """Nothing calls into the program any more, and it can begin nothing new."""
        self.is_open = False
        for timer in list(self._timers):
            timer.deinit()
        for pin in self._inputs.values():
            pin.real.irq(handler=None)

    def close(self):
        """The board as it was before the program; its tasks have ended."""
        self.quiet()
        for device in self._closing:
            try:
                device.deinit()
            except Exception as exc:
                self._runner.emit("log", {"source": self.name, "level": "warning", "text": "deinit: %r" % exc})
        if self._text:
            self.log(self._text)
        self._board.release(self.name)
        self._modules = self._inputs = {}
        self._timers = self._closing = self._tasks = []


async def _nothing():
    pass


_COROUTINE = type(_nothing())


def _is_coroutine(value):
    return isinstance(value, _COROUTINE)
