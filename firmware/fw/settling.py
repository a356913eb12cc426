"""The calls of the runner that wait until a started program has read in what it uses. Functions of Runner.

It is small, because it is in memory meanwhile: what started the program (changes.py) is given back before.
"""

import asyncio
import sys
from time import ticks_add, ticks_diff, ticks_ms

from errors import CallError
from micropython import const

# Where nothing was read in for so many looks, the program has read in what it uses.
_LOOKS = const(7)
_LOOK_MS = const(100)
_MOST_MS = const(10_000)
# The memory of the code that is here meanwhile, which the next call can use.
_OWN_BYTES = const(1_024)


async def commit(runner):
    """Install and start what was uploaded; return the answer to the host.

    A program that leaves no room for calls is removed again.
    """
    name = await runner.install()
    try:
        await _settle(runner, name)
    except (CallError, MemoryError) as refused:
        try:
            await undo(runner, name)
        except (CallError, MemoryError) as exc:
            runner._log("error", "%s is not as it was before: %s" % (name, exc))
        raise refused
    return {"name": name}


async def start(runner, name):
    if await runner.launch(name):
        await _settle(runner, name)


async def undo(runner, name=None):
    """Take the last change (of that program) back; what was before runs."""
    name = await runner.restore(name)
    if name is not None:
        await _settle(runner, name)


async def hold(runner, program):
    """End a program that started again by itself if calls have no room beside it: it waits for room."""
    main = program.main
    if not runner.board.is_small or main is None:
        return
    await _read_in(runner)
    if program.main is main and not _has_room(runner):
        program.error = "calls had no room beside it"
        await runner._ended(program, "squeezed")


async def _read_in(runner):
    """Wait until nothing was read in for 7 looks: a slow chip is busy with one module for longer than a look."""
    runner.make_room()
    until = ticks_add(ticks_ms(), _MOST_MS)
    looks = 0
    while looks < _LOOKS and ticks_diff(until, ticks_ms()) > 0:
        before = list(sys.modules)
        await asyncio.sleep_ms(_LOOK_MS)
        looks += 1
        if list(sys.modules) != before:
            looks = 0


def _has_room(runner):
    return runner.has_room(runner.board.reserve - _OWN_BYTES)


async def _settle(runner, name):
    """Wait for what the program reads in. CallError if calls have no room beside it: then it is ended."""
    if not runner.board.is_small:
        return
    await _read_in(runner)
    program = runner._programs.get(name)
    was_squeezed = program is not None and program.squeezes and program.restart is not None
    if _has_room(runner) and not was_squeezed:
        return
    text = "the board's memory was short as %s began, and it was taken off: stop another program first" % name
    if not was_squeezed:
        left_bytes = max(0, runner.board.own_free() + _OWN_BYTES)
        text = "%s began and left %d bytes of memory, calls need %d: it was taken off, stop another program first"
        text = text % (name, left_bytes, runner.board.reserve)
    await runner.end(name)
    runner.make_room()
    raise CallError("too_large", text)
