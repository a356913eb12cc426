"""Two hosts of a cluster that change one device: each with its own parts and its copy of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.host.cluster.hosts import Leases, Seat
from tests.host.store.two_hosts import hold_news, two_hosts
from tests.programs.conftest import Lab, PaperTransport

from microclaw.devices.registry.calls import GpioSet
from microclaw.devices.registry.registry import Registry
from microclaw.errors import DeployRejected, DeviceBusy
from microclaw.host.operations.operation import Permission
from microclaw.host.store.devices import DeviceTable
from microclaw.host.store.postgres import SharedDatabase
from microclaw.host.store.schedules import Every, Schedule, SchedulePrompt, ScheduleTable
from microclaw.programs.changes.change_log import ChangeLog, SetLevel
from microclaw.programs.changes.undo import UndoChoice


@pytest.fixture
async def copies(database_url: str) -> AsyncIterator[tuple[SharedDatabase, SharedDatabase]]:
    async with two_hosts(database_url) as copies:
        yield copies


@pytest.fixture
async def labs(copies: tuple[SharedDatabase, SharedDatabase]) -> AsyncIterator[tuple[Lab, Lab]]:
    transport = PaperTransport("paper:1")
    made = list[Lab]()
    async with AsyncExitStack() as stack:
        for host_id, copy in zip("ab", copies, strict=True):
            registry = Registry(
                store=DeviceTable(copy),
                open_transport=lambda endpoint, board: transport,
                mint_id=lambda: "d1",
                now_ms=lambda: 0,
            )
            await stack.enter_async_context(registry)
            if not made:
                await registry.add("paper", "virtual", ["paper:1"])
            made.append(Lab(registry, ChangeLog(copy, fleet=Seat(host_id, Leases())), transport))
        yield made[0], made[1]


async def test_of_undos_at_two_hosts_at_once_one_takes_the_change_back(
    labs: tuple[Lab, Lab], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, _ = labs
    change = await here.direct_io.act("paper", GpioSet(4, 1))
    choice = UndoChoice("owner", change_id=change.change_id)
    for copy in copies:
        hold_news(copy)
    found = await asyncio.gather(*(lab.undo.undo(choice, lab.steps.append) for lab in labs), return_exceptions=True)
    (done,) = [one for one in found if not isinstance(one, BaseException)]
    (refused,) = [one for one in found if isinstance(one, DeployRejected)]
    assert f"was undone already, by change {done.taken[0].by}" in refused.message
    assert here.transport.levels[4] == 0
    changes = await here.change_log.changes()
    assert [one.undoes for one in changes] == [change.change_id, None]


async def test_a_pin_waits_for_another_hosts_change_of_the_device(
    labs: tuple[Lab, Lab], copies: tuple[SharedDatabase, SharedDatabase]
) -> None:
    here, there = labs
    busy = await here.change_log.plan("d1", "gpio.set", "set pin 4 high", SetLevel(4, 1), SetLevel(4, 0))
    setting = asyncio.create_task(there.direct_io.act("paper", GpioSet(4, 0)))
    here.transport.levels[4] = 1
    await here.change_log.end(busy, "done")
    change = await there.change_log.change((await setting).change_id)
    assert change.inverse == SetLevel(4, 1), "what was there after the other host's change"


async def test_a_level_that_another_host_set_meanwhile_is_looked_at_anew(labs: tuple[Lab, Lab]) -> None:
    here, there = labs
    seen = await here.change_log.plan("d1", "gpio.set", "set pin 5 high", SetLevel(5, 1), SetLevel(5, 0))
    await here.change_log.end(seen, "done")
    with pytest.raises(DeviceBusy):
        await there.change_log.plan("d1", "gpio.set", "set pin 5 low", SetLevel(5, 0), SetLevel(5, 0), seen=seen - 1)
    assert await there.change_log.plan("d1", "gpio.set", "set pin 5 low", SetLevel(5, 0), SetLevel(5, 1), seen=seen)


async def test_a_schedule_that_two_hosts_remove_at_once_is_removed_once(
    copies: tuple[SharedDatabase, SharedDatabase],
) -> None:
    tables = [ScheduleTable(copy) for copy in copies]
    number = await tables[0].add(
        Schedule(
            "every 1h",
            "look",
            Every(1, 0),
            SchedulePrompt("look"),
            "owner",
            "api",
            "c",
            None,
            "skip",
            Permission.READ,
            1,
        )
    )
    for copy in copies:
        hold_news(copy)
    assert sorted(await asyncio.gather(*(table.remove(number) for table in tables))) == [False, True]
