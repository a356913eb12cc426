"""What is asked of the runner from outside, and at boot: install, start, stop, undo, list. Functions of Runner.

Read in when needed, and dropped soon after.
"""

from errors import CallError
from loading import Program
from quota import DEFAULT_CLAIM
from slots import UPLOADED

WATCHDOG_FILE = "/=watchdog"


def begin(runner, name, kind, size, sha256, heap=0, autostart=True):
    offset = runner.slots.begin(name, kind, size, sha256, heap, autostart)
    runner._check_room(name, heap or DEFAULT_CLAIM)
    return offset


def write(runner, offset, data):
    return runner.slots.write(offset, data)


async def commit(runner):
    """Install and start what was uploaded. A program that cannot be loaded leaves the one before running."""
    async with runner._changing:
        name, claim = runner.slots.check_upload()
        claim = claim or DEFAULT_CLAIM
        runner._check_room(name, claim)
        try:
            space = runner._load(runner.slots.root, UPLOADED, claim)
        except CallError as exc:
            if exc.code in ("invalid_module", "too_large"):
                runner.slots.drop_upload()
            raise
        await runner._end(name)
        runner.slots.install(name)
        runner._start(name, space)
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
        await runner._end(name)


async def remove(runner, name):
    async with runner._changing:
        if name not in runner.slots.damaged:
            runner.slots.facts(name)
        await runner._end(name)
        runner.slots.remove(name)
        runner._programs.pop(name, None)


async def undo(runner, name=None):
    """Take the last change (of that program) back; what was before runs."""
    async with runner._changing:
        name = runner.slots.undo_target(name)
        await runner._end(name)
        if runner.slots.undo(name):
            runner._start(name)
        else:
            runner._programs.pop(name, None)


def list(runner):
    rows = []
    for name in runner.slots.names():
        row = {"name": name, "kind": "py", "state": "stopped", "heap": 0, "pins": []}
        if name in runner.slots.damaged:
            row["error"] = runner.slots.damaged[name]
        else:
            row["size"], row["sha256"], row["heap"], row["autostart"] = runner.slots.facts(name)
            if name in runner.slots.notes:
                row["error"] = runner.slots.notes[name]
        program = runner._programs.get(name)
        if program is not None:
            row["state"] = program.state
            if program.error is not None:
                row["error"] = program.error
            if program.env is not None:
                row["pins"] = program.env.pins()
        rows.append(row)
    return rows


async def boot(runner):
    """Start the programs with `autostart`; none while BOOT is held, or after 3 watchdog resets in a row."""
    runner._tick()
    for name, why in runner.slots.damaged.items():
        runner._log("error", "%s: %s" % (name, why))
    if runner.board.safe_mode():
        runner._log("warning", "BOOT is held: no program is started")
        return
    resets = _watchdog_resets(runner)
    if resets >= runner.MAX_CRASHES:
        runner._log("error", "%d resets by the watchdog in a row: no program is started" % resets)
        return
    for name in runner.slots.names():
        if name not in runner.slots.damaged and runner.slots.facts(name)[3]:
            async with runner._changing:
                try:
                    runner._start(name)
                except CallError as exc:
                    runner._programs[name] = program = Program(name)
                    program.state, program.error = "trapped", exc.message
                    runner._log("error", "%s cannot start: %s" % (name, exc.message))


async def close(runner):
    """End every program; the board's reset does it otherwise."""
    async with runner._changing:
        for name in sorted(runner._programs):
            await runner._end(name)
    if runner._ticking is not None:
        runner._ticking.cancel()
        runner._waking.cancel()
        runner._ticking = None


def _watchdog_resets(runner):
    if not runner.board.reset_by_watchdog():
        _forget_watchdog_resets(runner)
        return 0
    runner._resets = runner.slots.read_note(WATCHDOG_FILE) + 1
    _note_resets(runner)
    return runner._resets


def _forget_watchdog_resets(runner):
    runner._resets = 0
    if runner.slots.read_note(WATCHDOG_FILE):
        _note_resets(runner)


def _note_resets(runner):
    try:
        runner.slots.write_note(WATCHDOG_FILE, runner._resets)
    except CallError as exc:  # a full flash stops neither the boot nor the ticks
        runner._log("error", exc.message)
