"""The explorer on virtual boards with lesser and richer firmware, and what it does when it cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.apps.conftest import Bench, opened_bench

from microclaw.apps.act_results import Explored
from microclaw.apps.explorer import EXPLORER, Explorer, description_of, unknown_of
from microclaw.apps.explorer_program import NODES, TRIED, read_findings
from microclaw.boards.firmware import parse_firmware
from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppInstall
from microclaw.errors import DeviceUnreachable, ProtocolError, TooManyApps
from microclaw.wasm.compile import compile_module

STOCK = load_board("virtual")
TIMER = '#include "microclaw.h"\nstatic void tick(void) { }\nvoid on_init(void) { every(100, tick); }\n'


async def explore(bench: Bench, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Explored:
    return await Explorer(bench.installer, bench.compile, sleep=sleep).explore("board-1", bench.steps.append)


async def install(bench: Bench, *names: str) -> None:
    image = await compile_module(TIMER, STOCK, cache=bench.cache)
    for name in names:
        await bench.device.call(AppInstall(name, image.wasm))


async def test_what_the_firmware_has_and_lacks_is_found_while_other_programs_run(
    tmp_path: Path, build_cache: Path
) -> None:
    async with opened_bench(tmp_path, build_cache, "nodes=-i2c,+uart", "natives=-usleep,-strdup") as bench:
        await install(bench, "one", "two")
        found = await explore(bench)
        assert found.nodes == ["gpio", "ledc", "uart"]
        assert found.lacking_nodes == ["i2c", "spi"]
        assert found.lacking_natives == ["__pthread_self", "pthread_self", "strdup", "usleep"]
        assert found.firmware == ["nodes=+uart,-i2c", "natives=-strdup,-usleep"]
        assert await bench.names() == ["one", "two"]
        (change,) = await bench.change_log.changes()
        assert (change.kind, change.state) == ("app.explore", "done")


async def test_board_without_espressifs_extensions_is_found_out(tmp_path: Path, build_cache: Path) -> None:
    async with opened_bench(tmp_path, build_cache, "plain") as bench:
        found = await explore(bench)
        described = parse_firmware(found.firmware).applied(STOCK).firmware
        not_found_out = {"mqtt", "http"}  # to call them is to use them: they stay as the profile has them
        assert described.native_groups - not_found_out == {"libc_builtin", "app_framework"}
        assert described.device_nodes == set()


async def test_full_board_is_left_alone_with_the_reason(bench: Bench) -> None:
    await bench.registry.describe_firmware("board-1", parse_firmware(["max_apps=2"]))
    await install(bench, "one", "two")
    with pytest.raises(TooManyApps):
        await explore(bench)
    assert (await bench.names(), await bench.states()) == (["one", "two"], [])


async def test_explorer_that_a_dead_host_left_is_taken_off_by_the_next(bench: Bench) -> None:
    await install(bench, "one")
    arrived, never = asyncio.Event(), asyncio.Event()

    async def dies(_seconds: float) -> None:
        arrived.set()
        await never.wait()

    exploring = asyncio.create_task(explore(bench, dies), name="lost")
    await arrived.wait()
    assert await bench.names() == [EXPLORER, "one"]
    bench.rebuild()
    await bench.reconciler.check_due()  # as the next host does at its start
    assert await bench.names() == ["one"]
    assert await bench.change_log.unfinished() == []
    exploring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exploring


async def test_board_that_goes_away_leaves_the_change_open(bench: Bench) -> None:
    async def cut(_seconds: float) -> None:
        await bench.board.kill()

    with pytest.raises(DeviceUnreachable):
        await explore(bench, cut)
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
