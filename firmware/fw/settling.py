"""The calls of the runner that wait until a started program has read in what it uses. Functions of Runner.

It is small, because it is in memory meanwhile: what started the program (changes.py) is given back before.
"""

import asyncio

from errors import CallError
from micropython import const

# The time from a program's start until it has loaded what it uses.
_SETTLE_MS = const(700)
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
    runner.make_room()
    await asyncio.sleep_ms(_SETTLE_MS)
    if program.main is main and not _has_room(runner):
        program.error = "calls had no room beside it"
        await runner._ended(program, "squeezed")


def _has_room(runner):
    return runner.has_room(runner.board.reserve - _OWN_BYTES)


async def _settle(runner, name):
    """Wait for what the program reads in. CallError if calls have no room beside it: then it is ended."""
    if not runner.board.is_small:
        return
    runner.make_room()
    await asyncio.sleep_ms(_SETTLE_MS)
    program = runner._programs.get(name)
    was_squeezed = program is not None and program.squeezes and program.restart is not None
    if _has_room(runner) and not was_squeezed:
        return
    text = "the board's memory was short as %s began, and it was taken off: stop another program first" % name
    if not was_squeezed:
        left_bytes = max(0, runner.board.own_free() + _OWN_BYTES)
        text = "%s ran 0.7 s and left %d bytes of memory, calls need %d: it was taken off, stop another program first"
        text = text % (name, left_bytes, runner.board.reserve)
    await runner.end(name)
    runner.make_room()
    raise CallError("too_large", text)
