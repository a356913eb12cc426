"""Runs background tasks of the host again after each failure, and reports which of them fail.

Work for one request belongs to that request, which can answer that it failed.
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
# Endless work that ran for this time after a failure counts as recovered.
WELL_AFTER_S: Final = 600.0
MAX_REASON_CHARS: Final = 300
Phase: TypeAlias = Literal["waiting", "running", "failing", "ended"]

_log = logging.getLogger(__name__)


class SupervisedTask(Struct, eq=False):
    """A task: `failures` since the start of the host, `reason` of the last; `began_s` is None between two tries.

    `phase`: `waiting` for its start, `running` (also between two passes), `failing` until a pass succeeds, `ended`.
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

    `now_ms` returns Unix time; `monotonic_s` and `sleep` are for the waits.
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

        Without `every_s` the task ends when `work` returns.
        """
        backoff = Backoff(min_s=first_retry_s, max_s=max(first_retry_s, LONGEST_RETRY_S))
        task = SupervisedTask(name, backoff, self._monotonic_s)
        self._tasks[name] = task
        self._running[name] = self._group.create_task(self._run(task, work, every_s, after), name=name)
        return self._running[name]

    async def stop(self, *names: str) -> None:
        """Cancel the tasks of these names, or all, and return when they have ended."""
        stopped = [task for name, task in self._running.items() if not names or name in names]
        for task in stopped:
            task.cancel()
        await asyncio.gather(*stopped, return_exceptions=True)

    def note(self, name: str, error: Exception | None) -> None:
        """Note that a pass of the named work succeeded, or failed with an error; the work itself continues."""
        task = self._tasks[name]
        if error is not None:
            self._note(task, error)
            return
        task.phase = "running"
        task.backoff.succeeded()

    def started(self) -> tuple[SupervisedTask, ...]:
        """Return all tasks in the order of their starts."""
        return tuple(self._tasks.values())

    def failing(self) -> list[SupervisedTask]:
        """Return the tasks that fail now."""
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
        """Count and log a failure, and return the wait after it. Only the first in a row has its traceback logged."""
        wait_s = task.backoff.next_wait_s()
        task.phase = "failing"
        task.failed_ms = self._now_ms()
        task.failures += 1
        task.reason = _reason(error)
        trace = None if isinstance(error, MicroclawError) or task.backoff.failures > 1 else error
        extra = {"what": task.name, "count": task.failures}
        _log.warning("%s failed and is retried: %s", task.name, task.reason, exc_info=trace, extra=extra)
        return wait_s


def _reason(error: Exception) -> str:
    if isinstance(error, MicroclawError):
        text = error.message
        if error.next_step:
            text += f" (next: {error.next_step})"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename:
            text += f": {error.filename}"
    else:
        text = f"{type(error).__name__}: {error}"
    return clean_text(text, one_line=True, limit=MAX_REASON_CHARS)
