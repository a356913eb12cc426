"""A program that has ended is told so, frees its pin, and gives its place away first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stories.conftest import Host, environ_of, until

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(PIN, GPIO_OUT); every(100, tick); }
"""


@pytest.fixture(scope="module")
def board(host: Host) -> Iterator[str]:
    """A board on the device link: our own firmware."""
    command = [sys.executable, "-m", "microclaw.cli", "--json", "virtual", "--join", "--name", "desk"]
    process = subprocess.Popen(
        [*command, "--wasmachine", "0", "--serial", "none"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environ_of(host.home),
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    until(lambda: "desk" in host.client.get("/v1/status")["link"]["connected"])
    yield "desk"
    process.terminate()
    process.wait()
    process.stdout.close()


def conditions(host: Host) -> dict[str, str]:
    return {app["name"]: app["condition"] for app in host.run("app", "list", "-d", "desk", "--json").json["apps"]}


def say(host: Host, text: str) -> list[str]:
    done = host.run("chat", "--json", text)
    assert done.code == 0, done.out
    return [action["outcome"] for action in done.json["actions"] if action["effect"] != "read"]


def test_a_pulse_that_is_over_holds_neither_pin_nor_place(host: Host, board: str, tmp_path: Path) -> None:
    for pin in (4, 5, 6, 4):
        assert say(host, f"turn on pin {pin} for 1 second on {board}") == ["done"]
        until(lambda: "running" not in conditions(host).values())
        assert set(conditions(host).values()) == {"ended"}
    assert say(host, f"turn on pin 4 on {board}") == ["done"]
    for number, pin in enumerate((14, 15, 16)):
        file = tmp_path / f"blink{number}.c"
        file.write_text(BLINK.replace("PIN", str(pin)))
        assert host.run("run", str(file), "-d", board, "-y").code == 0
    assert conditions(host) == {"blink0": "running", "blink1": "running", "blink2": "running"}
