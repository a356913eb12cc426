"""scripts/ceilings.py: what counts as dense, and that a room above its ceilings fails and none is ever raised."""

from __future__ import annotations

import runpy
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/ceilings.py"))
main: Callable[[list[str], Path], int] = script["main"]
count_file: Callable[[str], Counter[str]] = script["count_file"]

DEFAULT = (
    'default = { "ternaries" = 15, "tuple assignments" = 1, "walrus" = 3, "comprehensions" = 25, '
    '"nested ternaries" = 0, "double comprehensions" = 0, "long conditions" = 0, "long functions" = 0 }\n'
)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("x = a if b else c", {"ternaries": 1}),
        ("x = a if b else c if d else e", {"ternaries": 2, "nested ternaries": 1}),
        ("a, b = x, y", {"tuple assignments": 1}),
        ("a, b = b, a", {}),
        ("a, b = pair", {}),
        ("if (a := f()):\n    g(a)", {"walrus": 1}),
        ("x = [a for a in b]", {"comprehensions": 1}),
        ("x = {a for b in c for a in b}", {"comprehensions": 1, "double comprehensions": 1}),
        ("if a and not (b or c) and d:\n    g()", {"long conditions": 1}),
        ("if a and b or c:\n    g()", {}),
        ("def f():\n" + "    g()\n" * 40, {"long functions": 1}),
        ('def f():\n    """A docstring."""\n' + "    g()\n" * 39, {}),
    ],
)
def test_what_makes_a_file_dense_is_counted(code: str, kinds: dict[str, int]) -> None:
    counts = count_file(code)
    del counts["statements"]
    assert dict(counts) == kinds


def room(root: Path, ceilings: str, dense: int, plain: int) -> None:
    """Write the room wire with `dense` ternaries and `plain` other statements."""
    file = root / "src/microclaw/wire/frame.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x = a if b else c\n" * dense + "pass\n" * plain)
    (root / "ceilings.toml").write_text(f"# Ceilings.\n\n{DEFAULT}{ceilings}")


def test_a_room_above_its_ceilings_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room(tmp_path, "", dense=2, plain=98)
    assert main([], tmp_path) == 1
    assert "wire: 20.0 ternaries, at most 15" in capsys.readouterr().err
    room(tmp_path, 'wire = { "ternaries" = 20 }\n', dense=2, plain=98)
    assert main([], tmp_path) == 0


def test_lower_never_raises_a_ceiling(tmp_path: Path) -> None:
    room(tmp_path, 'wire = { "ternaries" = 30, "walrus" = 9 }\n', dense=2, plain=98)
    assert main(["--lower"], tmp_path) == 0
    rows = tomllib.loads((tmp_path / "ceilings.toml").read_text())
    assert rows["wire"] == {"ternaries": 20}
    room(tmp_path, 'wire = { "ternaries" = 18 }\n', dense=2, plain=98)
    assert main(["--lower"], tmp_path) == 1
    assert tomllib.loads((tmp_path / "ceilings.toml").read_text())["wire"] == {"ternaries": 18}


def test_a_file_with_too_many_lines_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room(tmp_path, "", dense=0, plain=473)
    assert main([], tmp_path) == 1
    assert "src/microclaw/wire/frame.py: 473 lines, at most 472" in capsys.readouterr().err
