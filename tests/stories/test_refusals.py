"""Each kind of refusal: its exit code, its error code, and nothing done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stories.conftest import Host, blink, microclaw

NO_HOST = "127.0.0.1:1"
SOURCES = {
    "semicolon.c": '#include "microclaw.h"\nint main(void) {\n    int led = gpio_open(2, 1)\n    return led;\n}\n',
    "fopen.c": '#include <stdio.h>\nint main(void) { fopen("a", "r"); return 0; }\n',
    "flash_pin.c": '#include "microclaw.h"\nint main(void) {\n    gpio_open(26, GPIO_OUT);\n    return 0;\n}\n',
    "sketch.ino": "void setup() {\n  nosuch(1);\n}\nvoid loop() {}\n",
    "class.cpp": "class Lamp {\n  int pin\n};\nint main() { return 0; }\n",
    "bluetooth.py": "import bluetooth\nprint(1)\n",
    "busy.py": "from machine import Pin\nled = Pin(26, Pin.OUT)\n",
    "trap.c": '#include "microclaw.h"\nvoid on_init(void) { __builtin_trap(); }\n',
}


@pytest.fixture(scope="module")
def busy(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """virtual-1 runs blink on pin 10, and nothing answers at the address of shed."""
    folder = tmp_path_factory.mktemp("busy")
    assert host.run("run", blink(folder, 10), "-d", "virtual-1").code == 0
    assert host.run("device", "add", "shed", "--board", "virtual", "--wasmachine", NO_HOST).code == 0
    before = len(host.changes())
    yield host
    assert host.conditions("virtual-1") == {"blink": "running"}
    assert [c.state for c in host.changes()[:-before]] in ([], ["failed"])


def refused(host: Host, *words: str) -> tuple[int, str]:
    ran = host.run("--json", *words)
    assert ran.json["error"]["exit_code"] == ran.code
    return ran.code, ran.json["error"]["code"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("exec virtual-1 gpio.set 99 1", 1, "pin_refused"),
        ("exec virtual-1 gpio.set 10 1", 1, "pin_claimed"),
        ("exec virtual-1 gpio.set 5 2", 1, "call_rejected"),
        ("exec virtual-1 no.such", 1, "unknown_name"),
        ("exec cellar gpio.get 5", 1, "unknown_name"),
        ("exec shed gpio.set 5 1", 4, "device_unreachable"),
        ("app uninstall fan -d virtual-1", 1, "app_not_found"),
        ("app undo 4711", 1, "unknown_name"),
        ("app show fan", 1, "config_error"),
        ("app cancel blink -d virtual-1", 1, "app_not_found"),
        ("app install no_such -d virtual-1", 1, "unknown_name"),
        ("app install fade -d virtual-1 --set pin=10", 1, "pin_claimed"),
        ("schedule add nonsense nonsense", 1, "schedule_refused"),
        ("schedule rm 4711", 1, "unknown_name"),
        ("device add attic --board no-such-board --wasmachine 127.0.0.1:2", 1, "unknown_name"),
        ("device provision hall --board no-such-board", 1, "unknown_name"),
        ("backup make --recipient age1 out.age", 1, "config_error"),
        ("exec --all gpio.set 5 1", 2, "usage"),  # without a terminal nobody says yes
        ("app uninstall blink --all", 2, "usage"),
        ("app nothing", 2, "usage"),
        ("exec -l room=attic gpio.get 5", 1, "unknown_name"),
        ("exec --all -d virtual-1 gpio.get 5", 1, "config_error"),
        ("exec -d virtual-1 -d virtual-9 gpio.get 5", 1, "unknown_name"),
        ("app list -d virtual-1 -d virtual-9", 1, "config_error"),
        ("chat hello --all", 1, "config_error"),
        ("app changes -d virtual-1 -d virtual-9", 1, "config_error"),
        ("device label virtual-1 Room:kitchen", 1, "config_error"),
        ("device label virtual-1 --remove nothing", 1, "unknown_name"),
        ("device wiring virtual-1 no-such-file.toml", 1, "config_error"),
        ("device wiring virtual-1 /dev/zero", 1, "config_error"),
        ("device wiring virtual-1 --add lamp", 1, "config_error"),
        ("device wiring virtual-1 --add lamp=led --remove lamp", 1, "config_error"),
        ("device wiring virtual-1 --add lamp=lde", 1, "unknown_name"),
        ("device wiring virtual-1 --remove lamp", 1, "unknown_name"),
        ("device wiring virtual-1 file.toml --remove lamp", 2, "usage"),
        ("run no-such-file.c -d virtual-1", 1, "config_error"),
    ],
)
def test_an_act_is_refused(busy: Host, words: str, code: int, error: str) -> None:
    assert refused(busy, *words.split()) == (code, error)


@pytest.mark.parametrize(
    ("sentence", "error"),
    [
        ("turn on pin 26 on virtual-1", "pin_refused"),
        ("blink pin 26 twice a second on virtual-1", "build_error"),
        ("frobnicate the flux", "not_understood"),
        ("turn on the pump", "ambiguous"),  # on no known pin
    ],
)
def test_a_sentence_is_refused(busy: Host, sentence: str, error: str) -> None:
    ran = busy.run("--json", "chat", sentence)
    assert (ran.code, ran.json["error"]) == (1, error)
    assert all(action["outcome"] != "done" for action in ran.json["actions"])


def test_a_board_that_is_away_makes_no_sentence_a_question(busy: Host) -> None:
    ran = busy.run("--json", "chat", "read pin 5")
    assert (ran.code, "virtual-1" in ran.json["answer"]) == (0, True)


@pytest.mark.parametrize(
    ("file", "error", "line"),
    [
        ("semicolon.c", "build_error", 3),
        ("fopen.c", "build_error", 2),
        ("flash_pin.c", "build_error", 3),
        ("sketch.ino", "build_error", 2),
        ("class.cpp", "build_error", 2),
        ("trap.c", "trial_failed", None),
        ("busy.py", "build_error", 2),
    ],
)
def test_a_program_is_refused(busy: Host, tmp_path: Path, file: str, error: str, line: int | None) -> None:
    (tmp_path / file).write_text(SOURCES[file])
    ran = busy.run("--json", "run", str(tmp_path / file), "-d", "virtual-1")
    found = ran.json["error"]
    assert (ran.code, found["code"]) == (1, error)
    assert [one["line"] for one in found.get("diagnostics", [])][:1] == ([] if line is None else [line])


@pytest.mark.parametrize(("file", "line"), [("bluetooth.py", 1), ("busy.py", 2)])
def test_a_python_program_is_refused_before_anything_is_sent(tmp_path: Path, file: str, line: int) -> None:
    (tmp_path / file).write_text(SOURCES[file])
    ran = microclaw(tmp_path / "home", "--json", "app", "build", str(tmp_path / file))
    assert ran.code == 1
    assert [one["line"] for one in ran.json["error"]["diagnostics"]] == [line]


def test_a_pin_that_a_program_has_is_refused_to_another(busy: Host, tmp_path: Path) -> None:
    assert refused(busy, "run", blink(tmp_path, 10, name="other"), "-d", "virtual-1") == (1, "pin_claimed")


def test_a_trial_that_shows_something_else_is_refused(busy: Host, tmp_path: Path) -> None:
    (tmp_path / "it.expect").write_text("pin 11: period 3 s\nsoak 0 s\n")
    words = ("--expect", str(tmp_path / "it.expect"))
    assert refused(busy, "run", blink(tmp_path, 11, name="slow"), "-d", "virtual-1", *words) == (
        1,
        "expectation_not_met",
    )
    words = ("--every", "10s")  # which stock firmware has not
    assert refused(busy, "run", blink(tmp_path, 11, name="slow"), "-d", "virtual-1", *words) == (1, "deploy_rejected")


def test_a_function_that_the_boards_firmware_lacks_is_refused_at_its_line(busy: Host, tmp_path: Path) -> None:
    assert busy.run("device", "add", "shed", "--firmware", "natives=-ioctl").code == 0
    ran = busy.run("--json", "run", blink(tmp_path, 11, name="other"), "-d", "shed", "--when-back")
    assert (ran.code, ran.json["error"]["code"]) == (1, "build_error")
    assert [one["line"] for one in ran.json["error"]["diagnostics"]] == [4]


def test_without_a_host_it_is_exit_code_3(tmp_path: Path) -> None:
    for words in (("app", "list"), ("chat", "undo")):
        ran = microclaw(tmp_path / "home", "--json", *words)
        assert (ran.code, json.loads(ran.out)["error"]["code"]) == (3, "no_host")


def test_the_reason_is_on_stderr_and_stdout_is_one_document(busy: Host) -> None:
    ran = busy.run("exec", "virtual-1", "gpio.set", "99", "1")
    assert (ran.code, ran.out) == (1, "")
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["error", "next"]
