"""Virtual boards of a host: a process that dies is started again; leaving starts nothing."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.programs.conftest import PaperTransport
from tests.stores import new_store

from microclaw.devices.registry.registry import Registry
from microclaw.devices.transports.open import open_transport
from microclaw.devices.virtual_boards.host_boards import VirtualBoards
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.errors import ConfigError, DeviceUnreachable, MicroclawError
from microclaw.hardware.parts.named_parts import parse_part_line, with_part, without_part
from microclaw.host.store.database import Database
from microclaw.host.store.devices import DeviceTable
from microclaw.wire.board_control import Info, SetSensor

LIMIT_S = 60
BUTTON = "btn1=button pin=7"


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[Registry]:
    numbers = itertools.count(1)
    async with (
        Database.open(new_store(tmp_path / "store.db")) as database,
        Registry(
            store=DeviceTable(database),
            open_transport=lambda endpoint, board: (
                PaperTransport(endpoint)
                if endpoint.startswith("link:")
                else open_transport(endpoint, board, lock_folder=tmp_path / "locks")
            ),
            mint_id=lambda: f"d-{next(numbers)}",
            now_ms=lambda: 0,
        ) as registry,
    ):
        yield registry


@dataclass
class Bench:
    """Real processes, counted; `refuse` makes the next ones of a board that there is none of."""

    devices: Registry
    ids: Path
    made: list[VirtualBoardProcess] = field(default_factory=list)
    filled: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    refuse: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def process(self, name: str) -> VirtualBoardProcess:
        self.news.set()
        board = "toaster" if self.refuse else "virtual"
        self.made.append(VirtualBoardProcess(name=name, board=board, serial="none"))
        return self.made[-1]

    async def put_back(self, device_id: str) -> None:
        self.filled.put_nowait(device_id)
        raise DeviceUnreachable("not yet")

    def boards(self, first_retry_s: float = 0.01) -> VirtualBoards:
        return VirtualBoards(
            self.devices, self.put_back, ids=self.ids, first_retry_s=first_retry_s, process=self.process
        )


@pytest.fixture
def bench(devices: Registry, tmp_path: Path) -> Bench:
    return Bench(devices, tmp_path / "ids.json")


async def test_a_board_that_dies_is_back_under_the_name_of_its_device(devices: Registry, bench: Bench) -> None:
    """Programs that cannot be put back do not end the watch, and a start that fails is tried again."""
    boards = bench.boards()
    async with boards.running(1) as (ready,), asyncio.timeout(LIMIT_S):
        device = devices.get("virtual-1")
        assert boards.standing() == {device.device_id: None}
        await devices.rename("virtual-1", "desk")
        os.kill(ready.pid, signal.SIGKILL)
        assert await bench.filled.get() == device.device_id
        assert devices.get("desk").endpoints == bench.made[1].ready.transports != ready.transports
        assert (await bench.made[1].control.request(Info())).pid == bench.made[1].ready.pid
        assert "ended 1 time" in str(boards.standing()[device.device_id])
        bench.refuse = True
        await bench.made[1].kill()
        while len(bench.made) < 4:
            bench.news.clear()
            await bench.news.wait()
        assert "is being started again" in str(boards.standing()[device.device_id])
        bench.refuse = False
        assert await bench.filled.get() == device.device_id
    assert [process.running for process in bench.made] == [False] * len(bench.made)


async def test_a_board_has_the_recorded_parts_at_each_start_and_after_each_change(
    devices: Registry, bench: Bench
) -> None:
    press = SetSensor("btn1", {"pressed": 1})
    async with bench.boards().running(1) as (ready,), asyncio.timeout(LIMIT_S):
        with pytest.raises(MicroclawError):
            await bench.made[0].control.request(press)
        await devices.change_wiring("virtual-1", lambda wiring: with_part(wiring, parse_part_line(BUTTON)))
        await bench.made[0].control.request(press)
        os.kill(ready.pid, signal.SIGKILL)
        await bench.filled.get()
        await bench.made[1].control.request(press)
    async with bench.boards().running(1), asyncio.timeout(LIMIT_S):
        await bench.made[2].control.request(press)
        await devices.change_wiring("virtual-1", lambda wiring: without_part(wiring, "btn1"))
        with pytest.raises(MicroclawError):
            await bench.made[2].control.request(press)


@pytest.mark.parametrize("why", ["it is removed", "the host ends"])
async def test_a_board_that_is_not_wanted_any_more_stays_off(devices: Registry, bench: Bench, why: str) -> None:
    boards = bench.boards(first_retry_s=0.01 if why == "it is removed" else LIMIT_S)
    async with boards.running(1), asyncio.timeout(LIMIT_S):
        [device_id] = boards.standing()
        if why == "it is removed":
            await devices.remove("virtual-1")
        await bench.made[0].kill()
        await bench.made[0].ended()
        await asyncio.sleep(0.2)
        assert boards.standing()[device_id] is not None
    assert len(bench.made) == 1


async def test_a_renamed_board_is_the_same_device_at_the_next_start(devices: Registry, bench: Bench) -> None:
    async with bench.boards().running(1):
        device = await devices.rename("virtual-1", "desk")
    async with bench.boards().running(2) as (first, second):
        assert [(one.name, one.endpoints) for one in devices.list()] == [
            ("desk", first.transports),
            ("virtual-2", second.transports),
        ]
        assert (devices.get("desk"), first.name) == (device, "desk")
        await devices.remove("desk")
    async with bench.boards().running(1) as (again,):
        assert devices.get("virtual-1").endpoints == again.transports


@pytest.mark.parametrize(
    ("board", "transport"), [("esp32-s3-devkitc-1-v1.1", "wasmachine://127.0.0.1:9"), ("virtual", "link:d-1")]
)
async def test_a_name_of_another_board_is_refused_and_no_process_stays(
    board: str, transport: str, devices: Registry, bench: Bench
) -> None:
    other = await devices.add("virtual-1", board, [transport])
    with pytest.raises(ConfigError):
        async with bench.boards().running(1):
            raise AssertionError("it ran")
    assert (other.endpoints, [process.running for process in bench.made]) == ((transport,), [False])
