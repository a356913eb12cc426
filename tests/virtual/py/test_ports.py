"""`py` programs as the host reaches them: over the link, and over the control socket of a throw-away board."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import BoardUnderTest, StartBoard
from tests.virtual.link.conftest import ScriptedHost, host
from tests.virtual.link.test_apps import apps, code_of
from tests.virtual.py.conftest import BLINK, compiled

from microclaw.errors import CallRejected
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.wire import board_control as control
from microclaw.wire.link.messages import Event

__all__ = ["host"]


@pytest.fixture
def board(start_board: StartBoard, host: ScriptedHost, tmp_path: Path, cache: Path) -> BoardUnderTest:
    started = start_board("--serial", "none", "--flash", str(tmp_path), "--cache", str(cache), *host.options)
    host.wait(lambda: host.is_connected)
    return started


def announce(host: ScriptedHost, name: str, image: bytes, **changed: Any) -> Any:
    digest = hashlib.sha256(image).digest()
    return host.call("apps.begin", {"name": name, "kind": "py", "size": len(image), "sha256": digest, **changed})


def install(host: ScriptedHost, name: str, image: bytes) -> None:
    assert announce(host, name, image).value == {"offset": 0}
    assert host.call("apps.write", {"offset": 0, "data": image}).value == {"offset": len(image)}
    assert host.call("apps.commit", idempotent=False).value == {"name": name}


def test_a_program_over_the_link_runs_and_is_listed(board: BoardUnderTest, host: ScriptedHost, tmp_path: Path) -> None:
    assert host.call("device.info").value["kinds"] == ["wasm", "py"]  # type: ignore[index, call-overload]
    install(host, "blink", compiled(BLINK, tmp_path))
    row = apps(host)["blink"]
    assert (row["kind"], row["state"]) == ("py", "running")
    host.wait(lambda: any(pin.pin == 2 and pin.app == "blink" for pin in board.control().ask(control.Pins()).pins))
    assert apps(host)["blink"]["pins"] == [2]


def test_a_program_is_stopped_removed_and_comes_back(board: BoardUnderTest, host: ScriptedHost, tmp_path: Path) -> None:
    install(host, "blink", compiled(BLINK, tmp_path))
    assert host.call("apps.stop", {"name": "blink"}).ok
    assert apps(host)["blink"]["state"] == "stopped"
    assert host.call("apps.remove", {"name": "blink"}).ok
    assert apps(host) == {}
    assert host.call("apps.undo", {}).ok
    assert apps(host)["blink"]["state"] == "running"


def test_what_cannot_run_is_refused_with_the_runners_words(
    board: BoardUnderTest, host: ScriptedHost, tmp_path: Path
) -> None:
    announce(host, "bad", b"not a module")
    host.call("apps.write", {"offset": 0, "data": b"not a module"})
    assert code_of(host.call("apps.commit", idempotent=False)) == "invalid_module"
    assert code_of(announce(host, "huge", b"x" * 70_000)) == "too_large"


def test_a_program_starts_again_after_a_power_cut(board: BoardUnderTest, host: ScriptedHost, tmp_path: Path) -> None:
    install(host, "blink", compiled(BLINK, tmp_path))
    board.control().ask(control.Power("reset"))
    host.wait(lambda: len(host.hellos) == 2)
    assert apps(host)["blink"]["state"] == "running"


def test_a_crash_reaches_the_host(board: BoardUnderTest, host: ScriptedHost, tmp_path: Path) -> None:
    install(host, "bad", compiled("async def main(E):\n    raise ValueError('no')\n", tmp_path))
    crash = host.wait_for(Event, lambda event: event.name == "app.crash")
    assert "ValueError: no" in str(crash.data["reason"])


def test_a_trial_needs_the_control_socket_alone(start_board: StartBoard, tmp_path: Path, cache: Path) -> None:
    bench = start_board("--serial", "none", "--clock", "virtual", "--cache", str(cache)).control()
    image = compiled(BLINK, tmp_path)
    announced = {"name": "blink", "kind": "py", "size": len(image), "sha256": hashlib.sha256(image).hexdigest()}
    assert bench.ask(control.Py("begin", announced)).value == 0
    piece = b64encode(image).decode()
    assert bench.ask(control.Py("write", {"offset": 0, "data": piece})).value == len(image)
    began_ms = bench.ask(control.Info()).now_ms
    assert bench.ask(control.Py("commit")).value == "blink"
    bench.ask(control.Advance(1_900))
    edges = bench.ask(control.Edges()).edges
    assert [(edge.pin, edge.level) for edge in edges] == [(2, 1), (2, 0), (2, 1), (2, 0)]
    assert edges[0].t_ms - began_ms < 50
    row = bench.ask(control.Apps()).apps[0]
    assert (row.name, row.kind, row.state, row.pins) == ("blink", "py", "running", (2,))
    with pytest.raises(CallRejected, match="none"):
        bench.ask(control.Py("stop", {"name": "none"}))


async def test_the_hosts_transport_installs_a_program_for_a_trial(
    start_board: StartBoard, tmp_path: Path, cache: Path
) -> None:
    started = start_board("--serial", "none", "--clock", "virtual", "--cache", str(cache))
    control = VirtualBoardTransport(Path(started.ready["control"]))
    await control.install_py("blink", compiled(BLINK, tmp_path), 8192)
    await control.advance(900)
    assert [edge.level for edge in (await control.edges()).edges] == [1, 0]
    assert (await control.led_changes())[0] == ()
    with pytest.raises(CallRejected):
        await control.install_py("bad", b"not a module", 8192)
    await control.close()
