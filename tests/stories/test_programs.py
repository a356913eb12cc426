"""Programs in C, C++, as a sketch, in Python and of the catalogue: tried, run, proved, switched, upgraded, undone."""

from __future__ import annotations

import json
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, Host, blink, joined_board, member_of, microclaw, started, until

from microclaw.programs.changes import operations as programs

BOARD = "virtual-1"
SOURCES = {
    "c.c": """#include "microclaw.h"
int main(void) { int led = gpio_open(2, GPIO_OUT); for (;;) { gpio_toggle(led); delay(250); } }
""",
    "cpp.cpp": """#include "microclaw.h"
#include <vector>
class Lamp { public: void turn() { gpio_toggle(pin); } int pin = gpio_open(2, GPIO_OUT); };
int main() { std::vector<Lamp> lamps(1); for (;;) { lamps[0].turn(); delay(250); } }
""",
    "sketch.ino": """void setup() { pinMode(2, OUTPUT); }
void loop() { digitalWrite(2, HIGH); delay(250); digitalWrite(2, LOW); delay(250); }
""",
    "python.py": """from machine import Pin
import time
led = Pin(2, Pin.OUT)
while True:
    led.toggle()
    time.sleep(0.25)
""",
}
FAN = """#include "microclaw.h"
int main(void) { printf("on\\n"); delay(1000); return 0; }
"""


@pytest.fixture
def clean(host: Host) -> Iterator[Host]:
    """No program runs, before and after."""
    yield host
    for name in host.conditions(BOARD):
        host.remove(BOARD, name)


@pytest.fixture(scope="module")
def link_board(host: Host) -> Iterator[str]:
    with joined_board(host, "desk") as name:
        yield name


def written(folder: Path, file: str) -> str:
    (folder / file).write_text(SOURCES[file])
    (folder / "it.expect").write_text("pin 2: period 500 ms, duty 50 %\nsoak 0 s\n")
    return str(folder / file)


WEB = """from machine import Pin
from microclaw.web import App

led = Pin(12, Pin.OUT)
app = App()


@app.route("/on")
def on(request):
    led.value(1)
    return "on"


app.run(port=80)
"""


@pytest.mark.parametrize("file", SOURCES)
def test_a_program_is_tried_without_host_and_board(tmp_path: Path, file: str) -> None:
    words = ("--json", "run", "--try", written(tmp_path, file), "--expect", str(tmp_path / "it.expect"))
    ran = microclaw(tmp_path / "home", *words)
    assert (ran.code, ran.json["ok"], ran.json["pins"]) == (0, True, [2])
    assert len(ran.json["edges"]) > 4
    assert not (tmp_path / "home" / "microclaw.db").exists()


@pytest.mark.parametrize("file", ["c.c", "cpp.cpp", "sketch.ino"])
def test_a_program_runs_and_its_edges_are_counted(clean: Host, tmp_path: Path, file: str) -> None:
    path = written(tmp_path, file)
    ran = clean.run("--json", "run", path, "-d", BOARD, "--expect", str(tmp_path / "it.expect"))
    assert (ran.code, ran.json["verified"], ran.json["evidence"]["kind"]) == (0, True, "counted")
    assert clean.conditions(BOARD) == {ran.json["name"]: "running"}
    shown = clean.run("--json", "app", "show", ran.json["name"]).json
    # A sketch.ino has the name of its folder, so its text says what its file is called.
    source = shown["source"].removeprefix(f'#line 1 "{file}"\n')
    assert (source, shown["pins"], shown["sha256"]) == (SOURCES[file], [2], ran.json["sha256"])
    assert clean.run("app", "undo").code == 0
    assert clean.conditions(BOARD) == {}


def test_a_python_program_runs_on_our_firmware(host: Host, link_board: str, tmp_path: Path) -> None:
    ran = host.run("--json", "run", written(tmp_path, "python.py"), "-d", link_board)
    assert (ran.code, ran.json["verified"], ran.json["evidence"]["kind"]) == (0, True, "counted")
    assert host.conditions(link_board) == {"python": "running"}
    assert host.run("app", "undo").code == 0
    assert host.conditions(link_board) == {}


def test_the_board_that_comes_with_the_host_takes_c_and_python(clean: Host, tmp_path: Path) -> None:
    page = tmp_path / "web.py"
    page.write_text(WEB)
    assert clean.run("run", blink(tmp_path, 10), "-d", BOARD).code == 0
    ran = clean.run("--json", "--yes", "run", str(page), "-d", BOARD)
    assert (ran.code, ran.json["name"]) == (0, "web"), ran.err
    assert clean.conditions(BOARD) == {"blink": "running", "web": "running"}
    answer = member_of(clean, "owner", "owner").get("/app/web/on")
    assert (answer.status, answer.body, clean.level(BOARD, 12)) == (200, b"on", 1)
    clean.remove(BOARD, "web")
    assert clean.conditions(BOARD) == {"blink": "running"}
    assert clean.run("app", "undo").code == 0
    clean.remove(BOARD, "blink")
    assert clean.conditions(BOARD) == {"web": "running"}


