"""Programs and their lives: install, start, stop for sure, crash and start again. Storage is in slots.py."""

import asyncio
import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from binding import bound
from errors import CallError, Squeezed
from loading import reason, room_for
from micropython import const
from program import Environment
from quota import Quota
from slots import Slots

_CANCEL_EVERY_MS = const(200)
_MAX_CANCELS = const(5)
# After a run of this length, earlier crashes do not count.
_HEALTHY_MS = const(60_000)
COLLECT_MS = 10_000
# Events of programs at once, then 720 an hour: each is written to the flash, which endures that for years.
EVENTS = 120
# Each COLLECT_MS.
_MORE_EVENTS = const(2)
_TICK_MS = const(100)
# From a program's MemoryError to its end, if the board is still short.
_DOOMED_MS = const(500)
# A program that ended for the board's memory waits this long for room; twice as long each time in a row.
ROOM_S = 10
# The folder of our modules.
_FOLDER = __file__[: __file__.rfind("/") + 1]
# The memory that the code of boot_programs.mark takes.
_MARK_BYTES = const(5_120)


class Runner:
    """`emit(kind, data)` takes "log" {source, level, text} and "event" {name, data}. One call at a time."""

    MAX_CRASHES = 3
    # Modules that are read in when needed, and given back.
    NOT_KEPT = (
        "storage", "uploads", "records", "changes", "boot_programs", "methods", "host_pins", "chip_facts", "networks",
        "modules", "standstill", "app_calls", "app_page", "settling", "endings", "growth",
    )  # fmt: skip
    # Modules that programs read in, and given back once none runs: they would fill the heap, kind by kind.
    OF_PROGRAMS = (
        "inputs timers unwrapping output intervals sensors microclaw microclaw_devices fetch "
        "neopixel dht onewire ds18x20 apa106 net net_rules net_wifi net_poll net_streams netport"
    )

    def __init__(self, board, root="/apps", emit=None):
        self.board = board
        self.emit = emit or (lambda kind, data: None)
        # The link to the host, once there is one: it makes the https requests of programs.
        self.link = None
        self.slots = Slots(root)
        # The folder of the files of programs.
        self.files_folder = root[: root.rfind("/") + 1] + "data"
        # When the loop last ran.
        self.beat = ticks_ms()
        # Ends the loop's wait, after an interrupt.
        self.wake = asyncio.ThreadSafeFlag()
        self._programs = {}
        self._changing = asyncio.Lock()
        self._ticking = None
        # The names of programs that were stopped for an update.
        self.paused = []
        # Why no program was started at boot.
        self.standing = None
        # Seconds of this start that are to be noted (chip_facts.count_start).
        self._marks = []
        self._collected = ticks_ms()
        self.events = EVENTS
        # The call that began last; reported if the heap grows.
        self.doing = ""
        # Bytes that the last program took when it was loaded.
        self.heap = 0
        loop = asyncio.get_event_loop()
        self._others_handler = loop.get_exception_handler()
        loop.set_exception_handler(self._task_failed)

    def __getattr__(self, name):
        """Load a call from outside: begin, write, commit, start, stop, remove, undo, list, close; and boot."""
        if name == "write":
            return self.slots.write
        module = "changes"
        if name in ("boot", "mark", "settle"):
            module = "boot_programs"
        elif name in ("commit", "start", "undo", "hold"):
            module = "settling"
        elif name in ("stop", "remove", "list", "pause", "close", "restart"):
            module = "endings"
        elif name == "squeeze":
            module = "growth"
        return bound(getattr(__import__(module), name), self)

    def states(self):
        """Return [{name, state}] of every program, for telemetry."""
        states = {name: program.state for name, program in self._programs.items()}
        return [{"name": name, "state": states.get(name, "stopped")} for name in self.slots.names()]

    def edges(self, cursor=0):
        return self.board.timeline.read(cursor)

    def has_room(self, size):
        """Return True if `size` bytes are free before the heap grows, which would take what Wi-Fi and TLS need."""
        if self.board.own_free() < size:
            self.make_room()
        return self.board.own_free() >= size

    def can_load(self, name):
        """Return True if a module of ours can be read in beside what is there."""
        return self.has_room(room_for(_FOLDER + name + ".mpy"))

    def make_room(self):
        for name in self.NOT_KEPT:
            sys.modules.pop(name, None)
        if not any([program.env or program.times for program in self._programs.values()]):
            for name in self.OF_PROGRAMS.split():
                sys.modules.pop(name, None)
            for name in list(sys.modules):
                if name.startswith("part_"):
                    del sys.modules[name]
        gc.collect()

    def check_memory(self, name):
        """Raise MemoryError if the program holds more than its claim; on a short board, give one to the greediest."""
        self._apply(self._programs[name])
        short = self._short()
        if short is None or self.board.has_grown():
            return
        running = [p for p in self._programs.values() if p.env is not None]
        if any(p.doomed_ms is not None for p in running):
            return
        worst = max(running, key=lambda p: p.env.grown)
        if self.board.is_small:
            worst.env.doomed = Squeezed(short)
        else:
            worst.env.doomed = MemoryError(short)
        worst.doomed_ms = ticks_ms()

    def _apply(self, program):
        if program.doomed_ms is None and program.env is not None and not self._changing.locked():
            why = program.env.quota.memory_short()
            if why is not None:
                program.env.doomed = MemoryError(why)
                program.doomed_ms = ticks_ms()

    def failed(self, name, exc):
        """Report that a callback or task of the program raised; the program continues."""
        program = self._programs[name]
        if isinstance(exc, Squeezed):
            program.error = str(exc)
            asyncio.create_task(self._ended(program, "squeezed"))
            return
        program.error = reason(exc)
        self._tell_crash(program, True)

    def crashed(self, name, exc):
        """End the program: a callback or task raised something that is not an Exception, mostly a KeyboardInterrupt.

        The program's own interrupt looks like Ctrl-C on the cable. So Ctrl-C ends the program that has the
        chip just then, which is started again seconds later, and the next Ctrl-C reaches the firmware.
        """
        program = self._programs[name]
        program.error = reason(exc)
        asyncio.create_task(self._ended(program, "trapped"))

    def leave(self, name, kind="exited"):
        """End the whole program: after sys.exit() in a callback or task, or because it is to start again."""
        asyncio.create_task(self._ended(self._programs[name], kind))

    def _begin(self, program):
        program.env = Environment(self, program.name, Quota(self.board, program.claim, self.heap, self.has_room))
        program.state = "running"
        program.doomed_ms = None
        program.is_told = program.is_ending = False
        program.started_ms = self.board.now_ms()
        program.main = asyncio.create_task(self._run(program))

    async def _run(self, program):
        """Run the program's main task; its pins, timers and tasks live on after it returns."""
        kind = "returned"
        program.env.begin()
        try:
            await program.space["main"](program.env)
        except asyncio.CancelledError:
            kind = "stopped"
        except SystemExit:
            kind = "exited"
        except Squeezed as exc:
            kind = "squeezed"
            program.error = str(exc)
        except BaseException as exc:
            kind = "trapped"
            program.error = reason(exc)
        # If the environment is closed, another task ends the program right now, and cleans up.
        if program.env.is_open:
            # It cancelled itself.
            if kind == "stopped":
                kind = "exited"
            if kind != "returned" or not program.env.holds():
                program.is_ending = True
                asyncio.create_task(self._ended(program, kind))

    async def _ended(self, program, kind):
        """Clean up and report after a program ended by itself; start a crashed program again."""
        async with self._changing:
            if self._programs.get(program.name) is not program or program.main is None:
                return
            if program.times is not None and (program.times.every_ms or kind not in ("trapped", "squeezed")):
                await program.times.end(self, program, "exited" if kind == "restarted" else kind)
                return
            await self._halt(program)
            if kind == "squeezed":
                self.squeeze(program)
                return
            program.state = kind
            if kind != "trapped":
                self._event("app.exit", {"app": program.name, "kind": kind})
                if kind == "restarted":
                    self.restart(program)
                return
            if self.board.now_ms() - program.started_ms >= _HEALTHY_MS:
                program.crashes = 1
            else:
                program.crashes = program.crashes + 1
            again = program.crashes < self.MAX_CRASHES
            program.is_told = False
            self._tell_crash(program, again)
            if again:
                program.restart = asyncio.create_task(self._again(program, 500 << program.crashes))
                return
            self._log("error", "%s crashed %d times in a row: it stays stopped" % (program.name, self.MAX_CRASHES))
            self._never_again(program.name)

    async def _again(self, program, wait_ms, room_s=0):
        """Start it after `wait_ms`; with `room_s`, once there is room for it and for calls, looked for so often."""
        await asyncio.sleep_ms(wait_ms)
        while room_s:
            await asyncio.sleep(room_s)
            if self.has_room(self.board.reserve + program.claim) and self.board.memory_short() is None:
                break
        async with self._changing:
            program.restart = None
            try:
                program.space = self.load(*self.slots.image(program.name), program.claim)
            except (CallError, MemoryError) as exc:
                program.error = str(exc)
                self._log("error", "%s cannot start again: %s" % (program.name, exc))
                # Mostly there is no memory: it is tried again.
                if getattr(exc, "code", "failed") == "failed":
                    self.squeeze(program)
                return
            if program.times is not None:
                program.times.began_ms = self.board.now_ms()
            self._begin(program)
        await self.hold(program)

    async def end(self, name):
        """Stop it, without what that call reads in."""
        async with self._changing:
            await self._end(name)

    async def _end(self, name):
        """Stop the program if it runs or waits for its next start, also after an update."""
        self.paused = [other for other in self.paused if other != name]
        program = self._programs.get(name)
        if program is None:
            return
        if program.restart is not None:
            program.restart.cancel()
            program.restart = None
            program.state = "stopped"
        if program.main is not None:
            await self._halt(program)
            program.state = "stopped"
        if program.times is not None:
            program.times = None
            program.state = "stopped"
            # Between two runs its pins are its own.
            self.board.release(name)

    async def _halt(self, program):
        """Cancel again and again, 1.2 s at most; one that outlives that does not start again: the board resets."""
        env = program.env
        env.quiet()
        for _ in range(_MAX_CANCELS):
            tasks = self._tasks_of(program)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            until = ticks_add(ticks_ms(), _CANCEL_EVERY_MS)
            while self._tasks_of(program) and ticks_diff(until, ticks_ms()) > 0:
                await asyncio.sleep_ms(10)
        if self._tasks_of(program):
            self._never_again(program.name)
            program.is_told = False
            program.error = "it does not stop: the board resets"
            self._tell_crash(program, False)
            self.board.reset()
        env.close()
        program.space.clear()
        program.env = program.main = program.space = None
        # What follows, as a note of the crash, needs the room of what the program read in.
        self.make_room()

    def _tasks_of(self, program):
        tasks = program.env.running_tasks()
        if not program.main.done():
            tasks.append(program.main)
        return tasks

    def _never_again(self, name):
        try:
            self.slots.set_autostart(name, False)
        except CallError as exc:
            self._log("error", "%s: %s" % (name, exc.message))

    def _tick(self):
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._keep_ticking())
            self._waking = asyncio.create_task(self._keep_waking())

    async def _keep_waking(self):
        while True:
            await self.wake.wait()

    async def _keep_ticking(self):
        while True:
            try:
                self._look()
            except MemoryError:
                # Without this task nobody would end the program that took it, nor feed the watchdog.
                self.make_room()
            await asyncio.sleep_ms(_TICK_MS)

    def _look(self):
        self.beat = now = ticks_ms()
        self.board.watchdog()
        # An update may take it for a while.
        if self.board.has_grown() and not self.paused:
            __import__("growth").give_back(self)
        if self._marks and self.board.now_ms() >= 1000 * self._marks[-1] and self.has_room(_MARK_BYTES):
            self.mark(self._marks.pop())
        if ticks_diff(now, self._collected) >= COLLECT_MS:
            self._collected = now
            self.make_room()
            self.events = min(EVENTS, self.events + _MORE_EVENTS)
            for program in self._programs.values():
                if program.env is not None:
                    program.env.grown //= 2
        for program in list(self._programs.values()):
            if program.env is not None:
                program.env.refill()
            self._apply(program)
            if program.doomed_ms is not None and ticks_diff(now, program.doomed_ms) > _DOOMED_MS:
                self._judge(program)
            if program.times is not None:
                program.times.tick(self, program)

    def _judge(self, program):
        """Judge a program that was asked half a second ago to give memory back."""
        program.doomed_ms = None
        if program.env is None:
            return
        program.env.doomed = None
        kind = "trapped"
        why = program.env.quota.memory_short()
        if why is None:
            why = self._short()
            # Memory of the link and the calls is not the program's fault.
            if self.board.is_small:
                kind = "squeezed"
            elif why is not None:
                why = "it took too much memory: " + why
        if why is not None:
            program.error = why
            asyncio.create_task(self._ended(program, kind))

    def _short(self):
        if self.board.memory_short() is not None:
            self.make_room()
        return self.board.memory_short()

    def _task_failed(self, loop, context):
        """Report a task that raised and is not awaited. What this raises ends asyncio, and with it the firmware."""
        task = context.get("future")
        try:
            for program in self._programs.values():
                if program.env is not None and task in program.env._tasks:
                    self.failed(program.name, context["exception"])
                    return
            if self._others_handler is not None:
                self._others_handler(loop, context)
            else:
                self._log("error", reason(context["exception"]))
        except MemoryError:
            self.make_room()

    def _tell_crash(self, program, alive):
        if program.is_told:
            return
        program.is_told = True
        self._event("app.crash", {"app": program.name, "reason": program.error, "alive": alive})

    def _event(self, name, data):
        self.emit("event", {"name": name, "data": data})

    def _log(self, level, text):
        self.emit("log", {"source": "runner", "level": level, "text": text})
