"""The calls of the runner that end programs, and the list of programs. Functions of Runner.

Apart from changes.py, as ending must always work. Loaded when needed, and dropped soon after.
"""

import asyncio

from micropython import const

_LONG_MS = const(60_000)
# A program that starts itself again and again waits a minute in the end.
_MOST_RESETS = const(7)


async def stop(runner, name):
    async with runner._changing:
        if name not in runner.slots.names():
            runner.slots.facts(name)
        await runner._end(name)


async def pause(runner):
    """Stop what runs, for an update that needs the memory: `resume` or the next start brings it back."""
    stopping = asyncio.create_task(_pause(runner))
    # Awaiting it would pass a cancellation on, and leave a program half stopped.
    while not stopping.done():
        await asyncio.sleep_ms(50)


async def _pause(runner):
    async with runner._changing:
        for name in sorted(runner._programs):
            program = runner._programs[name]
            if program.main or program.restart or program.times:
                await runner._end(name)
                runner.paused.append(name)
                runner._event("app.exit", {"app": name, "kind": "update"})


async def remove(runner, name):
    async with runner._changing:
        if name not in runner.slots.damaged:
            runner.slots.facts(name)
        await runner._end(name)
        runner.slots.remove(name)
        runner._programs.pop(name, None)


def list(runner):
    rows = []
    slots = runner.slots
    for name in slots.names():
        row = {"name": name, "kind": "py", "state": "stopped", "heap": 0, "pins": []}
        if name in slots.damaged:
            row["error"] = slots.damaged[name]
        else:
            row["size"], row["sha256"], row["heap"], row["autostart"], *more = slots.facts(name)
            if any(more[:2]):
                row["every_ms"], row["stop_after_ms"] = more[:2]
            if more[2:]:
                row["hosts"], row["ports"] = more[2:]
            if name in slots.notes:
                row["error"] = slots.notes[name]
            if runner.standing and row["autostart"]:
                row["error"] = "it was not started: " + runner.standing
        program = runner._programs.get(name)
        if program is not None:
            row["state"] = program.state
            if program.error is not None:
                row["error"] = program.error
            row["pins"] = runner.board.pins_of(name)
            if program.times is not None:
                program.times.tell(row, program, runner.board.now_ms())
        rows.append(row)
    return rows


def restart(runner, program):
    """Start a program again that asked for it: at once, but later each time if it asks within a minute."""
    if runner.board.now_ms() - program.started_ms >= _LONG_MS:
        program.resets = 0
    wait_ms = 0
    if program.resets:
        wait_ms = 500 << min(program.resets, _MOST_RESETS)
    program.resets += 1
    program.state = "waiting"
    program.restart = asyncio.create_task(runner._again(program, wait_ms))


async def close(runner):
    """End every program; the board's reset does it otherwise."""
    async with runner._changing:
        for name in sorted(runner._programs):
            await runner._end(name)
    if runner._ticking is not None:
        runner._ticking.cancel()
        runner._waking.cancel()
        runner._ticking = None
