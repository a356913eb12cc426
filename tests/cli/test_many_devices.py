"""Commands over several boards of a running host: chosen by name, by label, all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run, clean_environ, run_in

from microclaw.cli.child import Child

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a host with three boards; the first and the third are in the kitchen."""
    home = tmp_path_factory.mktemp("home")
    words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "3", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        child.wait_ready()
        for number in (1, 3):
            assert run_in(home, "device", "label", f"virtual-{number}", "room=kitchen").code == 0
        yield home


@pytest.fixture
def ask(three: Path) -> Run:
    return lambda *words, stdin="": run_in(three, *words, stdin=stdin)


@pytest.fixture
def blink(tmp_path: Path) -> str:
    file = tmp_path / "blink.c"
    file.write_text(BLINK)
    return str(file)


def _installed(ask: Run) -> list[str]:
    return sorted(app["device"] for app in json.loads(ask("app", "list", "--json").out)["apps"])


def test_a_program_goes_to_those_with_a_label_and_one_undo_takes_it_from_all(ask: Run, blink: str) -> None:
    ran = ask("run", blink, "-l", "room=kitchen", "-y", "--json")
    assert ran.code == 0, ran.err
    made: list[dict[str, Any]] = json.loads(ran.out)["results"]
    assert [row["device"] for row in made] == ["virtual-1", "virtual-3"]
    assert all(row["made"]["evidence"]["kind"] == "counted" and row["made"]["verified"] for row in made)
    assert _installed(ask) == ["virtual-1", "virtual-3"]
    undone = ask("app", "undo")
    assert undone.code == 0, undone.err
    assert _installed(ask) == []


def test_what_is_checked_and_tried_is_told_once_for_all_boards(ask: Run, blink: str) -> None:
    ran = ask("run", blink, "--all", "-y")
    try:
        assert ran.code == 0, ran.err
        stages = [line.split()[0] for line in ran.out.splitlines() if line and not line.startswith(" ")]
        assert [stages.count(stage) for stage in ("compile", "check", "try", "deploy")] == [1, 1, 1, 3]
    finally:
        ask("app", "undo")


def test_another_program_of_the_name_is_not_replaced_without_a_yes(ask: Run, blink: str) -> None:
    assert ask("run", blink, "-d", "virtual-1").code == 0
    try:
        for chosen in (("--all",), ("-l", "room=kitchen"), ("-d", "virtual-1", "-d", "virtual-2")):
            same = ask("run", blink, *chosen)
            assert "another program" not in same.out + same.err
        Path(blink).write_text(BLINK.replace("every(100", "every(250"))
        refused = ask("run", blink, "--all")
        assert refused.code == 2
        assert "another program of that name is replaced on virtual-1" in refused.err
        ran = ask("run", blink, "--all", "-y")
        assert ran.code == 0, ran.err
        assert "careful: another program of that name is replaced on virtual-1" in ran.out
    finally:
        ask("app", "uninstall", "blink", "--all", "-y")


def test_more_than_one_board_is_asked_for(ask: Run, blink: str) -> None:
    ran = ask("run", blink, "-d", "virtual-1", "-d", "virtual-2")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert _installed(ask) == []


def test_one_that_fails_leaves_the_others_and_is_told_by_exit_code_5(ask: Run, blink: str) -> None:
    other = blink.replace("blink.c", "other.c")
    Path(other).write_text(BLINK.replace("every(100", "every(250"))
    assert ask("run", other, "-d", "virtual-2").code == 0
    try:
        ran = ask("run", blink, "--all", "-y")
        assert ran.code == 5, ran.err
        assert "2 of 3 devices" in ran.out
        assert "virtual-2: pin 10" in ran.out
        assert "counted on the board" in ran.out
        ran = ask("app", "uninstall", "blink", "--all", "-y", "--json")
        assert ran.code == 0, ran.err
        done = json.loads(ran.out)
        assert [row["device"] for row in done["results"]] == ["virtual-1", "virtual-3"]
        assert done["left_out"] == ["virtual-2"]
        assert ask("app", "uninstall", "blink", "--all", "-y").code == 1
    finally:
        ask("app", "uninstall", "other", "-d", "virtual-2")
    assert _installed(ask) == []


def test_a_call_of_several_boards_is_one_act(ask: Run) -> None:
    done = json.loads(ask("exec", "--all", "gpio.set", "5", "1", "-y", "--json").out)
    assert [row["made"]["evidence"]["kind"] for row in done["results"]] == ["counted"] * 3
    read = ask("exec", "-l", "room=kitchen", "gpio.get", "pin=5", "--json")
    assert [row["made"]["result"]["level"] for row in json.loads(read.out)["results"]] == [1, 1]
    assert ask("app", "undo").code == 0
    assert json.loads(ask("exec", "-d", "virtual-3", "gpio.get", "5", "--json").out)["result"]["level"] == 0


def test_all_that_fail_are_exit_code_1(ask: Run) -> None:
    ran = ask("exec", "--all", "gpio.get", "99")
    assert ran.code == 1
    assert ran.out.count("pin 99") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("exec", "-l", "room=attic", "gpio.get", "5"), "labels: room=kitchen"),
        (("exec", "--all", "-d", "virtual-1", "gpio.get", "5"), "one of the three"),
        (("exec", "-d", "virtual-1", "-d", "virtual-9", "gpio.get", "5"), "virtual-9"),
        (("app", "list", "-l", "attic"), "attic"),
        (("app", "list", "-d", "virtual-1", "-d", "virtual-9"), "virtual-9"),
        (("chat", "hello", "--all"), "one -d NAME"),
        (("app", "changes", "-d", "virtual-1", "-d", "virtual-2"), "one -d NAME"),
        (("exec", "gpio.get"), "DEVICE"),
    ],
)
def test_a_choice_without_one_meaning_is_refused(ask: Run, words: tuple[str, ...], told: str) -> None:
    ran = ask(*words)
    assert ran.code in (1, 2), ran.out
    assert told in ran.err


def test_the_list_is_of_the_boards_that_are_meant(ask: Run, blink: str) -> None:
    assert ask("run", blink, "--all", "-y").code == 0
    try:
        listed = json.loads(ask("app", "list", "-l", "room=kitchen", "--json").out)["apps"]
        assert sorted(app["device"] for app in listed) == ["virtual-1", "virtual-3"]
    finally:
        assert ask("app", "undo").code == 0


def test_a_label_may_have_a_value_and_no_other_form(ask: Run) -> None:
    ran = ask("device", "label", "virtual-2", "Room: kitchen")
    assert ran.code == 1
    assert "room=kitchen" in ran.err
