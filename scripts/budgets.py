"""Checks budgets.toml: how much work the source and the tests of each room may be. Run: make check

Work is the number of nodes in a file's syntax tree, less those of names, assignments, parameters, returns, docstrings
and imports: naming an intermediate result, or writing a choice over four lines, costs nothing. JavaScript and C are
counted in lines.

`--table` prints all figures. `--lower` writes those that are below their budgets, and never raises one.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BESIDE: Final = ("bench", "firmware", "scripts")  # Python of ours outside of src/microclaw
WINGS: Final = ("interfaces", "agent", "programs", "devices", "host", "hardware")  # their folders are rooms
C_SUFFIXES: Final = (".c", ".cpp", ".h")
SLACK: Final = 150  # a budget is lowered when its room is below it by more than this and SLACK_PERCENT of it
SLACK_PERCENT: Final = 2
Figures = tuple[int, int]  # of source, of tests

# Naming an intermediate result adds nodes of these kinds, so a budget must not count them.
_FREE: Final = (
    ast.expr_context,
    ast.Name,
    ast.Assign,
    ast.arg,
    ast.arguments,
    ast.Return,
    ast.Expr,
    ast.Import,
    ast.ImportFrom,
    ast.alias,
)


def figures(root: Path) -> dict[str, Figures]:
    """Count the work of each room; `all` is the Python of src/microclaw and of tests."""
    source = root / "src/microclaw"
    source_work = _work_of_rooms(source)
    test_work = _work_of_rooms(root / "tests")
    python = sum(source_work.values())
    for name in BESIDE:
        source_work[name] = sum(_work(file) for file in (root / name).rglob("*.py"))
    rooms = {name: (source_work[name], test_work[name]) for name in sorted({*source_work, *test_work})}
    everything = (python, sum(test_work.values()))
    scripts = (path for path in source.rglob("*.js") if "vendor" not in path.parts)
    c_code = (path for path in source.rglob("*") if path.suffix in C_SUFFIXES)
    return {"all": everything, "javascript": (_lines(scripts), 0), "c": (_lines(c_code), 0), **rooms}


def _work_of_rooms(folder: Path) -> Counter[str]:
    work = Counter[str]()
    for file in folder.rglob("*.py"):
        work[_room_of(file.relative_to(folder))] += _work(file)
    return work


def _room_of(file: Path) -> str:
    """Return a file's room: "host/store", "wire", "host" for a file beside its rooms, "root" for one at the top."""
    folders = file.parts[:-1]
    if not folders:
        return "root"
    if folders[0] in WINGS:
        return "/".join(folders[:2])
    return folders[0]


def _work(file: Path) -> int:
    return work_of(file.read_text(encoding="utf-8"))


def work_of(text: str) -> int:
    """Count the nodes of a Python file that are work."""
    tree = ast.parse(text)
    expressions = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    docstrings = {value for value in expressions if isinstance(value, ast.Constant)}
    return sum(1 for node in ast.walk(tree) if not isinstance(node, _FREE) and node not in docstrings)


def _lines(files: Iterable[Path]) -> int:
    return sum(file.read_bytes().count(b"\n") for file in files)


def faults(found: dict[str, Figures], budgets: dict[str, Figures]) -> list[str]:
    """The rooms that are over their budgets, have none, or are gone."""
    said = [f"{name}: no such room, remove its row" for name in budgets if name not in found]
    for name, lines in found.items():
        if name not in budgets:
            said.append(f'{name}: no budget, add "{name}" = {list(lines)} and lower others by as much')
            continue
        for kind, present, most in zip(("source", "tests"), lines, budgets[name], strict=True):
            if present > most:
                said.append(f"{name}: {present} of {kind}, budget {most}")
    return said


def below(found: dict[str, Figures], budgets: dict[str, Figures]) -> list[str]:
    """The budgets that are to be lowered."""
    return [
        f"{name}: {present} of {kind}, budget {most}"
        for name in found.keys() & budgets.keys()
        for kind, present, most in zip(("source", "tests"), found[name], budgets[name], strict=True)
        if most - present > max(SLACK, most * SLACK_PERCENT // 100)
    ]


def lowered(text: str, found: dict[str, Figures], budgets: dict[str, Figures]) -> str:
    """The file with its comments, and in each row the least of budget and figure."""
    rows = []
    for row in text.splitlines():
        key = row.partition("=")[0].strip()
        name = key.strip('"')
        if name in found and name in budgets:
            row = f"{key} = {[min(pair) for pair in zip(found[name], budgets[name], strict=True)]}"
        rows.append(row)
    return "\n".join(rows) + "\n"


def main(words: list[str], root: Path = ROOT) -> int:
    file = root / "budgets.toml"
    found = figures(root)
    text = file.read_text(encoding="utf-8")
    budgets: dict[str, Figures] = {name: (row[0], row[1]) for name, row in tomllib.loads(text).items()}
    if words == ["--table"]:
        for name, lines in found.items():
            most = budgets.get(name, (0, 0))
            print(f"{name:24}{lines[0]:8} of {most[0]:6}{lines[1]:10} of {most[1]:6}")
    elif words == ["--lower"]:
        file.write_text(lowered(text, found, budgets), encoding="utf-8")
    elif lower := below(found, budgets):
        print(*sorted(lower), "next: python scripts/budgets.py --lower", sep="\n")
    wrong = faults(found, budgets)
    if wrong:
        print(*wrong, "next: python scripts/budgets.py --table", sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
