"""The host as a whole: it starts, outlives crashes, and goes quickly with nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.forked import Child

from microclaw.app import running_host
from microclaw.cli.child import BoardControl
from microclaw.config.load import load_settings
from microclaw.errors import StoreError
from microclaw.events import Step
from microclaw.operations.client import Client
from microclaw.wire import board_control as control

SHUTDOWN_S = 20.0  # a host at rest takes one; the rest is for a busy machine
BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""

Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "MICROCLAW_HOME": str(tmp_path / "home")}


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    """Start a host process that is ready; the test ends it, or this does."""
    started: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "microclaw", "--json", "up", "--port", "0", "--die-with-parent"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        started.append(process)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"] is True
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


@pytest.fixture
def client(environ: dict[str, str]) -> Client:
    return Client(load_settings(environ).control_socket)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[tuple[list[str], BoardControl]]:
    """A virtual board that outlives hosts: its transports, and its control socket."""
    words = ["microclaw.virtual", "--wasmachine", "0", "--serial", "none", "--die-with-parent"]
    with Child("board", words, log=tmp_path / "board.stderr") as child:
        facts, _ = child.wait_ready()
        with BoardControl(Path(facts["control"])) as link:
            yield [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"virtual:{facts['control']}"], link


def until(look: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
    return found


def ended(process: subprocess.Popen[str], number: signal.Signals) -> float:
    """Send the signal; seconds until the process is gone."""
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(SHUTDOWN_S + 5) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_host_at_rest_goes_at_once_and_leaves_no_socket(
    start: Start, environ: dict[str, str], number: signal.Signals
) -> None:
    process = start()
    assert ended(process, number) < SHUTDOWN_S
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert not load_settings(environ).control_socket.exists()


def test_host_that_is_stopped_while_it_builds_goes_at_once(
    start: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    environ["MICROCLAW_CACHE"] = str(tmp_path / "cache")
    process = start()
    until(lambda: list((tmp_path / "cache").glob(".glue-*")))
    assert ended(process, signal.SIGTERM) < SHUTDOWN_S
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert list((tmp_path / "cache").glob(".glue-*")) == []


def test_host_stopped_in_a_deployment_lets_it_end_or_settles_it_later(start: Start, client: Client, board: Any) -> None:
    transports, link = board
    first = start()
    client.post("/v1/devices", {"name": "desk", "board": "virtual", "transports": transports})
    events = client.stream("/v1/devices/desk/apps", {"name": "blink", "source": BLINK})
    for event in events:
        if isinstance(event, Step) and event.stage == "deploy":
            break
    assert ended(first, signal.SIGTERM) < SHUTDOWN_S
    start()
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
