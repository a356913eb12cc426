"""The page has every rule, word for word, and every rule has a check or says why not."""

from __future__ import annotations

import re
from pathlib import Path

from microclaw.link_check import device_rules, host_rules
from microclaw.link_check.both_ends import BOTH
from microclaw.link_check.rules import RULES

PAGE = (Path(__file__).parents[2] / "docs/protocols/link.md").read_text(encoding="utf-8")
WHILE_PAIRING = {"host": {"L-31", "L-32", "L-33", "L-34"}, "device": {"L-04", "L-05", "L-37", "L-38", "L-39", "L-91"}}


def test_the_page_has_the_rules_word_for_word() -> None:
    rows = re.findall(r"^\| (L-\d\d) \| (host|device|both) \| (.*) \|$", PAGE, re.M)
    assert rows == [(rule.rule_id, rule.keeper, rule.text) for rule in RULES]


def test_every_rule_is_tried_or_says_why_not() -> None:
    tried = {
        "host": {*BOTH, *host_rules.STRANGER, *host_rules.READY, *WHILE_PAIRING["host"]},
        "device": {*BOTH, *device_rules.READY, *WHILE_PAIRING["device"]},
    }
    for keeper in ("host", "device"):
        wanted = {rule.rule_id for rule in RULES if rule.is_for(keeper) and rule.untried is None}
        assert tried[keeper] == wanted, keeper
