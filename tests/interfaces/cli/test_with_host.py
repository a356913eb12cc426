"""Commands beside a running host with one virtual board."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.forked import Forked
from tests.interfaces.cli.conftest import Run, clean_environ, run_in
from tests.stories.conftest import blink, until

from microclaw.devices.registry.call_text import CALLS
from microclaw.host.operations.operation import Permission
from microclaw.programs.changes.device_calls import call_permission


def test_a_narrow_terminal_and_an_old_locale_break_no_screen(ask: Run, home: Path, tmp_path: Path) -> None:
    program = blink(tmp_path, 12, name="narrow")
    for encoding, words, shown in (
        ("iso-8859-1", f"run {program} -d virtual-1", "proof"),
        ("iso-8859-1", "status", "virtual-1"),
        ("ascii", "device list", "virtual-1"),
    ):
        ran = run_in(home, *words.split(), environ={"COLUMNS": "60", "PYTHONIOENCODING": encoding})
        assert (ran.code, ran.err, shown in ran.out) == (0, "", True)
        assert max(map(len, ran.out.splitlines())) <= 60
    assert ask("app", "uninstall", "narrow", "-d", "virtual-1").code == 0


def test_devices_are_labelled_checked_and_looked_for(host: dict[str, Any], ask: Run) -> None:
    for address in ("127.0.0.1:0", "224.0.0.1:8080"):  # where no board can be
        ran = ask("device", "add", "attic", "--board", "virtual", "--wasmachine", address)
        assert (ran.code, "next: " in ran.err) == (1, True)
    assert ask("device", "show", "attic").code == 1
    assert ask("device", "label", "virtual-1", "lamp", "attic").code == 0
    left = ask("device", "label", "virtual-1", "--remove", "attic", "--json").json
    assert left["labels"] == ["lamp"]
    assert ask("device", "label", "virtual-1", "--remove", "lamp", "--json").json["labels"] == []
    checked = ask("device", "check", "virtual-1", "--json").json
    assert (checked["schema"], checked["ok"]) == ("microclaw.check/1", True)
    assert all(way["reached"] for way in checked["transports"])
    endpoints = [way["endpoint"] for way in checked["transports"]]
    address = next(one for one in endpoints if one.startswith("wasmachine:")).removeprefix("wasmachine://")

    look = ("--json", "device", "discover", "--interface", "127.0.0.1", "--for", "0.2", "--subnet")
    port = int(address.rpartition(":")[2])

    def is_found() -> bool:  # at the host's boards' own ports, too, once the host leaves them alone
        found = ask(*look, "127.0.0.1/32").json["found"]
        mine = [(each["kind"], each["address"], each["known_as"]) for each in found if each["port"] == port]
        return mine == [("wasmachine", "127.0.0.1", "virtual-1")]

    until(is_found)
    for words, code in ((["--subnet", "10.0.0.0/8"], 1), (["--for", "0"], 2), (["--interface", "192.0.2.1"], 1)):
        ran = ask("device", "discover", *words)
        assert (ran.code, "next: " in ran.err) == (code, True)


def test_a_method_that_nobody_named_acts() -> None:
    acting = {method for method in CALLS if call_permission(method) is Permission.ACT}
    assert acting == {"gpio.set", "pwm.set", "apps.request", "apps.start", "apps.stop", "apps.undo"}
    assert call_permission("device.restart") is Permission.RISKY
    assert call_permission("dac.write") is Permission.ACT


def test_a_report_of_a_device_has_its_answers_and_no_name(ask: Run, tmp_path: Path) -> None:
    assert ask("run", blink(tmp_path, 14, name="pasted"), "-d", "virtual-1").code == 0
    ran = ask("doctor", "--report", "-d", "virtual-1")
    assert ran.code == 0, ran.err
    assert re.search(r"\n  chip           ESP32-S3\n", ran.out)
    assert re.search(r"\n  pasted         running  [0-9a-f]{64}\n", ran.out)
    assert not {"virtual-1", "127.0.0.1"} & set(re.split(r"[\s:]", ran.out))
    assert ask("doctor", "--report", "-d", "nobody").code == 1
    assert ask("device", "add", "gone", "--board", "virtual", "--wasmachine", "127.0.0.1:9").code == 0
    ran = ask("doctor", "--report", "-d", "gone")
    assert (ran.code, "over the host  problem" in ran.out, "None" in ran.out) == (0, True, False), ran.out + ran.err
    assert ask("device", "remove", "gone", "-y").code == 0
    assert ask("app", "uninstall", "pasted", "-d", "virtual-1", "-q").code == 0


SPINNING = "void setup() { pinMode(4, OUTPUT); }\nvoid loop() { digitalWrite(4, digitalRead(5)); }\n"


def test_ctrl_c_before_the_installation_began_changes_nothing(ask: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "spin.ino").write_text(SPINNING)
    (tmp_path / "long.txt").write_text("pin 4: always low\nfor 60 min\nsoak 60 min\n")
    words = ["run", str(tmp_path / "spin.ino"), "--expect", str(tmp_path / "long.txt"), "-d", "virtual-1"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked(("microclaw", *words), text=True, env=clean_environ(home), bufsize=1, **pipes) as running:
        assert running.stdout is not None
        assert any(line.startswith("check") for line in running.stdout)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, len(err.splitlines())) == (130, 1)
    assert "spin" not in ask("app", "list").out + ask("app", "changes").out


GONE = ("quizzaclefoo", "vexolumbar")  # in no dictionary, and the same after stemming


def test_a_removed_conversation_leaves_no_word(ask: Run, home: Path) -> None:
    def found_in(word: str) -> set[str]:
        """The files that hold the word, or all but its first letters: an index stores those once."""
        parts = (word.encode(), word.encode("utf-16-le"), word[2:].encode())
        files = (path for path in home.rglob("*") if path.is_file())
        return {str(path.relative_to(home)) for path in files if any(part in path.read_bytes() for part in parts)}

    for word in GONE:
        ask("chat", f"set pin 4 of virtual-1 to 1, {word}", "--yes")
        ask("chat", word)
    ask("memory", "search", GONE[0])  # the index reads it
    (home / "chat_history").write_text(f"\n# 2026-11-20\n+{GONE[0]}\n")
    assert any(name.startswith("microclaw.db") for name in found_in(GONE[0]))
    removed = ask("memory", "sessions", "--rm", "terminal", "--yes")
    assert (removed.code, removed.err) == (0, "")
    assert [found_in(word) for word in GONE] == [set(), set()]
    assert ask("memory", "sessions", "terminal").code != 0


def test_without_an_editor_and_a_terminal_memory_edit_ends_at_once(ask: Run) -> None:
    ended = ask("memory", "edit", environ={"EDITOR": "", "VISUAL": ""})
    assert ended.code == 2
    assert "set EDITOR to a command" in ended.err


def test_an_editor_that_fails_or_is_late_changes_nothing(ask: Run, home: Path, tmp_path: Path) -> None:
    memory = home / "memory" / "MEMORY.md"
    editor = tmp_path / "editor"

    def edit(script: str) -> Any:
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o700)
        return ask("memory", "edit", environ={"EDITOR": str(editor), "VISUAL": str(editor)})

    before = ask("memory", "show", "--json").out
    assert [edit(script).code for script in ("true", 'echo lost > "$1"; exit 3', "exec no-such-editor")] == [0, 1, 1]
    assert ask("memory", "show", "--json").out == before
    late = edit(f'mkdir -p "{memory.parent}"; echo "- theirs" >> "{memory}"; echo "- mine" >> "$1"')
    assert late.code == 1
    kept = Path(late.out.split("what you wrote is in ")[1].split()[0])
    assert "- mine" in kept.read_text()
    kept.unlink()
    shown = ask("memory", "show").out
    assert ("- theirs" in shown, "- mine" in shown) == (True, False)


SENSOR = """#include "microclaw.h"
static int bus;
static void tick(void) { unsigned char id; i2c_read_reg(bus, 0x76, 0xd0, &id, 1); printf("%d\\n", id); }
void on_init(void) {
    bus = i2c_open(8, 9);
    every(100, tick);
}
"""


@pytest.fixture
def sensor(tmp_path: Path) -> Path:
    path = tmp_path / "sensor.c"
    path.write_text(SENSOR)
    return path


@pytest.fixture
def described(ask: Run) -> Iterator[Callable[..., None]]:
    """Describe the firmware of virtual-1 for one test."""

    def describe(*words: str) -> None:
        options = [part for word in words for part in ("--firmware", word)]
        assert ask("device", "add", "virtual-1", *options).code == 0

    yield describe
    describe("stock")


def test_a_described_firmware_is_held_to_without_a_host(run: Run, ask: Run, sensor: Path, tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text('nodes = ["-i2c"]\n')
    for words in (("run", "--try", sensor), ("app", "build", sensor), ("run", sensor, "-d", "127.0.0.1:1")):
        for given in ("nodes=-i2c", file):
            ran = run(*words, "--firmware", given)
            assert (ran.code, "sensor.c:5:11: error: " in ran.err) == (1, True)
    file.write_text("nodes = [")
    for wrong in (file, "nodes=-i2x", "nothing.toml", "heap=0"):
        ran = run("run", "--try", sensor, "--firmware", wrong)
        assert (ran.code, "next: " in ran.err) == (1, True)
    assert ask("run", sensor, "-d", "virtual-1", "--firmware", "nodes=-i2c").code == 2


def test_a_description_is_kept_and_held_to_by_every_door(
    ask: Run, sensor: Path, described: Callable[..., None]
) -> None:
    described("nodes=-i2c", "max_apps=2")
    shown = ask("device", "show", "virtual-1", "--json").json["firmware"]
    assert (shown["described"], shown["max_apps"]) == (["nodes=-i2c", "max_apps=2"], 2)
    assert shown["nodes"] == ["gpio", "ledc"]
    ran = ask("run", sensor, "-d", "virtual-1")
    assert (ran.code, "sensor.c:5:11" in ran.err) == (1, True)
    said = ask("-d", "virtual-1", "chat", "hold the temperature at 25 degrees with the fan on pin 5")
    assert "without /dev/i2c" in said.out + said.err
    assert ask("app", "list", "-d", "virtual-1", "--json").json["apps"] == []


def test_the_wiring_beside_a_program_goes_with_it_to_the_host(ask: Run, tmp_path: Path) -> None:
    program = tmp_path / "lamp.ino"
    program.write_text(
        "void setup() { pinMode(4, INPUT_PULLUP); pinMode(5, OUTPUT); }\n"
        "void loop() { digitalWrite(5, digitalRead(4) == LOW); delay(5); }\n"
    )
    (tmp_path / "wiring.toml").write_text('[btn1]\npart = "button"\npin = 4\nbounce_ms = 0\n')
    (tmp_path / "lamp.expect").write_text("press btn1 at 2 s for 300 ms\npin 5: rises at 2 s\nsoak 0 s\n")
    ran = ask("run", program, "-d", "virtual-1", "--expect", tmp_path / "lamp.expect")
    assert (ran.code, "wired by wiring.toml: btn1" in ran.out, "met in the trial" in ran.out) == (0, True, True), (
        ran.err
    )
    (tmp_path / "wiring.toml").write_text('[btn1]\npart = "button"\npin = 27\n')
    ran = ask("app", "upgrade", "lamp", program, "-d", "virtual-1")
    assert (ran.code, "btn1: pin on pin 27" in ran.out + ran.err) == (1, True)
    for act in ("stop", "start"):
        assert ask("app", act, "lamp", "-d", "virtual-1").code == 0
    assert ask("app", "uninstall", "lamp", "-d", "virtual-1").code == 0
