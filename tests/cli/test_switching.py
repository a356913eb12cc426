"""`app stop`, `start` and `restart` on one board and on many, over a host's death and a board's boot."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run, clean_environ, run_in

from microclaw.cli.child import Child

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""
PY_BLINK = """from machine import Pin
import time

led = Pin(10, Pin.OUT)
while True:
    led.value(not led.value())
    time.sleep_ms(100)
"""
PATIENCE_S = 60.0


def up(home: Path, log: Path, boards: int) -> Child:
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", str(boards), "--die-with-parent"]
    return Child("host", words, log=log, environ=clean_environ(home))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Path]:
    with up(tmp_path / "home", tmp_path / "stderr", 3) as child:
        child.wait_ready()
        yield tmp_path / "home"


@pytest.fixture
def ask(three: Path) -> Run:
    return lambda *words: run_in(three, *words)


@pytest.fixture
def blink(tmp_path: Path) -> str:
    file = tmp_path / "blink.c"
    file.write_text(BLINK)
    return str(file)


def conditions(ask: Run) -> dict[str, str]:
    return {app["device"]: app["condition"] for app in json.loads(ask("app", "list", "--json").out)["apps"]}


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)
    return found


def test_many_are_stopped_and_started_with_a_line_each_and_undone_as_one(ask: Run, blink: str) -> None:
    assert ask("run", blink, "-d", "virtual-1", "-d", "virtual-3", "-y").code == 0
    assert ask("app", "stop", "blink", "--all").code == 2  # it asks, and nobody answers
    ran = ask("app", "stop", "blink", "--all", "-y")
    assert ran.code == 0, ran.err
    assert "virtual-1: virtual-1 no longer lists blink" in ran.out
    assert "2 of 2 devices; left out: virtual-2" in ran.out
    assert conditions(ask) == {"virtual-1": "stopped", "virtual-3": "stopped"}
    assert ask("app", "stop", "blink", "--all", "-y").code == 1
    assert ask("app", "undo").code == 0
    assert conditions(ask) == {"virtual-1": "running", "virtual-3": "running"}
    assert ask("app", "stop", "blink", "-d", "virtual-1").code == 0
    made = json.loads(ask("app", "start", "blink", "-d", "virtual-1", "-d", "virtual-3", "-y", "--json").out)
    rows = {row["device"]: row for row in made["results"]}
    assert rows["virtual-1"]["made"]["evidence"]["kind"] == "counted"
    assert "runs on virtual-3 already" in rows["virtual-3"]["error"]["message"]
    restarted = ask("app", "restart", "blink", "--all", "-y", "--json")
    assert restarted.code == 0, restarted.err
    assert [row["made"]["evidence"]["kind"] for row in json.loads(restarted.out)["results"]] == ["counted"] * 2


def test_a_stopped_program_stays_stopped_when_the_host_is_killed(tmp_path: Path, blink: str) -> None:
    home = tmp_path / "home"
    with up(home, tmp_path / "first", 1) as child:
        child.wait_ready()
        assert run_in(home, "run", blink, "-d", "virtual-1").code == 0
        assert run_in(home, "app", "stop", "blink").code == 0
        os.kill(child.pid, signal.SIGKILL)
    with up(home, tmp_path / "second", 1) as child:
        child.wait_ready()
        assert conditions(lambda *words: run_in(home, *words)) == {"virtual-1": "stopped"}
        refused = run_in(home, "app", "stop", "blink")
        assert refused.code == 1
        assert "is stopped on virtual-1 already" in refused.err
        assert "microclaw app start blink -d virtual-1" in refused.err
        started = run_in(home, "app", "start", "blink")
        assert started.code == 0, started.err
        assert "edges within" in started.out
        assert run_in(home, "app", "start", "blink").code == 1
        assert run_in(home, "app", "restart", "nothing").code == 1


def test_a_board_on_the_link_does_not_start_it_at_its_next_boot(ask: Run, three: Path, tmp_path: Path) -> None:
    file = tmp_path / "pyblink.py"
    file.write_text(PY_BLINK)
    words = ["microclaw.cli", "--json", "virtual", "--join", "--name", "desk", "--wasmachine", "0", "--serial", "none"]

    def board(log: str) -> Child:
        return Child("board", words, log=tmp_path / log, environ=clean_environ(three))

    def online() -> bool:
        return ask("exec", "desk", "device.info").code == 0

    with board("first") as child:
        child.wait_ready()
        until(online)
        ran = ask("run", str(file), "-d", "desk")
        assert ran.code == 0, ran.out + ran.err
        assert ask("app", "stop", "pyblink", "-d", "desk").code == 0
    with board("second") as child:
        child.wait_ready()
        until(online)
        assert conditions(ask) == {"desk": "stopped"}
        assert "pyblink" not in ask("exec", "desk", "apps.list", "--json").out
        started = ask("app", "start", "pyblink", "-d", "desk")
        assert started.code == 0, started.out + started.err
        assert "edges within" in started.out
        assert conditions(ask) == {"desk": "running"}


def test_an_upgrade_goes_where_the_program_is_and_one_undo_takes_it_back(ask: Run, blink: str) -> None:
    assert ask("run", blink, "-d", "virtual-1", "-d", "virtual-3", "-y", "--heap", "6000").code == 0
    before = {app["device"]: app for app in json.loads(ask("app", "list", "--json").out)["apps"]}
    Path(blink).write_text(BLINK.replace("every(100", "every(250"))
    ran = ask("app", "upgrade", "blink", blink, "--all", "-y", "--json")
    assert ran.code == 0, ran.err
    made = json.loads(ran.out)
    assert [row["device"] for row in made["results"]] == ["virtual-1", "virtual-3"]
    assert made["left_out"] == ["virtual-2"]
    for row in made["results"]:
        there = row["made"]
        assert there["verified"]
        assert there["former"]["sha256"] == before[row["device"]]["sha256"]
        assert there["sha256"] != there["former"]["sha256"]
    after = {app["device"]: app for app in json.loads(ask("app", "list", "--json").out)["apps"]}
    assert [app["heap_bytes"] for app in after.values()] == [app["heap_bytes"] for app in before.values()]
    assert ask("app", "undo").code == 0
    listed = json.loads(ask("app", "list", "--json").out)["apps"]
    assert {app["device"]: app["sha256"] for app in listed} == {name: app["sha256"] for name, app in before.items()}
    one = ask("app", "upgrade", "blink", blink, "-d", "virtual-1")
    assert one.code == 0, one.err
    assert " -> " in one.out
    assert ask("app", "upgrade", "other", blink, "-d", "virtual-1").code == 1
    assert ask("app", "upgrade", "blink", blink, "-d", "127.0.0.1:1").code == 1
