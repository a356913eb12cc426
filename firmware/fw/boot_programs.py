"""Starts the programs when the board does. Functions of Runner, read in for that: an install has no room for it."""

import chip_facts
import loading
from errors import CallError


async def boot(runner):
    """Start the programs with `autostart`; none while BOOT is held, or after too many starts that were not healthy."""
    runner._marks = [chip_facts.HEALTHY_S, chip_facts.SHORT_S]
    runner._tick()
    runner.board.watchdog()  # now: a program can hang the board while it is read in
    hold = runner.board.number("hold")  # 1: the start before had no memory for an update (ota_take.py); 2: it was held
    try:
        runner.standing = runner.board.count_start()
        if hold:
            runner.board.number("hold", 2 if hold == 1 else 0)
    except OSError as exc:  # of the flash, which must not stop the boot
        runner._log("error", "NVS cannot be written: %s" % exc)
    for name, why in runner.slots.damaged.items():
        runner._log("error", "%s: %s" % (name, why))
    if runner.board.safe_mode():
        runner.standing = "BOOT is held"
    if runner.standing:
        runner._log("warning", runner.standing + ": no program is started")
        return
    for name in runner.slots.names():
        if name in runner.slots.damaged or not runner.slots.facts(name)[3]:
            continue
        if hold == 1:
            runner.paused.append(name)
        else:
            async with runner._changing:
                try:
                    runner._start(name)
                except CallError as exc:
                    runner._programs[name] = program = loading.Program(name)
                    program.state, program.error = "trapped", exc.message
                    runner._log("error", "%s cannot start: %s" % (name, exc.message))


def mark(runner, ran_s):
    """Note how long this start has lasted (chip_facts.count_start)."""
    try:
        runner.board.number("ran_s", ran_s)
    except OSError as exc:  # of the flash: this start counts as a short one
        runner._log("error", "NVS cannot be written: %s" % exc)
