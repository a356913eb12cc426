"""Starts the programs when the board does. Functions of Runner, read in for that: an install has no room for it."""

import chip_facts
import loading
from errors import CallError
from micropython import const

# Buffers of a connection, and what its greeting reads in.
_LINK_BYTES = const(8_192)


async def boot(runner):
    """Start the programs with `autostart`; none while BOOT is held, or after too many starts that were not healthy."""
    runner._marks = [chip_facts.HEALTHY_S, chip_facts.SHORT_S]
    runner._tick()
    # Count now: a program can hang the board while it is loaded.
    runner.board.watchdog()
    # 1: the start before had no memory for an update (ota_take.py); 2: it was held.
    hold = runner.board.number("hold")
    try:
        runner.standing = runner.board.count_start()
        if hold:
            runner.board.number("hold", 2 if hold == 1 else 0)
    except OSError as exc:
        # A fault of the flash must not stop the boot.
        runner._log("error", "NVS cannot be written: %s" % exc)
    for name, why in runner.slots.damaged.items():
        runner._log("error", "%s: %s" % (name, why))
    if runner.board.safe_mode():
        runner.standing = "BOOT is held"
    if runner.standing:
        runner._log("warning", runner.standing + ": no program is started")
        return
    names = [name for name in runner.slots.names() if name not in runner.slots.damaged and runner.slots.facts(name)[3]]
    grew = runner.board.number("grew")
    # A start for another reason ends the row.
    if grew and not runner.board.number("why"):
        grew = runner.board.number("grew", 0)
    for _ in range(min(len(names), grew - 1)):
        why = "the board ran out of memory %d times in a row: remove a program, then start this one" % grew
        _hold(runner, names, why)
    for name in names:
        if hold == 1:
            runner.paused.append(name)
        else:
            async with runner._changing:
                try:
                    runner._start(name)
                except CallError as exc:
                    _note(runner, name, "trapped", exc.message)


async def settle(runner):
    """End the programs installed last until calls have room beside the others; for when the link is loaded."""
    running = [program.name for program in runner._programs.values() if program.env is not None]
    while runner.board.is_small and running and not runner.has_room(runner.board.reserve + _LINK_BYTES):
        name = _hold(runner, running, "the board's memory does not hold it beside the link")
        await runner.end(name)


def _hold(runner, names, why):
    """Take the program installed last out of `names`: it is not to run in this start. Return its name."""
    name = max(names, key=lambda name: runner.slots.records[name]["gen"])
    names.remove(name)
    _note(runner, name, "stopped", why)
    runner._event("app.exit", {"app": name, "kind": "held"})
    return name


def _note(runner, name, state, why):
    """Keep for apps.list why a program does not run."""
    program = runner._programs.get(name)
    if program is None:
        program = runner._programs[name] = loading.Program(name)
    program.state = state
    program.error = why
    runner._log("error", "%s cannot start: %s" % (name, why))


def mark(runner, ran_s):
    """Note how long this start has lasted (chip_facts.count_start)."""
    try:
        runner.board.number("ran_s", ran_s)
    except OSError as exc:
        # A fault of the flash: this start counts as a short one.
        runner._log("error", "NVS cannot be written: %s" % exc)
