"""Loading, linking, running, stopping and killing apps, written as WebAssembly text."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import wasmtime
from tests.virtual.conftest import TIMEOUT_S, Bench, MakeBench

from microclaw.errors import InvalidModule
from microclaw.virtual.clock import Clock
from microclaw.virtual.virtual_clock import VirtualClock

BLINK = """(module
  (import "env" "open" (func $open (param i32 i32 i32) (result i32)))
  (import "env" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "env" "puts" (func $puts (param i32) (result i32)))
  (import "env" "wasm_create_timer" (func $timer (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "/dev/gpio/2\\00up\\00down\\00")
  (global $fd (mut i32) (i32.const 0)) (global $level (mut i32) (i32.const 0))
  (func (export "on_init")
    (global.set $fd (call $open (i32.const 1024) (i32.const 0x14000000) (i32.const 0)))
    (drop (call $puts (i32.const 1036)))
    (drop (call $timer (i32.const 500) (i32.const 1) (i32.const 1))))
  (func (export "on_timer_callback") (param i32)
    (global.set $level (i32.xor (global.get $level) (i32.const 1)))
    (i32.store8 (i32.const 2000) (global.get $level))
    (drop (call $write (global.get $fd) (i32.const 2000) (i32.const 1))))
  (func (export "on_destroy") (drop (call $puts (i32.const 1039)))))"""
SPIN = '(module (memory (export "memory") 1) (func (export "on_init") (loop $again (br $again))))'
SLEEP = """(module (import "env" "sleep" (func $sleep (param i32) (result i32)))
  (func (export "on_init") (drop (call $sleep (i32.const 1000000)))))"""

FAULTY_START = """(module (import "env" "puts" (func $puts (param i32) (result i32)))
  (import "env" "wasm_create_timer" (func $timer (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func $start (drop (call $timer (i32.const 10) (i32.const 1) (i32.const 1)))
  (drop (call $puts (i32.const 16)))) (start $start) (func (export "on_init")))"""


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def test_blink_toggles_every_half_second_of_board_time(bench: Bench) -> None:
    app = bench.start(wat(BLINK), "blink")
    bench.advance(600_000)
    seen = bench.edges(2)
    assert len(seen) == 1200
    assert seen[:3] == [(500, 1), (1000, 0), (1500, 1)]
    assert app.stop()
    assert bench.log() == ["WASM app 'blink' started", "up", "down"]
    assert (app.status.state, app.status.kind_of_end, app.status.error) == ("returned", "returned", None)
    bench.advance(10_000)
    assert len(bench.edges(2)) == 1200


def test_two_apps_give_the_same_edges_in_every_run(make_bench: MakeBench) -> None:
    other = BLINK.replace("gpio/2", "gpio/4").replace("i32.const 500", "i32.const 7")
    runs = []
    for _ in range(2):
        bench = make_bench()
        bench.start(wat(BLINK.replace("i32.const 500", "i32.const 5")), "a")
        bench.start(wat(other), "b")
        bench.advance(5_000)
        runs.append(bench.board.edges().records)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 1000 + 714


def test_unresolved_import_loads_and_traps_when_called(bench: Bench) -> None:
    """Also that of a group that the firmware lacks, or of another module."""
    app = bench.start(
        wat(
            """(module (import "env" "digitalWrite" (func $f (param i32 i32))) (import "env" "sleep" (func (param i32)))
            (import "env" "lvgl_lock" (func))
            (import "wasi_snapshot_preview1" "puts" (func (param i32) (result i32)))
            (func (export "on_init") (call $f (i32.const 2) (i32.const 1))))"""
        )
    )
    text = "Exception: failed to call unlinked import function (env, digitalWrite)"
    assert bench.log() == [
        "warning: failed to link import function (env, digitalWrite)",
        "warning: failed to link import function (env, sleep)",
        "warning: failed to link import function (env, lvgl_lock)",
        "warning: failed to link import function (wasi_snapshot_preview1, puts)",
        "WASM app 'main' started",
        f"Got exception running WASM code: {text}",
    ]
    assert (app.status.state, app.status.error, app.status.kind_of_end) == ("trapped", text, "trapped")
    assert bench.apps == [app]


def test_trap_in_on_init_still_runs_on_destroy_and_one_in_a_callback_ends_no_app(bench: Bench) -> None:
    app = bench.start(wat(BLINK.replace('(func (export "on_init")', '(func (export "on_init") (unreachable)')))
    assert bench.log()[1:] == ["Got exception running WASM code: Exception: unreachable", "down"]
    assert app.status.state == "trapped"
    traps = "(if (i32.eqz (global.get $level)) (then (unreachable))) (i32.store8"
    app = bench.start(wat(BLINK.replace("(i32.store8", traps)), "other")
    bench.advance(2_000)
    assert (app.status.state, app.status.kind_of_end, app.status.error) == (
        "running",
        "trapped",
        "Exception: unreachable",
    )
    assert bench.log().count("Got exception running WASM code: Exception: unreachable") == 3
    assert app.is_alive


@pytest.mark.parametrize(
    ("wasm", "text"),
    [
        (b"", "invalid file format."),
        (b"\0asm\x02\0\0\0", "invalid WASM version."),
        (b"\0asm\x01\0\0\0\x01\x7f", "load WASM file failed."),
        (wat('(module (func (export "on_init") (drop (v128.const i32x4 0 0 0 0))))'), "load WASM file failed."),
        (wat('(module (memory i64 1) (func (export "on_init")))'), "load WASM file failed."),
        (wat('(module (import "env" "memory" (memory 1)) (func (export "on_init")))'), "load WASM file failed."),
        (wat('(module (memory 64) (func (export "on_init")))'), "instantiate wasm runtime failed."),
        (wat("(module (func $start (unreachable)) (start $start))"), "instantiate wasm runtime failed."),
        (wat("(module (func $start (loop $again (br $again))) (start $start))"), "instantiate wasm runtime failed."),
        (wat(FAULTY_START), "instantiate wasm runtime failed."),
    ],
)
def test_what_the_firmware_cannot_run_is_refused_in_its_words(bench: Bench, wasm: bytes, text: str) -> None:
    with pytest.raises(InvalidModule) as refused:
        bench.start(wasm)
    assert refused.value.message == f"Install WASM app failed: {text}"
    assert bench.apps == []


@pytest.mark.parametrize("text", [SPIN, SLEEP, BLINK])
@pytest.mark.parametrize("clock", [VirtualClock, Clock])
def test_kill_ends_an_app_whatever_it_does(make_bench: MakeBench, clock: Callable[[], Clock], text: str) -> None:
    bench = make_bench(clock())
    app = bench.runners.wasm.load("app", wat(text))
    app.start()
    assert app.kill(TIMEOUT_S)
    assert "down" not in bench.log()


def test_spinning_app_is_reported_stuck_and_killing_it_frees_the_clock(make_bench: MakeBench) -> None:
    clock = VirtualClock(stuck_cpu_s=0.1)
    app = make_bench(clock).runners.wasm.load("spinner", wat(SPIN))
    app.start()
    assert clock.advance(1000).stuck == "spinner"
    assert app.kill(TIMEOUT_S)
    assert clock.advance(1000).now_ms == 1000


def test_power_cut_kills_every_app_without_on_destroy(bench: Bench) -> None:
    app = bench.start(wat(BLINK), "blink")
    bench.start(wat(SLEEP), "sleeper")
    bench.advance(600)
    assert bench.board.level(2) == 1
    bench.board.power_cut()
    assert bench.apps == []
    assert not app.is_alive
    assert bench.board.level(2) == 0
    bench.board.power_on()
    bench.start(wat(BLINK), "blink")
    bench.advance(600)
    assert bench.edges(2)[-1] == (500, 1)
    assert "down" not in bench.log()


def test_apps_do_not_disturb_each_other_s_exceptions(make_bench: MakeBench) -> None:
    """Many trap in a native at the same time, each with its own text."""
    bench = make_bench(Clock())
    done = threading.Event()
    source = """(module (import "env" "exit" (func $exit (param i32))) (import "env" "wasm_create_timer"
      (func $timer (param i32 i32 i32) (result i32)))
      (func (export "on_init") (drop (call $timer (i32.const 1) (i32.const 1) (i32.const 1))))
      (func (export "on_timer_callback") (param i32) (call $exit (i32.const NUMBER))))"""
    apps = [bench.start(wat(source.replace("NUMBER", str(n))), f"app{n}") for n in range(8)]
    bench.board.clock.call_at(bench.board.clock.now_ms() + 200, done.set)
    assert done.wait(TIMEOUT_S)
    for n, app in enumerate(apps):
        assert app.stop(TIMEOUT_S)
        assert app.status.error == f"Exception: env.exit({n})"
    for record in bench.board.log().records:
        if record.app and "env.exit" in record.text:
            assert record.text.endswith(f"({record.app[3:]})")
