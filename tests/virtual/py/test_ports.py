"""`py` programs as the host reaches them: over the link, and over the control socket of a throw-away board."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.conftest import BoardUnderTest, StartBoard
from tests.virtual.link.conftest import ScriptedHost, host
from tests.virtual.link.test_uploads import apps
from tests.virtual.py.conftest import BLINK, compiled

from microclaw.errors import CallRejected
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.wire import board_control as control

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
