"""From C source to edges counted on a virtual board, a process of its own, over its real sockets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from microclaw.apps.building import cached_compiler
from microclaw.apps.change_log import ChangeLog, made_by
from microclaw.apps.changes import ProgramChanges
from microclaw.apps.deploy import Deployer
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.installer import Installer
from microclaw.apps.reconciler import Reconciler
from microclaw.apps.silence import SilenceExplainer
from microclaw.apps.trial import try_image
from microclaw.apps.undo import Undo, UndoChoice
from microclaw.auth.gate import Gate
from microclaw.boards.reader import load_board
from microclaw.bus import Bus
from microclaw.devices.calls import AppList, GpioGet, GpioSet
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import DeviceError, TooManyApps, UndoIncomplete
from microclaw.events import Step
from microclaw.store.database import Database
from microclaw.store.devices import DeviceTable
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.process import VirtualBoardProcess
from microclaw.virtual_boards.trial_pool import TrialPool
from microclaw.wasm import BuildCache
from microclaw.wire import board_control as wire


def blink_source(pin: int = 2, half_period_ms: int = 200) -> str:
    return f"""
    #include "microclaw.h"
    static int led;
    static void toggle(void) {{ gpio_toggle(led); }}
    void on_init(void) {{ led = gpio_open({pin}, GPIO_OUT); gpio_set(led, 1); every({half_period_ms}, toggle); }}
    """


class Bench:
    """A host's apps stage with one real virtual board named board-1."""

    def __init__(
        self, board: VirtualBoardProcess, registry: Registry, database: Database, cache: Path, trial_pool: TrialPool
    ) -> None:
        self.board, self.registry, self.database = board, registry, database
        self._cache, self._standby = cache, trial_pool
        self.steps: list[Step] = []
        self.change_log = ChangeLog(database)
        self.deployer = self.deployer_over(self.change_log)
        registry.explain_silence = SilenceExplainer(self.change_log).explain
        self.direct_io = DirectIo(Installer(registry, self.change_log))
        self.changes = ProgramChanges(Installer(registry, self.change_log), self.deployer)
        self.undo = Undo(
            Installer(registry, self.change_log),
            changes=self.changes,
            direct_io=self.direct_io,
            gate=Gate(),
        )
        self.reconciler = Reconciler(Installer(registry, self.change_log), report=self.steps.append)

    def deployer_over(self, change_log: ChangeLog) -> Deployer:
        return Deployer(
            Installer(self.registry, change_log),
            compile=cached_compiler(BuildCache(self._cache)),
            try_image=partial(try_image, trial_pool=self._standby),
        )

    @property
    def device(self) -> Device:
        return self.registry.get("board-1")

    async def deploy(self, name: str = "blink", source: str | None = None, pin: int = 2) -> int:
        request = ChangeRequest("board-1", name, source=source or blink_source(pin))
        done = await self.deployer.deploy(request, self.steps.append)
        assert done.evidence.kind == "counted", done.evidence.text
        return done.change_id

    async def names(self) -> list[str]:
        return sorted(app.name for app in await self.device.call(AppList()))


@pytest.fixture
async def trial_pool() -> AsyncIterator[TrialPool]:
    async with TrialPool(load_board("virtual")) as warm:
        yield warm


@pytest.fixture
async def bench(tmp_path: Path, build_cache: Path, trial_pool: TrialPool) -> AsyncIterator[Bench]:
    async with (
        Database.open(tmp_path / "store.db") as database,
        VirtualBoardProcess(name="board-1", serial=0, control=tmp_path / "control.sock") as board,
        Bus() as bus,
        Registry(
            bus=bus,
            store=DeviceTable(database),
            open_transport=partial(open_transport, lock_folder=tmp_path / "locks"),
            mint_id=lambda: "d-1",
            now_ms=lambda: 0,
        ) as registry,
    ):
        await registry.add("board-1", "virtual", board.ready.transports)
        yield Bench(board, registry, database, build_cache, trial_pool)


async def edges_seen(bench: Bench, pin: int, count: int) -> list[float]:
    """Times of the next `count` edges on a pin, as the board counts them."""
    cursor = (await bench.board.control.edges()).cursor
    seen: list[float] = []
    async with asyncio.timeout(60):
        while len(seen) < count:
            seen = [edge.t_ms for edge in (await bench.board.control.edges(cursor)).edges if edge.pin == pin]
    return seen[:count]


async def test_a_program_is_compiled_tried_deployed_and_counted(bench: Bench) -> None:
    done = await bench.deployer.deploy(ChangeRequest("board-1", "blink", source=blink_source()), bench.steps.append)
    assert done.verified
    assert done.evidence.kind == "counted"
    assert [edge.pin for edge in done.evidence.edges] == [2, 2]
    stages = [(step.stage, step.state) for step in bench.steps if step.state != "running"]
    assert stages == [(stage, "done") for stage in ("compile", "check", "try", "deploy", "verify")]
    port = bench.board.ready.wasmachine
    assert bench.steps[-2].text == f"blink -> board-1 (WASMachine, tcp :{port}), accepted"
    seen = await edges_seen(bench, 2, 4)
    assert sorted(b - a for a, b in itertools.pairwise(seen))[1] == pytest.approx(200, rel=0.5)


