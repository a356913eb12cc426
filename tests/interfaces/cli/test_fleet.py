"""A file that says what runs on a host's boards: compared, applied, reverted, exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.interfaces.cli.conftest import Run, run_here
from tests.stories.conftest import BLINK, Host, running_host, until

from microclaw.interfaces.cli.fleet_commands import FleetFile
from microclaw.programs.changes import operations as programs

PROGRAM = BLINK.replace("HALF_MS", "100").replace("PIN", "10")
COUNT = PROGRAM.replace("gpio_open(10", "gpio_open(4")
MAIN = '#include "microclaw.h"\n#include "lib/led.h"\nvoid on_init(void) { led_begin(5); }\n'
LED_H = "#pragma once\nvoid led_begin(int pin);\n"
LED_C = """#include <microclaw.h>
#include "led.h"
static int led;
static volatile int seen[16];
static void flip(void) { for (int i = 0; i < 16; i++) seen[i] += i; gpio_toggle(led); }
void led_begin(int pin) { led = gpio_open(pin, GPIO_OUT); every(200, flip); }
"""
FLEET = """programs:
  - file: blink.c
    devices: all
  - file: count.c
    name: counter
    labels: [room=kitchen]
    heap_bytes: 4096
    watchdog_ms: 60000
    expect: count.expect
"""


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with two boards; the second is in the kitchen."""
    with running_host(tmp_path_factory.mktemp("boards") / "home", "--virtual", "2") as host:
        assert host.run("device", "label", "virtual-2", "room=kitchen").code == 0
        yield host


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "lib").mkdir(parents=True)
    (folder / "blink.c").write_text(PROGRAM)
    (folder / "count.c").write_text(COUNT)
    (folder / "count.expect").write_text("pin 4: period 200 ms\n")
    (folder / "main.c").write_text(MAIN)
    (folder / "lib" / "led.h").write_text(LED_H)
    (folder / "lib" / "led.c").write_text(LED_C)
    (folder / "fleet.yaml").write_text(FLEET)
    return folder


@pytest.fixture
def ask(boards: Host) -> Iterator[Run]:
    """Run `microclaw WORDS`; afterwards nothing is left on the boards."""
    yield lambda *words: run_here(boards.home, *words)
    for app in boards.client.call(programs.list_apps).apps:
        boards.remove(app.device, app.name)


def installed(ask: Run) -> list[tuple[str, str]]:
    return sorted((app["device"], app["name"]) for app in ask("app", "list", "--json").json["apps"])


def test_another_hosts_program_is_neither_pruned_nor_replaced(boards: Host, ask: Run, work: Path) -> None:
    address = next(
        one.removeprefix("wasmachine://")
        for device in boards.client.get("/v1/devices")["devices"]
        for one in device["transports"]
        if device["name"] == "virtual-1" and one.startswith("wasmachine://")
    )
    assert ask("run", str(work / "count.c"), "-d", address, "--name", "theirs").code == 0
    try:
        file = work / "fleet.yaml"
        file.write_text("programs:\n  - {file: blink.c, devices: [virtual-1]}\n")
        assert ask("fleet", "apply", "-f", str(file), "--prune", "-y").code == 0
        assert ("virtual-1", "theirs") in installed(ask)
        file.write_text("programs:\n  - {file: blink.c, name: theirs, devices: [virtual-1]}\n")
        assert ask("fleet", "apply", "-f", str(file), "-y").code == 1
    finally:
        until(lambda: ask("app", "uninstall", "theirs", "-d", address).code == 0)  # the host may be talking to it


def test_a_pin_of_a_program_that_stays_refuses_the_whole_apply(ask: Run, work: Path) -> None:
    assert ask("run", str(work / "count.c"), "-d", "virtual-2").code == 0
    apply = "fleet", "apply", "-f", str(work / "fleet.yaml")
    assert ask(*apply, "--dry-run", "--json").json["counts"] == {"install": 2, "refused": 1, "extra": 1}
    assert ask(*apply, "-y").code == 1
    assert installed(ask) == [("virtual-2", "count")]
    assert ask(*apply, "--prune", "-y").code == 0


