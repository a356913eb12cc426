"""A file that says what runs on a host's boards: compared, applied, taken back, exported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, Run, clean_environ, run_in

from microclaw.api.app_routes import InstallBody
from microclaw.cli.child import Child
from microclaw.cli.fleet_file import NUMBERS, FleetFile
from microclaw.client import Client

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""
COUNT = BLINK.replace("gpio_open(10", "gpio_open(4")
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
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a host with two boards; the second is in the kitchen."""
    folder = tmp_path_factory.mktemp("home")
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "2", "--die-with-parent"]
    with Child("host", words, log=folder / "stderr", environ=clean_environ(folder)) as child:
        ready = child.wait_ready()[0]
        assert run_in(folder, "device", "label", "virtual-2", "room=kitchen").code == 0
        (folder / "test-control").symlink_to(ready["control"])
        yield folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "lib").mkdir(parents=True)
    (folder / "blink.c").write_text(BLINK)
    (folder / "count.c").write_text(COUNT)
    (folder / "count.expect").write_text("pin 4: period 200 ms\n")
    (folder / "main.c").write_text(MAIN)
    (folder / "lib" / "led.h").write_text(LED_H)
    (folder / "lib" / "led.c").write_text(LED_C)
    (folder / "fleet.yaml").write_text(FLEET)
    return folder


@pytest.fixture
def ask(home: Path) -> Iterator[Run]:
    """Run `microclaw WORDS`; afterwards nothing is left on the boards."""
    yield lambda *words, stdin="": run_in(home, *words, stdin=stdin)
    client = Client(home / "test-control")
    for app in client.get("/v1/fleet")["apps"]:
        list(client.stream(f"/v1/devices/{app['device']}/apps/{app['name']}", method="DELETE"))


def rows_of(ran: Ran) -> list[tuple[str, str, str]]:
    return [(row["device"], row["name"], row["act"]) for row in json.loads(ran.out)["rows"]]


def installed(ask: Run) -> list[tuple[str, str]]:
    return sorted((app["device"], app["name"]) for app in json.loads(ask("app", "list", "--json").out)["apps"])


def test_apply_makes_it_so_a_second_one_does_nothing_and_one_undo_takes_all_back(ask: Run, work: Path) -> None:
    file = str(work / "fleet.yaml")
    before = ask("diff", "-f", file, "--json")
    assert before.code == 1, before.err
    assert rows_of(before) == [
        ("virtual-1", "blink", "install"),
        ("virtual-2", "blink", "install"),
        ("virtual-2", "counter", "install"),
    ]
    dry = ask("apply", "-f", file, "--dry-run", "--json")
    assert (dry.code, dry.out) == (1, before.out)
    unanswered = ask("apply", "-f", file)
    assert unanswered.code == 2
    assert "--yes" in unanswered.err
    assert installed(ask) == []
    done = ask("apply", "-f", file, "-y")
    assert done.code == 0, done.err
    assert "virtual-2: counter: counted on the board" in " ".join(done.out.split())
    assert "2 of 2 devices" in done.out
    wanted = [("virtual-1", "blink"), ("virtual-2", "blink"), ("virtual-2", "counter")]
    assert installed(ask) == wanted
    newest = json.loads(ask("app", "changes", "--limit", "1", "--json").out)["changes"][0]["change_id"]
    again = ask("apply", "-f", file)  # asks nothing: it has nothing to do
    assert (again.code, again.out) == (0, "nothing to do: 3 unchanged on 2 devices\n")
    assert json.loads(ask("app", "changes", "--limit", "1", "--json").out)["changes"][0]["change_id"] == newest
    same = ask("diff", "-f", file)
    assert same.code == 0, same.out
    assert "3 unchanged" in same.out
    undone = ask("app", "undo")
    assert undone.code == 0, undone.err
    assert installed(ask) == []


