"""Checks ceilings.toml: how much of what makes code slow to read each room may have. Run: make check

Rates are counted in 1,000 statements, because docstrings, comments and blank lines do not change that base. Lines that
are too many in a file, and the numbers of what no room shall have, are counted as they are.

`--table` prints all figures. `--lower` writes those that are below their ceilings, and never raises one.
"""

from __future__ import annotations

import ast
import math
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BESIDE: Final = ("bench", "firmware", "scripts")  # Python of ours outside of src/microclaw
WINGS: Final = ("interfaces", "agent", "programs", "devices", "host", "hardware")  # their folders are rooms
RATES: Final = ("ternaries", "tuple assignments", "walrus", "comprehensions")
NUMBERS: Final = ("nested ternaries", "double comprehensions", "long conditions", "long functions")
MAX_TERMS: Final = 3  # of `and` and `or` in the condition of an `if`
MAX_FUNCTION_LINES: Final = 40
MAX_FILE_LINES: Final = 472
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

Ceilings = dict[str, dict[str, int]]


def count_file(text: str) -> Counter[str]:
    """Count the statements of a file and what makes them dense."""
    counts: Counter[str] = Counter()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            counts["statements"] += 1
        counts.update(_kinds_of(node))
    return counts


def _kinds_of(node: ast.AST) -> Iterator[str]:
    """Yield the names of RATES and NUMBERS that a node counts as."""
    if isinstance(node, ast.IfExp):
        yield "ternaries"
        if any(isinstance(part, ast.IfExp) for part in (node.test, node.body, node.orelse)):
            yield "nested ternaries"
    elif isinstance(node, ast.NamedExpr):
        yield "walrus"
    elif isinstance(node, _COMPREHENSIONS):
        yield "comprehensions"
        if len(node.generators) > 1:
            yield "double comprehensions"
    elif isinstance(node, ast.Assign) and _is_tuple_assignment(node):
        yield "tuple assignments"
    elif isinstance(node, ast.If) and _count_terms(node.test) > MAX_TERMS:
        yield "long conditions"
    elif isinstance(node, _FUNCTIONS) and _code_lines(node) > MAX_FUNCTION_LINES:
        yield "long functions"


def _is_tuple_assignment(node: ast.Assign) -> bool:
    """Return True for `a, b = x, y`, but not for a swap."""
    target = node.targets[0]
    if not isinstance(target, ast.Tuple) or not isinstance(node.value, ast.Tuple):
        return False
    names = {ast.unparse(item) for item in target.elts}
    values = {ast.unparse(item) for item in node.value.elts}
    return names != values


def _count_terms(condition: ast.expr) -> int:
    """Count the operands that `and` and `or` join, at any depth."""
    if isinstance(condition, ast.BoolOp):
        return sum(_count_terms(value) for value in condition.values)
    if isinstance(condition, ast.UnaryOp):
        return _count_terms(condition.operand)
    return 1


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from its `def` on, without its docstring."""
    last_line = function.end_lineno or function.lineno
    line_count = last_line - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        line_count -= (first.end_lineno or first.lineno) - first.lineno + 1
    return line_count


def count_rooms(root: Path) -> dict[str, Counter[str]]:
    """Count the files of each room; "root" has the files at the top of src/microclaw."""
    rooms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in _source_files(root):
        rooms[_room_of(path, root)].update(count_file(path.read_text(encoding="utf-8")))
    return dict(sorted(rooms.items()))


def _source_files(root: Path) -> Iterator[Path]:
    yield from sorted((root / "src/microclaw").rglob("*.py"))
    for folder in BESIDE:
        yield from sorted((root / folder).rglob("*.py"))


def _room_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts
    if parts[0] in BESIDE:
        return parts[0]
    folders = parts[2:-1]
    if not folders:
        return "root"
    if folders[0] in WINGS:
        return "/".join(folders[:2])
    return folders[0]


def long_files(root: Path) -> list[str]:
    """Name the files that have more than MAX_FILE_LINES lines."""
    faults = []
    for path in _source_files(root):
        line_count = path.read_bytes().count(b"\n")
        if line_count > MAX_FILE_LINES:
            faults.append(f"{path.relative_to(root)}: {line_count} lines, at most {MAX_FILE_LINES}")
    return faults


def figure(counts: Counter[str], name: str) -> float:
    """Return a room's number, or its rate in 1,000 statements."""
    if name in NUMBERS:
        return counts[name]
    return 1000 * counts[name] / max(1, counts["statements"])


def find_faults(rooms: dict[str, Counter[str]], ceilings: Ceilings) -> list[str]:
    """Compare each room with its ceilings; those that its row does not name are those of `default`."""
    faults = [f"{room}: no such room, remove its row" for room in ceilings if room != "default" and room not in rooms]
    for room, counts in rooms.items():
        limits = {**ceilings["default"], **ceilings.get(room, {})}
        for name in (*RATES, *NUMBERS):
            if figure(counts, name) > limits[name]:
                faults.append(f"{room}: {figure(counts, name):.1f} {name}, at most {limits[name]}")
    return faults


def lower(rooms: dict[str, Counter[str]], ceilings: Ceilings) -> Ceilings:
    """Return the ceilings with each of a room's row at its present figure, if that is less."""
    default = ceilings["default"]
    lowered = {"default": default}
    for room, row in ceilings.items():
        if room == "default" or room not in rooms:
            continue
        limits = {}
        for name, limit in row.items():
            present = min(limit, math.ceil(figure(rooms[room], name)))
            if present > default[name]:
                limits[name] = present
        if limits:
            lowered[room] = limits
    return lowered


def write_ceilings(file: Path, ceilings: Ceilings) -> None:
    """Write the rows below the comment at the file's head."""
    head = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    rows = []
    for room, limits in ceilings.items():
        pairs = [f'"{name}" = {limit}' for name, limit in limits.items()]
        row = ", ".join(pairs)
        rows.append(f'"{room}" = {{ {row} }}')
    file.write_text("\n".join([*head, "", *rows]) + "\n", encoding="utf-8")


def print_table(rooms: dict[str, Counter[str]]) -> None:
    """Print the figures of each room."""
    print("room", *RATES, *NUMBERS, sep="\t")
    for room, counts in rooms.items():
        rates = [f"{figure(counts, name):.1f}" for name in RATES]
        numbers = [str(counts[name]) for name in NUMBERS]
        print(room, *rates, *numbers, sep="\t")


def main(arguments: list[str], root: Path = ROOT) -> int:
    file = root / "ceilings.toml"
    rooms = count_rooms(root)
    ceilings: Ceilings = tomllib.loads(file.read_text(encoding="utf-8"))
    if arguments == ["--table"]:
        print_table(rooms)
        return 0
    if arguments == ["--lower"]:
        ceilings = lower(rooms, ceilings)
        write_ceilings(file, ceilings)
    faults = [*find_faults(rooms, ceilings), *long_files(root)]
    if faults:
        print(*faults, "next: python scripts/ceilings.py --table", sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
