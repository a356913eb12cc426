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


def entry(shelf: Path, version: str, delay: int, expect: str = "high") -> None:
    """Put an entry of that version on the shelf."""
    folder = shelf / "lamp" / version
    folder.mkdir(parents=True)
    (folder / "lamp.toml").write_text(LAMP.replace("VERSION", version).replace("high", expect))
    (folder / "lamp.c").write_text(SOURCE.replace("DELAY", str(delay)))


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


def test_an_entry_of_ones_own_is_installed_and_upgraded(host: Host, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    entry(shelf, "1.0.0", 1000)
    assert host.run("config", "set", "catalog.folders", json.dumps([str(shelf)])).code == 0
    words = ("app", "install", "lamp", "-d", BOARD, "--from", str(shelf), "--set", "pin=12")
    assert host.run(*words).code == 0
    assert host.level(BOARD, 12) == 1
    assert host.run("app", "upgrade", "lamp", "-d", BOARD).code == 1  # it has the newest

    entry(shelf, "1.1.0", 2000)
    before = host.program(BOARD, "lamp").sha256
    assert host.run("app", "upgrade", "lamp", "-d", BOARD).code == 0
    now = host.program(BOARD, "lamp")
    assert (now.sha256 != before, now.pins) == (True, (12,))
    assert host.run("app", "undo").code == 0
    assert host.program(BOARD, "lamp").sha256 == before


@pytest.mark.parametrize(
    ("version", "expect", "codes"),
    [("1.0.0", "low", {"trial_failed"}), ("none", "high", {"config_error", "unknown_name"})],
)
def test_an_entry_that_does_not_do_what_it_says_is_not_installed(
    host: Host, tmp_path: Path, version: str, expect: str, codes: set[str]
) -> None:
    entry(tmp_path / "shelf", version, 1000, expect)
    before = host.conditions(BOARD)
    ran = host.run("--json", "app", "install", "lamp", "-d", BOARD, "--from", str(tmp_path / "shelf"))
    assert (ran.code, json.loads(ran.out)["error"]["code"] in codes) == (1, True), ran.out
    assert host.conditions(BOARD) == before