def test_only_what_differs_is_replaced_and_undo_brings_the_former_back(ask: Run, work: Path) -> None:
    file = str(work / "fleet.yaml")
    assert ask("apply", "-f", file, "-y").code == 0
    (work / "blink.c").write_text(BLINK + "// a comment is no other program\n")
    assert ask("diff", "-f", file).code == 0
    (work / "count.c").write_text(COUNT.replace("every(100", "every(50"))
    (work / "count.expect").write_text("pin 4: period 100 ms\n")
    changed = json.loads(ask("diff", "-f", file, "--json").out)
    assert [(row["name"], row["differs"]) for row in changed["rows"] if row["act"] == "replace"] == [
        ("counter", ["another program"])
    ]
    assert changed["differences"] == 1
    (work / "fleet.yaml").write_text(FLEET.replace("4096", "6144").replace("60000", "61000"))
    changed = json.loads(ask("diff", "-f", file, "--json").out)
    assert [row["differs"] for row in changed["rows"] if row["act"] == "replace"] == [
        ["another program", "heap_bytes 4096 -> 6144", "watchdog_ms 60000 -> 61000"]
    ]
    done = json.loads(ask("apply", "-f", file, "-y", "--json").out)
    [board] = done["results"]
    assert (board["device"], [one["name"] for one in board["made"]["deployed"]]) == ("virtual-2", ["counter"])
    assert board["made"]["deployed"][0]["replaced"]
    assert ask("app", "undo").code == 0
    assert len(installed(ask)) == 3
    (work / "count.c").write_text(COUNT)
    (work / "fleet.yaml").write_text(FLEET)
    assert ask("diff", "-f", file).code == 0


def test_extras_stay_unless_they_are_pruned_and_undo_brings_them_back(ask: Run, work: Path) -> None:
    file = str(work / "fleet.yaml")
    assert ask("run", str(work / "count.c"), "-d", "virtual-1", "--name", "old").code == 0
    assert ask("apply", "-f", file, "-y").code == 0
    told = ask("diff", "-f", file)
    assert told.code == 0
    assert "1 extra, 3 unchanged" in told.out
    assert rows_of(ask("diff", "-f", file, "--json"))[1] == ("virtual-1", "old", "extra")
    assert ask("apply", "-f", file).code == 0
    assert ("virtual-1", "old") in installed(ask)
    pruned = ask("diff", "-f", file, "--prune")
    assert pruned.code == 1
    assert "1 to remove" in pruned.out
    assert ask("apply", "-f", file, "--prune", "-y").code == 0
    assert ("virtual-1", "old") not in installed(ask)
    assert ask("app", "undo").code == 0
    assert ("virtual-1", "old") in installed(ask)
    # The last program of a board: the file names that board no more, so it is chosen by -d.
    (work / "fleet.yaml").write_text("programs:\n  - {file: blink.c, devices: [virtual-2]}\n")
    assert ("virtual-1", "old", "remove") not in rows_of(ask("diff", "-f", file, "--prune", "--json"))
    assert ask("apply", "-f", file, "--prune", "-d", "virtual-1", "-y").code == 0
    assert [name for device, name in installed(ask) if device == "virtual-1"] == []
    assert ("virtual-2", "counter") in installed(ask)


def test_what_an_extra_keeps_out_is_refused_before_anything_is_done(ask: Run, work: Path) -> None:
    file = str(work / "fleet.yaml")
    assert ask("run", str(work / "blink.c"), "-d", "virtual-2", "--name", "old").code == 0
    before = installed(ask)
    told = ask("diff", "-f", file, "--json")
    assert ("virtual-2", "blink", "refused") in rows_of(told)
    assert "pin 10 of virtual-2 belongs to old" in told.out
    done = ask("apply", "-f", file, "-y")
    assert done.code != 0
    assert "--prune takes old off" in " ".join(done.err.split())
    assert installed(ask) == before
    assert ("virtual-2", "blink", "install") in rows_of(ask("diff", "-f", file, "--prune", "--json"))
    assert ask("apply", "-f", file, "--prune", "-y").code == 0
    assert ("virtual-2", "blink") in installed(ask)


