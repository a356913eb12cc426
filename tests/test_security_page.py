"""SECURITY.md: ten attackers, each with what holds, what does not, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS: Final = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
NAMED: Final = [(who, named) for who, _, tests, _ in ROWS for named in re.findall(r"`(tests/[^`]+)`", tests)]


def test_every_attacker_has_what_holds_what_does_not_and_a_test() -> None:
    who = {row[0] for row in ROWS}
    assert who >= {
        "Stolen device", "Attacker in the LAN", "Malicious web page", "Malicious author of a program",
        "Malicious device", "Malicious MCP server", "Malicious model answer (prompt injection)", "Stolen backup",
        "Stolen token", "Stolen disk of the host",
    }  # fmt: skip
    assert all(len(holds) > 40 and len(not_) > 40 for _, holds, _, not_ in ROWS)
    assert {name for name, _ in NAMED} == who


def test_each_named_test_is_there() -> None:
    for who, named in NAMED:
        file, _, name = named.partition("::")
        tree = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        names = {found.name for found in tree if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names, (who, named)
