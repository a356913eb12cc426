"""Background work that outlives its failures: tried again, counted, and told to who asks. It knows no task.

For the host's own tasks. Work for one request belongs to that request, which can answer that it failed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.backoff import Backoff
from microclaw.errors import MicroclawError
from microclaw.text import clean_text, count_text, moment_text

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 600.0
WELL_AFTER_S: Final = 600.0  # work without an end that ran so long after a failure is well again
MAX_REASON_CHARS: Final = 300
Phase: TypeAlias = Literal["waiting", "running", "failing", "ended"]

_log = logging.getLogger(__name__)


class SupervisedTask(Struct, eq=False):
    """A task: `failures` since the start of the host, `reason` of the last; `began_s` None: it waits for its next try.

    `waiting` for its beginning, `running` (also between two passes), `failing` until it went well again, `ended`.
    """

    name: str
    backoff: Backoff
    monotonic_s: Callable[[], float]
    phase: Phase = "waiting"
    failures: int = 0
    failed_ms: int | None = None
    reason: str | None = None
    began_s: float | None = None

    @property
    def is_failing(self) -> bool:
        if self.phase != "failing" or self.began_s is None:
            return self.phase == "failing"
        return self.monotonic_s() - self.began_s < WELL_AFTER_S

    @property
    def text(self) -> str:
        """The number of failures in a row, the time of the last, and the reason."""
        times = count_text(self.backoff.failures, "time")
        last = moment_text(self.failed_ms or 0)
        return f"{self.name}: failed {times}, last {last}: {self.reason}"


class SupervisedTasks:
    """Starts tasks in a group; none of their failures reaches it.

    `now_ms` is Unix time, `monotonic_s` and `sleep` pass for the waits.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._group = group
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._tasks: dict[str, SupervisedTask] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        every_s: float | None = None,
        after: asyncio.Event | None = None,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> asyncio.Task[None]:
        """Run `work` once `after` is set, again each `every_s` seconds, and again after each failure, until cancelled.

        Without `every_s` it is over when it returns.
        """
        backoff = Backoff(min_s=first_retry_s, max_s=max(first_retry_s, LONGEST_RETRY_S))
        self._tasks[name] = task = SupervisedTask(name, backoff, self._monotonic_s)
        self._running[name] = self._group.create_task(self._run(task, work, every_s, after), name=name)
        return self._running[name]

    async def stop(self, *names: str) -> None:
        """Cancel the tasks of these names, or all, and return when they have ended."""
        stopped = [task for name, task in self._running.items() if not names or name in names]
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)

    def note(self, name: str, error: Exception | None) -> None:
        """A pass within the work of this name ended, well or with an error; the work goes on by itself."""
        task = self._tasks[name]
        if error is not None:
            self._note(task, error)
            return
        task.phase = "running"
        task.backoff.succeeded()

    def started(self) -> tuple[SupervisedTask, ...]:
        """Every task, in the order of their starts."""
        return tuple(self._tasks.values())

    def failing(self) -> list[SupervisedTask]:
        """Those that fail now."""
        return [task for task in self._tasks.values() if task.is_failing]

    async def _run(
        self,
        task: SupervisedTask,
        work: Callable[[], Awaitable[object]],
        every_s: float | None,
        after: asyncio.Event | None,
    ) -> None:
        if after is not None:
            await after.wait()
        task.phase = "running"
        while True:
            task.began_s = self._monotonic_s()
            try:
                await work()
            except Exception as exc:
                if not task.is_failing:
                    task.backoff.succeeded()
                task.began_s = None
                wait_s = self._note(task, exc)
            else:
                self.note(task.name, None)
                if every_s is None:
                    task.phase = "ended"
                    return
                wait_s = every_s
            await self._sleep(wait_s)

    def _note(self, task: SupervisedTask, error: Exception) -> float:
        """Count and log the failure; how long to wait after it. A failure that goes on is logged with fewer words."""
        wait_s = task.backoff.next_wait_s()
        task.phase, task.failed_ms = "failing", self._now_ms()
        task.failures += 1
        task.reason = _reason(error)
        trace = None if isinstance(error, MicroclawError) or task.backoff.failures > 1 else error
        extra = {"what": task.name, "count": task.failures}
        _log.warning("%s failed and is tried again: %s", task.name, task.reason, exc_info=trace, extra=extra)
        return wait_s


def _reason(error: Exception) -> str:
    if isinstance(error, MicroclawError):
        if error.next_step:
            text = f"{error.message} (next: {error.next_step})"
        else:
            text = error.message
    elif isinstance(error, OSError) and error.strerror:
        if error.filename:
            text = f"{error.strerror}: {error.filename}"
        else:
            text = error.strerror
    else:
        text = f"{type(error).__name__}: {error}"
    return clean_text(text, one_line=True, limit=MAX_REASON_CHARS)