def test_another_hosts_program_is_neither_pruned_nor_replaced(home: Path, ask: Run, work: Path) -> None:
    address = next(
        one.removeprefix("wasmachine://")
        for device in Client(home / "test-control").get("/v1/devices")["devices"]
        for one in device["transports"]
        if device["name"] == "virtual-1" and one.startswith("wasmachine://")
    )
    assert ask("run", str(work / "count.c"), "-d", address, "--name", "theirs").code == 0
    try:
        file = work / "fleet.yaml"
        file.write_text("programs:\n  - {file: blink.c, devices: [virtual-1]}\n")
        ran = ask("apply", "-f", str(file), "--prune", "-y")
        assert ran.code == 0, ran.err
        assert ("virtual-1", "theirs") in installed(ask)
        file.write_text("programs:\n  - {file: blink.c, name: theirs, devices: [virtual-1]}\n")
        ran = ask("apply", "-f", str(file), "-y")
        assert ran.code == 1
        assert "a program theirs that this host did not install" in ran.err
        assert "--replace" in ran.err
    finally:
        assert ask("app", "uninstall", "theirs", "-d", address).code == 0


def test_a_program_that_does_not_build_keeps_the_whole_file_from_being_applied(ask: Run, work: Path) -> None:
    (work / "count.c").write_text(COUNT.replace("gpio_toggle", "gpio_togle"))
    ran = ask("apply", "-f", str(work / "fleet.yaml"), "-y")
    assert ran.code == 1
    assert "counter on virtual-2:" in ran.err
    assert "counter.c:3:26: error: call to undeclared function 'gpio_togle'" in ran.err
    assert "nothing was changed" in ran.err
    assert installed(ask) == []


def test_a_board_that_fails_leaves_the_others_and_gives_exit_code_5(ask: Run, work: Path) -> None:
    assert ask("run", str(work / "blink.c"), "-d", "virtual-1", "--name", "other").code == 0  # it has pin 10
    computed = BLINK.replace("gpio_open(10", "gpio_open(chosen").replace(
        "static int led;", "static int led; volatile int chosen = 10;"
    )
    (work / "blink.c").write_text(computed)  # only its trial shows which pin it takes
    ran = ask("apply", "-f", str(work / "fleet.yaml"), "-y", "--json")
    assert ran.code == 5, ran.err
    first, second = json.loads(ran.out)["results"]
    assert first["made"]["left"] == ["blink"]
    assert "pin 10" in first["error"]["message"]
    assert [one["name"] for one in second["made"]["deployed"]] == ["blink", "counter"]


def test_a_board_that_is_away_counts_by_what_is_wanted_there(home: Path, ask: Run, work: Path) -> None:
    words = ["microclaw.cli", "--json", "virtual", "--name", "shed", "--wasmachine", "0", "--serial", "none"]
    file = work / "fleet.yaml"
    file.write_text("programs:\n  - {file: blink.c, devices: [shed, virtual-1]}\n")
    with Child("shed", words, log=work / "stderr", environ=clean_environ(home)) as board:
        address = f"127.0.0.1:{board.wait_ready()[0]['wasmachine']}"
        assert ask("device", "add", "shed", "--board", "virtual", "--wasmachine", address).code == 0
        assert ask("apply", "-f", str(file), "-y").code == 0
    try:
        told = ask("diff", "-f", str(file))
        assert told.code == 0, told.out
        assert "it does not answer: by what is wanted there" in told.out
        (work / "blink.c").write_text(BLINK.replace("every(100", "every(50"))
        ran = ask("apply", "-f", str(file), "-y", "--json")
        assert ran.code == 5, ran.err
        shed, here = json.loads(ran.out)["results"]
        assert shed["made"]["left"] == ["blink"]
        assert shed["error"]["code"] == "device_unreachable"
        assert here["made"]["deployed"][0]["verified"]
        assert rows_of(ask("diff", "-f", str(file), "--json")) == [
            ("shed", "blink", "replace"),
            ("virtual-1", "blink", "unchanged"),
        ]
    finally:
        assert ask("device", "remove", "shed", "-y").code == 0