def test_a_program_is_stopped_started_and_each_is_undone(clean: Host, tmp_path: Path) -> None:
    assert clean.run("run", blink(tmp_path, 10), "-d", BOARD).code == 0
    for words, condition in (
        (("stop", "blink"), {"blink": "stopped"}),
        (("undo",), {"blink": "running"}),
        (("stop", "blink"), {"blink": "stopped"}),
        (("start", "blink"), {"blink": "running"}),
        (("restart", "blink"), {"blink": "running"}),
        (("uninstall", "blink"), {}),
        (("undo",), {"blink": "running"}),
    ):
        assert clean.run("app", *words).code == 0, words
        assert clean.conditions(BOARD) == condition, words


def test_an_upgrade_is_undone_and_one_that_is_not_verified_changes_nothing(clean: Host, tmp_path: Path) -> None:
    first = clean.run("--json", "run", blink(tmp_path, 10), "-d", BOARD).json["sha256"]
    blink(tmp_path, 10, 50)
    faster = clean.run("--json", "app", "upgrade", "blink", str(tmp_path))
    assert (faster.code, faster.json["verified"]) == (0, True)
    assert clean.program(BOARD, "blink").sha256 == faster.json["sha256"] != first
    assert clean.run("app", "undo").code == 0
    assert clean.program(BOARD, "blink").sha256 == first
    (tmp_path / "never.expect").write_text("pin 10: period 3 s\nsoak 0 s\n")
    words = ("app", "upgrade", "blink", blink(tmp_path, 10, 70), "--expect", str(tmp_path / "never.expect"))
    assert clean.run("--json", *words).json["error"]["code"] == "expectation_not_met"
    assert clean.program(BOARD, "blink").sha256 == first


def test_who_insists_installs_what_failed_its_trial(clean: Host, tmp_path: Path) -> None:
    (tmp_path / "never.expect").write_text("pin 10: period 3 s\nsoak 0 s\n")
    words = ("--json", "run", blink(tmp_path, 10), "-d", BOARD, "--expect", str(tmp_path / "never.expect"))
    assert clean.run(*words).code == 1
    assert clean.conditions(BOARD) == {}
    forced = clean.run(*words, "--force")
    assert (forced.code, forced.json["trial"]["ok"]) == (0, False)
    assert clean.conditions(BOARD) == {"blink": "running"}


def times(host: Host, board: str) -> Any:
    """The times of the board's only program."""
    found = host.client.call(programs.list_apps, device=board).apps[0].runs
    assert found
    return found


def test_a_program_runs_at_intervals_and_each_run_is_stopped(host: Host, link_board: str, tmp_path: Path) -> None:
    (tmp_path / "blink.py").write_text(SOURCES["python.py"])
    words = ("-d", link_board, "--every", "10s", "--stop-after", "1s")
    assert host.run("run", blink(tmp_path, 10), "-d", BOARD, *words[2:]).code == 1  # stock firmware has no intervals
    ran = host.run("--json", "run", str(tmp_path / "blink.py"), *words)
    assert ran.code == 0
    until(lambda: host.conditions(link_board) == {"blink": "waiting"})
    runs = times(host, link_board)
    assert (runs.every_ms, runs.stop_after_ms, runs.last_how) == (10_000, 1_000, "stopped")
    assert host.run("--json", "exec", link_board, "gpio.set", "2", "1").json["error"]["code"] == "pin_claimed"
    assert host.run("app", "set", "blink", "--every", "1h").code == 0
    assert times(host, link_board).every_ms == 3_600_000
    assert host.run("app", "undo").code == 0
    assert times(host, link_board).every_ms == 10_000
    host.remove(link_board, "blink")


def test_what_is_done_once_is_not_begun_again_by_a_restart_and_what_goes_on_is(host: Host, link_board: str) -> None:
    for sentence in ("blink pin 4 twice a second", "turn on pin 10 for 1 second"):
        assert host.run("chat", "--yes", f"{sentence} on {link_board}").code == 0
    until(lambda: host.conditions(link_board) == {"blink": "running", "pulse": "ended"})
    assert host.run("exec", link_board, "device.restart").code == 0
    # The pulse would be running again for its second.
    assert host.conditions(link_board) == {"blink": "running", "pulse": "stopped"}
    assert host.level(link_board, 10) == 0
    assert host.run("app", "restart", "pulse", "-d", link_board).code == 0
    until(lambda: host.conditions(link_board) == {"blink": "running", "pulse": "ended"})
    for name in ("blink", "pulse"):
        host.remove(link_board, name)


