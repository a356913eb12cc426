"""Natives called with anything: the app may trap or crash its board, the virtual board itself must not err."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest
import wasmtime
from tests.virtual.natives.conftest import CBench, MakeBench

from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.natives import NATIVES, NativeGroup
from microclaw.virtual.clock import Clock
from microclaw.virtual.firmware.app_loader import HANDLERS
from microclaw.virtual.runtime.binding import bind
from microclaw.virtual.runtime.memory import BoardCrash, WasmTrap
from microclaw.wire.wasmachine.ioctl import IoctlCommand

ROUNDS = 300
TIMEOUT_S = 60.0
ADDRESSES = [0, 1, 1024, 1040, 1100, 2000, 65_530, 65_535, 65_536, 131_071, 0x7FFFFFFF, -1, -65_536]
MODULE = """(module (memory (export "memory") 1) (func (export "on_init"))
  (data (i32.const 1024) "/dev/gpio/4\\00\\00\\00\\00/storage/a\\00%s %5.3d %lld %f %%\\00")
  (data (i32.const 1100) "\\01\\00\\00\\00\\03\\00\\00\\00\\03\\00\\00\\00\\01\\00\\04\\00\\00\\08\\00\\00")
  (data (i32.const 1120) "\\01\\00\\02\\00\\00\\08\\00\\00"))"""


def test_every_native_that_the_board_offers_has_an_implementation() -> None:
    offered = {group.replace("-", "_") for group in load_board("virtual").firmware.native_groups}
    assert offered <= {group.value for group in NativeGroup}
    assert {native.name for native in NATIVES.values() if native.group in offered} == set(HANDLERS)


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_native_survives_any_arguments(bench: CBench, name: str) -> None:
    noise = random.Random(name)
    app = bench.runners.wasm.load("app", bytes(wasmtime.wat2wasm(MODULE)))
    assert app.instance is not None
    native = NATIVES[name]
    call = bind(app.env, native.signature, HANDLERS[name], app.instance.set_errno)
    opened = bind(app.env, NATIVES["open"].signature, HANDLERS["open"], app.instance.set_errno)
    for path, flags in ((1024, 0x14000000), (1040, 0x14001000)):
        opened(path, flags, 0)
    for _ in range(ROUNDS):
        arguments = [_any(noise, kind) for kind in native.params]
        if name == "ioctl":
            arguments[:2] = [noise.randrange(8), int(noise.choice(list(IoctlCommand)))]
        with contextlib.suppress(WasmTrap, BoardCrash):
            result = call(*arguments)
            assert (result is None) == (not native.results)


def _any(noise: random.Random, kind: str) -> int | float:
    if kind in ("f32", "f64"):
        return noise.choice([0.0, -1.5, 1e308, -1e308, float("inf"), float("nan"), noise.uniform(-100, 100)])
    return noise.choice([*ADDRESSES, noise.randrange(256), noise.randint(-(2**31), 2**31 - 1)])


BUSY = """static int f, level; void on_init(void) { f = open("/dev/gpio/2", RW, 0); wasm_create_timer(1, 1, 1); }
void on_timer_callback(int id) { u8 b; for (int i = 0; i < 200; i++) { b = ++level & 1; write(f, &b, 1); } }"""


def test_nothing_of_an_app_reaches_the_board_after_a_power_cut(make_bench: MakeBench) -> None:
    bench = make_bench(Clock())
    seen = threading.Event()
    board = bench.board
    board.watch_edges(lambda _: seen.set())
    for _ in range(10):
        seen.clear()
        app = bench.run(BUSY)
        assert seen.wait(TIMEOUT_S)
        board.power_cut()
        assert not app.is_alive
        assert [pin for pin in board.pins() if pin.level or pin.role != "idle"] == []
        board.power_on()
