"""Programs over the link: uploads that resume, hashes, what runs, what comes back after a power cut."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import BoardUnderTest, StartBoard
from tests.virtual.link.conftest import ScriptedHost
from wasmtime import wat2wasm

from microclaw.virtual.machine import LOOP_BOOTS
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import ValueMap
from microclaw.wire.wasmachine.frame import FrameType
from microclaw.wire.wasmachine.request import install_request, uninstall_request


def program(text: str) -> bytes:
    """A program that prints `text` when it starts."""
    return bytes(
        wat2wasm(
            f"""(module (import "env" "puts" (func $puts (param i32) (result i32))) (memory (export "memory") 1)
            (data (i32.const 16) "{text}\\00") (func (export "on_init") i32.const 16 call $puts drop))"""
        )
    )


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
    started = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait(lambda: host.is_connected)
    return started


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


def code_of(result: Result) -> str:
    assert result.error is not None, result
    return result.error.code


def printed(board: BoardUnderTest) -> list[str]:
    bench = board.control()
    lines = [line.text for line in bench.ask(control.Log()).lines if line.app is not None]
    bench.close()
    return lines


def test_a_program_is_uploaded_in_pieces_and_runs(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = program("one")
    assert begin(host, "hello", wasm).value == {"offset": 0}
    for at in range(0, len(wasm), 50):
        assert host.call("apps.write", {"offset": at, "data": wasm[at : at + 50]}).value == {
            "offset": min(at + 50, len(wasm))
        }
    result = host.call("apps.commit", idempotent=False)
    assert result.value == {"name": "hello", "sha256": hashlib.sha256(wasm).hexdigest(), "replaced": False}
    row = apps(host)["hello"]
    assert (row["state"], row["size"], row["heap"], row["autostart"]) == ("running", len(wasm), 8192, True)


def test_an_upload_goes_on_after_a_power_cut(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = program("one")
    begin(host, "hello", wasm)
    host.call("apps.write", {"offset": 0, "data": wasm[:60]})
    board.control().ask(control.Power("reset"))
    host.wait(lambda: len(host.hellos) == 2)
    assert begin(host, "hello", wasm).value == {"offset": 60}
    assert code_of(host.call("apps.write", {"offset": 80, "data": wasm[80:]})) == "wrong_offset"
    assert host.call("apps.write", {"offset": 40, "data": wasm[40:]}).value == {"offset": len(wasm)}
    assert host.call("apps.commit", idempotent=False).ok


def test_a_program_with_another_hash_is_not_installed(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = program("one")
    assert code_of(install(host, "hello", wasm, sha256="ab" * 32)) == "hash_mismatch"
    assert apps(host) == {}
    assert code_of(host.call("apps.commit", idempotent=False)) == "no_upload"


def test_a_wrong_begin_and_a_write_past_its_end_are_refused(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = program("one")
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
    begin(host, "hello", wasm)
    assert code_of(host.call("apps.write", {"offset": 0, "data": wasm + b"x"})) == "bad_params"
    assert code_of(host.call("apps.commit", idempotent=False)) == "wrong_offset"


def test_programs_come_back_after_a_power_cut_if_they_start_by_themselves(
    board: BoardUnderTest, host: ScriptedHost
) -> None:
    install(host, "stays", program("stays"))
    install(host, "goes", program("goes"), autostart=False)
    board.control().ask(control.Power("reset"))
    host.wait(lambda: len(host.hellos) == 2)
    assert {name: row["state"] for name, row in apps(host).items()} == {"stays": "running", "goes": "stopped"}
    assert host.call("apps.start", {"name": "goes"}, idempotent=False).ok
    assert apps(host)["goes"]["state"] == "running"


def test_a_program_is_replaced_and_removed_with_its_module(
    board: BoardUnderTest, host: ScriptedHost, tmp_path: Path
) -> None:
    install(host, "hello", program("one"))
    value = install(host, "hello", program("two")).value
    assert isinstance(value, dict)
    assert value["replaced"]
    host.wait(lambda: printed(board) == ["one", "two"])
    assert host.call("apps.remove", {"name": "hello"}, idempotent=False).ok
    assert list((tmp_path / "link" / "modules").iterdir()) == []
    assert code_of(host.call("apps.undo", {"name": "hello"}, idempotent=False)) == "app_not_found"


def test_a_program_that_cannot_load_leaves_the_old_one_running(board: BoardUnderTest, host: ScriptedHost) -> None:
    install(host, "hello", program("one"))
    assert code_of(install(host, "hello", b"\0asm\x01\0\0\0garbage!")) == "invalid_module"
    row = apps(host)["hello"]
    assert (row["state"], row["sha256"]) == ("running", hashlib.sha256(program("one")).hexdigest())


def test_a_spinning_program_is_removed(board: BoardUnderTest, host: ScriptedHost) -> None:
    install(host, "spin", SPINNING)
    assert host.call("apps.remove", {"name": "spin"}, idempotent=False).ok
    assert apps(host) == {}


def test_both_doors_share_the_places_for_programs(board: BoardUnderTest, host: ScriptedHost) -> None:
    link = board.link()
    link.request(install_request(1, "other", program("other")), FrameType.INSTALL)
    assert code_of(install(host, "other", program("mine"))) == "app_exists"
    install(host, "a", program("a"))
    install(host, "b", program("b"))
    assert code_of(install(host, "c", program("c"))) == "too_many_apps"
    assert set(apps(host)) == {"a", "b", "other"}


def test_a_program_removed_by_the_other_door_does_not_come_back(board: BoardUnderTest, host: ScriptedHost) -> None:
    install(host, "hello", program("one"))
    board.link().request(uninstall_request(1, "hello"))
    assert apps(host) == {}
    board.control().ask(control.Power("reset"))
    host.wait(lambda: len(host.hellos) == 2)
    assert apps(host) == {}


def test_a_program_that_crashes_the_board_is_not_started_for_ever(board: BoardUnderTest, host: ScriptedHost) -> None:
    wasm = bytes(wat2wasm(CRASHING))
    begin(host, "bad", wasm)
    host.call("apps.write", {"offset": 0, "data": wasm})
    host.send(Call("apps.commit", {}, idempotent=False))
    bench = board.control()
    while bench.ask(control.Info()).boot < LOOP_BOOTS:
        pass
    host.wait(lambda: len(host.hellos) == 2 and host.is_connected)
    assert apps(host)["bad"]["state"] == "stopped"
    assert host.call("apps.remove", {"name": "bad"}, idempotent=False).ok
