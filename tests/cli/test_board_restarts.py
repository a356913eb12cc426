"""`up --virtual` and a board whose process is killed: its program comes back, the status says so, and when it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import clean_environ

from microclaw.cli.board_control import BoardControl
from microclaw.cli.child import Child
from microclaw.cli.host_commands import screen_rows
from microclaw.client import Client
from microclaw.wire import board_control as control

BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""
LIMIT_S = 60.0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[Child, dict[str, Any]]]:
    environ = clean_environ(tmp_path / "home")
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--link", "off", "--virtual", "1", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=environ) as child:
        yield child, child.wait_ready()[0]


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
    return found


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pid_of(client: Client) -> int:
    """The board's process, by its control socket."""
    [device] = client.get("/v1/devices")["devices"]
    [transport] = [transport for transport in device["transports"] if transport.startswith("virtual:")]
    with BoardControl(Path(transport.removeprefix("virtual:"))) as link:
        return link.ask(control.Info()).pid


def test_a_killed_board_comes_back_with_its_program_and_fails_in_the_end(up: tuple[Child, dict[str, Any]]) -> None:
    host, facts = up
    client = Client(Path(facts["control"]))

    def device() -> dict[str, Any]:
        found: dict[str, Any] = client.get("/v1/status")["devices"][0]
        return found

    def restarted(count: int) -> bool:
        process = device()["process"]
        return (process["state"], process["restarts"]) == ("running", count)

    def line() -> str:
        return screen_rows(client.get("/v1/status"))[-1][1]

    list(client.stream("/v1/devices/virtual-1/apps", {"name": "blink", "source": BLINK}))
    assert device()["process"] == {"state": "running", "restarts": 0, "last_ms": None, "reason": None, "next": None}
    assert "restarted" not in line()

    pid = facts["boards"][0]["pid"]
    for count in (1, 2, 3):
        os.kill(pid, signal.SIGKILL)
        until(partial(restarted, count))
        pid = pid_of(client)
        if count == 1:
            until(lambda: [a["condition"] for a in client.get("/v1/apps")["apps"]] == ["running"])
            assert "restarted 1 time, last " in line()
    assert "restarted 3 times, last " in line()
    os.kill(pid, signal.SIGKILL)
    until(lambda: device()["process"]["state"] == "failed")
    assert "failed: it ended 4 times within 60 s, last with SIGKILL - look into the host's log" in line()
    host.stop()


def test_a_host_that_is_stopped_leaves_no_board_and_starts_none(
    up: tuple[Child, dict[str, Any]], tmp_path: Path
) -> None:
    host, facts = up
    os.kill(host.pid, signal.SIGTERM)
    until(lambda: not host.running)
    assert not runs(facts["boards"][0]["pid"])
    assert "virtual-1" not in (tmp_path / "home" / "microclaw.log").read_text()
