"""asyncio's tasks of one program, which stand still when asyncio.run is over. Loaded with a program's first task.

Tasks of `every`, `on`, timers and interrupts are not among these: they continue.
"""

import asyncio


class Loop:
    """The asyncio loop of one program: Environment._loop."""

    def __init__(self, env):
        self._env = env
        self._tasks = []
        self.standing = []
        self._again = None
        self._runs = 0

    async def run(self, coro):
        """Run `coro` as asyncio.run: afterwards the other tasks stand still until the next run, as MicroPython's do."""
        if not self._runs:
            self.standing = []
            if self._again is not None:
                self._again.set()
            # Tasks that wait already run before `coro`.
            await asyncio.sleep_ms(0)
        self._runs += 1
        try:
            return await coro
        finally:
            self._runs -= 1
            if not self._runs:
                self._again = asyncio.Event()
                self.standing = [task for task in self._env.running_tasks() if task in self._tasks]

    def add(self, task):
        self._tasks = [other for other in self._tasks if not other.done()] + [task]

    def stepped(self, coro):
        """Wrap `coro` so that it is not resumed while its task stands still; exceptions reach it at once."""
        thrown = None
        while True:
            try:
                coro.send(None) if thrown is None else coro.throw(thrown)
            except StopIteration as exc:
                return exc.value
            try:
                thrown = yield
                while asyncio.core.cur_task in self.standing:
                    yield from self._again.wait()
            except BaseException as exc:
                thrown = exc
