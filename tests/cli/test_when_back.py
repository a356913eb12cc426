"""`--when-back`: acts on programs of boards that are off, done when they are back; a host that is killed meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run, clean_environ, run_in

from microclaw.cli.child import Child
from microclaw.client import Client

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""
PATIENCE_S = 90.0


def up(home: Path, log: Path) -> Child:
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "1", "--die-with-parent"]
    return Child("host", words, log=log, environ=clean_environ(home))


@pytest.fixture
def port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def shed(tmp_path: Path, port: int) -> Callable[[], Child]:
    """Switches on the board at that port."""
    words = ["microclaw.virtual", "--wasmachine", str(port), "--serial", "none", "--die-with-parent"]
    return lambda: Child("board", words, log=tmp_path / "board")


@pytest.fixture
def home(tmp_path: Path, port: int) -> Iterator[Path]:
    """A host with virtual-1 and the device shed, which is off."""
    with up(tmp_path / "home", tmp_path / "stderr") as child:
        child.wait_ready()
        added = run_in(
            tmp_path / "home", "device", "add", "shed", "--board", "virtual", "--wasmachine", f"127.0.0.1:{port}"
        )
        assert added.code == 0, added.err
        yield tmp_path / "home"


@pytest.fixture
def ask(home: Path) -> Run:
    return partial(run_in, home)


@pytest.fixture
def blink(tmp_path: Path) -> str:
    file = tmp_path / "blink.c"
    file.write_text(BLINK)
    return str(file)


def client_of(home: Path) -> Client:
    return Client(home / "control.sock")


def listed(home: Path) -> dict[tuple[str, str], str]:
    apps = client_of(home).get("/v1/apps")["apps"]
    return {(app["name"], app["device"]): app["condition"] for app in apps}


def until(look: Callable[[], Any], *, every_s: float = 0.3) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(every_s)
    return found


def state_in(home: Path) -> str:
    """The state of the one deferred act, from the store itself."""
    store = sqlite3.connect(f"file:{home / 'microclaw.db'}?mode=ro", uri=True, isolation_level=None)
    with closing(store):
        return str(store.execute("SELECT state FROM deferred_acts").fetchone()[0])


def changes(home: Path) -> list[tuple[str, str]]:
    found = client_of(home).get("/v1/changes", {"device": "shed"})["changes"]
    return [(change["summary"], change["state"]) for change in found]


def test_acts_on_a_board_that_is_off_are_done_and_told_when_it_is_back(
    home: Path, ask: Run, blink: str, shed: Callable[[], Child], tmp_path: Path
) -> None:
    refused = ask("run", blink, "-d", "shed")
    assert refused.code == 4
    assert "--when-back" in refused.err
    many = ask("run", blink, "--all", "-y", "--when-back")
    assert many.code == 0, many.err
    assert "2 of 2 devices, 1 of them deferred until they are back" in many.out
    assert listed(home) == {("blink", "shed"): "deferred", ("blink", "virtual-1"): "running"}
    assert "install since " in ask("app", "list").out
    again = ask("run", blink, "-d", "shed", "--when-back")
    assert again.code == 0, again.err
    assert "it replaces what was deferred" in again.out
    assert "install blink on shed, when it is back" in ask("status").out
    assert "microclaw app cancel blink -d shed" in ask("app", "undo").err
    assert ask("app", "cancel", "blink", "-d", "shed").code == 0

    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("programs:\n  - file: blink.c\n    devices: all\n")
    failed = ask("apply", "-f", str(fleet), "-y")
    assert failed.code == 1
    assert "--when-back" in failed.out
    applied = ask("apply", "-f", str(fleet), "-y", "--when-back")
    assert applied.code == 0, applied.err
    assert "shed: blink: deferred until it is back" in applied.out
    assert "nothing to do" in ask("apply", "-f", str(fleet), "-y").out
    with shed() as board:
        board.wait_ready()
        until(lambda: listed(home)[("blink", "shed")] == "listed")
        assert changes(home) == [("deploy blink on shed", "done")]
        assert "install blink on shed: done" in ask("status").out
        told = ask("chat", "what time is it").out
        assert "deferred: install blink on shed: done" in told
        assert ask("app", "stop", "blink", "-d", "shed", "--when-back").code == 0
    started = ask("app", "start", "blink", "-d", "shed", "--when-back")
    assert started.code == 0, started.err
    assert listed(home)[("blink", "shed")] == "deferred"


def test_what_is_deferred_outlives_a_host_that_is_killed_twice_and_is_done_once(
    tmp_path: Path, port: int, blink: str, shed: Callable[[], Child]
) -> None:
    home = tmp_path / "home"
    ask = partial(run_in, home)
    with up(home, tmp_path / "first") as child:
        child.wait_ready()
        assert ask("device", "add", "shed", "--board", "virtual", "--wasmachine", f"127.0.0.1:{port}").code == 0
        assert ask("run", blink, "-d", "shed", "--when-back").code == 0
        os.kill(child.pid, signal.SIGKILL)
    with shed() as board:
        board.wait_ready()
        with up(home, tmp_path / "second") as child:
            child.wait_ready()
            until(lambda: state_in(home) != "waiting", every_s=0.001)
            os.kill(child.pid, signal.SIGKILL)  # while it is being done, or just after
        with up(home, tmp_path / "third") as third:
            third.wait_ready()
            until(lambda: client_of(home).get("/v1/status")["deferred"]["ended"])
            [ended] = client_of(home).get("/v1/status")["deferred"]["ended"]
            assert ended["state"] == "done", ended
            assert listed(home) == {("blink", "shed"): "listed"}
            assert [state for _, state in changes(home)].count("done") == 1
