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
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BESIDE: Final = ("bench", "firmware", "scripts")  # Python of ours outside of src/microclaw
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
    tests = root / "tests"
    names = {path.name for folder in (source, tests) for path in folder.iterdir() if any(path.rglob("*.py"))}
    rooms = {"root": (_work(source.glob("*.py")), _work(tests.glob("*.py")))}
    for name in sorted({*names, *BESIDE}):
        home = root if name in BESIDE else source
        rooms[name] = _work((home / name).rglob("*.py")), _work((tests / name).rglob("*.py"))
    python = sum(work for name, (work, _) in rooms.items() if name not in BESIDE)
    script = _lines(path for path in (source / "page").rglob("*.js") if "vendor" not in path.parts)
    c_code = _lines(path for path in source.rglob("*") if path.suffix in C_SUFFIXES)
    everything = (python, sum(work for _, work in rooms.values()))
    return {"all": everything, "javascript": (script, 0), "c": (c_code, 0), **rooms}


def _work(files: Iterable[Path]) -> int:
    return sum(work_of(file.read_text(encoding="utf-8")) for file in files)


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
            said.append(f"{name}: no budget, add {name} = {list(lines)} and lower others by as much")
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
        name = row.partition("=")[0].strip()
        if name in found and name in budgets:
            row = f"{name} = {[min(pair) for pair in zip(found[name], budgets[name], strict=True)]}"
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
            print(f"{name:16}{lines[0]:8} of {most[0]:6}{lines[1]:10} of {most[1]:6}")
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
