from __future__ import annotations

import asyncio
from functools import partial

import pytest

from microclaw.devices.registry.request_queue import RequestQueue
from microclaw.errors import DeviceTimeout, DeviceUnreachable, Overloaded


@pytest.fixture
def queue() -> RequestQueue:
    return RequestQueue("d1", depth=2)


class Gate:
    """Work that records what it was asked and answers when it is let."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, number: int) -> int:
        self.seen.append(number)
        self.entered.set()
        await self.go.wait()
        self.ended.set()
        return number


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


# The work's own time-out is not the queue's, and what ends as cancelled does not end the queue.
@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError, asyncio.CancelledError])
async def test_what_a_request_raises_reaches_the_one_who_asked(queue: RequestQueue, error: type[BaseException]) -> None:
    async def broken() -> None:
        raise error("why")

    for _ in range(2):
        with pytest.raises(DeviceUnreachable if error is asyncio.CancelledError else error):
            await queue.run(broken, 1.0)


async def test_full_queue_is_refused_with_numbers_and_a_next_step(queue: RequestQueue) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(partial(gate, 0), 5.0))
        await gate.entered.wait()
        waiting = [group.create_task(queue.run(partial(gate, n), 5.0)) for n in (1, 2)]
        await settle()
        with pytest.raises(Overloaded) as refused:
            await queue.run(partial(gate, 3), 5.0)
        assert refused.value.next_step is not None
        gate.go.set()
        assert await asyncio.gather(*waiting) == [1, 2]
    assert gate.seen == [0, 1, 2]


async def test_started_request_that_times_out_has_an_unknown_outcome(queue: RequestQueue) -> None:
    gate = Gate()
    with pytest.raises(DeviceTimeout, match="unknown"):
        await queue.run(partial(gate, 1), 0.01)
    gate.go.set()
    assert await queue.run(partial(gate, 2), 1.0) == 2
    assert gate.seen == [1, 2]


async def test_waiting_request_that_is_given_up_never_runs_and_frees_its_place(queue: RequestQueue) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queue.run(partial(gate, 1), 5.0))
        await gate.entered.wait()
        with pytest.raises(DeviceTimeout, match="not sent"):
            await queue.run(partial(gate, 2), 0.01)
        cancelled = group.create_task(queue.run(partial(gate, 3), 5.0))
        await settle()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        last = [group.create_task(queue.run(partial(gate, n), 5.0)) for n in (4, 5)]
        await settle()
        gate.go.set()
        assert await asyncio.gather(first, *last) == [1, 4, 5]
    assert gate.seen == [1, 4, 5]


async def test_running_request_whose_caller_left_runs_to_its_end(queue: RequestQueue) -> None:
    gate = Gate()
    asking = asyncio.create_task(queue.run(partial(gate, 1), 5.0))
    await gate.entered.wait()
    asking.cancel()
    await asyncio.wait([asking])
    gate.go.set()
    assert await queue.run(partial(gate, 2), 1.0) == 2
    assert (gate.ended.is_set(), gate.seen) == (True, [1, 2])


async def test_closing_ends_what_runs_and_refuses_what_waits_and_what_comes(queue: RequestQueue) -> None:
    gate = Gate()
    tasks = [asyncio.create_task(queue.run(partial(gate, n), 5.0)) for n in (1, 2)]
    await gate.entered.wait()
    await settle()
    await queue.close()
    outcomes = await asyncio.gather(*tasks, queue.run(partial(gate, 3), 5.0), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DeviceUnreachable] * 3
    assert gate.seen == [1]


async def test_few_requests_run_at_once_and_closing_ends_each() -> None:
    queue = RequestQueue("d1", depth=2, at_once=2)
    gate = Gate()
    tasks = [asyncio.create_task(queue.run(partial(gate, n), 5.0)) for n in (1, 2, 3, 4)]
    await settle()
    assert gate.seen == [1, 2]
    with pytest.raises(Overloaded):
        await queue.run(partial(gate, 5), 5.0)
    tasks[0].cancel()
    gate.go.set()
    assert await asyncio.gather(*tasks[1:]) == [2, 3, 4]
    gate.go.clear()
    tasks = [asyncio.create_task(queue.run(partial(gate, n), 5.0)) for n in (6, 7, 8)]
    await settle()
    await queue.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DeviceUnreachable] * 3
