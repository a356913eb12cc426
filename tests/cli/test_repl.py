"""`microclaw repl`: what completion offers, and a device's methods line by line against a real host and board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from microclaw.cli.call_commands import CallCompletions
from microclaw.devices.call_text import CALLS, METHOD_HELP

Run = Callable[..., Any]

WORDS = CallCompletions(["gpio.set", "gpio.get", "adc.read"], [2, 4, 21])


@pytest.mark.parametrize(
    ("before", "started", "found"),
    [
        ("", "", ["adc.read", "gpio.get", "gpio.set", "help"]),
        ("gpio.", "gpio.", ["gpio.get", "gpio.set"]),
        ("gpio.set ", "", ["pin=", "level="]),
        ("gpio.set l", "l", ["level="]),
        ("gpio.set pin=2", "pin=2", ["pin=2", "pin=21"]),
        ("gpio.set pin=4 ", "", ["level="]),
        ("gpio.set level=", "level=", []),
        ("nonsense ", "", []),
    ],
)
def test_completion_offers_methods_then_arguments_then_pins(before: str, started: str, found: list[str]) -> None:
    assert WORDS.complete(before) == (started, found)


def test_help_is_there_for_every_method() -> None:
    assert sorted(METHOD_HELP) == sorted(CALLS)


def test_methods_are_called_line_by_line_and_a_refusal_ends_nothing(ask: Run) -> None:
    lines = "help\ngpio.set 12 1\ngpio.set pin=27 level=1\nfrobnicate\ngpio.get 'pin\ngpio.get pin=12\nexit\n"
    ran = ask("repl", "virtual-1", stdin=lines)
    assert ran.code == 0
    assert ran.out.rstrip().endswith("virtual-1> exit")
    assert ran.out.count("level            1") == 2
    assert ask("repl", "nowhere", stdin="").code == 1
