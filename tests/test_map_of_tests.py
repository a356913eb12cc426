"""docs/test-map.md: thirteen cases, and every test that it names is there. So are the files of slow.txt."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ROWS: Final = re.findall(
    r"^\| (\d+)\. .+ \| (.+?) \|$", (ROOT / "docs/test-map.md").read_text(encoding="utf-8"), re.MULTILINE
)
NAMED: Final = [(case, named) for case, row in ROWS for named in re.findall(r"`(tests/[^`]+)`", row)]


def test_there_are_thirteen_cases_in_order_each_with_a_test() -> None:
    assert [int(case) for case, _ in ROWS] == list(range(1, 14))
    assert {case for case, _ in NAMED} == {case for case, _ in ROWS}


def test_each_named_test_is_there() -> None:
    for case, named in NAMED:
        file, _, name = named.partition("::")
        path = ROOT / file
        assert path.is_file(), f"case {case}: there is no {file}"
        functions = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {found.name for found in functions if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name.startswith("test_")
        assert name in names, f"case {case}: {file} has no {name}"


def test_the_slow_files_are_there() -> None:
    names = (ROOT / "tests/slow.txt").read_text(encoding="utf-8").split()
    assert names == sorted(set(names))
    assert [name for name in names if not (ROOT / "tests" / name).is_file()] == []
