"""Errors tell what a board was asked for in the user's words: each method has them."""

from __future__ import annotations

import re
from pathlib import Path

from microclaw.devices.registry.call_acts import act_words
from microclaw.devices.registry.calls import CALLS
from microclaw.text import cut_at_word

METHODS = Path(__file__).parents[3] / "docs/protocols/link-methods.md"


def test_each_method_of_boards_has_words() -> None:
    documented = set(re.findall(r"`(apps\.[a-z]+)`", METHODS.read_text()))
    assert len(documented) > 8
    for method in (*CALLS, *documented):
        assert method not in act_words(method)


def test_a_reason_is_cut_behind_a_word() -> None:
    assert cut_at_word("no module named umqtt", 16) == "no module ..."
    assert cut_at_word("no module", 9) == "no module"
    assert cut_at_word("x" * 20, 10) == "xxxxxx ..."
