"""SECURITY.md: ten attackers, each with what holds, what does not, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

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


@pytest.mark.parametrize(("who", "named"), NAMED)
def test_a_named_test_is_there(who: str, named: str) -> None:
    file, _, name = named.partition("::")
    tree = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    assert name in {found.name for found in tree if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}, who


def test_every_part_of_the_check_is_described() -> None:
    """In the table of `doctor --security`."""
    told = set(re.findall(r"`([a-z]+)`", " ".join(re.findall(r"^\| (`[a-z`, ]+) \|", PAGE, re.MULTILINE))))
    source = "".join(path.read_text() for path in (ROOT / "src/microclaw/cli").glob("security_*.py"))
    parts = set(re.findall(r'(?:problem|warning|Finding)\(\s*"([a-z]+)"', source)) - {"settings"}
    assert parts <= told
    assert told <= parts


def test_links_of_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (ROOT / target.partition("#")[0]).exists(), target
