"""A whole life of a program by the command line: asked for, deployed to three boards, broken, upgraded, taken back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import clean_environ, run_in

from microclaw.cli.child import Child

LIMIT_S = 90.0
METER = """#include "microclaw.h"
#include <stdio.h>
static int led, n;
static void tick(void) { gpio_toggle(led); printf("count %d\\n", ++n); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(PERIOD, tick); }
"""


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return found


def test_a_program_from_the_sentence_to_the_undo(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "meter.c"
    file.write_text(METER.replace("PERIOD", "200"))

    def microclaw(*words: str) -> str:
        ran = run_in(home, *words)
        assert ran.code == 0, f"{words}: {ran.out}{ran.err}"
        return ran.out

    def apps() -> dict[tuple[str, str], dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(microclaw("app", "list", "--json"))["apps"]
        return {(app["name"], app["device"]): app for app in listed}

    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "3", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=clean_environ(home)) as host:
        boards = host.wait_ready()[0]["boards"]
        names = ["virtual-1", "virtual-2", "virtual-3"]

        said = microclaw("chat", "blink the led on pin 2 of virtual-1 twice a second")
        assert "counted on the board" in said
        assert [device for _, device in apps()] == ["virtual-1"]

        microclaw("run", str(file), "--all", "-y")
        assert [device for name, device in apps() if name == "meter"] == names

        os.kill(boards[1]["pid"], signal.SIGKILL)
        until(lambda: "restarted 1 time" in microclaw("status"))
        until(lambda: apps()[("meter", "virtual-2")]["condition"] == "running")
        until(lambda: "count 3" in microclaw("logs", "virtual-2/meter"))

        before = {key: app["sha256"] for key, app in apps().items()}
        file.write_text(METER.replace("PERIOD", "50"))
        microclaw("app", "upgrade", "meter", str(file), "--all", "-y")
        after = {key: app["sha256"] for key, app in apps().items()}
        assert all(after[("meter", name)] != before[("meter", name)] for name in names)

        microclaw("app", "undo")
        assert {key: app["sha256"] for key, app in apps().items()} == before
        microclaw("app", "undo")
        assert [key for key in apps() if key[0] == "meter"] == []
