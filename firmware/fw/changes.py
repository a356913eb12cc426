"""The calls of the runner from outside: install, start, stop, undo, list. Functions of Runner.
Read in when needed, and dropped soon after."""

import asyncio
import sys

import loading
from binding import once
from errors import CallError
from quota import Quota
from slots import UPLOADED

DEFAULT_CLAIM = 4_096  # of an upload that names none; a usual program takes 2 KB


def begin(runner, name, kind, size, sha256, heap=0, autostart=True, every_ms=0, stop_after_ms=0):
    offset = runner.slots.begin(name, kind, size, sha256, heap, autostart, every_ms, stop_after_ms)
    runner._check_room(name, heap or DEFAULT_CLAIM)
    return offset


def write(runner, offset, data):
    return runner.slots.write(offset, data)


async def commit(runner):
    """Install and start what was uploaded. A program that cannot be loaded leaves the one before running."""
    async with runner._changing:
        name, claim = runner.slots.check_upload()
        _drop(runner, "uploads")
        claim = claim or DEFAULT_CLAIM
        runner._check_room(name, claim)
        try:
            _check_whole(runner.slots.part_path)
            space = runner.load(runner.slots.root, UPLOADED, claim)
        except CallError as exc:
            if exc.code in ("invalid_module", "too_large"):
                runner.slots.drop_upload()
            raise
        await _end(runner, name)
        runner.slots.install(name)
        runner._start(name, space)
        _drop(runner, "storage", "records")
        return name


async def start(runner, name):
    async with runner._changing:
        runner.slots.facts(name)
        program = runner._programs.get(name)
        if program is None or program.main is None:
            await runner._end(name)
            runner._start(name)


async def stop(runner, name):
    async with runner._changing:
        if name not in runner.slots.names():
            runner.slots.facts(name)
        await _end(runner, name)


async def pause(runner):
    """Stop what runs, for an update that needs the memory: `resume` or the next start brings it back."""
    stopping = asyncio.create_task(_pause(runner))
    while not stopping.done():  # to await it would pass a cancellation on, and leave a program half stopped
        await asyncio.sleep_ms(50)


async def _pause(runner):
    async with runner._changing:
        for name in sorted(runner._programs):
            program = runner._programs[name]
            if program.main or program.restart or program.times:
                await runner._end(name)
                runner.paused.append(name)
                runner._event("app.exit", {"app": name, "kind": "update"})


async def resume(runner):
    async with runner._changing:  # after a pause that is under way
        pass
    while runner.paused:
        name = runner.paused.pop()
        try:
            await start(runner, name)
        except CallError as exc:
            runner._log("error", "%s cannot start again: %s" % (name, exc.message))


async def _end(runner, name):
    """Somebody ends it: it does not start again after an update."""
    runner.paused = [other for other in runner.paused if other != name]
    await runner._end(name)


async def remove(runner, name):
    async with runner._changing:
        if name not in runner.slots.damaged:
            runner.slots.facts(name)
        await _end(runner, name)
        runner.slots.remove(name)
        runner._programs.pop(name, None)


async def undo(runner, name=None):
    """Take the last change (of that program) back; what was before runs."""
    async with runner._changing:
        name = runner.slots.undo_target(name)
        await _end(runner, name)
        if runner.slots.undo(name):
            runner._start(name)
        else:
            runner._programs.pop(name, None)


def _drop(runner, *names):
    """Now rather than in ten seconds: the new program needs the memory."""
    for name in names:
        if name in runner.NOT_KEPT:
            sys.modules.pop(name, None)


def list(runner):
    rows, slots = [], runner.slots
    for name in slots.names():
        row = {"name": name, "kind": "py", "state": "stopped", "heap": 0, "pins": []}
        if name in slots.damaged:
            row["error"] = slots.damaged[name]
        else:
            row["size"], row["sha256"], row["heap"], row["autostart"], *times = slots.facts(name)
            if times:
                row["every_ms"], row["stop_after_ms"] = times
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


async def close(runner):
    """End every program; the board's reset does it otherwise."""
    async with runner._changing:
        for name in sorted(runner._programs):
            await runner._end(name)
    if runner._ticking is not None:
        runner._ticking.cancel()
        runner._waking.cancel()
        runner._ticking = None


def _start(runner, name, space=None):
    facts = runner.slots.facts(name)
    claim = facts[2] or DEFAULT_CLAIM
    runner._check_room(name, claim)
    runner._tick()
    program = loading.Program(name)
    program.space, program.claim = space or runner.load(*runner.slots.image(name), claim), claim
    if facts[4:]:
        import intervals

        program.times = intervals.Times(facts[4], facts[5], runner.board.now_ms())
    runner._programs[name] = program
    runner._begin(program)


def _check_whole(path):
    why = once("mpy_file").fault(path)
    if why:
        raise CallError("invalid_module", "the program cannot be loaded: %s" % why)


def load(runner, folder, slot, claim):
    """The module's names; `heap` of the runner is what they take. CallError when it is more than the claim."""
    before = runner.board.mem_alloc()
    space = loading.load(folder, slot)
    runner.heap = max(0, runner.board.mem_alloc() - before)
    why = Quota(runner.board, claim, runner.heap, runner.has_room).memory_short()
    if why is not None:
        space.clear()
        raise CallError("too_large", why)
    return space


def _check_room(runner, name, claim):
    """Check that one more may run, beside those that do or wait for their next start or run."""
    others = [p for p in runner._programs.values() if p.name != name]
    claims = [p.claim for p in others if p.main or p.restart or (p.times and p.times.every_ms)]
    if len(claims) >= runner.board.max_programs:
        raise CallError("too_many_apps", "%d programs run: stop one" % len(claims))
    room = runner.board.heap
    if sum(claims) + claim > room:
        who = "%d programs claim" % (len(claims) + 1) if claims else "the program claims"
        kilobytes = -(-(sum(claims) + claim) // 1024)
        text = "%s %d KB of memory, %d KB are there: stop one or ask for less" % (who, kilobytes, room // 1024)
        raise CallError("too_large", text)
