"""`--firmware` and `device explore` as a person uses them: beside a host, and without one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

SENSOR = """#include "microclaw.h"
static int bus;
static void tick(void) { unsigned char id; i2c_read_reg(bus, 0x76, 0xd0, &id, 1); printf("%d\\n", id); }
void on_init(void) {
    bus = i2c_open(8, 9);
    every(100, tick);
}
"""


@pytest.fixture
def sensor(tmp_path: Path) -> str:
    path = tmp_path / "sensor.c"
    path.write_text(SENSOR)
    return str(path)


@pytest.fixture
def described(ask: Run) -> Iterator[Callable[..., Any]]:
    """Describe the firmware of virtual-1 for one test."""

    def describe(*words: str) -> Any:
        return ask("device", "add", "virtual-1", *(part for word in words for part in ("--firmware", word)))

    yield describe
    assert describe("stock").code == 0


def test_try_and_build_refuse_what_a_described_firmware_lacks(run: Run, sensor: str) -> None:
    for words in (("run", "--try", sensor), ("app", "build", sensor), ("run", sensor, "-d", "127.0.0.1:1")):
        ran = run(*words, "--firmware", "nodes=-i2c")
        assert ran.code == 1
        assert "sensor.c:5:11: error: " in ran.err


def test_description_can_be_a_file(run: Run, sensor: str, tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text('nodes = ["-i2c"]\n')
    assert "sensor.c:5:11: error: " in run("run", "--try", sensor, "--firmware", str(file)).err
    file.write_text("nodes = [")
    assert run("run", "--try", sensor, "--firmware", str(file)).code == 1


@pytest.mark.parametrize("word", ["nodes=-i2x", "nothing.toml", "heap=0"])
def test_a_wrong_description_is_refused(run: Run, sensor: str, word: str) -> None:
    ran = run("run", "--try", sensor, "--firmware", word)
    assert ran.code == 1
    assert "next: " in ran.err


def test_run_on_a_device_takes_no_description_of_its_own(ask: Run, sensor: str) -> None:
    assert ask("run", sensor, "-d", "virtual-1", "--firmware", "nodes=-i2c").code == 2


def test_description_is_kept_shown_and_held_to_in_every_door(
    ask: Run, sensor: str, described: Callable[..., Any]
) -> None:
    described("nodes=-i2c", "max_apps=2")
    shown = json.loads(ask("device", "show", "virtual-1", "--json").out)["firmware"]
    assert (shown["described"], shown["max_apps"]) == (["nodes=-i2c", "max_apps=2"], 2)
    assert shown["nodes"] == ["gpio", "ledc"]
    ran = ask("run", sensor, "-d", "virtual-1")
    assert (ran.code, "sensor.c:5:11" in ran.err) == (1, True)
    said = ask("-d", "virtual-1", "chat", "hold the temperature at 25 degrees with the fan on pin 5")
    assert "without /dev/i2c" in said.out + said.err
    assert json.loads(ask("app", "list", "-d", "virtual-1", "--json").out)["apps"] == []


def test_explored_board_can_keep_the_answer(ask: Run, described: Callable[..., Any]) -> None:
    described("nodes=-i2c")
    found = ask("device", "explore", "virtual-1")
    assert found.code == 0, found.err
    kept = json.loads(ask("device", "explore", "virtual-1", "--keep", "--json").out)
    assert (kept["schema"], kept["firmware"], kept["kept"]) == ("microclaw.exploration/1", [], True)
    assert json.loads(ask("device", "show", "virtual-1", "--json").out)["firmware"]["described"] == []
