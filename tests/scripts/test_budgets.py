"""scripts/budgets.py on a made tree: what is over, unnamed or gone fails, and --lower never raises a number."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
main: Callable[[list[str], Path], int] = runpy.run_path(str(ROOT / "scripts/budgets.py"))["main"]

# How often each file has a line that is one piece of work.
SIZES = {
    "src/microclaw/errors.py": 10,
    "src/microclaw/wire/deep/frame.py": 300,
    "src/microclaw/host/store/deep/rows.py": 20,
    "src/microclaw/host/names.py": 2,
    "src/microclaw/interfaces/page/static/app.js": 20,
    "src/microclaw/interfaces/page/static/vendor/large.js": 999,
    "src/microclaw/programs/wasm/headers/microclaw.h": 50,
    "tests/test_errors.py": 5,
    "tests/wire/test_frame.py": 100,
    "tests/host/store/test_rows.py": 7,
    "tests/stories/test_story.py": 40,
    "bench/wasm.py": 30,
}
FIGURES = {
    "all": [332, 152],
    "javascript": [20, 0],
    "c": [50, 0],
    "root": [10, 5],
    "wire": [300, 100],
    "host": [2, 0],
    "host/store": [20, 7],
    "stories": [0, 40],
    "bench": [30, 0],
    "firmware": [0, 0],
    "scripts": [0, 0],
}


def budgets(root: Path, **changes: Any) -> None:
    rows = {name: row for name, row in {**FIGURES, **changes}.items() if row is not None}
    text = "# why\n\n" + "".join(f'"{name}" = {row}\n' for name, row in rows.items())
    (root / "budgets.toml").write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # An empty module is one piece of work itself.
        if file.suffix == ".py":
            text = "pass\n" * (size - 1)
        else:
            text = "x;\n" * size
        file.write_text(text)
    budgets(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"wire": [310, 100]}, 0),
        ({"wire": [299, 100]}, 1),
        ({"all": [331, 152]}, 1),
        ({"stories": None}, 1),
        ({"gone": [1, 1]}, 1),
    ],
)
def test_no_room_is_over_its_budget_and_each_has_one(tree: Path, changes: dict[str, Any], code: int) -> None:
    budgets(tree, **changes)
    assert main([], tree) == main(["--table"], tree) == code


def test_lowering_takes_the_least_and_keeps_the_comments(tree: Path) -> None:
    budgets(tree, wire=[350, 99])
    assert main(["--lower"], tree) == 1
    text = (tree / "budgets.toml").read_text()
    assert text.startswith("# why\n")
    assert tomllib.loads(text) == {**FIGURES, "wire": [300, 99]}
