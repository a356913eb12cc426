"""The catalogue: ready programs with parameters, and one of one's own that gets a newer version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.stories.conftest import Host, microclaw

BOARD = "virtual-1"
LAMP = """title = "a lamp"
app = "lamp"
version = "VERSION"
about = "Lights a lamp, forever."
kinds = ["wasm"]
missing = "only C is shown"
expect = '''
pin {PIN}: high at 1 s
'''

[[wiring]]
part = "lamp"
wires = [["PIN", "plus", "330 ohm"], ["GND", "minus"]]

[parameters.PIN]
type = "pin"
use = "output"
default = 4
"""
SOURCE = """#include "microclaw.h"
#define PIN 4
int main(void) {
    int lamp = gpio_open(PIN, GPIO_OUT);
    gpio_set(lamp, 1);
    for (;;) {
        delay(DELAY);
    }
}
"""


def entry(folder: Path, version: str, delay: int, expect: str = "high") -> str:
    """An entry of that version; the name of its file."""
    folder.mkdir(exist_ok=True)
    (folder / "lamp.toml").write_text(LAMP.replace("VERSION", version).replace("high", expect))
    (folder / "lamp.c").write_text(SOURCE.replace("DELAY", str(delay)))
    return str(folder / "lamp.toml")


def test_an_entry_is_found_by_its_words(tmp_path: Path) -> None:
    ran = microclaw(tmp_path / "home", "--json", "app", "search", "thermostat")
    assert ran.code == 0
    assert ran.json["entries"]
    assert microclaw(tmp_path / "home", "--json", "app", "search", "no-such-word").json["entries"] == []


def test_an_entry_is_installed_with_its_parameters_proved_and_undone(host: Host) -> None:
    ran = host.run("--json", "app", "install", "fade", "-d", BOARD, "--set", "pin=7")
    assert (ran.code, ran.json["verified"], ran.json["trial"]["pins"]) == (0, True, [7])
    assert ran.json["expected"]
    assert host.run("app", "undo").code == 0
    assert host.conditions(BOARD) == {}


def test_an_entry_of_ones_own_is_published_installed_and_upgraded(host: Host, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    assert host.run("config", "set", "catalog.folders", json.dumps([str(shelf)])).code == 0
    assert host.run("app", "publish", entry(tmp_path / "work", "1.0.0", 1000), "--to", str(shelf)).code == 0
    assert (shelf / "lamp" / "1.0.0" / "lamp.c").exists()
    words = ("app", "install", "lamp", "-d", BOARD, "--from", str(shelf), "--set", "pin=12")
    assert host.run(*words).code == 0
    assert host.level(BOARD, 12) == 1
    assert host.run("app", "upgrade", "lamp", "-d", BOARD).code == 1  # it has the newest

    newer = entry(tmp_path / "work", "1.1.0", 2000)
    assert host.run("app", "publish", newer, "--to", str(shelf)).code == 0
    before = host.program(BOARD, "lamp").sha256
    assert host.run("app", "upgrade", "lamp", "-d", BOARD).code == 0
    now = host.program(BOARD, "lamp")
    assert (now.sha256 != before, now.pins) == (True, (12,))
    assert host.run("app", "undo").code == 0
    assert host.program(BOARD, "lamp").sha256 == before


@pytest.mark.parametrize(("version", "expect"), [("1.0.0", "low"), ("none", "high")])
def test_an_entry_that_does_not_do_what_it_says_is_not_published(tmp_path: Path, version: str, expect: str) -> None:
    file = entry(tmp_path / "work", version, 1000, expect)
    (tmp_path / "shelf").mkdir()
    ran = microclaw(tmp_path / "home", "--json", "app", "publish", file, "--to", str(tmp_path / "shelf"))
    assert ran.code == 1
    assert json.loads(ran.out)["error"]["code"] in {"trial_failed", "config_error"}
    assert not list((tmp_path / "shelf").rglob("lamp.c"))
