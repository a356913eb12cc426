"""Work that takes the machine for a while, and an act on many devices, are done by few at a time, whoever asks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from microclaw.devices.registry.device import Device
from microclaw.errors import AppNotFound, DeviceTimeout, MicroclawError, Overloaded
from microclaw.host.operations.operation import Permission
from microclaw.programs.changes.many_boards import on_each, weigh_each
from microclaw.programs.changes.queues import Turns

EACH = 3
ALL = 10


async def test_one_persons_work_makes_neither_the_owner_nor_another_person_wait_long() -> None:
    turns = Turns(EACH, ALL, "wait")
    free = asyncio.Event()
    owners_began = asyncio.Event()
    began: list[str | None] = []

    async def one(person_id: str | None) -> None:
        with turns.place(person_id):
            async with turns.turn(person_id):
                began.append(person_id)
                if person_id == "owner":
                    owners_began.set()
                await free.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(EACH):
            group.create_task(one("gus"))
            await asyncio.sleep(0)
        for person_id in ("gus", "gus~read-only"):
            with pytest.raises(Overloaded), turns.place(person_id):
                pass
        group.create_task(one("mem"))
        await asyncio.sleep(0)
        group.create_task(one("owner"))
        await owners_began.wait()
        assert began == ["gus", "owner"]
        free.set()
    assert began[2] == "mem"  # before the others of gus


@pytest.mark.parametrize("nameless", [True, False])
async def test_places_are_bounded_and_a_cancelled_one_gives_its_own_back(nameless: bool) -> None:
    turns = Turns(EACH, ALL, "wait")
    names = [None if nameless else f"g-{number}" for number in range(ALL)]

    async def waiting(person_id: str | None) -> None:
        with turns.place(person_id):
            await asyncio.Event().wait()  # a place is held before its turn

    tasks = [asyncio.create_task(waiting(name)) for name in names]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded), turns.place(names[0] if nameless else "mem"):
        pass
    with turns.place("owner"):
        pass
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with turns.place("mem"):
        pass


async def test_an_act_on_many_runs_on_so_many_at_once_and_ends_when_it_is_cancelled() -> None:
    begun = asyncio.Event()
    ended = list[str]()
    running = list[str]()

    async def act(device: Device) -> None:
        running.append(device.name)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(device.name)

    devices = [cast(Device, SimpleNamespace(name=f"board-{number}")) for number in range(20)]
    work = asyncio.create_task(on_each(devices, act, parallel=3))
    await begun.wait()
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert sorted(ended) == running == ["board-0", "board-1", "board-2"], "no more than so many at once"


@pytest.mark.parametrize(
    ("errors", "needs"),
    [
        ((None, None), Permission.ACT),
        ((None, AppNotFound("it is not there")), Permission.ACT),
        ((None, DeviceTimeout("no answer")), Permission.RISKY),
    ],
)
async def test_a_board_that_cannot_say_makes_an_act_on_many_risky(
    errors: tuple[MicroclawError | None, ...], needs: Permission
) -> None:
    devices = [cast(Device, SimpleNamespace(name=f"board-{number}")) for number in range(len(errors))]

    async def weigh(device: Device) -> None:
        error = errors[devices.index(device)]
        if error is not None:
            raise error

    assert await weigh_each(devices, weigh, Permission.ACT) is needs
