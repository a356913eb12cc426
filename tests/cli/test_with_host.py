"""Commands beside a running host with one virtual board."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run, clean_environ
from tests.stories.conftest import blink


def test_a_narrow_terminal_and_an_old_locale_break_no_screen(ask: Run, tmp_path: Path) -> None:
    narrow = {"COLUMNS": "60", "PYTHONIOENCODING": "iso-8859-1"}
    ran = ask("run", blink(tmp_path, 12, name="narrow"), "-d", "virtual-1", environ=narrow)
    assert (ran.code, ran.err) == (0, "")
    assert {"compile", "check", "proof"} <= {line.partition(" ")[0] for line in ran.out.splitlines()}
    screens = [ran.out]
    for encoding, words in (("iso-8859-1", ("status",)), ("ascii", ("device", "list")), ("ascii", ("app", "list"))):
        shown = ask(*words, environ={**narrow, "PYTHONIOENCODING": encoding})
        assert (shown.code, shown.err) == (0, "")
        assert "virtual-1" in shown.out
        screens.append(shown.out)
    assert max(len(line) for screen in screens for line in screen.splitlines()) <= 60
    assert ask("app", "uninstall", "narrow", "-d", "virtual-1").code == 0


def test_an_address_where_no_board_can_be_is_refused_before_it_is_kept(ask: Run) -> None:
    for address in ("127.0.0.1:0", "224.0.0.1:8080"):
        ran = ask("device", "add", "attic", "--board", "virtual", "--wasmachine", address)
        assert ran.code == 1
        assert "next: " in ran.err
    assert ask("device", "show", "attic").code == 1


def test_labels_are_replaced_and_what_went_is_told(ask: Run) -> None:
    assert ask("device", "label", "virtual-1", "lamp", "attic").code == 0
    gone = json.loads(ask("device", "label", "virtual-1", "--json").out)
    assert (gone["labels"], gone["taken_away"]) == ([], ["lamp", "attic"])


def test_a_board_is_checked_by_name_and_by_address(ask: Run) -> None:
    checked = json.loads(ask("device", "check", "virtual-1", "--json").out)
    assert checked["schema"] == "microclaw.check/1"
    assert checked["ok"]
    assert all(way["reached"] for way in checked["transports"])
    address = next(way["endpoint"] for way in checked["transports"] if way["endpoint"].startswith("wasmachine:"))
    ran = ask("device", "check", address.removeprefix("wasmachine://"))
    assert ran.code == 0, ran.err


def test_a_report_of_a_device_has_its_answers_and_no_name(ask: Run, tmp_path: Path) -> None:
    assert ask("run", blink(tmp_path, 14, name="pasted"), "-d", "virtual-1").code == 0
    ran = ask("doctor", "--report", "-d", "virtual-1")
    assert ran.code == 0, ran.err
    assert re.search(r"\n  call           ok, 5 times, [\d.]+ ms ", ran.out)
    assert re.search(r"\n  pasted         running  [0-9a-f]{64}\n", ran.out)
    assert "virtual-1" not in ran.out
    assert "127.0.0.1" not in ran.out
    assert ask("doctor", "--report", "-d", "nobody").code == 1
    assert ask("app", "uninstall", "pasted", "-d", "virtual-1", "-q").code == 0


SPINNING = "void setup() { pinMode(4, OUTPUT); }\nvoid loop() { digitalWrite(4, digitalRead(5)); }\n"


def test_ctrl_c_before_the_installation_began_changes_nothing(ask: Run, host: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spin.ino").write_text(SPINNING)
    (tmp_path / "long.txt").write_text("pin 4: always low\nfor 60 min\nsoak 60 min\n")
    words = ["run", str(tmp_path / "spin.ino"), "--expect", str(tmp_path / "long.txt"), "-d", "virtual-1"]
    command = [sys.executable, "-u", "-m", "microclaw", *words]
    environ = clean_environ(Path(host["home"]))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, bufsize=1
    ) as running:
        assert running.stdout is not None
        assert any(line.startswith("check") for line in running.stdout)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert len(err.splitlines()) == 1
    assert "spin" not in ask("app", "list").out
    assert "spin" not in ask("app", "changes").out