def test_an_export_applied_again_is_no_difference(ask: Run, work: Path) -> None:
    file = work / "fleet.yaml"
    file.write_text(FLEET + "  - {file: main.c, name: led, devices: [virtual-1], optimization: Os}\n")
    assert ask("apply", "-f", str(file), "-y").code == 0
    (work / "count.c").write_text(COUNT.replace("gpio_open(4", "gpio_open(6"))
    assert ask("app", "build", str(work / "count.c"), "-o", str(work / "made.wasm")).code == 0
    assert ask("run", str(work / "made.wasm"), "-d", "virtual-1").code == 0
    out = work / "out"
    ran = ask("export", "--out", str(out))
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == [
        "blink.c",
        "counter.c",
        "fleet.yaml",
        "led.c",
        "made.wasm",
    ]
    text = (out / "fleet.yaml").read_text()
    assert "devices: [virtual-1, virtual-2]" in text
    assert "optimization: Os" in text
    same = ask("diff", "-f", str(out / "fleet.yaml"), "--json")
    assert same.code == 0, same.out
    assert {row["act"] for row in json.loads(same.out)["rows"]} == {"unchanged"}
    assert ask("export", "--out", str(out)).code == 0  # the same again
    (out / "blink.c").write_text("// mine\n")
    refused = ask("export", "--out", str(out))
    assert refused.code == 1
    assert "blink.c is there and is not the same" in refused.err
    printed = ask("export", "-d", "virtual-2")
    assert "name: counter" in printed.out
    assert "name: led" not in printed.out
    # From nothing, the exported file brings all of it back.
    (out / "blink.c").write_text(BLINK)
    for device, name in installed(ask):
        assert ask("app", "uninstall", name, "-d", device).code == 0
    assert ask("apply", "-f", str(out / "fleet.yaml"), "-y").code == 0
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


def test_times_of_programs_are_on_many_boards_in_the_list_in_the_file_and_change_back(ask: Run, work: Path) -> None:
    run = ask("run", str(work / "count.c"), "--name", "fan", "--every", "1h", "--stop-after", "30s", "--all", "-y")
    assert run.code == 0, run.err
    assert " ".join(run.out.split()).count("needs the host") >= 2
    listed = json.loads(ask("app", "list", "--json").out)["apps"]
    assert [(app["runs"]["every_ms"], app["runs"]["kept_by"], app["runs"]["runs"]) for app in listed] == [
        (3_600_000, "host", 1)
    ] * 2
    assert "every 1 h, stopped after 30 s (needs the host)" in ask("app", "list").out
    out = work / "out"
    assert ask("export", "--out", str(out)).code == 0
    text = (out / "fleet.yaml").read_text()
    assert "every: 1h" in text
    assert "stop_after: 30s" in text
    assert ask("diff", "-f", str(out / "fleet.yaml")).code == 0
    (out / "fleet.yaml").write_text(text.replace("every: 1h", "every: 90m"))
    changed = json.loads(ask("diff", "-f", str(out / "fleet.yaml"), "--json").out)["rows"]
    differs = "every 1 h, stopped after 30 s -> every 90 min, stopped after 30 s"
    assert [row["differs"] for row in changed] == [[differs]] * 2
    done = ask("app", "set", "fan", "--every", "2h", "--all", "-y")
    assert done.code == 0, done.err
    shown = ask("app", "show", "fan", "-d", "virtual-2").out
    assert "every 2 h, stopped after 30 s: needs the host" in shown
    assert "set when fan runs on virtual-2" in ask("app", "changes").out
    assert ask("app", "undo").code == 0
    assert "every 1 h, stopped after 30 s" in ask("app", "show", "fan", "-d", "virtual-2").out
    never = ask("app", "set", "fan", "--stop-after", "off", "-d", "virtual-1")
    assert never.code == 1
    assert "does not end by itself" in never.err
    assert "nothing to set" in ask("app", "set", "fan", "-d", "virtual-1").err


