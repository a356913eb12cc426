from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from microclaw.bus import Bus
from microclaw.errors import DeviceTimeout, DeviceUnreachable, Overloaded, UnknownName


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with Bus() as bus:
        yield bus


class Gate:
    """A handler that records what it was asked and answers when it is let."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, message: object) -> object:
        self.seen.append(message)
        self.entered.set()
        await self.go.wait()
        return ("answered", message)


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_request_is_answered_by_the_subjects_server(bus: Bus) -> None:
    async def double(message: int) -> int:
        return message * 2

    async with bus.serve("double", double):
        assert await bus.request("double", 21, 1.0) == 42


async def test_requests_of_one_subject_run_in_order_one_at_a_time(bus: Bus) -> None:
    running: list[int] = []
    ended: list[int] = []

    async def handler(message: int) -> None:
        running.append(message)
        assert len(running) == 1
        await settle()
        running.remove(message)
        ended.append(message)

    async with bus.serve("s", handler, depth=20):
        await asyncio.gather(*(bus.request("s", n, 5.0) for n in range(20)))
    assert ended == list(range(20))


async def test_subjects_do_not_wait_for_each_other(bus: Bus) -> None:
    gate = Gate()

    async def quick(message: object) -> str:
        return "quick"

    async with bus.serve("slow", gate), bus.serve("quick", quick), asyncio.TaskGroup() as group:
        slow = group.create_task(bus.request("slow", 1, 5.0))
        await gate.entered.wait()
        assert await bus.request("quick", 1, 1.0) == "quick"
        gate.go.set()
        assert await slow == ("answered", 1)


async def test_what_a_handler_raises_reaches_the_one_who_asked(bus: Bus) -> None:
    async def broken(message: object) -> None:
        raise ZeroDivisionError(message)

    async with bus.serve("s", broken):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="why"):
                await bus.request("s", "why", 1.0)


async def test_handlers_own_timeout_is_not_taken_for_the_buss(bus: Bus) -> None:
    async def broken(message: object) -> None:
        raise TimeoutError("mine")

    async with bus.serve("s", broken):
        with pytest.raises(TimeoutError, match="mine"):
            await bus.request("s", 1, 1.0)


async def test_full_queue_is_refused_with_numbers_and_a_next_step(bus: Bus) -> None:
    gate = Gate()
    async with bus.serve("s", gate, depth=2), asyncio.TaskGroup() as group:
        group.create_task(bus.request("s", 0, 5.0))
        await gate.entered.wait()
        waiting = [group.create_task(bus.request("s", n, 5.0)) for n in (1, 2)]
        await settle()
        with pytest.raises(Overloaded) as refused:
            await bus.request("s", 3, 5.0)
        assert refused.value.next_step is not None
        gate.go.set()
        assert await asyncio.gather(*waiting) == [("answered", 1), ("answered", 2)]
    assert gate.seen == [0, 1, 2]


async def test_unserved_device_is_unreachable_and_another_subject_unknown(bus: Bus) -> None:
    with pytest.raises(DeviceUnreachable) as unreachable:
        await bus.request("device.d1", 1, 1.0)
    assert unreachable.value.next_step is not None
    with pytest.raises(UnknownName):
        await bus.request("other", 1, 1.0)


async def test_started_request_that_times_out_has_an_unknown_outcome(bus: Bus) -> None:
    gate = Gate()
    async with bus.serve("s", gate):
        with pytest.raises(DeviceTimeout):
            await bus.request("s", 1, 0.01)
        gate.go.set()
        assert await bus.request("s", 2, 1.0) == ("answered", 2)


async def test_waiting_request_that_times_out_never_runs(bus: Bus) -> None:
    gate = Gate()
    async with bus.serve("s", gate, depth=1), asyncio.TaskGroup() as group:
        first = group.create_task(bus.request("s", 1, 5.0))
        await gate.entered.wait()
        with pytest.raises(DeviceTimeout):
            await bus.request("s", 2, 0.01)
        third = group.create_task(bus.request("s", 3, 1.0))
        await settle()
        gate.go.set()
        await first
        assert await third == ("answered", 3)
    assert gate.seen == [1, 3]


async def test_cancelled_waiting_request_never_runs_and_frees_its_place(bus: Bus) -> None:
    gate = Gate()
    async with bus.serve("s", gate, depth=1), asyncio.TaskGroup() as group:
        first = group.create_task(bus.request("s", 1, 5.0))
        await gate.entered.wait()
        second = group.create_task(bus.request("s", 2, 5.0))
        await settle()
        second.cancel()
        await asyncio.wait([second])
        third = group.create_task(bus.request("s", 3, 5.0))
        await settle()
        gate.go.set()
        assert await first == ("answered", 1)
        assert await third == ("answered", 3)
    assert gate.seen == [1, 3]


async def test_cancelled_running_request_runs_to_its_end(bus: Bus) -> None:
    gate = Gate()
    ended = asyncio.Event()

    async def handler(message: object) -> None:
        await gate(message)
        ended.set()

    async with bus.serve("s", handler), asyncio.TaskGroup() as group:
        task = group.create_task(bus.request("s", 1, 5.0))
        await gate.entered.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.go.set()
        await asyncio.wait_for(ended.wait(), 1.0)


async def test_failure_after_the_caller_left_is_logged(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    async def handler(message: object) -> None:
        entered.set()
        await go.wait()
        raise ZeroDivisionError("late")

    async def nothing(message: object) -> None: ...

    with caplog.at_level(logging.WARNING):
        async with bus.serve("s", handler):
            with pytest.raises(DeviceTimeout):
                await bus.request("s", 1, 0.01)
            go.set()
            with pytest.raises(ZeroDivisionError):
                await bus.request("s", 2, 1.0)
    assert caplog.records


async def test_leaving_the_block_refuses_running_and_waiting_requests(bus: Bus) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        async with bus.serve("device.d", gate):
            tasks = [group.create_task(_outcome(bus, n)) for n in (1, 2)]
            await gate.entered.wait()
            await settle()
        assert [type(await task) for task in tasks] == [DeviceUnreachable, DeviceUnreachable]
    with pytest.raises(DeviceUnreachable):
        await bus.request("device.d", 3, 1.0)


async def _outcome(bus: Bus, message: object) -> Exception | None:
    try:
        await bus.request("device.d", message, 5.0)
    except Exception as exc:
        return exc
    return None


async def test_leaving_the_bus_refuses_what_waits() -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        async with Bus() as bus:
            serving = bus.serve("device.d", gate)
            await serving.__aenter__()
            task = group.create_task(_outcome(bus, 1))
            await gate.entered.wait()
        assert isinstance(await task, DeviceUnreachable)
        await serving.__aexit__(None, None, None)


async def test_subject_has_one_server_and_can_be_served_again(bus: Bus) -> None:
    async with bus.serve("s", Gate()):
        with pytest.raises(RuntimeError, match="served already"):
            async with bus.serve("s", Gate()):
                pytest.fail("served twice")
    gate = Gate()
    gate.go.set()
    async with bus.serve("s", gate):
        assert await bus.request("s", 1, 1.0) == ("answered", 1)


async def test_handler_that_ends_as_cancelled_does_not_stop_the_server(bus: Bus) -> None:
    async def handler(message: object) -> object:
        if message == "bad":
            raise asyncio.CancelledError
        return message

    async with bus.serve("device.d", handler):
        with pytest.raises(DeviceUnreachable):
            await bus.request("device.d", "bad", 1.0)
        assert await bus.request("device.d", "good", 1.0) == "good"


async def test_closed_bus_serves_nothing() -> None:
    bus = Bus()
    with pytest.raises(RuntimeError, match="async with"):
        async with bus.serve("s", Gate()):
            pytest.fail("served outside of the block")
