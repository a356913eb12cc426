"""Runs of a program at an interval, each ended after a time. Loaded with the first program that has such times.

Times count from the program's start, at each start of the board again: a board may have no calendar. Between two runs
the program takes no memory but its claim; its pins are inputs, and still its own.
"""

import asyncio

from errors import CallError
from micropython import const

LEAST_MS = const(1_000)
MOST_MS = 4_233_600_000  # 49 days
# The memory that loading it takes for a moment.
_LOAD_BYTES = const(5_120)


def check(every_ms, stop_after_ms):
    """Check the times; return what the record has after the four facts of a program: [] without times.

    Raises CallError if a time is out of range.
    """
    for value in (every_ms, stop_after_ms):
        if type(value) is not int or value and not LEAST_MS <= value <= MOST_MS:
            raise CallError("bad_params", "every_ms and stop_after_ms are 0, or from 1 second to 49 days")
    if every_ms and stop_after_ms > every_ms:
        raise CallError("bad_params", "stop_after_ms must not be longer than every_ms")
    if every_ms or stop_after_ms:
        return [every_ms, stop_after_ms]
    return []


class Times:
    """The times of one program, from its start by a person or the board until it is stopped. 0 is no time."""

    def __init__(self, every_ms, stop_after_ms, now):
        self.every_ms = every_ms
        self.stop_after_ms = stop_after_ms
        self.next_ms = now + every_ms
        self.began_ms = now
        # The end of the present run; None while it continues.
        self.ended_ms = None
        # [began, ended, how] of the last run that is over.
        self.last = None
        self.runs = 1
        # The number of times at which the run before still continued.
        self.missed = 0
        self._is_busy = False

    def tick(self, runner, program):
        """Start or stop what is due; called ten times a second."""
        if self._is_busy:
            return
        now = runner.board.now_ms()
        runs = program.env is not None
        is_over = runs and not program.is_ending and not _goes_on(program)
        if is_over and self.ended_ms is None and self.every_ms:
            # The program keeps its pins as they are until its next run.
            self._note(program, now, "returned")
        if runs and self.stop_after_ms and now - self.began_ms >= self.stop_after_ms:
            self._is_busy = asyncio.create_task(self._stop(runner, program))
        elif self.every_ms and now >= self.next_ms:
            times = 1 + (now - self.next_ms) // self.every_ms
            self.next_ms += times * self.every_ms
            if self.ended_ms is not None:
                self._is_busy = asyncio.create_task(self._start(runner, program))
                return
            # apps.list reports it.
            self.missed += times

    def tell(self, row, program, now):
        """Add the times to the program's row of apps.list: how long ago, or in how long, in ms."""
        if self.every_ms:
            row["next_in_ms"] = max(0, self.next_ms - now)
        if self.ended_ms is None and program.env is not None:
            row["running_ms"] = now - self.began_ms
        if self.last is not None:
            began, ended, how = self.last
            row["last"] = {"ago_ms": now - began, "took_ms": ended - began, "how": how}
        row["runs"] = self.runs
        row["missed"] = self.missed

    async def end(self, runner, program, how):
        """End this run. Call it with the runner's lock; the program is running."""
        pins = program.env.pins()
        if how == "squeezed":
            how = "stopped"
        await runner._halt(program)
        if self.ended_ms is None:
            # A crash is reported once in a row.
            if how == "trapped" and (self.last is None or self.last[2] != how):
                program.is_told = False
                runner._tell_crash(program, True)
            self._note(program, runner.board.now_ms(), how)
        if not self.every_ms:
            program.state = how
            return runner._event("app.exit", {"app": program.name, "kind": how})
        try:
            for pin in pins:
                runner.board.claim(pin, program.name)
        except OSError:
            # Only on the virtual board: a WebAssembly program was quicker.
            pass

    def _note(self, program, now, how):
        self.ended_ms = now
        self.last = [self.began_ms, now, how]
        if how != "trapped":
            program.error = None
        program.state = "waiting"

    async def _stop(self, runner, program):
        async with runner._changing:
            if program.times is self and program.env is not None:
                await self.end(runner, program, "stopped")
        self._is_busy = False

    async def _start(self, runner, program):
        try:
            async with runner._changing:
                if program.times is self:
                    await self._start_run(runner, program)
        finally:
            self._is_busy = False

    async def _start_run(self, runner, program):
        if program.env is not None:
            await self.end(runner, program, "returned")
        self.began_ms = now = runner.board.now_ms()
        try:
            if not runner.has_room(_LOAD_BYTES):
                raise CallError("failed", "the board has no memory for this now: stop a program")
            program.space = runner.load(*runner.slots.image(program.name), program.claim)
        except (CallError, MemoryError) as exc:
            program.error = str(exc)
            runner._log("error", "%s cannot start: %s" % (program.name, exc))
            self._note(program, now, "trapped")
        else:
            self.runs += 1
            self.ended_ms = None
            runner._begin(program)


def _goes_on(program):
    """Return True if any part of the program can still act: pins alone only keep their levels."""
    env = program.env
    if env._loop:
        standing = env._loop.standing
    else:
        standing = ()
    tasks = [task for task in env.running_tasks() if task not in standing]
    return not program.main.done() or env._timers or env._inputs or tasks
