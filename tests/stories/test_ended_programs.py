"""A program that has ended is told so, frees its pin, and gives its place away first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stories.conftest import Host, blink, joined_board, until


@pytest.fixture(scope="module")
def board(host: Host) -> Iterator[str]:
    with joined_board(host, "desk") as name:
        yield name


def say(host: Host, text: str) -> list[str]:
    done = host.run("chat", "--json", text)
    assert done.code == 0, done.out
    return [action["outcome"] for action in done.json["actions"] if action["effect"] != "read"]


def test_a_pulse_that_is_over_holds_neither_pin_nor_place(host: Host, board: str, tmp_path: Path) -> None:
    for pin in (4, 5):
        assert say(host, f"turn on pin {pin} for 1 second on {board}") == ["done"]
        until(lambda: "running" not in host.conditions(board).values())
        assert set(host.conditions(board).values()) == {"ended"}
    assert say(host, f"turn on pin 4 on {board}") == ["done"]
    for number, pin in enumerate((14, 15, 16)):
        assert host.run("run", blink(tmp_path, pin, name=f"blink{number}"), "-d", board, "-y").code == 0
    assert host.conditions(board) == {"blink0": "running", "blink1": "running", "blink2": "running"}