def test_lines_that_a_program_prints_are_in_the_log(clean: Host, tmp_path: Path) -> None:
    (tmp_path / "fan.c").write_text(FAN)
    assert clean.run("run", str(tmp_path / "fan.c"), "-d", BOARD).code == 0
    logged = clean.run("--json", "logs", BOARD, "--tail", "50")
    assert logged.code == 0
    assert '"text": "on"' in logged.out
    newest = clean.run("--json", "logs", f"{BOARD}/fan", "--tail", "1")
    assert (newest.code, newest.out.count('"text"')) == (0, 1)
    assert clean.run("logs", f"{BOARD}/fan", "--since", "10m").code == 1  # what a board keeps has no dates
    for more in ((), ("-f",)):
        assert clean.run("--json", "logs", f"{BOARD}/fun", *more).json["error"]["code"] == "app_not_found"


def test_each_save_of_a_watched_file_is_run(clean: Host, tmp_path: Path) -> None:
    file = blink(tmp_path, 10)
    watching = started(clean.home, "--json", "run", "--watch", file, "-d", BOARD)
    until(lambda: clean.conditions(BOARD) == {"blink": "running"})
    first = clean.program(BOARD, "blink").sha256
    blink(tmp_path, 10, 50)
    until(lambda: clean.program(BOARD, "blink").sha256 != first)
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=TIMEOUT_S)
    assert watching.returncode in (0, 130)
    assert clean.conditions(BOARD) == {"blink": "running"}


def test_expectations_and_wiring_that_a_watched_program_gets_are_run(tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text("print(1)\n")
    watching = started(tmp_path / "home", "--json", "run", "--watch", str(file), "--try", "--for", "1s")
    output = watching.stdout
    assert output is not None

    def next_trial() -> Any:
        assert select.select([output], [], [], TIMEOUT_S)[0]
        return json.loads(output.readline())

    assert next_trial()["expected"] == []
    expect = tmp_path / "main.expect"
    expect.write_text('log ~ "2"\n')
    assert not next_trial()["ok"]
    expect.write_text('log ~ "^1"\n')
    assert next_trial()["ok"]
    wiring = tmp_path / "wiring.toml"
    wiring.write_text('[lamp]\npart = "led"\npin = 2\n')
    assert next_trial()["shown"] == [[0.0, "lamp", "brightness", 0.0]]
    wiring.unlink()
    assert next_trial()["shown"] == []
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=TIMEOUT_S)


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


def test_an_entry_is_installed_with_its_parameters_proved_and_undone(clean: Host) -> None:
    ran = clean.run("--json", "app", "install", "fade", "-d", BOARD, "--set", "pin=7")
    assert (ran.code, ran.json["verified"], ran.json["trial"]["pins"]) == (0, True, [7])
    assert ran.json["expected"]
    assert clean.run("app", "undo").code == 0
    assert clean.conditions(BOARD) == {}


def test_an_entry_of_ones_own_is_installed_and_upgraded(clean: Host, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    entry(shelf, "1.0.0", 1000)
    assert clean.run("config", "set", "catalog.folders", json.dumps([str(shelf)])).code == 0
    words = ("app", "install", "lamp", "-d", BOARD, "--from", str(shelf), "--set", "pin=12")
    assert clean.run(*words).code == 0
    assert clean.level(BOARD, 12) == 1
    assert clean.run("app", "upgrade", "lamp", "-d", BOARD).code == 1  # it has the newest

    entry(shelf, "1.1.0", 2000)
    before = clean.program(BOARD, "lamp").sha256
    assert clean.run("app", "upgrade", "lamp", "-d", BOARD).code == 0
    now = clean.program(BOARD, "lamp")
    assert (now.sha256 != before, now.pins) == (True, (12,))
    assert clean.run("app", "undo").code == 0
    assert clean.program(BOARD, "lamp").sha256 == before


@pytest.mark.parametrize(
    ("version", "expect", "codes"),
    [("1.0.0", "low", {"expectation_not_met"}), ("none", "high", {"config_error", "unknown_name"})],
)
def test_an_entry_that_does_not_do_what_it_says_is_not_installed(
    clean: Host, tmp_path: Path, version: str, expect: str, codes: set[str]
) -> None:
    entry(tmp_path / "shelf", version, 1000, expect)
    before = clean.conditions(BOARD)
    ran = clean.run("--json", "app", "install", "lamp", "-d", BOARD, "--from", str(tmp_path / "shelf"))
    assert (ran.code, json.loads(ran.out)["error"]["code"] in codes) == (1, True), ran.out
    assert clean.conditions(BOARD) == before
