"""A host and a board with stock ESP-WASMachine, which has nothing but its port: logs, proof, and acts at its pins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.interfaces.cli.conftest import Run
from tests.stories.conftest import running_board, until

TALKER = """#include <stdio.h>
#include <unistd.h>
int main(void) { for (int n = 0;; n++) { printf("tick %d\\n", n); usleep(200000); } }"""
FLOOD = """#include <stdio.h>
#include <unistd.h>
int main(void) { for (int n = 0; n < 500; n++) printf("line %d\\n", n); for (;;) sleep(1); }"""
LAMP = """#include <microclaw.h>
int main(void) { int lamp = gpio_open(PIN, GPIO_OUT); for (;;) { gpio_toggle(lamp); delay(100); } }"""


@pytest.fixture(scope="module")
def control(host: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The board's ready document; the host knows its WASMachine port alone."""
    with running_board(Path(host["home"]), "--name", "shed", "--wasmachine", "0", "--serial", "pty") as board:
        yield board


@pytest.fixture
def kitchen(ask: Run, control: dict[str, Any]) -> Iterator[str]:
    address = f"127.0.0.1:{control['wasmachine']}"
    assert ask("device", "add", "kitchen", "--board", "virtual", "--wasmachine", address).code == 0
    yield "kitchen"
    for app in ask("app", "list", "--json").json["apps"]:
        if app["device"] == "kitchen":
            assert ask("app", "uninstall", app["name"], "-d", "kitchen").code == 0
    assert ask("device", "remove", "kitchen", "-y").code == 0


def _run(ask: Run, folder: Path, name: str, source: str, *words: str) -> str:
    (folder / f"{name}.c").write_text(source)
    ran = ask("run", str(folder / f"{name}.c"), "-d", "kitchen", *words)
    assert ran.code == 0, ran.out + ran.err
    return str(ran.out)


def test_what_a_program_prints_proves_it_and_is_in_the_logs(ask: Run, kitchen: str, tmp_path: Path) -> None:
    _run(ask, tmp_path, "flood", FLOOD)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in ask("logs", f"{kitchen}/flood", "--json").out.splitlines()]

    until(lambda: [line["text"] for line in lines()][-1:] == ["line 499"])
    assert {line["app"] for line in lines()} == {"flood"}
    tail = ask("logs", kitchen, "--tail", "3").out.splitlines()
    assert len(tail) == 3
    assert "line 0" not in ask("logs", f"{kitchen}/flood", "--since", "1h").out


def test_acts_at_pins_are_reported_held_claimed_and_undone(ask: Run, kitchen: str, tmp_path: Path) -> None:
    ran = ask("exec", kitchen, "gpio.set", "pin=4", "level=1")
    assert ran.code == 0, ran.err
    assert "reported: " in ran.out + ran.err
    assert ask("exec", kitchen, "gpio.set", "pin=4", "level=0").code == 0
    assert ask("app", "undo").code == 0
    assert ask("exec", kitchen, "gpio.get", "pin=4", "--json").json["result"]["level"] == 1
    (tmp_path / "lamp.c").write_text(LAMP.replace("PIN", "4"))
    assert ask("run", str(tmp_path / "lamp.c"), "-d", "kitchen").code != 0
    (tmp_path / "fleet.yaml").write_text("programs: []\n")
    same = ask("fleet", "apply", "--dry-run", "-f", str(tmp_path / "fleet.yaml"), "-d", "kitchen")
    assert (same.code, same.out.splitlines()[-1]) == (0, "no programs")
    assert "microclaw-pins" not in same.out
    assert ask("app", "uninstall", "microclaw-pins", "-d", "kitchen").code == 0
    _run(ask, tmp_path, "lamp", LAMP.replace("PIN", "4"))


def test_its_console_is_read_when_asked_and_mixed_with_no_other_line(
    ask: Run, kitchen: str, control: dict[str, Any], tmp_path: Path
) -> None:
    assert ask("logs", kitchen, "--console").code != 0
    assert ask("device", "add", kitchen, "--console", control["pty"]).code == 0
    ask("logs", kitchen, "--console")  # opens it, and leaves it open for a while
    _run(ask, tmp_path, "talker", TALKER)
    heard = ask("logs", kitchen, "--console", "--json")
    lines = [json.loads(line) for line in heard.out.splitlines()]
    assert any(line["text"].startswith("tick ") for line in lines)
    assert {(line["source"], line["evidence"], "app" in line) for line in lines} == {("console", "reported", False)}
    assert [line["n"] for line in lines] == list(range(lines[0]["n"], lines[0]["n"] + len(lines)))
    assert len(ask("logs", kitchen, "--console", "--tail", "2").out.splitlines()) == 2
    events = [json.loads(line) for line in ask("logs", kitchen, "--json").out.splitlines()]
    texts = [line["text"] for line in events if line["text"].startswith("tick ")]
    assert len(texts) == len(set(texts))
    assert not any("source" in line for line in events)
    assert ask("logs", f"{kitchen}/talker", "--console").code != 0
    assert ask("device", "check", kitchen).code == 0
    added = ask("device", "add", "cellar", "--board", "virtual", "--console", f"{control['pty']}-not-there")
    shown = ask("logs", "cellar")
    assert "cannot open console:" in shown.err, added.out + added.err + shown.out
    assert ask("device", "remove", "cellar", "-y").code == 0
