"""The explorer on virtual boards with lesser and richer firmware, and what it does when it cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.stores import new_store

from microclaw.apps.building import cached_compiler
from microclaw.apps.change_log import ChangeLog
from microclaw.apps.deploy import Deployer
from microclaw.apps.explorer import EXPLORER, Explorer, description_of, unknown_of
from microclaw.apps.explorer_program import NODES, TRIED, read_findings
from microclaw.apps.installer import Installer
from microclaw.apps.trial import try_image
from microclaw.boards.firmware import parse_firmware
from microclaw.boards.reader import load_board
from microclaw.bus import Bus
from microclaw.devices.calls import AppInstall, AppList
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import DeviceUnreachable, MicroclawError, ProtocolError, TooManyApps
from microclaw.events import Step
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.wasm import BuildCache, compile_module

STOCK = load_board("virtual")
TIMER = '#include "microclaw.h"\nstatic void tick(void) { }\nvoid on_init(void) { every(100, tick); }\n'


@dataclass
class Bench:
    """One virtual board named bench, over WASMachine alone, and the parts of a host."""

    board: VirtualBoardProcess
    device: Device
    registry: Registry
    explorer: Explorer
    deployer: Deployer
    change_log: ChangeLog
    cache: BuildCache
    steps: list[Step]

    async def names(self) -> list[str]:
        return sorted(app.name for app in await self.device.call(AppList()))

    async def install(self, *names: str) -> None:
        image = await compile_module(TIMER, STOCK, cache=self.cache)
        for name in names:
            await self.device.call(AppInstall(name, image.wasm))


@asynccontextmanager
async def bench_with(tmp_path: Path, build_cache: Path, *firmware: str) -> AsyncIterator[Bench]:
    async with (
        Database.open(new_store(tmp_path / "store.db")) as database,
        VirtualBoardProcess(name="bench", serial="none", control=tmp_path / "c.sock", firmware=firmware) as board,
        Bus() as bus,
        Registry(
            bus=bus,
            store=DeviceTable(database),
            open_transport=partial(open_transport, lock_folder=tmp_path / "locks"),
            mint_id=lambda: "d-1",
            now_ms=lambda: 0,
        ) as registry,
    ):
        device = await registry.add("bench", "virtual", board.ready.transports[:1])
        change_log, cache = ChangeLog(database), BuildCache(build_cache)
        installer, compile_source = Installer(registry, change_log), cached_compiler(cache)
        explorer = Explorer(installer, compile_source)
        deployer = Deployer(installer, compile=compile_source, try_image=try_image)
        yield Bench(board, device, registry, explorer, deployer, change_log, cache, [])


async def test_what_the_firmware_has_and_lacks_is_found_while_other_programs_run(
    tmp_path: Path, build_cache: Path
) -> None:
    async with bench_with(tmp_path, build_cache, "nodes=-i2c,+uart", "natives=-usleep,-strdup") as bench:
        await bench.install("one", "two")
        found = await bench.explorer.explore("bench", bench.steps.append)
        assert found.findings.nodes == {"gpio", "ledc", "uart"}
        assert found.findings.lacking_nodes == {"i2c", "spi"}
        assert found.findings.lacking_natives == {"usleep", "strdup", "pthread_self", "__pthread_self"}
        assert found.words == ("nodes=+uart,-i2c", "natives=-strdup,-usleep")
        assert await bench.names() == ["one", "two"]
        (change,) = await bench.change_log.changes()
        assert (change.kind, change.state) == ("app.explore", "done")


async def test_board_without_espressifs_extensions_is_found_out(tmp_path: Path, build_cache: Path) -> None:
    async with bench_with(tmp_path, build_cache, "plain") as bench:
        found = await bench.explorer.explore("bench", bench.steps.append)
        described = parse_firmware(found.words).applied(STOCK).firmware
        not_found_out = {"mqtt", "http"}  # to call them is to use them: they stay as the profile has them
        assert described.native_groups - not_found_out == {"libc_builtin", "app_framework"}
        assert described.device_nodes == set()


async def test_full_board_is_left_alone_with_the_reason(tmp_path: Path, build_cache: Path) -> None:
    async with bench_with(tmp_path, build_cache) as bench:
        await bench.registry.describe_firmware("bench", parse_firmware(["max_apps=2"]))
        await bench.install("one", "two")
        with pytest.raises(TooManyApps):
            await bench.explorer.explore("bench", bench.steps.append)
        assert await bench.names() == ["one", "two"]
        assert await bench.change_log.changes() == ()


async def test_explorer_that_a_dead_host_left_is_taken_off_by_the_next(tmp_path: Path, build_cache: Path) -> None:
    async with bench_with(tmp_path, build_cache) as bench:
        await bench.install("one")
        arrived, never = asyncio.Event(), asyncio.Event()

        async def dies(_seconds: float) -> None:
            arrived.set()
            await never.wait()

        lost = Explorer(Installer(bench.registry, bench.change_log), cached_compiler(bench.cache), sleep=dies)
        exploring = asyncio.create_task(lost.explore("bench", bench.steps.append), name="lost")
        await arrived.wait()
        assert await bench.names() == [EXPLORER, "one"]
        lines = await bench.deployer.recover()  # what the next host does at its start
        assert lines == (f"change 1 (explore bench) was cut short: {EXPLORER} was still on bench and is off now",)
        assert await bench.names() == ["one"]
        assert await bench.change_log.unfinished() == []
        exploring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exploring


async def test_board_that_goes_away_leaves_the_change_open(tmp_path: Path, build_cache: Path) -> None:
    async with bench_with(tmp_path, build_cache) as bench:

        async def cut(_seconds: float) -> None:
            await bench.board.kill()

        lost = Explorer(Installer(bench.registry, bench.change_log), cached_compiler(bench.cache), sleep=cut)
        with pytest.raises(MicroclawError) as failed:
            await lost.explore("bench", bench.steps.append)
        assert isinstance(failed.value, DeviceUnreachable)
        assert [change.kind for change in await bench.change_log.unfinished()] == ["app.explore"]


def answer(natives: dict[str, str], nodes: dict[str, str]) -> str:
    return "".join((*(natives.get(name, "y") for name in TRIED), *(nodes.get(node, "y") for node in NODES)))


def test_answer_of_another_length_or_with_other_marks_is_refused() -> None:
    for wrong in (None, "", "y", answer({}, {})[:-1] + "z", 5):
        with pytest.raises(ProtocolError):
            read_findings(wrong)


def test_device_file_with_another_error_is_not_known() -> None:
    findings = read_findings(answer({}, {"i2c": "?"}))
    assert "i2c" not in findings.nodes | findings.lacking_nodes
    assert any("device files i2c" in line for line in unknown_of(findings))
    assert description_of(findings, STOCK, STOCK).nodes.removed == set()
