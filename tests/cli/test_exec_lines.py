"""`microclaw exec DEVICE`: its methods line by line against a real host and board."""

from __future__ import annotations

from tests.cli.conftest import Run

from microclaw.devices.call_text import CALLS, METHOD_HELP


def test_help_is_there_for_every_method() -> None:
    assert sorted(METHOD_HELP) == sorted(CALLS)


def test_methods_are_called_line_by_line_and_a_refusal_ends_nothing(ask: Run) -> None:
    lines = "help\ngpio.set 12 1\ngpio.set pin=27 level=1\nfrobnicate\ngpio.get 'pin\ngpio.get pin=12\nexit\n"
    ran = ask("exec", "virtual-1", stdin=lines)
    assert ran.code == 1  # a line was refused, and nobody saw it
    assert ran.out.rstrip().endswith("virtual-1> exit")
    assert ran.out.count("level            1") == 2
    assert ask("exec", "nowhere", stdin="").code == 1
