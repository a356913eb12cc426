"""Background work outlives what happens to it: every failure is counted, told and followed by another try."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from microclaw.errors import StoreError
from microclaw.supervision import LONGEST_RETRY_S, WELL_AFTER_S, SupervisedTasks

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/x")


class Pauses:
    """A clock that a wait moves; it stops at the wait of number `count`."""

    def __init__(self, count: int) -> None:
        self.waits: list[float] = []
        self.now_s = 1000.0
        self.over = asyncio.Event()
        self._count = count

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds
        if len(self.waits) >= self._count:
            self.over.set()
            await asyncio.Event().wait()


@asynccontextmanager
async def supervised(pauses: Pauses) -> AsyncIterator[SupervisedTasks]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        yield SupervisedTasks(
            group, now_ms=lambda: int(pauses.now_s * 1000), monotonic_s=lambda: pauses.now_s, sleep=pauses.sleep
        )


def script(*ends: Exception | None) -> tuple[Callable[[], Awaitable[None]], list[int]]:
    """Work that ends as the script says, then well; and a list that grows with its calls."""
    calls: list[int] = []

    async def work() -> None:
        calls.append(len(calls))
        if len(calls) <= len(ends):
            end = ends[len(calls) - 1]
        else:
            end = None
        if end is not None:
            raise end

    return work, calls


async def test_hourly_work_is_tried_again_sooner_after_a_failure_and_then_hourly() -> None:
    work, calls = script(FULL, FULL, None, FULL)
    pauses = Pauses(5)
    async with supervised(pauses) as tasks:
        running = tasks.start("hourly", work, every_s=3600)
        await pauses.over.wait()
        assert pauses.waits == [1, 2, 3600, 1, 3600]
        one = tasks.started()[0]
        reason = "No space left on device: /data/x"
        assert (one.phase, one.failures, one.failed_ms, one.reason) == ("running", 3, 4_603_000, reason)
        running.cancel()
    assert len(calls) == 5


async def test_a_task_that_always_dies_waits_longer_to_ten_minutes_and_ends_nobody() -> None:
    dying, _ = script(*[RuntimeError("dead")] * 20)
    pauses = Pauses(14)
    async with supervised(pauses) as tasks:
        other = tasks.start("other", asyncio.Event().wait)
        running = tasks.start("dying", dying)
        await pauses.over.wait()
        assert max(pauses.waits) == LONGEST_RETRY_S
        (state,) = tasks.failing()
        assert (state.failures, state.backoff.failures, state.reason) == (14, 14, "RuntimeError: dead")
        assert not other.done()
        running.cancel()
        other.cancel()


async def test_work_that_returns_is_over() -> None:
    work, calls = script(StoreError("the store failed", next_step="free some space"))
    pauses = Pauses(2)
    async with supervised(pauses) as tasks:
        await tasks.start("once", work)
        state = tasks.started()[0]
        assert (state.phase, state.failures, state.reason) == ("ended", 1, "the store failed (next: free some space)")
    assert calls == [0, 1]


async def test_work_without_an_end_is_well_again_after_a_while_and_its_next_failure_is_the_first() -> None:
    pauses = Pauses(3)
    die = asyncio.Event()
    started = asyncio.Event()
    lives = 0

    async def work() -> None:
        nonlocal lives
        lives += 1
        if lives == 3:
            started.set()
            await die.wait()
        raise FULL

    async with supervised(pauses) as tasks:
        running = tasks.start("endless", work)
        await started.wait()
        assert [one.name for one in tasks.failing()] == ["endless"]
        pauses.now_s += WELL_AFTER_S
        assert tasks.failing() == []
        die.set()
        await pauses.over.wait()
        assert pauses.waits == [1, 2, 1]
        running.cancel()
