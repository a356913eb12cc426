"""The catalogue: an entry is published when it does what it says, and its programs know where they came from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

TOML = """title = "a lamp"
app = "lamp"
version = "1.0.0"
about = "A lamp."
expect = '''
pin {PIN}: high at 1 s
soak 0 s
'''

[[wiring]]
part = "lamp"
wires = [["PIN", "plus"], ["GND", "minus"]]

[parameters.PIN]
type = "pin"
use = "output"
default = 4
"""
C = """#include "microclaw.h"

#define PIN 4

void on_init(void) { gpio_set(gpio_open(PIN, GPIO_OUT), 1); }
"""
PY = "from machine import Pin\n\nPIN = 4\nPin(PIN, Pin.OUT, value=1)\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An entry as its author has it, and beside it the empty catalogue shelf/."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "lamp.toml").write_text(TOML)
    (folder / "lamp.c").write_text(C)
    (folder / "lamp.py").write_text(PY)
    (tmp_path / "shelf").mkdir()
    return folder


def test_an_entry_is_shown_with_its_values_and_its_source(run: Run) -> None:
    shown = run("app", "search", "--show", "blink", "--set", "pin=13", "--source")
    assert "#define PIN 13\n" in shown.out
    assert "PIN = 13\n" in shown.out
    document = run("--json", "app", "search", "--show", "blink").json
    assert (document["schema"], document["version"]) == ("microclaw.catalog-entry/1", "1.0.0")


def test_publishing_writes_a_version_once_and_takes_only_newer_ones(run: Run, mine: Path) -> None:
    shelf, toml = mine.parent / "shelf", mine / "lamp.toml"

    def publish(version: str) -> Any:
        toml.write_text(re.sub(r'version = ".*"', f'version = "{version}"', toml.read_text()))
        ran = run("--json", "app", "publish", str(toml), "--to", str(shelf))
        return ran.json["new"] if ran.code == 0 else ran.code

    def on_shelf() -> dict[Path, bytes]:
        return {one: one.read_bytes() for one in shelf.rglob("*") if one.is_file()}

    assert [publish("1.0.0"), publish("1.0.0")] == [True, False]
    before = on_shelf()
    (mine / "lamp.py").write_text(PY + "# a comment\n")
    assert [publish("1.0.0"), publish("0.9.0"), on_shelf()] == [1, 1, before]
    assert publish("1.0.1") is True
    listed = run("--json", "app", "search", "--from", str(shelf)).json["entries"]
    assert [(one["name"], one["version"]) for one in listed] == [("lamp", "1.0.1")]


def test_a_link_in_the_catalogue_leads_nowhere(run: Run, mine: Path) -> None:
    elsewhere = mine.parent / "elsewhere"
    elsewhere.mkdir()
    (mine.parent / "shelf" / "lamp").symlink_to(elsewhere)
    assert run("app", "publish", str(mine / "lamp.toml"), "--to", str(mine.parent / "shelf")).code == 1
    assert list(elsewhere.iterdir()) == []


FULL = """
import sys
from pathlib import Path
from microclaw.cli.catalog_publish import write_entry
from microclaw.errors import StoreError
from microclaw.patterns.catalog import read_entry, read_shelf

mine, shelf = Path(sys.argv[1]), Path(sys.argv[2])
write_entry(shelf, read_entry(mine, "lamp", str(shelf)))
before = {one: one.read_bytes() for one in (shelf / "lamp").rglob("*") if one.is_file()}
description = mine / "lamp.toml"
description.write_text(description.read_text().replace("1.0.0", "1.1.0"))
newer = read_entry(mine, "lamp", str(shelf))
filler = (shelf / "filler").open("wb", buffering=0)
try:
    while True:
        filler.write(bytes(512))
except OSError:
    pass
try:
    write_entry(shelf, newer)
except StoreError as exc:
    print(exc.message)
assert {one: one.read_bytes() for one in (shelf / "lamp").rglob("*") if one.is_file()} == before
assert sorted(one.name for one in (shelf / "lamp").iterdir()) == ["1.0.0"]
filler.close()
(shelf / "filler").unlink()
write_entry(shelf, newer)
print(read_shelf(shelf).entries[0].version_text)
"""


def test_a_full_disk_leaves_the_catalogue_as_it_was(mine: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs user namespaces: unshare -Urm")
    shelf = mine.parent / "shelf"
    mount = 'mount -t tmpfs -o size=32k microclaw-test "$4" && exec "$1" -c "$2" "$3" "$4"'
    words = [unshare, "-Urm", "sh", "-c", mount, "sh", sys.executable, FULL, str(mine), str(shelf)]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"cannot write lamp 1.1.0 into {shelf}: No space left on device\n1.1.0\n"
