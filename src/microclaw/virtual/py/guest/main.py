"""The main program of the virtual board's MicroPython: the firmware's runner, and the board's calls of it."""

import sys

sys.path[:] = ["/vm", "/lib", "/fw", "/parts"]

import gc as collector  # noqa: E402

collector.disable()
import builtins  # noqa: E402

import interpreter  # noqa: E402
import memory  # noqa: E402

sys.modules["gc"] = memory
sys.modules["micropython"] = interpreter
builtins.ViperTypeError = TypeError  # of what an image without native code has not

import asyncio  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from binascii import a2b_base64, b2a_base64  # noqa: E402

import _board  # noqa: E402
import host_link  # noqa: E402
import modules  # noqa: E402
import program  # noqa: E402
import program_time  # noqa: E402
from binding import once  # noqa: E402
from board import Board  # noqa: E402
from errors import CallError  # noqa: E402
from runner import Runner  # noqa: E402

_NAMES = (
    "boot_programs changes endings inputs intervals modules mpy_file output records settling standstill storage "
    "unwrapping uploads"
)
for _name in _NAMES.split():
    __import__(_name)
program.LINES_AT_ONCE = 100  # here is room for them
Runner.NOT_KEPT = ()  # to read those modules in again would cost programs board time, and here is room for them


class SimulatedBoard(Board):
    """Tells the virtual board which program has which pin: it shares the pins with WebAssembly programs."""

    def __init__(self, facts):
        super().__init__(facts)
        self.is_small = False  # no Wi-Fi shares its memory

    def claim(self, pin, owner):
        is_new = self.owners.get(pin) != owner
        super().claim(pin, owner)
        if is_new:
            try:
                _board.call("claim", pin, owner)
            except OSError:
                del self.owners[pin]
                raise

    def mem_alloc(self):
        """With what rubbish there is since the last collection, which Quota allows for."""
        return memory.used()

    def measure(self, take):
        memory.settle(take)

    def release(self, owner):
        super().release(owner)
        _board.call("release", owner)

    def reset(self):
        _board.call("reset")
        while True:  # until it is
            time.sleep_ms(1000)


_module = modules.module


def module(env, name):
    """Return the module as programs get it; raises ImportError for a module that is not for programs."""
    if name == "time":
        return program_time
    return _module(env, name)


modules.module = module


def emit(kind, data):
    _board.call("emit", kind, data)


class Pages:
    """Of a program's page app_page.py keeps the connection here."""

    page = None
    runner = None


async def page(params):
    if "data" in params:
        params["request"] = params["data"]
    module = sys.modules.get("app_page")
    # It must have the netport that the programs have now.
    if module is None or module.netport is not sys.modules.get("netport"):
        module = once("app_page")
        sys.modules["app_page"] = module
    piece = await module.apps_page(Pages, params)
    piece["answer"] = b2a_base64(piece["answer"]).decode()
    return piece


async def answer(runner, number, method, params):
    try:
        if "data" in params:
            params["data"] = a2b_base64(params["data"])
        if method == "page":
            _board.call("answer", number, await page(params), None)
            return
        _board.call("pause")  # what the runner computes is not the program's
        try:
            value = getattr(runner, method)(**params)
            if hasattr(value, "send"):
                value = await value
        finally:
            _board.call("resume")
        if method in ("commit", "start", "undo"):
            _board.call("installed")
        _board.call("answer", number, value, None)
    except CallError as exc:
        _board.call("answer", number, None, [exc.code, exc.message])
    except Exception as exc:
        sys.print_exception(exc)
        _board.call("answer", number, None, ["failed", repr(exc)])


def begin():
    with open("/settings.json") as file:
        settings = json.load(file)
    runner = Runner(SimulatedBoard(settings["board"]), "/apps", emit)
    runner.link = host_link.HostLink()
    Pages.runner = runner
    _board.listen("call", 0, lambda event: asyncio.create_task(answer(runner, event[2], event[3], event[4])))
    _board.call("listening")
    if settings["with_programs"]:
        asyncio.create_task(runner.boot())


begin()
must_collect = True
while True:
    if must_collect:
        _board.call("pause")
        collector.collect()
        memory.note()
        _board.call("resume")
    asyncio.core.rest()
    asyncio.core.turn()
    must_collect = memory.is_due()
