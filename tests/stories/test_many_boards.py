"""Many boards at once, one of them away: one result a board, exit code 5, and one undo for all. A fleet as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stories.conftest import Host, blink, microclaw, running_board, running_host, until
from tests.stories.wire import Wire

HALL = "virtual-1"
YARD = "virtual-2"
SHED = "shed"
EMPTY: dict[str, str] = {}
RUNNING = {"blink": "running"}
LISTED = {"blink": "listed"}  # stock firmware says no more


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The wire to a board with stock firmware."""
    home = tmp_path_factory.mktemp("board")
    with running_board(home, "--wasmachine", "0", "--serial", "none") as board:
        wire = Wire(board["wasmachine"])
        yield wire
        wire.cut()


@pytest.fixture(scope="module")
def boards(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running_host(tmp_path_factory.mktemp("boards") / "home", "--virtual", "2") as host:
        added = ("device", "add", SHED, "--board", "virtual", "--wasmachine", wire.address)
        assert host.run(*added).code == 0
        for name in (HALL, YARD):
            assert host.run("device", "label", name, "room=here").code == 0
        yield host


@pytest.fixture
def fleet(boards: Host) -> Iterator[Host]:
    """No program runs anywhere, before and after."""
    yield boards
    for name in (HALL, YARD, SHED):
        for program in boards.conditions(name):
            boards.remove(name, program)


@pytest.fixture
def away(wire: Wire) -> Iterator[Wire]:
    """The shed's board does not answer, unless the story mends it."""
    wire.cut()
    yield wire
    wire.cut()
    wire.mend()


def test_a_label_chooses_boards_and_one_undo_takes_all_back(fleet: Host, tmp_path: Path) -> None:
    ran = fleet.run("--json", "run", blink(tmp_path, 10), "-l", "room=here", "--yes")
    assert (ran.code, [one["device"] for one in ran.json["results"]]) == (0, [HALL, YARD])
    assert [fleet.conditions(name) for name in (HALL, YARD, SHED)] == [RUNNING, RUNNING, EMPTY]
    undone = fleet.run("--json", "app", "undo")
    assert (undone.code, len(undone.json["taken"])) == (0, 2)
    assert [fleet.conditions(name) for name in (HALL, YARD)] == [EMPTY, EMPTY]


def test_a_choice_of_devices_chooses_what_is_listed(fleet: Host, tmp_path: Path) -> None:
    for name in (HALL, SHED):
        assert fleet.run("run", blink(tmp_path, 10), "-d", name).code == 0
    choices = {("-l", "room=here"): {HALL}, ("-d", SHED, "-d", YARD): {SHED}, ("--all",): {HALL, SHED}}
    for words, chosen in choices.items():
        listed = fleet.run("--json", "app", "list", *words)
        assert (listed.code, {one["device"] for one in listed.json["apps"]}) == (0, chosen)
    for words, names in {("-l", "room=here"): [HALL, YARD], ("-d", SHED): [SHED]}.items():
        assert [one["name"] for one in fleet.run("--json", "device", "list", *words).json["devices"]] == names
    assert fleet.run("app", "list", "-l", "room=nowhere").code == 1


def test_one_board_away_is_exit_code_5_and_leaves_the_rest_alone(fleet: Host, away: Wire, tmp_path: Path) -> None:
    ran = fleet.run("--json", "run", blink(tmp_path, 10), "-d", HALL, "-d", SHED, "--yes")
    results = {one["device"]: one.get("error") for one in ran.json["results"]}
    assert (ran.code, results[HALL], results[SHED]["exit_code"]) == (5, None, 4)
    assert fleet.conditions(HALL) == RUNNING
    level = fleet.run("--json", "exec", "--all", "gpio.set", "pin=13", "level=1", "--yes")
    assert (level.code, level.json["failed"]) == (5, 1)
    assert (fleet.level(HALL, 13), fleet.level(YARD, 13)) == (1, 1)
    assert fleet.run("app", "undo").code == 0
    assert (fleet.level(HALL, 13), fleet.level(YARD, 13)) == (0, 0)


def test_no_board_reached_is_a_failure_of_its_own(fleet: Host, away: Wire, tmp_path: Path) -> None:
    assert fleet.run("--json", "run", blink(tmp_path, 10), "-d", SHED).code == 4


def test_an_act_waits_until_its_board_is_back(fleet: Host, away: Wire, tmp_path: Path) -> None:
    ran = fleet.run("--json", "run", blink(tmp_path, 10), "-d", SHED, "--when-back")
    assert (ran.code, ran.json["deferred"]["act"], ran.json["trial"]["ok"]) == (0, "install", True)
    assert fleet.conditions(SHED) == {"blink": "deferred"}
    away.mend()
    until(lambda: fleet.conditions(SHED) == LISTED)
    until(lambda: [one["state"] for one in fleet.client.get("/v1/status")["deferred"]] == ["done"])
    assert fleet.run("app", "undo").code == 0
    assert fleet.conditions(SHED) == EMPTY


def test_what_waits_can_be_cancelled(fleet: Host, away: Wire, tmp_path: Path) -> None:
    assert fleet.run("run", blink(tmp_path, 10), "-d", SHED, "--when-back").code == 0
    assert fleet.run("app", "cancel", "blink", "-d", SHED).code == 0
    assert fleet.run("app", "cancel", "blink", "-d", SHED).code == 1
    away.mend()
    assert fleet.conditions(SHED) == EMPTY


def test_a_file_is_the_state_that_is_wanted(fleet: Host, tmp_path: Path) -> None:
    blink(tmp_path, 10)
    file = tmp_path / "fleet.yaml"
    file.write_text(f"programs:\n  - file: blink.c\n    devices: [{HALL}, {YARD}]\n")
    named = ("-f", str(file))
    assert fleet.run("fleet", "apply", "--dry-run", *named).code == 1
    assert fleet.run("--json", "fleet", "apply", *named).json["error"]["code"] == "usage"  # nobody said yes
    assert fleet.run("fleet", "apply", *named, "--yes").code == 0
    assert [fleet.conditions(name) for name in (HALL, YARD)] == [RUNNING, RUNNING]
    again = fleet.run("--json", "fleet", "apply", "--dry-run", *named)
    assert (again.code, again.json["counts"]) == (0, {"unchanged": 2})

    out = tmp_path / "kitchen"
    exported = fleet.run("--json", "fleet", "export", "--out", str(out))
    assert (exported.code, sorted(exported.json["files"])) == (0, ["blink.c", "fleet.yaml"])
    assert fleet.run("fleet", "apply", "--dry-run", "-f", str(out / "fleet.yaml")).code == 0

    blink(tmp_path, 10, 50)
    changed = fleet.run("--json", "fleet", "apply", "--dry-run", *named)
    assert (changed.code, changed.json["counts"]) == (1, {"replace": 2})
    file.write_text(f"programs:\n  - file: blink.c\n    devices: [{YARD}]\n")
    assert fleet.run("fleet", "apply", *named, "--yes").code == 0
    assert fleet.run("--json", "fleet", "apply", "--dry-run", *named, "--all").json["counts"] == {
        "unchanged": 1,
        "extra": 1,
    }
    assert fleet.run("fleet", "apply", *named, "--all", "--prune", "--yes").code == 0
    assert [fleet.conditions(name) for name in (HALL, YARD)] == [EMPTY, RUNNING]
    assert fleet.run("app", "undo").code == 0
    assert [fleet.conditions(name) for name in (HALL, YARD)] == [RUNNING, RUNNING]
    assert fleet.run("app", "undo").code == 0
    assert fleet.run("fleet", "apply", "--dry-run", "-f", str(out / "fleet.yaml")).code == 0


TALKER = """#include <microclaw.h>
#include <stdio.h>
static void tick(void) { printf("tick\\n"); }
void on_init(void) { every(200, tick); }
"""


def test_a_board_is_asked_without_a_host(wire: Wire, tmp_path: Path) -> None:
    board = f"127.0.0.1:{wire.board_port}"
    direct = tmp_path / "direct"
    source = tmp_path / "direct.c"
    source.write_text(TALKER)
    ran = microclaw(direct, "--json", "run", str(source), "-d", board)
    assert (ran.code, ran.json["name"]) == (0, "direct")
    installed = microclaw(direct, "--json", "app", "install", "blink", "--set", "pin=10", "-d", board)
    assert installed.code == 0, installed.err
    names = {"direct", installed.json["name"]}
    called = microclaw(direct, "--json", "exec", board, "apps.list")
    assert {app["name"] for app in called.json["result"]} == names
    listed = microclaw(direct, "--json", "app", "list", "-d", board)
    assert {(app["name"], app["foreign"]) for app in listed.json["apps"]} == {(name, True) for name in names}
    until(lambda: "tick" in microclaw(direct, "logs", f"{board}/direct").out)
    assert microclaw(direct, "logs", f"{board}/nothing").code == 1
    for needing in (("show", "direct"), ("stop", "direct"), ("undo",), ("changes",)):
        refused = microclaw(direct, "app", *needing, "-d", board)
        assert (refused.code, "next: microclaw up" in refused.err) == (1, True), refused.err
    for name in names:
        assert microclaw(direct, "app", "uninstall", name, "-d", board).code == 0
    empty = microclaw(direct, "--json", "app", "list", "-d", board)
    assert (empty.code, empty.json["apps"]) == (0, [])
    assert microclaw(direct, "--json", "exec", "127.0.0.1:1", "apps.list").code == 4
