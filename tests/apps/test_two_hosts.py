"""Two hosts, each with a store of its own, at one virtual board over its real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from microclaw.apps.building import cached_compiler
from microclaw.apps.changes import ChangeLog
from microclaw.apps.deploy import Deployer, DeployRequest
from microclaw.apps.installer import Installer
from microclaw.apps.reconciler import DeviceCheck, Reconciler
from microclaw.apps.trial import try_image
from microclaw.boards.reader import load_board
from microclaw.bus import Bus
from microclaw.devices.calls import AppList
from microclaw.devices.registry import Registry
from microclaw.events import Step
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.virtual_boards.trial_pool import TrialPool
from microclaw.wasm import BuildCache

OTHER = "something else manages this board"


class Host:
    """The parts of a host that put programs on boards; it knows the board by its WASMachine port alone."""

    def __init__(self, registry: Registry, table: AppTable, cache: Path, pool: TrialPool) -> None:
        change_log = ChangeLog(table)
        installer = Installer(change_log)
        self.registry = registry
        self.alarms: list[str] = []
        self.steps: list[Step] = []
        self.now_s = 100.0
        self.deployer = Deployer(
            devices=registry,
            change_log=change_log,
            installer=installer,
            compile=cached_compiler(BuildCache(cache)),
            try_image=partial(try_image, trial_pool=pool),
        )
        self.reconciler = Reconciler(
            devices=registry,
            change_log=change_log,
            installer=installer,
            report=self.steps.append,
            alarm=lambda _, text: self.alarms.append(text),
            monotonic_s=lambda: self.now_s,
        )

    async def deploy(self, name: str, pin: int) -> None:
        source = f"""
        #include "microclaw.h"
        static int led;
        static void toggle(void) {{ gpio_toggle(led); }}
        void on_init(void) {{ led = gpio_open({pin}, GPIO_OUT); every(200, toggle); }}
        """
        await self.deployer.deploy(DeployRequest("bench", name, source=source), self.steps.append)
        await self.let_go()

    async def remove(self, name: str) -> None:
        await self.deployer.remove("bench", name, self.steps.append)
        await self.let_go()

    async def check(self) -> DeviceCheck:
        self.now_s += 5
        found = await self.reconciler.check(self.registry.get("bench").device_id)
        await self.let_go()
        return found

    async def names(self) -> list[str]:
        listed = sorted(app.name for app in await self.registry.get("bench").call(AppList()))
        await self.let_go()
        return listed

    async def let_go(self) -> None:
        """The board serves one client at a time, and an idle connection is kept for two seconds."""
        await self.registry.get("bench").close()


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[VirtualBoardProcess]:
    async with VirtualBoardProcess(name="bench", serial="none", control=tmp_path / "control.sock") as running:
        yield running


@pytest.fixture
async def hosts(tmp_path: Path, build_cache: Path, board: VirtualBoardProcess) -> AsyncIterator[tuple[Host, Host]]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(TrialPool(load_board("virtual")))
        made: list[Host] = []
        for which in ("a", "b"):
            database = await stack.enter_async_context(Database.open(tmp_path / f"{which}.db"))
            registry = Registry(
                bus=await stack.enter_async_context(Bus()),
                store=DeviceTable(database),
                open_transport=partial(open_transport, lock_folder=tmp_path / "locks"),
                load_board=load_board,
                mint_id=partial(str, f"d-{which}"),
                now_ms=lambda: 0,
            )
            await stack.enter_async_context(registry)
            await registry.add("bench", "virtual", [f"wasmachine://127.0.0.1:{board.ready.wasmachine}"])
            made.append(Host(registry, AppTable(database), build_cache, pool))
        yield made[0], made[1]


async def test_two_hosts_do_not_fight_for_ever_and_both_are_told(hosts: tuple[Host, Host]) -> None:
    ours, theirs = hosts
    await ours.deploy("blink", 2)
    await ours.deploy("fade", 4)
    await ours.check()
    for put_back in (("blink",), ("blink",), ()):
        await theirs.remove("blink")
        assert (await ours.check()).put_back == put_back
        await ours.check()
    for _ in range(3):
        assert f"{OTHER}: blink was taken off again 2 times" in ((await ours.check()).problem or "")
        assert f"{OTHER}: blink was taken off 3 times here" in ((await theirs.check()).problem or "")
    assert await ours.names() == ["fade"]
    assert len(ours.alarms) == 1
    assert theirs.alarms


async def test_programs_that_a_restart_took_are_put_back_by_both(
    hosts: tuple[Host, Host], board: VirtualBoardProcess
) -> None:
    ours, theirs = hosts
    await ours.deploy("blink", 2)
    await theirs.deploy("fade", 4)
    for _ in range(2):
        await ours.check()
        await theirs.check()
        await board.control.power("cut")
        await board.control.power("on")
        assert (await theirs.check()).put_back == ("fade",)
        assert (await ours.check()).put_back == ("blink",)
        assert await ours.names() == ["blink", "fade"]
    assert ours.alarms + theirs.alarms == []
