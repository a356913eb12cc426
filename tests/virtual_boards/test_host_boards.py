"""Virtual boards of a host: a process that dies is started again, a few times; leaving starts nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from microclaw.api.host import Host
from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.virtual_boards.host_boards import BoardStanding, RestartLimits, VirtualBoards
from microclaw.virtual_boards.process import VirtualBoardProcess

LIMIT_S = 30
QUICK = RestartLimits(restarts=2, pause_s=0.01)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with running_host(load_settings({}, home=tmp_path / "home", http_port=None)) as host:
        yield host


@dataclass
class Bench:
    """Real processes, counted; `refuse` makes the next ones of a board that there is none of."""

    host: Host
    made: list[VirtualBoardProcess] = field(default_factory=list)
    filled: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    refuse: bool = False

    def process(self, name: str) -> VirtualBoardProcess:
        board = "toaster" if self.refuse else "virtual"
        self.made.append(VirtualBoardProcess(name=name, board=board, serial="none"))
        return self.made[-1]

    async def put_back(self, device_id: str) -> None:
        self.filled.put_nowait(device_id)
        raise DeviceUnreachable("not yet")

    def boards(self, limits: RestartLimits = QUICK) -> VirtualBoards:
        ids = self.host.settings.home / "ids.json"
        return VirtualBoards(self.host.devices, self.put_back, ids=ids, limits=limits, process=self.process)


@pytest.fixture
def bench(host: Host) -> Bench:
    return Bench(host)


class Said(logging.Handler):
    """The host's log of its boards."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.put_nowait(record.getMessage())

    async def until(self, words: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while words not in await self.lines.get():
                pass


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    handler = Said()
    logger = logging.getLogger("microclaw.virtual_boards.host_boards")
    with caplog.at_level(logging.INFO, logger.name):
        logger.addHandler(handler)
        yield handler
        logger.removeHandler(handler)


async def test_a_board_that_dies_is_back_under_the_name_of_its_device_until_it_died_too_often(
    host: Host, bench: Bench, said: Said
) -> None:
    """Programs that cannot be put back do not end the watch, and a start that fails counts as an end."""
    boards = bench.boards()
    async with boards.running(1) as (ready,), asyncio.timeout(LIMIT_S):
        device = host.devices.get("virtual-1")
        assert boards.standing() == {device.device_id: BoardStanding()}
        await host.devices.rename("virtual-1", "desk")
        os.kill(ready.pid, signal.SIGKILL)
        assert await bench.filled.get() == device.device_id
        assert host.devices.get("desk").endpoints == bench.made[1].ready.transports != ready.transports
        assert (await bench.made[1].control.info()).pid == bench.made[1].ready.pid
        [standing] = boards.standing().values()
        assert (standing.state, standing.restarts, standing.reason) == ("running", 1, "SIGKILL")
        bench.refuse = True
        await bench.made[1].kill()
        await said.until("is not started again")
        [standing] = boards.standing().values()
        assert (standing.state, len(bench.made)) == ("failed", 3)
    assert [process.running for process in bench.made] == [False] * 3


async def test_ends_of_long_ago_do_not_count(bench: Bench) -> None:
    boards = bench.boards(RestartLimits(restarts=1, window_s=0.0, pause_s=0.01))
    async with boards.running(1):
        for number in (1, 2, 3):
            await bench.made[-1].kill()
            async with asyncio.timeout(LIMIT_S):
                await bench.filled.get()
            assert [standing.restarts for standing in boards.standing().values()] == [number]


@pytest.mark.parametrize("why", ["it is removed", "the host ends"])
async def test_a_board_that_is_not_wanted_any_more_stays_off(host: Host, bench: Bench, said: Said, why: str) -> None:
    boards = bench.boards(RestartLimits(pause_s=0.01 if why == "it is removed" else LIMIT_S))
    async with boards.running(1):
        if why == "it is removed":
            await host.devices.remove("virtual-1")
        await bench.made[0].kill()
        await said.until("is no device of this host any more" if why == "it is removed" else "ended (SIGKILL)")
    assert len(bench.made) == 1


async def test_a_renamed_board_is_the_same_device_at_the_next_start(host: Host, bench: Bench) -> None:
    async with bench.boards().running(1):
        device = await host.devices.rename("virtual-1", "desk")
    async with bench.boards().running(2) as (first, second):
        assert [(one.name, one.endpoints) for one in host.devices.list()] == [
            ("desk", first.transports),
            ("virtual-2", second.transports),
        ]
        assert (host.devices.get("desk"), first.name) == (device, "desk")
        await host.devices.remove("desk")
    async with bench.boards().running(1) as (again,):
        assert host.devices.get("virtual-1").endpoints == again.transports


@pytest.mark.parametrize(
    ("board", "transport"), [("esp32-s3-devkitc-1-v1.1", "wasmachine://127.0.0.1:9"), ("virtual", "link:d-1")]
)
async def test_a_name_of_another_board_is_refused_and_no_process_stays(
    board: str, transport: str, host: Host, bench: Bench
) -> None:
    other = await host.devices.add("virtual-1", board, [transport])
    with pytest.raises(ConfigError):
        async with bench.boards().running(1):
            raise AssertionError("it ran")
    assert (other.endpoints, [process.running for process in bench.made]) == ((transport,), [False])
