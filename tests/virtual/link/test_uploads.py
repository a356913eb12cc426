"""Programs over the link: uploads that resume, hashes, what runs, what comes back after a power cut."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import TIMEOUT_S, BoardUnderTest, StartBoard
from tests.virtual.link.conftest import ScriptedHost, code_of, program, start_linked
from wasmtime import wat2wasm

from microclaw.virtual.machine import LOOP_BOOTS
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Result
from microclaw.wire.link.values import ValueMap
from microclaw.wire.wasmachine.frame import MessageType
from microclaw.wire.wasmachine.request import install_request, uninstall_request

SPINNING = bytes(wat2wasm('(module (memory 1) (func (export "on_init") (loop $again br $again)))'))

# ioctl(open("/dev/gpio/2", O_RDWR, 0), GPIOCSCFG, va) where va leads to a data_seq whose one frame points nowhere.
CRASHING = r"""(module
  (import "env" "open" (func $open (param i32 i32 i32) (result i32)))
  (import "env" "ioctl" (func $ioctl (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "/dev/gpio/2\00")
  (data (i32.const 128) "\90\00\00\00")
  (data (i32.const 144) "\01\00\00\00\01\00\00\00\01\00\00\00\01\00\04\00\00\00\ff\ff")
  (func (export "on_init")
    (drop (call $ioctl (call $open (i32.const 64) (i32.const 0x14000000) (i32.const 0))
                       (i32.const 0x8101) (i32.const 128)))))"""


@pytest.fixture
def board(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> BoardUnderTest:
    return start_linked(start_board, host, tmp_path)


def begin(host: ScriptedHost, app: str, wasm: bytes, **changed: Any) -> Result:
    params: ValueMap = {"name": app, "kind": "wasm", "size": len(wasm), "sha256": hashlib.sha256(wasm).digest()}
    return host.call("apps.begin", {**params, "heap": 8192, "autostart": True, **changed})


def install(host: ScriptedHost, name: str, wasm: bytes, **changed: Any) -> Result:
    started = begin(host, name, wasm, **changed)
    assert started.ok, started
    assert host.call("apps.write", {"offset": 0, "data": wasm}).ok
    return host.call("apps.commit", idempotent=False)


def apps(host: ScriptedHost) -> dict[str, dict[str, Any]]:
    value = host.call("apps.list").value
    assert isinstance(value, dict)
    assert isinstance(value["apps"], list)
    return {row["name"]: row for row in value["apps"]}  # type: ignore[index, call-overload, misc]


def test_an_upload_in_pieces_goes_on_after_a_power_cut_and_runs_until_it_is_replaced_or_removed(
    board: BoardUnderTest, host: ScriptedHost, tmp_path: Path
) -> None:
    wasm = program("one")
    assert begin(host, "hello", wasm).value == {"offset": 0}
    assert host.call("apps.write", {"offset": 0, "data": wasm[:60]}).value == {"offset": 60}
    board.control().ask(control.Power("reset"))
    host.wait_hellos(2)
    assert begin(host, "hello", wasm).value == {"offset": 60}
    assert code_of(host.call("apps.write", {"offset": 80, "data": wasm[80:]})) == "wrong_offset"
    assert code_of(host.call("apps.write", {"offset": 60, "data": wasm[60:] + b"x"})) == "bad_params"
    assert code_of(host.call("apps.commit", idempotent=False)) == "wrong_offset"
    assert host.call("apps.write", {"offset": 40, "data": wasm[40:]}).value == {"offset": len(wasm)}
    result = host.call("apps.commit", idempotent=False)
    assert result.value == {"name": "hello", "sha256": hashlib.sha256(wasm).hexdigest(), "replaced": False}
    row = apps(host)["hello"]
    assert (row["state"], row["size"], row["heap"], row["autostart"]) == ("running", len(wasm), 8192, True)
    value = install(host, "hello", program("two")).value
    assert isinstance(value, dict)
    assert value["replaced"]
    bench = board.control()
    deadline_s = time.monotonic() + TIMEOUT_S
    while [line.text for line in bench.ask(control.ReadLog()).rows if line.app is not None] != ["one", "two"]:
        assert time.monotonic() < deadline_s
    assert host.call("apps.remove", {"name": "hello"}, idempotent=False).ok
    assert list((tmp_path / "link" / "modules").iterdir()) == []
    assert code_of(host.call("apps.undo", {"name": "hello"}, idempotent=False)) == "app_not_found"


def test_what_cannot_run_is_refused_and_the_old_program_runs_on(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = program("one")
    install(host, "hello", wasm)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "lua"}, "not_supported"),
        ({"size": 10_000_000}, "too_large"),
        ({"sha256": b"short"}, "bad_params"),
        ({"name": "a/b"}, "bad_params"),
        ({"name": ""}, "bad_params"),
        ({"heap": 0}, "bad_params"),
        ({"autostart": 1}, "bad_params"),
    ]
    for changed, code in wrong:
        assert code_of(begin(host, "hello", wasm, **changed)) == code
    assert code_of(install(host, "hello", program("two"), sha256="ab" * 32)) == "hash_mismatch"
    assert code_of(host.call("apps.commit", idempotent=False)) == "no_upload"
    assert code_of(install(host, "hello", b"\0asm\x01\0\0\0garbage!")) == "invalid_module"
    row = apps(host)["hello"]
    assert (row["state"], row["sha256"]) == ("running", hashlib.sha256(wasm).hexdigest())
    board.link().request(install_request(1, "other", program("other")), MessageType.INSTALL)
    assert code_of(install(host, "other", program("mine"))) == "app_exists"
    install(host, "spin", SPINNING)
    assert code_of(install(host, "c", program("c"))) == "too_many_apps"
    assert host.call("apps.remove", {"name": "spin"}, idempotent=False).ok
    assert set(apps(host)) == {"hello", "other"}


def test_what_starts_by_itself_comes_back_after_a_power_cut_and_what_was_removed_does_not(
    board: BoardUnderTest, host: ScriptedHost
) -> None:
    install(host, "stays", program("stays"))
    install(host, "stopped", program("stopped"), autostart=False)
    install(host, "removed", program("removed"))
    board.link().request(uninstall_request(1, "removed"))
    board.control().ask(control.Power("reset"))
    host.wait_hellos(2)
    assert {name: row["state"] for name, row in apps(host).items()} == {"stays": "running", "stopped": "stopped"}
    assert host.call("apps.start", {"name": "stopped"}, idempotent=False).ok
    assert apps(host)["stopped"]["state"] == "running"


def test_a_program_that_crashes_the_board_is_not_started_for_ever(
    board: BoardUnderTest, host: ScriptedHost, tmp_path: Path
) -> None:
    install(host, "bad", program("good"))
    (module,) = (tmp_path / "link/modules").iterdir()
    module.write_bytes(bytes(wat2wasm(CRASHING)))  # over the link it may crash the board before it is kept
    bench = board.control()
    bench.ask(control.Power("reset"))
    host.wait(lambda: bench.ask(control.Info()).boot > LOOP_BOOTS)
    host.wait_hellos(2)
    assert apps(host)["bad"]["state"] == "stopped"
    assert host.call("apps.remove", {"name": "bad"}, idempotent=False).ok