def test_all_mistakes_are_told_together_with_their_lines(ask: Run, work: Path) -> None:
    file = work / "wrong.yaml"
    file.write_text(MISTAKES)
    (work / "wrong.expect").write_text("pin 4: perid 200 ms\n")
    ran = ask("apply", "-f", str(file), "-y", "--json")
    assert ran.code == 1
    found = json.loads(ran.out)["error"]["diagnostics"]
    assert {one["file"] for one in found} == {str(file)}
    told = [(one["line"], one["message"]) for one in found]
    expected = [
        (3, "no device is named 'virtual-9': did you mean"),
        (3, "virtual-1 is there twice"),
        (4, "a program has no field heap"),
        (5, "cannot read"),
        (6, "no device has the label attic"),
        (7, "timers 0 is not between 1 and 255"),
        (8, "timers is there twice; the first is in line 7"),
        (9, "blink is on virtual-1 already, by the entry in line 2"),
        (12, "heap_bytes has to be a whole number"),
        (13, "file is missing"),
        (13, "name has to be a text"),
        (14, "devices has to be a list"),
        (15, "it says no devices"),
        (16, "'-x' is not a name for an app"),
        (19, "devices and labels together have two meanings"),
        (20, "optimization has to be one of these"),
        (21, "perid"),
        (22, "a fleet has no field extra"),
    ]
    assert [line for line, _ in told] == [line for line, _ in expected], told
    assert all(any(words in message for at, message in told if at == line) for line, words in expected), told
    assert installed(ask) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "the file is empty"),
        ("programs: 3\n", 1, "programs has to be a list"),
        ("programs:\n  - [blink.c]\n", 2, "a program has to be fields"),
        ("programs:\n  - file: 'blink.c\n", 3, "this is not YAML"),
        ("programs: []\n---\nprograms: []\n", 2, "this is not YAML"),
        ("programs: &p [*p]\n", 1, "a program has to be fields"),
        ("programs:\n  - {file: !!python/name:os.system blink.c, devices: all}\n", 2, "file has to be a text"),
        ("[" * 5000, 1, "this is not YAML"),
    ],
)
def test_what_is_no_fleet_is_refused_without_a_host(run: Run, tmp_path: Path, text: str, line: int, words: str) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    ran = run("diff", "-f", str(file), "--json")
    assert ran.code == 1, ran.err
    [found] = json.loads(ran.out)["error"]["diagnostics"]
    assert (found["line"], words in found["message"]) == (line, True), found


def test_a_file_without_mistakes_needs_the_host(run: Run, work: Path) -> None:
    assert run("diff", "-f", str(work / "fleet.yaml")).code == 3
    assert run("diff", "-f", str(work / "none.yaml")).code == 1


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ("every: 10m, stop_after: 11m", "cannot last 11 min"),
        ("every: 0", "too short"),
        ("stop_after: 50d", "longer than 49 days"),
        ("every: often", "is not a time"),
        ("every: [10m]", "every has to be a text"),
    ],
)
def test_times_that_cannot_be_are_mistakes_of_the_file(tmp_path: Path, times: str, words: str) -> None:
    (tmp_path / "fan.c").write_text(BLINK)
    (tmp_path / "fleet.yaml").write_text(f"programs:\n  - {{file: fan.c, devices: all, {times}}}\n")
    [found] = FleetFile(tmp_path / "fleet.yaml").mistakes
    assert (found.line, words in found.message) == (2, True), found
    assert "--" not in f"{found.message}{found.hint}"


def test_the_example_of_the_docs_is_a_fleet(tmp_path: Path) -> None:
    text = Path("docs/fleet.md").read_text()
    (tmp_path / "fleet.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    (tmp_path / "kitchen").mkdir()
    for name in ("blink.c", "door.cpp", "kitchen/fan.py"):
        (tmp_path / name).write_text(BLINK)
    (tmp_path / "kitchen" / "fan.expect").write_text("pin 4: period 200 ms\n")
    fleet = FleetFile(tmp_path / "fleet.yaml")
    fleet.check()
    assert [(one.name, one.body.get("language"), one.labels) for one in fleet.entries] == [
        ("blink", "c", []),
        ("fan", "python", ["room=kitchen"]),
        ("door", "c++", []),
    ]
    fleet.choose_devices([_device("hall", "1"), _device("lamp", "7"), _device("voice", "8", capabilities=[])])
    assert [one.ids for one in fleet.entries] == [["1", "7"], [], ["1", "7"]]
    assert [(one.line, one.message) for one in fleet.mistakes] == [(6, "no device has the label room=kitchen")]


def _device(name: str, device_id: str, capabilities: Sequence[str] = ("apps.install",)) -> dict[str, Any]:
    return {"name": name, "device_id": device_id, "labels": [], "capabilities": list(capabilities)}


def test_the_files_bounds_are_the_hosts() -> None:
    for key, (least, most) in NUMBERS.items():
        bounds: dict[str, Any] = {
            word: getattr(one, word)
            for one in InstallBody.model_fields[key].metadata
            for word in ("ge", "le")
            if hasattr(one, word)
        }
        assert (bounds["ge"], bounds["le"]) == (least, most), key
