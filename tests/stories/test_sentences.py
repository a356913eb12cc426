"""Sentences without a model, at the board's pins, and undo of what each did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from tests.stories.conftest import Host, until

BOARD = "virtual-1"


@pytest.fixture
def clean(host: Host) -> Iterator[Host]:
    """No program runs, before and after."""
    yield host
    for name in host.conditions(BOARD):
        host.remove(BOARD, name)
    assert host.conditions(BOARD) == {}


def said(host: Host, sentence: str, session: str = "terminal") -> dict[str, Any]:
    ran = host.run("chat", "--json", "--session", session, sentence)
    assert (ran.code, ran.json["error"]) == (0, None), ran.out
    assert all(action["outcome"] == "done" for action in ran.json["actions"])
    found: dict[str, Any] = ran.json
    return found


def kinds(answer: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in answer["evidence"]]


@pytest.mark.parametrize(
    ("sentence", "tools", "kind"),
    [
        ("read pin 5", "gpio-get", "counted"),
        ("read adc 1", "adc-read", "reported"),
        ("what is the temperature", "i2c-read", "reported"),
        ("scan the i2c bus", "i2c-scan", "reported"),
        ("what is running", "query-wasm-apps", "reported"),
        ("which pins are free", "query-wasm-apps list-changes schedule-list", "reported"),
        ("device info", "device-info", "reported"),
    ],
)
def test_a_question_reads_and_changes_nothing(host: Host, sentence: str, tools: str, kind: str) -> None:
    before = host.changes()
    answer = said(host, sentence)
    assert [(action["tool"], action["effect"]) for action in answer["actions"]] == [
        (tool, "read") for tool in tools.split()
    ]
    assert kinds(answer) == [kind]
    assert host.changes() == before


def test_a_span_of_the_day_is_two_schedules_and_one_undo(host: Host) -> None:
    answer = said(host, "turn pin 4 on at 7:00 and off at 21:00", "span")
    assert [action["tool"] for action in answer["actions"]] == ["schedule-add", "schedule-add"]
    assert "turn off pin 4" in said(host, "what is scheduled", "span")["answer"]
    for question in ("what happens at 7:00", "when does pin 4 run next"):
        assert "turn o" in said(host, question, "span")["answer"]
    answer = said(host, "undo", "span")
    assert "Cancelled" in answer["answer"]
    assert "Nothing is scheduled" in said(host, "what is scheduled", "span")["answer"]


def test_a_pin_is_set_read_back_and_undone(host: Host) -> None:
    assert kinds(said(host, "set pin 5 on")) == ["counted"]
    assert host.level(BOARD, 5) == 1
    assert kinds(said(host, "undo")) == ["counted"]
    assert host.level(BOARD, 5) == 0


def test_undo_means_the_newest_act_of_its_session_and_asks_before_it_undoes_anothers(host: Host) -> None:
    said(host, "turn on pin 13", "a")
    said(host, "turn on pin 21", "b")
    assert host.run("exec", BOARD, "gpio.set", "16", "1").code == 0
    said(host, "undo that", "a")
    assert [host.level(BOARD, pin) for pin in (13, 21, 16)] == [0, 1, 1]
    for session in ("a", "c"):
        asked = host.run("chat", "--json", "--session", session, "undo that")
        assert asked.json["error"] == "confirm"
        assert "set pin 16" in asked.json["answer"]
        assert host.level(BOARD, 16) == 1
    said(host, "yes", "c")
    assert [host.level(BOARD, pin) for pin in (21, 16)] == [1, 0]
    said(host, "undo", "b")
    assert host.level(BOARD, 21) == 0


def test_it_and_a_correction_mean_the_pin_of_before(host: Host) -> None:
    said(host, "turn on pin 6", "it")
    said(host, "turn it off", "it")
    assert host.level(BOARD, 6) == 0
    said(host, "turn on pin 6", "it")
    said(host, "no, I meant pin 7", "it")
    assert (host.level(BOARD, 6), host.level(BOARD, 7)) == (0, 1)


def test_a_blink_is_counted_made_faster_and_undone(clean: Host) -> None:
    assert kinds(said(clean, "blink pin 2 twice a second", "b")) == ["counted"]
    slow = clean.program(BOARD, "blink").sha256
    answer = said(clean, "faster", "b")
    times = [time for time, pin, _ in answer["evidence"][0]["edges"] if pin == 2]
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert 100 < gaps[len(gaps) // 2] < 200  # the middle one: a busy machine is late with some
    said(clean, "undo", "b")
    assert clean.program(BOARD, "blink").sha256 == slow
    said(clean, "stop blink", "b")
    assert clean.conditions(BOARD).get("blink") != "running"


@pytest.mark.parametrize(
    ("sentence", "name", "kind"),
    [
        ("fade pin 7", "fade", "counted"),
        ("move the servo on pin 18 to 90 degrees", "servo", "counted"),
        ("when the button on pin 4 is pressed turn on pin 12", "button", "reported"),
        ("beep pin 5 for 1 second", "pulse", "counted"),
        ("run a traffic light on pins 14, 15 and 16", "traffic-light", "accepted"),
    ],
)
def test_a_pattern_becomes_a_program_with_its_proof(clean: Host, sentence: str, name: str, kind: str) -> None:
    answer = said(clean, sentence)
    assert kinds(answer) == [kind]
    assert list(clean.conditions(BOARD)) == [name]


def test_a_pin_is_toggled_and_set_later(host: Host) -> None:
    said(host, "toggle pin 17")
    assert host.level(BOARD, 17) == 1
    assert kinds(said(host, "turn off pin 17 in 1 second")) == ["written"]
    until(lambda: host.level(BOARD, 17) == 0)


def test_a_name_that_was_told_is_a_pin(host: Host) -> None:
    assert kinds(said(host, "the fan is on pin 11")) == ["written"]
    said(host, "turn on the fan")
    assert host.level(BOARD, 11) == 1


def test_what_is_remembered_is_in_a_file_found_and_forgotten(host: Host) -> None:
    said(host, "remember that the relay is on pin 4")
    assert "relay" in (host.home / "memory" / "MEMORY.md").read_text()
    found = host.run("--json", "memory", "search", "relay").json["found"]
    assert "memory/MEMORY.md" in [one["source"] for one in found]
    said(host, "forget the relay")
    assert "relay" not in (host.home / "memory" / "MEMORY.md").read_text()


def test_who_set_a_pin_and_what_is_in_use_is_told_from_the_changes(host: Host) -> None:
    said(host, "turn on pin 17")
    assert "set pin 17" in said(host, "why is pin 17 on")["answer"]
    assert "set pin 17" in said(host, "what did you do today")["answer"]
    assert "Pin 17 is left on" in said(host, "which pins are free")["answer"]
    said(host, "undo")
    assert "Pin 17 is left on" not in said(host, "which pins are free")["answer"]
