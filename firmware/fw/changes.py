"""What starts a program: an install, a start, what was before it. Functions of Runner.

Loaded when needed, and dropped as soon as the program runs: settling.py waits for it.
"""

import sys

import loading
from binding import once
from errors import CallError
from quota import Quota
from slots import UPLOADED

# The claim of an upload without one; a usual program takes 2 KB.
DEFAULT_CLAIM = 4_096


def begin(runner, name, kind, size, sha256, heap=0, *more, **use):
    """Begin an upload; `more` and `use` are its autostart, times, hosts and ports, as uploads.begin has them."""
    offset = runner.slots.begin(name, kind, size, sha256, heap, *more, **use)
    runner._check_room(name, heap or DEFAULT_CLAIM)
    return offset


async def install(runner):
    """Install and start what was uploaded; return its name.

    A program that cannot be loaded leaves the one before running.
    """
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
        await runner._end(name)
        runner.slots.install(name)
        runner._start(name, space)
    return name


async def launch(runner, name):
    """Start an installed program; return False if it runs already."""
    async with runner._changing:
        runner.slots.facts(name)
        program = runner._programs.get(name)
        if program is not None and program.main is not None:
            return False
        await runner._end(name)
        runner._start(name)
    return True


async def resume(runner):
    # After a pause that is under way.
    async with runner._changing:
        pass
    while runner.paused:
        name = runner.paused.pop()
        try:
            await runner.start(name)
        except (CallError, MemoryError) as exc:
            runner._log("error", "%s cannot start again: %s" % (name, exc.message))


async def restore(runner, name):
    """Take the last change (of that program) back; return the name of what runs again, or None."""
    async with runner._changing:
        name = runner.slots.undo_target(name)
        await runner._end(name)
        if runner.slots.undo(name):
            runner._start(name)
            return name
        runner._programs.pop(name, None)
    return None


def _drop(runner, *names):
    """Drop modules now rather than in ten seconds: the new program needs the memory."""
    for name in names:
        if name in runner.NOT_KEPT:
            sys.modules.pop(name, None)


def _start(runner, name, space=None):
    _drop(runner, "records")
    facts = runner.slots.facts(name)
    claim = facts[2] or DEFAULT_CLAIM
    runner._check_room(name, claim)
    runner._tick()
    program = loading.Program(name)
    program.claim = claim
    program.space = space or runner.load(*runner.slots.image(name), claim)
    _drop(runner, "storage")
    if any(facts[4:6]):
        program.times = __import__("intervals").Times(facts[4], facts[5], runner.board.now_ms())
    runner._programs[name] = program
    runner._begin(program)


def _check_whole(path):
    why = once("mpy_file").fault(path)
    if why:
        raise CallError("invalid_module", "the program cannot be loaded: %s" % why)


def load(runner, folder, slot, claim):
    """Return the module's names, and set the runner's `heap` to the bytes that they take.

    Raises CallError if they take more than the claim, or have no room: then nothing was read in.
    """
    if not runner.has_room(loading.room_for("%s/%s.mpy" % (folder, slot))):
        raise CallError("failed", "no memory to load the program: stop another program first")
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
        if claims:
            who = "%d programs claim" % (len(claims) + 1)
        else:
            who = "the program claims"
        kilobytes = -(-(sum(claims) + claim) // 1024)
        text = "%s %d KB of memory, %d KB are there: stop one or ask for less" % (who, kilobytes, room // 1024)
        raise CallError("too_large", text)