def test_the_rows_of_one_board_are_judged_together_before_anything_is_done(ask: Run, work: Path) -> None:
    file = work / "fleet.yaml"
    rows = [f"  - {{file: blink.c, name: {name}, devices: [virtual-1]}}\n" for name in ("one", "two")]
    file.write_text("programs:\n" + "".join(rows))
    apply = "fleet", "apply", "-f", str(file)
    shown = ask(*apply, "--dry-run", "--json").json
    assert [(row["name"], row["act"]) for row in shown["rows"]] == [("one", "install"), ("two", "refused")]
    assert shown["rows"][1]["error"]["code"] == "pin_claimed"
    assert (ask(*apply, "-y").code, installed(ask)) == (1, [])
    for pin in (4, 5, 6, 7):
        (work / f"p{pin}.c").write_text(PROGRAM.replace("gpio_open(10", f"gpio_open({pin}"))
    file.write_text("programs:\n" + "".join(f"  - {{file: p{pin}.c, devices: [virtual-1]}}\n" for pin in (4, 5, 6, 7)))
    assert ask(*apply, "--dry-run", "--json").json["counts"] == {"install": 3, "refused": 1}  # room for three


def test_a_stopped_program_is_started_again(ask: Run, work: Path) -> None:
    (work / "fleet.yaml").write_text("programs:\n  - {file: blink.c, devices: [virtual-1]}\n")
    apply = "fleet", "apply", "-f", str(work / "fleet.yaml")
    assert ask(*apply, "-y").code == 0
    assert ask("app", "stop", "blink", "-d", "virtual-1").code == 0
    assert "# Left out, as it is stopped: blink on virtual-1." in ask("fleet", "export").out
    assert ask(*apply, "--dry-run", "--json").json["counts"] == {"install": 1}
    assert ask(*apply, "-y").code == 0
    assert ask(*apply, "--dry-run", "--json").json["counts"] == {"unchanged": 1}


def test_an_export_applied_again_is_no_difference(ask: Run, work: Path) -> None:
    file = work / "fleet.yaml"
    file.write_text(FLEET + "  - {file: main.c, name: led, devices: [virtual-1], optimization: Os}\n")
    assert ask("fleet", "apply", "-f", str(file), "-y").code == 0
    (work / "count.c").write_text(COUNT.replace("gpio_open(4", "gpio_open(6"))
    assert ask("app", "build", str(work / "count.c"), "-o", str(work / "made.wasm")).code == 0
    assert ask("run", str(work / "made.wasm"), "-d", "virtual-1").code == 0
    out = work / "out"
    assert ask("fleet", "export", "--out", str(out)).code == 0
    assert {path.name for path in out.iterdir()} == {"blink.c", "counter.c", "fleet.yaml", "led.c", "made.wasm"}
    text = (out / "fleet.yaml").read_text()
    assert "devices: [virtual-1, virtual-2]" in text
    assert "optimization: Os" in text
    same = ask("fleet", "apply", "--dry-run", "-f", str(out / "fleet.yaml"), "--json")
    assert same.code == 0, same.out
    assert {row["act"] for row in same.json["rows"]} == {"unchanged"}
    assert ask("fleet", "export", "--out", str(out)).code == 0  # the same again
    (out / "blink.c").write_text("// mine\n")
    moved = (out / "fleet.yaml").rename(work / "moved.yaml")
    assert ask("fleet", "export", "--out", str(out)).code == 1
    assert not (out / "fleet.yaml").exists()  # none is written on a conflict
    moved.rename(out / "fleet.yaml")
    printed = ask("fleet", "export", "-d", "virtual-2")
    assert "name: counter" in printed.out
    assert "name: led" not in printed.out
    # From nothing, the exported file brings all of it back.
    (out / "blink.c").write_text(PROGRAM)
    for device, name in installed(ask):
        assert ask("app", "uninstall", name, "-d", device).code == 0
    assert ask("fleet", "apply", "-f", str(out / "fleet.yaml"), "-y").code == 0
    assert len(installed(ask)) == 5


