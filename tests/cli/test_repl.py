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


def test_help_tells_of_every_method_and_how_to_leave() -> None:
    every = CallCompletions(list(CALLS), [2])
    told = every.help()
    assert [line.split()[0] for line in told[: len(CALLS)]] == sorted(CALLS)
    assert sorted(METHOD_HELP) == sorted(CALLS)
    assert "pwm.set pin=... duty=... [frequency_hz=...]" in "\n".join(told)
    assert "apps.install: not here, but microclaw app install" in told
    assert "leaves" in told[-1]
    assert len(every.help(["gpio.set"])) == 1
    assert WORDS.help(["wifi.set"]) == ["this device has no method wifi.set; help lists those it has"]


def test_methods_are_called_line_by_line_and_a_refusal_ends_nothing(ask: Run) -> None:
    lines = "help\ngpio.set 12 1\ngpio.set pin=27 level=1\nfrobnicate\ngpio.get 'pin\ngpio.get pin=12\nexit\n"
    ran = ask("repl", "virtual-1", stdin=lines)
    assert ran.code == 0
    assert "gpio.set pin=... level=...  " in ran.out
    assert "set a pin high (1) or low (0)" in ran.out
    assert "flash" in ran.out + ran.err
    assert "no method 'frobnicate'" in ran.out + ran.err
    assert "No closing quotation" in ran.out
    assert ran.out.rstrip().endswith("virtual-1> exit")
    assert ran.out.count("level            1") == 2


def test_unknown_device_is_refused_at_once(ask: Run) -> None:
    ran = ask("repl", "nowhere", stdin="")
    assert ran.code == 1
    assert "next: " in ran.err
