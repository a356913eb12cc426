"""`time`, `select` and `_asyncio` on the clock of _board. `charge`: what one look at it costs, in microseconds."""

import _board

PERIOD = 1 << 30


class Time:
    def __init__(self, charge):
        self._charge = charge

    def sleep(self, seconds):
        _board.advance(int(seconds * 1000000))

    def sleep_ms(self, ms):
        _board.advance(int(ms * 1000))

    def sleep_us(self, us):
        _board.advance(int(us))

    def ticks_us(self):
        _board.advance(self._charge)
        return _board.now_us & (PERIOD - 1)

    def ticks_ms(self):
        _board.advance(self._charge)
        return (_board.now_us // 1000) & (PERIOD - 1)

    ticks_cpu = ticks_us

    def ticks_add(self, ticks, delta):
        return (ticks + delta) & (PERIOD - 1)

    def ticks_diff(self, a, b):
        return ((a - b + PERIOD // 2) & (PERIOD - 1)) - PERIOD // 2

    def time(self):
        _board.advance(self._charge)
        return 800000000 + _board.now_us // 1000000

    def time_ns(self):
        return self.time() * 1000000000

    def localtime(self, seconds=None):
        seconds = self.time() if seconds is None else seconds
        return (2026, 5, 4, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, 0, 124)

    gmtime = localtime

    def mktime(self, parts):
        return 800000000


class Select:
    POLLIN = 1
    POLLOUT = 4

    def poll(self):
        return Poll()


class Poll:
    def __init__(self):
        self._objects = {}

    def register(self, thing, flags):
        self._objects[id(thing)] = [thing, flags]

    modify = register

    def unregister(self, thing):
        self._objects.pop(id(thing), None)

    def ipoll(self, ms):
        passed = 0
        while True:
            ready = [(o, f) for o, f in self._objects.values() if o.ioctl(3, f)]
            if ready or passed == ms:
                return ready
            _board.advance(1000 if self._objects or ms < 0 else (ms - passed) * 1000)
            passed += 1 if self._objects or ms < 0 else ms - passed


class TaskQueue:
    """asyncio's queue of tasks; the one in C looks at the real clock."""

    def __init__(self):
        self._tasks = []

    def peek(self):
        return self._tasks[0] if self._tasks else None

    def push(self, task, key=None):
        task.data = None
        task.ph_key = free.ticks_ms() if key is None else key
        place = len(self._tasks)
        while place and free.ticks_diff(self._tasks[place - 1].ph_key, task.ph_key) > 0:
            place -= 1
        self._tasks.insert(place, task)

    def pop(self):
        return self._tasks.pop(0)

    def remove(self, task):
        self._tasks.remove(task)


class Task:
    """As extmod/asyncio/task.py has it. `state`: True runs, or a queue of those that wait; None or False: ended."""

    def __init__(self, coro, names=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        self._names = names

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif type(self.state) is not TaskQueue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        current = self._names["cur_task"]
        self.state.push(current)
        current.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        if self is self._names["cur_task"]:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        queue = self._names["_task_queue"]
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            queue.push(task)
        elif free.ticks_diff(task.ph_key, free.ticks_ms()) > 0:
            queue.remove(task)
            queue.push(task)
        task.data = self._names["CancelledError"]
        return True


class _Module:
    pass


def as_module(thing):
    """An object with the same functions, of which `from ... import` can take them: it refuses bound methods."""
    made = _Module()
    for name in dir(thing):
        if not name.startswith("_"):
            setattr(made, name, getattr(thing, name))
    return made


free = as_module(Time(0))
