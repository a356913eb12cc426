"""Loading, linking, running, stopping and killing apps, written as WebAssembly text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wasmtime

from microclaw.boards import load_board
from microclaw.errors import InvalidModule
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Clock, RealClock
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.loader import Runtime
from microclaw.virtual.virtual_clock import VirtualClock

TIMEOUT_S = 60.0
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
EMPTY = '(module (func (export "on_init")))'


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


MakeRuntime = Callable[..., Runtime]


@pytest.fixture
def make_runtime(tmp_path: Path) -> Iterator[MakeRuntime]:
    """Make a runtime on a board of its own, on a virtual clock unless told otherwise."""
    made: list[Runtime] = []

    def make(clock: Clock | None = None) -> Runtime:
        board = Board(load_board("virtual"), clock or VirtualClock(), storage_dir=tmp_path)
        made.append(Runtime(board))
        return made[-1]

    yield make
    for runtime in made:
        runtime.close()
        runtime.board.clock.close()


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    return make_runtime()


def start(runtime: Runtime, text: str, name: str = "app") -> App:
    app = runtime.load(name, wat(text))
    app.start()
    clock = runtime.board.clock
    if isinstance(clock, VirtualClock):
        clock.settle()
    return app


def log(runtime: Runtime) -> list[str]:
    return [record.text for record in runtime.board.log().records]


def edges(runtime: Runtime) -> list[tuple[float, int, int]]:
    return list(runtime.board.edges().records)


def advance(runtime: Runtime, ms: float) -> None:
    clock = runtime.board.clock
    assert isinstance(clock, VirtualClock)
    assert clock.advance(ms).stuck is None


def test_blink_toggles_every_half_second_of_board_time(runtime: Runtime) -> None:
    app = start(runtime, BLINK, "blink")
    advance(runtime, 600_000)
    seen = edges(runtime)
    assert len(seen) == 1200
    assert seen[:3] == [(500, 2, 1), (1000, 2, 0), (1500, 2, 1)]
    assert app.stop()
    assert log(runtime) == ["WASM app 'blink' started", "up", "down"]
    assert (app.state, app.kind_of_end, app.error) == ("returned", "returned", None)
    advance(runtime, 10_000)
    assert len(edges(runtime)) == 1200


def test_blink_runs_on_the_real_clock(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(RealClock())
    third = threading.Event()

    runtime.board.watch_edges(lambda _: third.set() if runtime.board.edges().next == 3 else None)
    app = start(runtime, BLINK.replace("i32.const 500", "i32.const 20"))
    assert third.wait(TIMEOUT_S)
    assert app.stop()
    started_ms = next(r.t_ms for r in runtime.board.log().records if r.text.startswith("WASM app"))
    seen = edges(runtime)
    assert [level for _, _, level in seen[:3]] == [1, 0, 1]
    assert all(t_ms - started_ms >= 20 * (n + 1) for n, (t_ms, _, _) in enumerate(seen))


def test_two_apps_give_the_same_edges_in_every_run(make_runtime: MakeRuntime) -> None:
    other = BLINK.replace("gpio/2", "gpio/4").replace("i32.const 500", "i32.const 7")
    runs = []
    for _ in range(2):
        runtime = make_runtime()
        start(runtime, BLINK.replace("i32.const 500", "i32.const 5"), "a")
        start(runtime, other, "b")
        advance(runtime, 5_000)
        runs.append(edges(runtime))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 1000 + 714


def test_unresolved_import_loads_and_traps_when_called(runtime: Runtime) -> None:
    app = start(
        runtime,
        """(module (import "env" "digitalWrite" (func $f (param i32 i32))) (import "env" "sleep" (func (param i32)))
        (func (export "on_init") (call $f (i32.const 2) (i32.const 1))))""",
    )
    text = "Exception: failed to call unlinked import function (env, digitalWrite)"
    assert log(runtime) == [
        "warning: failed to link import function (env, digitalWrite)",
        "warning: failed to link import function (env, sleep)",
        "WASM app 'app' started",
        f"Got exception running WASM code: {text}",
    ]
    assert (app.state, app.error, app.kind_of_end) == ("trapped", text, "trapped")
    assert runtime.apps == {"app": app}


def test_native_of_a_group_that_the_firmware_lacks_is_not_linked(runtime: Runtime) -> None:
    start(
        runtime,
        """(module (import "env" "lvgl_lock" (func))
        (import "wasi_snapshot_preview1" "puts" (func (param i32) (result i32)))
        (func (export "on_init")))""",
    )
    assert log(runtime)[:2] == [
        "warning: failed to link import function (env, lvgl_lock)",
        "warning: failed to link import function (wasi_snapshot_preview1, puts)",
    ]


def test_module_without_on_init_loads_and_does_nothing(runtime: Runtime) -> None:
    app = start(runtime, '(module (func (export "main") (result i32) (i32.const 0)))')
    assert log(runtime)[-1] == "Cannot find function on_init()."
    assert app.state == "loaded"
    assert app.stop()
    assert not app.request(b"x")


def test_trap_in_on_init_still_runs_on_destroy(runtime: Runtime) -> None:
    app = start(runtime, BLINK.replace('(func (export "on_init")', '(func (export "on_init") (unreachable)'))
    assert log(runtime)[1:] == ["Got exception running WASM code: Exception: unreachable", "down"]
    assert app.state == "trapped"


def test_trap_in_a_callback_is_shown_and_the_app_goes_on(runtime: Runtime) -> None:
    app = start(
        runtime, BLINK.replace("(i32.store8", "(if (i32.eqz (global.get $level)) (then (unreachable))) (i32.store8")
    )
    advance(runtime, 2_000)
    assert (app.state, app.kind_of_end, app.error) == ("running", "trapped", "Exception: unreachable")
    assert log(runtime).count("Got exception running WASM code: Exception: unreachable") == 2
    assert app.is_alive


@pytest.mark.parametrize(
    ("wasm", "text"),
    [
        (b"", "invalid file format."),
        (b"not wasm at all", "invalid file format."),
        (b"\0asm\x02\0\0\0", "invalid WASM version."),
        (b"\0asm\x01\0\0\0\x01\x7f", "load WASM file failed."),
        (b"\0asm\x01\0\0\0\x63\0", "load WASM file failed."),
        (b"\0asm\x01\0\0\0" + b"\x05\x80", "load WASM file failed."),
    ],
)
def test_what_is_no_module_is_refused_in_the_firmware_s_words(runtime: Runtime, wasm: bytes, text: str) -> None:
    with pytest.raises(InvalidModule) as refused:
        runtime.load("bad", wasm)
    assert refused.value.message == f"Install WASM app failed: {text}"
    assert runtime.apps == {}


@pytest.mark.parametrize(
    "text",
    [
        '(module (func (export "on_init") (drop (v128.const i32x4 0 0 0 0))))',
        '(module (memory i64 1) (func (export "on_init")))',
        '(module (import "env" "memory" (memory 1)) (func (export "on_init")))',
        '(module (memory 64) (func (export "on_init")))',
        "(module (func $start (unreachable)) (start $start))",
        "(module (func $start (loop $again (br $again))) (start $start))",
    ],
)
def test_module_that_the_firmware_cannot_run_is_refused(runtime: Runtime, text: str) -> None:
    with pytest.raises(InvalidModule):
        runtime.load("bad", wat(text))


@pytest.mark.parametrize("text", [SPIN, SLEEP, BLINK])
@pytest.mark.parametrize("clock", [VirtualClock, RealClock])
def test_kill_ends_an_app_whatever_it_does(make_runtime: MakeRuntime, clock: Callable[[], Clock], text: str) -> None:
    runtime = make_runtime(clock())
    app = runtime.load("app", wat(text))
    app.start()
    assert app.kill(TIMEOUT_S)
    assert "down" not in log(runtime)


def test_stop_gives_up_on_an_app_that_spins(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(RealClock())
    app = start(runtime, SPIN)
    assert not app.stop(timeout_s=0.05)
    assert app.kill(TIMEOUT_S)


def test_spinning_app_is_reported_stuck_and_killing_it_frees_the_clock(make_runtime: MakeRuntime) -> None:
    clock = VirtualClock(stuck_cpu_s=0.1)
    runtime = make_runtime(clock)
    app = runtime.load("spinner", wat(SPIN))
    app.start()
    assert clock.advance(1000).stuck == "spinner"
    assert app.kill(TIMEOUT_S)
    assert clock.advance(1000).now_ms == 1000


def test_power_cut_kills_every_app_without_on_destroy(runtime: Runtime) -> None:
    app = start(runtime, BLINK, "blink")
    start(runtime, SLEEP, "sleeper")
    advance(runtime, 600)
    assert runtime.board.level(2) == 1
    runtime.board.power_cut()
    assert runtime.apps == {}
    assert not app.is_alive
    assert runtime.board.level(2) == 0
    runtime.board.power_on()
    start(runtime, BLINK, "blink")
    advance(runtime, 600)
    assert edges(runtime)[-1] == (500, 2, 1)
    assert "down" not in log(runtime)


def test_stack_use_is_measured_where_the_module_tells_of_its_stack(runtime: Runtime) -> None:
    app = start(
        runtime,
        """(module (memory (export "memory") 1) (global $sp (mut i32) (i32.const 4096)) (data (i32.const 4096) "x")
        (func (export "on_init") (i32.store (i32.const 3996) (i32.const 7))))""",
    )
    assert app.peak_stack_bytes == 100
    assert start(runtime, EMPTY, "other").peak_stack_bytes == 0


def test_apps_do_not_disturb_each_other_s_exceptions(make_runtime: MakeRuntime) -> None:
    """Many trap in a native at the same time, each with its own text."""
    runtime = make_runtime(RealClock())
    source = """(module (import "env" "exit" (func $exit (param i32))) (import "env" "wasm_create_timer"
      (func $timer (param i32 i32 i32) (result i32)))
      (func (export "on_init") (drop (call $timer (i32.const 1) (i32.const 1) (i32.const 1))))
      (func (export "on_timer_callback") (param i32) (call $exit (i32.const NUMBER))))"""
    apps = [start(runtime, source.replace("NUMBER", str(n)), f"app{n}") for n in range(8)]
    done = threading.Event()
    runtime.board.clock.call_at(runtime.board.clock.now_ms() + 200, done.set)
    assert done.wait(TIMEOUT_S)
    for n, app in enumerate(apps):
        assert app.stop(TIMEOUT_S)
        assert app.error == f"Exception: env.exit({n})"
    for record in runtime.board.log().records:
        if record.app and "env.exit" in record.text:
            assert record.text.endswith(f"({record.app[3:]})")
