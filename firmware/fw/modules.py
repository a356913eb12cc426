"""Modules of a program except `machine`: pins claimed, files in their own folder, no names that stop the firmware.

Loaded when a program asks for one. docs/python-programs.md says what is refused and why; the host finds most of it
when it builds, this holds for names that are made at run time too.
"""

import asyncio
import os
from errno import EEXIST

NAMES = (
    "time asyncio os json random struct sys math cmath micropython gc collections errno re binascii hashlib io array "
    "heapq deflate cryptolib framebuf platform esp32 neopixel dht onewire ds18x20 apa106 microclaw socket network "
    "select"
)
UNWRAPPING = ("neopixel", "dht", "onewire", "ds18x20", "apa106")
# Modules of ours in place of the chip's.
OF_NET = {"socket": "net", "network": "net_wifi", "select": "net_poll"}
REFUSED = {
    "sys": "modules path atexit stdin",
    "gc": "disable threshold",
    "micropython": "kbd_intr heap_lock heap_unlock",
    "esp32": "Partition NVS ULP idf_task_info wake_on_ext0 wake_on_ext1 wake_on_touch wake_on_gpio wake_on_ulp "
    "gpio_deep_sleep_hold",
    "asyncio": "core funcs event lock stream Loop get_event_loop new_event_loop run_until_complete",
}
_OF_OS = "uname urandom sync"
_OF_IO = "BytesIO StringIO IOBase BufferedWriter"
_BY_PATH = "listdir ilistdir stat statvfs remove unlink rmdir mkdir rename"


def module(env, name):
    """Return the module as programs get it; raises ImportError for a module that is not for programs."""
    if name == "_thread":
        raise ImportError("programs have tasks, no threads")
    if name not in NAMES.split():
        raise ImportError("no module named %r" % name)
    if name in OF_NET:
        return env.ours(OF_NET[name]).module(env)
    if name == "microclaw":
        return env.ours(name).Api(env)
    if name in UNWRAPPING:
        return env.ours("unwrapping").Unwrapping(env, env.ours(name), name)
    # It is in the image and takes no memory, so no room is asked for.
    real = __import__(name)
    if name == "os":
        return _only(real, _OF_OS, _os(Folder(env._runner.files_folder)))
    if name == "io":
        return _only(real, _OF_IO, {"open": Folder(env._runner.files_folder).open})
    if name in REFUSED:
        if name == "asyncio":
            own = _asyncio(env)
        elif name == "sys":
            own = env.ours("output").own_output(env)
        else:
            own = {}
        # RMT and PCNT take pins.
        if name == "esp32":
            real = env.ours("unwrapping").Unwrapping(env, real, name)
        return _without(real, REFUSED[name], own)
    return real


class Folder:
    """The folder of programs' files. A program sees nothing else: "/" is this folder, and ".." ends there."""

    def __init__(self, path):
        self._path = path
        try:
            os.mkdir(path)
        except OSError as exc:
            if exc.errno != EEXIST:
                raise

    def real(self, path):
        if not isinstance(path, str):
            raise TypeError("a file is opened by its name")
        parts = []
        for part in path.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part and part != ".":
                parts.append(part)
        return "/".join([self._path] + parts)

    def open(self, path, mode="r", *more, **named):
        return open(self.real(path), mode, *more, **named)


def _os(folder):
    """Return the functions of `os` whose arguments are paths."""

    def by_path(function):
        return lambda *paths: function(*[folder.real(path) for path in paths or ("/",)])

    functions = {name: by_path(getattr(os, name)) for name in _BY_PATH.split() if hasattr(os, name)}
    functions["getcwd"] = lambda: "/"
    return functions


def _asyncio(env):
    """Make the tasks of asyncio's functions the program's: they end with it."""

    def task(value):
        # It is a coroutine.
        if hasattr(value, "send"):
            return env.spawn(value)
        return value

    async def gather(*awaited, return_exceptions=False):
        return await asyncio.gather(*[task(value) for value in awaited], return_exceptions=return_exceptions)

    async def wait_for(awaited, seconds):
        return await asyncio.wait_for(task(awaited), seconds)

    async def wait_for_ms(awaited, ms):
        return await asyncio.wait_for_ms(task(awaited), ms)

    async def open_connection(*args, **kwargs):
        return await env.ours("net_streams").open_connection(env, *args, **kwargs)

    async def start_server(*args, **kwargs):
        return await env.ours("net_streams").start_server(env, *args, **kwargs)

    own = {"create_task": env.spawn, "run": env.run, "gather": gather}
    own.update({"wait_for": wait_for, "wait_for_ms": wait_for_ms})
    own.update({"open_connection": open_connection, "start_server": start_server})
    return own


def _only(real, names, own):
    """Return a module of `own` and a few names of the real module."""
    members = {name: getattr(real, name) for name in names.split() if hasattr(real, name)}
    members.update(own)
    return _made(lambda _, name: members[name] if name in members else _none(name))


def _without(real, names, own):
    """Return a module with everything of the real module except some names; `own` comes first."""
    refused = names.split()

    def get(_, name):
        if name in own:
            return own[name]
        if name in refused or name.startswith("_"):
            return _none(name)
        return getattr(real, name)

    return _made(get)


def _none(name):
    raise AttributeError("no %s for programs" % name)


def _made(get):
    """Return a module that looks names up by `get`.

    Only `get`'s closure holds the real module: no attribute leads to it.
    """
    return type("module", (), {"__getattr__": get})()