MISTAKES = """programs:
  - file: blink.c
    devices: [virtual-1, virtual-9, virtual-1]
    heap: 4096
  - file: gone.c
    labels: [attic]
    timers: 0
    timers: 3
  - file: count.c
    name: blink
    devices: all
    heap_bytes: 4k
  - name: 7
    devices: virtual-1
  - file: count.c
    name: "-x"
  - file: count.c
    devices: [virtual-1]
    labels: [attic]
    optimization: O9
    expect: wrong.expect
extra: 1
"""


def test_all_mistakes_are_told_together_with_their_lines(ask: Run, work: Path) -> None:
    file = work / "wrong.yaml"
    file.write_text(MISTAKES)
    (work / "wrong.expect").write_text("pin 4: perid 200 ms\n")
    ran = ask("fleet", "apply", "-f", str(file), "-y", "--json")
    assert ran.code == 1
    found = ran.json["error"]["diagnostics"]
    assert {one["file"] for one in found} == {str(file)}
    assert [one["line"] for one in found] == [3, 3, 4, 5, 6, 7, 8, 9, 12, 13, 13, 14, 15, 16, 19, 20, 21, 22]
    assert installed(ask) == []


ENTRY = "programs:\n  - {file: fan.c, devices: all, %s}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("programs: 3\n", 1),
        ("programs:\n  - [blink.c]\n", 2),
        ("programs:\n  - file: 'blink.c\n", 3),
        ("programs: []\n---\nprograms: []\n", 2),
        ("programs: &p [*p]\n", 1),
        ("programs:\n  - {file: !!python/name:os.system blink.c, devices: all}\n", 2),
        ("[" * 5000, 1),
        *((ENTRY % times, 2) for times in ("every: 10m, stop_after: 11m", "every: 0", "stop_after: 50d", "every: [1]")),
        (ENTRY % 'expect: "b\\0"', 2),
    ],
)
def test_what_is_no_fleet_is_refused_without_a_host(run: Run, tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "fan.c").write_text(PROGRAM)
    (tmp_path / "fleet.yaml").write_text(text)
    ran = run("fleet", "apply", "--dry-run", "-f", str(tmp_path / "fleet.yaml"), "--json")
    assert (ran.code, [one["line"] for one in ran.json["error"]["diagnostics"]]) == (1, [line])


def test_the_example_of_the_docs_is_a_fleet(tmp_path: Path) -> None:
    text = Path("docs/fleet.md").read_text()
    (tmp_path / "fleet.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    (tmp_path / "kitchen").mkdir()
    for name in ("blink.c", "door.cpp", "kitchen/fan.py"):
        (tmp_path / name).write_text(PROGRAM)
    (tmp_path / "kitchen" / "fan.expect").write_text("pin 4: period 200 ms\n")
    (tmp_path / "kitchen" / "wiring.toml").write_text('[fan]\npart = "led"\npin = 4\n')
    fleet = FleetFile(tmp_path / "fleet.yaml")
    fleet.check()
    assert [(one.name, one.body.get("language"), one.labels) for one in fleet.entries] == [
        ("blink", "c", []),
        ("fan", "python", ["room=kitchen"]),
        ("door", "c++", []),
    ]
    assert ["wiring" in entry.body for entry in fleet.entries] == [False, True, False]
    fleet.choose_devices([_device("hall", "1"), _device("lamp", "7"), _device("voice", "8", capabilities=[])])
    assert [one.ids for one in fleet.entries] == [["1", "7"], [], ["1", "7"]]
    assert [(one.line, one.message) for one in fleet.mistakes] == [(6, "no device has the label room=kitchen")]


def _device(name: str, device_id: str, capabilities: Sequence[str] = ("apps.install",)) -> Any:
    return SimpleNamespace(name=name, device_id=device_id, labels=[], capabilities=list(capabilities))