async def test_a_level_that_a_former_program_left_is_no_edge_of_the_next(bench: Bench) -> None:
    source = """
    #include "microclaw.h"
    int main(void) { int led = gpio_open(13, GPIO_OUT); for (;;) { gpio_toggle(led); delay(200); } }
    """
    await bench.direct_io.act("board-1", GpioSet(13, 1))  # what opening the pin brings back
    done = await bench.deployer.deploy(ChangeRequest("board-1", "toggles", source=source), bench.steps.append)
    assert (done.verified, done.evidence.kind) == (True, "counted")
    await bench.changes.apply(ChangeRequest("board-1", "toggles", "uninstall"), bench.steps.append)
    for _ in range(3):
        done = await bench.deployer.deploy(ChangeRequest("board-1", "toggles", source=source), bench.steps.append)
        assert done.verified, done.evidence.text


async def test_a_fade_is_counted_by_its_duties(bench: Bench) -> None:
    source = """
    #include "microclaw.h"
    static int led, duty;
    static void brighter(void) { pwm_set(led, duty += 10); }
    void on_init(void) { led = pwm_open(5, 5000); every(50, brighter); }
    """
    done = await bench.deployer.deploy(ChangeRequest("board-1", "fade", source=source), bench.steps.append)
    assert done.verified
    assert done.evidence.kind == "counted"
    assert "10, 20" in done.evidence.text


async def test_after_a_power_cut_the_reconciler_puts_the_app_back_with_the_same_edges(bench: Bench) -> None:
    await bench.deploy()
    await bench.board.control.power("cut")
    off = await bench.reconciler.check("d-1")
    assert off.unreachable_since_ms is not None
    await bench.board.control.power("on")
    back = await bench.reconciler.check("d-1")
    assert back.put_back == ("blink",)
    assert back.unreachable_since_ms is None
    seen = await edges_seen(bench, 2, 4)
    assert sorted(b - a for a, b in itertools.pairwise(seen))[1] == pytest.approx(200, rel=0.5)


async def test_three_apps_run_a_fourth_is_refused_and_removed_ones_stand_still(bench: Bench) -> None:
    pins = {"one": 4, "two": 5, "three": 6}
    for name, pin in pins.items():
        await bench.deploy(name, pin=pin)
    with pytest.raises(TooManyApps):
        await bench.deploy("four", pin=7)
    assert await bench.names() == ["one", "three", "two"]
    for pin in pins.values():  # all three go on, side by side
        await edges_seen(bench, pin, 2)
    for name in pins:
        await bench.changes.apply(ChangeRequest("board-1", name, "uninstall"), bench.steps.append)
    removed_ms = (await bench.board.control.info()).now_ms
    await bench.deploy("four", pin=7)
    await edges_seen(bench, 7, 4)  # longer than the others' period
    moved = {edge.pin for edge in (await bench.board.control.edges()).edges if edge.t_ms > removed_ms}
    assert moved == {7}


@pytest.mark.parametrize("after_bytes", [90, 600, 1500])
async def test_a_connection_lost_mid_install_leaves_nothing_undecided(bench: Bench, after_bytes: int) -> None:
    await bench.names()  # the connection is open from here on
    await bench.board.control.request(wire.Fault("cut", 1, after_bytes))
    with pytest.raises(DeviceError):
        await bench.deploy()
    kept = await bench.reconciler.check("d-1")
    assert kept.problem is None
    assert await bench.change_log.unfinished() == []
    listed = await bench.names()
    assert [app.name for app in await bench.change_log.desired()] == listed


class DyingLedger(ChangeLog):
    """The host's process ends just before it can note that a change is done."""

    async def complete(self, change_id: int) -> None:
        raise KeyboardInterrupt


async def test_a_host_that_crashed_after_the_install_finds_the_truth(bench: Bench) -> None:
    dying = bench.deployer_over(DyingLedger(bench.database))
    with pytest.raises(KeyboardInterrupt):
        await dying.deploy(ChangeRequest("board-1", "blink", source=blink_source()), bench.steps.append)
    assert await bench.change_log.desired() == ()
    [_told] = await bench.deployer.recover()
    assert [app.name for app in await bench.change_log.desired()] == ["blink"]


async def test_a_board_that_restarted_gets_no_level_of_before_back(bench: Bench) -> None:
    await bench.direct_io.act("board-1", GpioSet(4, 1))
    with made_by("m1"):
        await bench.direct_io.act("board-1", GpioSet(4, 0))
        await bench.deploy()
    await bench.board.control.power("cut")
    await bench.board.control.power("on")
    await bench.reconciler.check("d-1")
    with pytest.raises(UndoIncomplete):
        await bench.undo.undo(UndoChoice("owner"), bench.steps.append)
    assert (await bench.device.call(GpioGet(4))).level == 0
    assert await bench.names() == []


async def test_an_expectation_is_met_in_the_trial_and_seen_on_the_board(bench: Bench) -> None:
    asked = parse_expectations("pin 2: period 400 ms, duty 50 %")
    right = ChangeRequest("board-1", "blink", source=blink_source(), expectations=asked)
    done = await bench.deployer.deploy(right, bench.steps.append)
    assert [result.answer for result in done.expected] == ["seen on the board"]
