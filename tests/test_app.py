"""The host as a whole: it starts, outlives crashes, and goes quickly with nothing lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.forked import Child
from tests.host_process import HostProcess
from tests.stories.conftest import until

from microclaw.app import running_host
from microclaw.errors import StoreError
from microclaw.events import Step
from microclaw.host.config.load import load_settings
from microclaw.interfaces.cli.child import BoardControl
from microclaw.wire import board_control as control

SHUTDOWN_S = 60.0  # a host at rest takes one; the rest is for a busy machine
BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    """Not started."""
    made = HostProcess(tmp_path / "home")
    yield made
    made.kill()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[tuple[list[str], BoardControl]]:
    """A virtual board that outlives hosts: its transports, and its control socket."""
    words = ["microclaw.virtual", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    with Child("board", words, log=tmp_path / "board.stderr") as child:
        facts, _ = child.wait_ready()
        with BoardControl(Path(facts["control"])) as link:
            yield [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"virtual:{facts['control']}"], link


def ended(host: HostProcess, number: signal.Signals) -> None:
    """Send the signal; it goes soon, without a word."""
    host.signal(number)
    assert host.wait(SHUTDOWN_S) == 0
    assert host.log.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_host_at_rest_goes_at_once_and_leaves_no_socket(host: HostProcess, number: signal.Signals) -> None:
    host.start("--port", "0")
    ended(host, number)
    assert not Path(host.facts["control"]).exists()


def test_host_that_is_stopped_while_it_builds_goes_at_once(host: HostProcess, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    host.start("--port", "0", MICROCLAW_CACHE=str(cache))
    until(lambda: list(cache.glob(".glue-*")))
    ended(host, signal.SIGTERM)
    assert list(cache.glob(".glue-*")) == []


def test_host_stopped_in_a_deployment_lets_it_end_or_settles_it_later(host: HostProcess, board: Any) -> None:
    transports, link = board
    host.start("--port", "0")
    client = host.client
    client.post("/v1/devices", {"name": "desk", "board": "virtual", "transports": transports})
    events = client.stream("/v1/devices/desk/apps", {"name": "blink", "source": BLINK})
    for event in events:
        if isinstance(event, Step) and event.stage == "deploy":
            break
    ended(host, signal.SIGTERM)
    host.start("--port", "0")
    until(lambda: all(c["state"] != "planned" for c in client.get("/v1/changes")["changes"]))
    listed = {app["name"] for app in client.get("/v1/apps")["apps"] if app["condition"] == "running"}
    assert listed == {row.name for row in link.ask(control.Apps()).apps}


async def test_one_home_has_one_host(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path / "home", http_port=None)
    async with running_host(settings) as host:
        assert host.http is None
        with pytest.raises(StoreError):
            async with running_host(settings):
                raise AssertionError("two hosts own one home")
        assert settings.control_socket.exists()
    assert not settings.control_socket.exists()
