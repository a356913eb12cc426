"""Orders for pins that programs drive: refused, asked, forced, undone; an open question shuts nobody out of a chat."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, Host, Ran, blink, joined_board, until

BLINKS = {"blink": "running"}


def say(host: Host, text: str, *words: str) -> tuple[Ran, list[str]]:
    """The command of a sentence, and the outcomes of its acts."""
    done = host.run("chat", "--json", *words, text)
    return done, [action["outcome"] for action in done.json["actions"] if action["effect"] != "read"]


def done_by(host: Host, text: str, *words: str) -> set[str]:
    done, outcomes = say(host, text, *words)
    assert done.code == 0, done.out
    return set(outcomes)


def edges(host: Host) -> int:
    found = host.run("exec", "virtual-1", "edges.read", "--json").json["result"]
    return sum(1 for edge in found["edges"] if edge["pin"] == 10)


def test_a_yes_stops_the_program_that_drives_the_pin_and_undo_starts_it(host: Host, tmp_path: Path) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    (device,) = host.client.get("/v1/devices")["devices"]
    assert 10 not in device["free_pins"]
    refused = host.run("exec", "virtual-1", "gpio.set", "10", "0", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "pin_claimed")
    forced = host.run("exec", "--force", "virtual-1", "gpio.set", "10", "0", "--json")
    assert (forced.code, bool(forced.json["warning"])) == (0, True)
    ran, outcomes = say(host, "turn off pin 10", "--session", "nobody")  # without a terminal nobody says yes
    assert (ran.code, outcomes) == (1, ["refused"])
    assert host.conditions("virtual-1") == BLINKS

    assert done_by(host, "turn off pin 10", "--yes") == {"done"}
    assert host.conditions("virtual-1") == {"blink": "stopped"}
    assert host.level("virtual-1", 10) == 0
    assert (before := edges(host)) > 0
    assert host.level("virtual-1", 10) == 0
    assert edges(host) == before
    assert host.run("app", "undo").code == 0
    assert host.conditions("virtual-1") == BLINKS

    assert done_by(host, "turn on pin 5", "--session", "c", "--yes") == {"done"}
    assert done_by(host, "i meant pin 10", "--session", "c", "--yes") == {"done"}  # a correction stops it too
    assert (host.conditions("virtual-1"), host.level("virtual-1", 10)) == ({"blink": "stopped"}, 1)


def test_what_an_offline_sentence_read_makes_no_order_ask(host: Host) -> None:
    for text, outcomes in (
        ("what's the wifi signal?", set[str]()),
        ("turn off pin 6 then turn on pin 7", {"done"}),
        ("turn it off", {"done"}),
    ):
        assert done_by(host, text, "--session", "reads") == outcomes


@pytest.mark.parametrize("said", ["no", "set pin 5 on"])
def test_a_chat_goes_on_while_a_question_is_open(host: Host, tmp_path: Path, said: str) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    client = host.client.watching(within_s=TIMEOUT_S)
    answers = list[Any]()
    waiting = Thread(target=lambda: answers.append(client.say("turn off pin 10", chat_id="script")))
    waiting.start()
    until(lambda: host.client.get("/v1/approvals")["approvals"])
    assert host.run("memory", "sessions", "--rm", "script", "--json", "--yes").json["error"]["code"] == "overloaded"
    ran = host.run("chat", "--json", "--session", "script", said)
    assert (ran.code, ran.json["error"]) == (0, None)
    waiting.join(TIMEOUT_S)
    assert answers[0].error_code
    assert not host.client.get("/v1/approvals")["approvals"]
    assert host.conditions("virtual-1") == BLINKS


def test_a_pulse_that_is_over_is_told_so_and_holds_neither_pin_nor_place(host: Host, tmp_path: Path) -> None:
    with joined_board(host, "desk") as board:
        for pin in (4, 5):
            assert done_by(host, f"turn on pin {pin} for 1 second on {board}") == {"done"}
            until(lambda: "running" not in host.conditions(board).values())
            assert set(host.conditions(board).values()) == {"ended"}
        assert done_by(host, f"turn on pin 4 on {board}") == {"done"}
        for number, pin in enumerate((14, 15, 16)):
            assert host.run("run", blink(tmp_path, pin, name=f"blink{number}"), "-d", board, "-y").code == 0
        assert host.conditions(board) == {"blink0": "running", "blink1": "running", "blink2": "running"}
