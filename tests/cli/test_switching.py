"""`app stop` and `start` over a host's death and a board's boot."""

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
def home(tmp_path: Path) -> Iterator[Path]:
    with up(tmp_path / "home", tmp_path / "stderr", 1) as child:
        child.wait_ready()
        yield tmp_path / "home"


@pytest.fixture
def ask(home: Path) -> Run:
    return lambda *words: run_in(home, *words)


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
        assert run_in(home, "app", "stop", "blink").code == 1
        started = run_in(home, "app", "start", "blink")
        assert started.code == 0, started.err
        assert run_in(home, "app", "start", "blink").code == 1
        assert run_in(home, "app", "restart", "nothing").code == 1


def test_a_board_on_the_link_does_not_start_it_at_its_next_boot(ask: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "pyblink.py"
    file.write_text(PY_BLINK)
    words = ["microclaw.cli", "--json", "virtual", "--join", "--name", "desk", "--wasmachine", "0", "--serial", "none"]

    def board(log: str) -> Child:
        return Child("board", words, log=tmp_path / log, environ=clean_environ(home))

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
        assert conditions(ask) == {"desk": "running"}
