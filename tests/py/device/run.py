"""Runs one program on MicroPython's unix port over _board: `run.py original|rewritten FOLDER NAME LIMIT_MS PINS...`.

PINS are PIN:LEVEL@MS. Prints one line of JSON: how it ended, what the pins did, what it said.
"""

import sys

import _board
import clock

how, folder, name, limit = sys.argv[1:5]
sys.modules["time"] = clock.as_module(clock.Time(1))  # of the firmware: it costs next to nothing, and goes on
sys.modules["select"] = clock.as_module(clock.Select())
sys.modules["_asyncio"] = clock
import asyncio

_board.limit_us = int(limit) * 1000
for word in sys.argv[5:]:
    pin, _, rest = word.partition(":")
    level, _, ms = rest.partition("@")
    if int(ms) == 0:
        _board._levels[int(pin)] = int(level)
    else:
        _board.later(int(ms) * 1000, "pin", int(pin), int(level))


def fail(exc):
    sys.print_exception(exc, sys.stderr)
    _board.finish("raised " + type(exc).__name__)


class Said:
    def __init__(self):
        self._text = ""

    def print(self, *args, sep=" ", end="\n", file=None):
        text = self._text + sep.join([str(a) for a in args]) + end
        lines = text.split("\n")
        self._text = lines.pop()
        for line in lines:
            self.line(line)

    def line(self, text):
        _board.said.append([_board.now_us // 1000, text])


def original():
    import board_time
    import machine
    from chip_timer import Timer

    machine.Timer = Timer
    sys.modules["time"] = sys.modules["utime"] = board_time
    sys.modules["uasyncio"] = asyncio
    space = {"__name__": "__main__", "print": Said().print}
    with open(folder + "/" + name + ".py") as file:
        code = compile(file.read(), name + ".py", "exec")
    exec(code, space)
    while True:  # what interrupts and timers do goes on
        _board.advance(1000)


class FakeBoard:
    """The part of firmware/fw/board.py that Environment uses."""

    def __init__(self):
        import machine
        from timeline import Timeline

        self.machine = machine
        self.owners = {}
        self.timeline = Timeline(lambda: _board.now_us // 1000)

    def claim(self, pin, owner):
        self.owners[pin] = owner

    def mem_alloc(self):
        return 0

    def measure(self, take, more=False):
        take(0)

    def pins_of(self, owner):
        return [pin for pin, name in self.owners.items() if name == owner]

    def release(self, owner):
        pass


class FakeRunner:
    def __init__(self):
        self.board = FakeBoard()
        self.files_folder = "data"
        self.beat = 0
        self.events = 120
        self.wake = asyncio.ThreadSafeFlag()

    def emit(self, kind, data):
        if kind == "log":
            _board.said.append([_board.now_us // 1000, data["text"]])
        if kind == "event":
            text = " ".join([data["name"], data["data"]["topic"], data["data"]["text"]])
            _board.said.append([_board.now_us // 1000, text])

    def check_memory(self, name):
        pass

    def has_room(self, size):
        return True

    def failed(self, name, exc):
        fail(exc)

    def leave(self, name):
        _board.finish("left")


async def woken(runner):
    while True:
        await runner.wake.wait()


async def rewritten():
    import program

    sys.path.insert(0, folder)
    main = __import__(name).main
    import board_time

    sys.modules["time"] = board_time
    program.LINES_AT_ONCE = 1000000
    runner = FakeRunner()
    asyncio.create_task(woken(runner))
    from quota import Quota

    env = program.Environment(runner, name, Quota(runner.board, 1 << 20, 0, runner.has_room))
    await main(env)
    while True:
        await asyncio.sleep_ms(1000)


asyncio.get_event_loop().set_exception_handler(lambda loop, context: fail(context["exception"]))
try:
    if how == "original":
        original()
    else:
        asyncio.run(rewritten())
except SystemExit:
    _board.finish("left")
except Exception as exc:
    fail(exc)
