"""Commands beside a running host with one virtual board."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import clean_environ

Run = Callable[..., Any]

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); printf("tick\\n"); }
void on_init(void) { led = gpio_open(PIN, GPIO_OUT); every(100, tick); }
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, int], Path]:
    def write(name: str, pin: int) -> Path:
        path = tmp_path / f"{name}.c"
        path.write_text(BLINK.replace("PIN", str(pin)))
        return path

    return write


@pytest.fixture
def running(ask: Run, program: Callable[[str, int], Path]) -> Iterator[str]:
    """A program that runs on virtual-1 for one test."""
    ran = ask("run", str(program("ticker", 10)), "-d", "virtual-1")
    assert ran.code == 0, ran.err
    yield "ticker"
    ask("app", "uninstall", "ticker", "-d", "virtual-1")


def test_status_lists_the_board(ask: Run) -> None:
    document = json.loads(ask("status", "--json").out)
    assert document["schema"] == "microclaw.status/1"
    assert "virtual-1" in [d["name"] for d in document["devices"]]
    assert "virtual-1 (virtual)" in ask("status").out


def test_second_host_of_one_home_is_refused(ask: Run, host: dict[str, Any]) -> None:
    ran = ask("up", "--port", "0")
    assert ran.code == 1
    assert str(host["pid"]) in ran.err
    assert "next: " in ran.err


def test_devices_are_listed_for_people_and_programs(ask: Run) -> None:
    document = json.loads(ask("device", "list", "--json").out)
    assert document["schema"] == "microclaw.devices/1"
    assert re.search(r"^NAME +BOARD", ask("devices", "list").out)
    assert not re.search(r"^NAME +BOARD", ask("device", "list", "-q").out)


def test_the_shell_completes_the_devices_of_this_host(ask: Run) -> None:
    asked = {"_MICROCLAW_COMPLETE": "complete_bash", "COMP_WORDS": "microclaw logs virt", "COMP_CWORD": "2"}
    tries = (ask(environ=asked).out for _ in range(20))  # a busy machine may need longer than completion waits
    assert next(out for out in tries if out) == "virtual-1\n"


def test_a_narrow_terminal_and_an_old_locale_break_no_screen(ask: Run, program: Callable[[str, int], Path]) -> None:
    narrow = {"COLUMNS": "60", "PYTHONIOENCODING": "iso-8859-1"}
    ran = ask("run", str(program("narrow", 12)), "-d", "virtual-1", environ=narrow)
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


def test_device_name_that_is_taken_or_wrong_is_refused(ask: Run) -> None:
    where = ["--board", "virtual", "--wasmachine", "127.0.0.1:9"]
    assert ask("device", "add", "virtual-1", *where).code == 1
    assert ask("device", "add", "No Name!", *where).code == 1
    ran = ask("device", "show", "virtual-9")
    assert ran.code == 1
    assert "virtual-1" in ran.err


def test_board_of_a_real_device_is_never_guessed(ask: Run) -> None:
    ran = ask("device", "add", "desk", "--wasmachine", "127.0.0.1:9")
    assert ran.code == 2
    assert "esp32-s3-devkitc-1-v1.1" in ran.err


def test_two_entries_of_one_board_are_merged_and_one_is_forgotten(ask: Run) -> None:
    assert ask("device", "add", "desk", "--board", "virtual", "--wasmachine", "127.0.0.1:9").code == 0
    assert ask("device", "add", "desk", "--serial", "tcp://127.0.0.1:9").code == 0
    assert ask("device", "add", "shelf", "--board", "virtual", "--wasmachine", "127.0.0.1:10").code == 0
    merged = json.loads(ask("device", "merge", "desk", "shelf", "--json").out)
    assert merged["transports"] == ["wasmachine://127.0.0.1:9", "serial:tcp://127.0.0.1:9", "wasmachine://127.0.0.1:10"]
    assert ask("device", "remove", "desk").code == 0
    for name in ("desk", "shelf"):
        assert ask("device", "show", name).code == 1


def test_a_board_that_never_answered_is_said_so_everywhere(ask: Run) -> None:
    added = ask("device", "add", "attic", "--board", "virtual", "--wasmachine", "127.0.0.1:9")
    assert added.code == 0
    assert "attic is kept, and was never reached" in added.out
    assert re.search(r"^attic .* never reached ", ask("device", "list").out, re.MULTILINE)
    assert "attic (virtual): no programs, never reached" in ask("status").out
    assert "attic: never reached" in ask("doctor").out
    checked = ask("device", "check", "attic")
    assert checked.code == 1
    assert "not reached" in checked.out
    assert "next: " in checked.out
    assert ask("device", "remove", "attic").code == 0


def test_an_address_where_no_board_can_be_is_refused_before_it_is_kept(ask: Run, host: dict[str, Any]) -> None:
    own = host["http"].rpartition("/")[2]
    for address in ("127.0.0.1:0", "224.0.0.1:8080", own):
        ran = ask("device", "add", "attic", "--board", "virtual", "--wasmachine", address)
        assert ran.code == 1
        assert "next: " in ran.err
    assert ask("device", "show", "attic").code == 1


def test_a_board_is_checked_by_name_and_by_address(ask: Run) -> None:
    checked = json.loads(ask("device", "check", "virtual-1", "--json").out)
    assert checked["schema"] == "microclaw.check/1"
    assert checked["ok"]
    assert all(way["reached"] for way in checked["transports"])
    address = next(way["endpoint"] for way in checked["transports"] if way["endpoint"].startswith("wasmachine:"))
    ran = ask("device", "check", address.removeprefix("wasmachine://"))
    assert ran.code == 0, ran.err
    assert f"{address}: reached in" in ran.out


def test_exec_sets_and_reads_a_pin(ask: Run) -> None:
    assert ask("exec", "virtual-1", "gpio.set", "pin=11", "level=1").code == 0
    document = json.loads(ask("exec", "virtual-1", "gpio.get", "11", "--json").out)
    assert (document["schema"], document["result"]) == ("microclaw.exec/1", {"pin": 11, "level": 1})


def test_show_says_what_works_on_the_board_today(ask: Run) -> None:
    today = json.loads(ask("device", "show", "virtual-1", "--json").out)["today"]
    assert today["family"] == "the virtual ESP32-S3 over its WASMachine port"
    told = {finding["feature"]: finding for finding in today["findings"]}
    assert told["addressable LEDs"]["state"] == "cannot"
    assert told["pins, PWM and I2C at once"]["evidence"][0] == "tests/apps/test_direct_io.py"
    text = ask("device", "show", "virtual-1").out
    assert "\n  works: " in text
    assert "\n  this board cannot: microclaw flash, from an empty flash; " in text
    assert "on hardware" not in text


def test_a_board_on_hold_is_told_that_nothing_was_tried_on_hardware(ask: Run) -> None:
    words = ("--wasmachine", "127.0.0.1:9", "--board", "esp32-devkitc-v4")
    assert ask("device", "add", "bench", *words).code == 0
    text = ask("device", "show", "bench").out
    assert "on hardware: nothing yet" in text
    assert "microclaw doctor --report -d bench" in text
    assert ask("device", "remove", "bench").code == 0


def test_a_report_of_a_device_has_its_answers_and_no_name(ask: Run, program: Callable[[str, int], Path]) -> None:
    assert ask("run", str(program("pasted", 14)), "-d", "virtual-1").code == 0
    ran = ask("doctor", "--report", "-d", "virtual-1", "--try-pin", "11", "--yes")
    assert ran.code == 0, ran.err
    assert "\n  pin 11         ok, set to 1 and 0, read as 1 and 0\n" in ran.out
    assert re.search(r"\n  call           ok, 5 times, [\d.]+ ms ", ran.out)
    assert re.search(r"\n  pasted  running  sha256 [0-9a-f]{64}\n", ran.out)
    assert "virtual-1" not in ran.out
    assert "127.0.0.1" not in ran.out
    assert ask("doctor", "--report", "-d", "nobody").code == 1
    assert ask("app", "uninstall", "pasted", "-d", "virtual-1", "-q").code == 0


def test_exec_on_a_reserved_pin_says_why_and_what_instead(ask: Run) -> None:
    ran = ask("exec", "virtual-1", "gpio.set", "27", "1")
    assert ran.code == 1
    assert "flash" in ran.err
    assert "next: " in ran.err


def test_program_is_run_listed_shown_logged_and_taken_off(ask: Run, program: Callable[[str, int], Path]) -> None:
    ran = ask("run", str(program("whole", 12)), "-d", "virtual-1")
    assert ran.code == 0, ran.err
    for stage in ("compile", "check", "try", "deploy", "verify"):
        assert f"\n{stage} " in f"\n{ran.out}"
    assert "counted on the board" in ran.out
    apps = json.loads(ask("app", "list", "-d", "virtual-1", "--json").out)["apps"]
    assert ("whole", "running") in [(app["name"], app["condition"]) for app in apps]
    assert "every(100, tick)" in ask("app", "show", "whole", "-d", "virtual-1").out
    assert "whole        tick" in ask("logs", "virtual-1").out
    lines = ask("logs", "virtual-1/whole").out.splitlines()
    assert lines
    assert all("whole        tick" in line for line in lines)
    newest = ask("logs", "virtual-1/whole", "--tail", "3").out.splitlines()
    assert len(newest) == 3
    assert newest[0] >= lines[-3]  # it went on meanwhile
    undated = ask("logs", "virtual-1/whole", "--since", "10m")
    assert undated.code == 1
    assert "when the lines of virtual-1 came is not known" in undated.err
    assert "next: leave --since out" in undated.err
    ran = ask("app", "uninstall", "whole", "-d", "virtual-1", "--json")
    assert json.loads(ran.out)["schema"] == "microclaw.removal/1"


def test_install_as_json_is_one_document_with_its_evidence(ask: Run, program: Callable[[str, int], Path]) -> None:
    ran = ask("app", "install", str(program("doc", 13)), "-d", "virtual-1", "--json")
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.deployment/1"
    assert document["evidence"]["kind"] == "counted"
    assert document["trial"]["ok"] is True
    assert ask("app", "uninstall", "doc", "-d", "virtual-1", "-q").out == ""


SPINNING = "void setup() { pinMode(4, OUTPUT); }\nvoid loop() { digitalWrite(4, digitalRead(5)); }\n"


def test_ctrl_c_before_the_installation_began_changes_nothing(ask: Run, host: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spin.ino").write_text(SPINNING)
    (tmp_path / "long.txt").write_text("pin 4: always low\nfor 60 min\nsoak 60 min\n")
    words = ["run", str(tmp_path / "spin.ino"), "--expect", str(tmp_path / "long.txt"), "-d", "virtual-1"]
    command = [sys.executable, "-u", "-m", "microclaw.cli", *words]
    environ = clean_environ(Path(host["home"]))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, bufsize=1
    ) as running:
        assert running.stdout is not None
        assert any(line.startswith("check") for line in running.stdout)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err == "error: cancelled: it had changed nothing yet\n"
    assert "spin" not in ask("app", "list").out
    assert "spin" not in ask("app", "changes").out


def test_a_report_of_one_device_has_no_problem_of_another(ask: Run) -> None:
    assert ask("device", "add", "foo", "--board", "virtual", "--wasmachine", "127.0.0.1:1").code == 0
    try:
        assert ask("exec", "foo", "apps.list").code == 4
        assert "device problem" not in ask("doctor", "--report", "-d", "virtual-1").out
    finally:
        assert ask("device", "remove", "foo").code == 0


def test_the_one_device_that_has_a_program_is_not_asked_for(ask: Run, running: str) -> None:
    assert ask("device", "add", "foo", "--board", "virtual", "--wasmachine", "127.0.0.1:1").code == 0
    try:
        shown = ask("app", "show", running)
        assert shown.code == 0, shown.err
        assert re.search(r"^device +virtual-1$", shown.out, re.M)
        for act in ("show", "stop", "start", "restart", "uninstall"):
            assert "no device lists a program nothing" in ask("app", act, "nothing").err
        gone = ask("app", "uninstall", running)
        assert gone.code == 0, gone.err
    finally:
        assert ask("device", "remove", "foo").code == 0


@pytest.mark.parametrize("words", [("device", "revoke", "virtual-1"), ("person", "rm", "somebody")])
def test_what_needs_a_yes_is_wrong_usage_without_a_terminal(ask: Run, words: tuple[str, ...]) -> None:
    ran = ask(*words)
    assert ran.code == 2
    assert "this needs a yes" in ran.err
    assert "\nnext: give --yes with the same command, or run it at a terminal and answer there" in ran.err


def test_undo_takes_the_last_change_back(ask: Run, running: str) -> None:
    changes = json.loads(ask("app", "changes", "-d", "virtual-1", "--json").out)["changes"]
    assert changes[0]["summary"] == f"deploy {running} on virtual-1"
    assert ask("app", "undo", str(changes[0]["change_id"])).code == 0
    names = [app["name"] for app in json.loads(ask("app", "list", "--json").out)["apps"]]
    assert running not in names


def test_broken_program_fails_at_compile_with_its_diagnostic(ask: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("void on_init(void) { int x = 1 }\n")
    ran = ask("run", str(tmp_path / "bad.c"), "-d", "virtual-1")
    assert ran.code == 1
    assert (
        ran.out == "compile  failed  bad.c:1:31: error: expected ';' at end of declaration\n"
    )  # and once more as the error
    assert ran.err.startswith("error: bad.c:1:31")
    assert ran.err.count("next: ") == 1


def test_app_that_is_not_there_is_said_with_what_there_is(ask: Run, running: str) -> None:
    ran = ask("app", "uninstall", "nope", "-d", "virtual-1")
    assert ran.code == 1
    assert running in ran.err


def test_chat_acts_and_says_how_it_knows(ask: Run) -> None:
    ran = ask("chat", "set pin 14 on", "-d", "virtual-1", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.chat/1"
    assert {"answer", "actions", "evidence", "usage"} <= set(document)
    arguments = document["actions"][0]["args"]
    assert (arguments["pin"], arguments["level"]) == (14, 1)


def test_quiet_chat_prints_the_answer_alone(ask: Run) -> None:
    ran = ask("chat", "what is running", "-d", "virtual-1", "-q")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("answer   ")


def test_chat_about_a_device_that_is_not_there_is_exit_code_4(ask: Run) -> None:
    assert ask("device", "add", "nowhere", "--board", "virtual", "--wasmachine", "127.0.0.1:1").code == 0
    assert ask("chat", "blink pin 2", "-d", "nowhere").code == 4


def test_sentence_nobody_understands_is_exit_code_1_and_said_once(ask: Run) -> None:
    ran = ask("chat", "please compose a symphony")
    assert ran.code == 1
    assert ran.out.startswith("sorry    I know ")
    assert ran.out.count("kinds of sentence") == 1
    assert "\nnext     " in ran.out


def test_conversation_goes_on_after_an_error_and_leaves_at_the_end(ask: Run) -> None:
    ran = ask("chat", "-d", "virtual-1", stdin="frobnicate the moon\n\nset pin 14 off\nexit\nset pin 14 on\n")
    assert ran.code == 0, ran.err
    assert "you> frobnicate the moon\nsorry    " in ran.out
    assert "Pin 14 of virtual-1 is off" in " ".join(ran.out.split())
    assert "set pin 14 on" not in ran.out


def test_without_a_terminal_there_is_no_escape_sequence(ask: Run) -> None:
    ran = ask("chat", "what is running", "-d", "virtual-1")
    assert "\x1b" not in ran.out
    assert "\r" not in ran.out


def test_doctor_asks_the_host_about_its_devices(ask: Run) -> None:
    findings = json.loads(ask("doctor", "--json").out)["findings"]
    assert any(f["part"] == "host" and "running" in f["text"] for f in findings)
    assert [f["text"] for f in findings if f["part"] == "voice"][:2] == ["pocketsphinx hears", "flite speaks"]
