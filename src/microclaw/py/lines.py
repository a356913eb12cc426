"""The map from rewritten lines to the source's, and tracebacks of a board told in the source's lines."""

from __future__ import annotations

import ast
import re
from typing import Final, TypeAlias

from microclaw.text import code_lines

LineMap: TypeAlias = tuple[int, ...]  # the source's line for each rewritten line, both from 1; 0: none
_FRAME: Final = re.compile(r'^(\s*File ")([^"]+)(", line )(\d+)(.*)$')
_NAMES: Final = {", in main": ", in <module>", ", in main_": ", in main", ", in _ainit_": ", in __init__"}


def line_map(tree: ast.Module, text: str) -> LineMap:
    """Walk the tree, whose nodes have the source's lines, beside the tree of the text that was printed from it."""
    lines = [0] * (text.count("\n") + 2)
    waiting: list[tuple[ast.AST, ast.AST]] = [(tree, ast.parse(text))]
    while waiting:
        ours, printed = waiting.pop(0)
        line = getattr(printed, "lineno", None)
        if line is not None and not lines[line]:
            lines[line] = getattr(ours, "lineno", 0)
        pairs = list(zip(ast.iter_child_nodes(ours), ast.iter_child_nodes(printed), strict=False))
        waiting.extend((a, b) for a, b in pairs if type(a) is type(b))
    last = 0
    for number, line in enumerate(lines):
        last = lines[number] = line or last
    return tuple(lines[1:])


def source_traceback(text: str, name: str, lines: LineMap) -> str:
    """A board's traceback in the words of the source: its lines, its names, and no frames of the firmware."""
    told = []
    for line in code_lines(text):
        frame = _FRAME.match(line)
        if frame is None:
            told.append(line)
        elif frame[2] == f"{name}.py":
            number = int(frame[4])
            mapped = lines[number - 1] if 0 < number <= len(lines) and lines[number - 1] else number
            told.append(f"{frame[1]}{frame[2]}{frame[3]}{mapped}{_NAMES.get(frame[5], frame[5])}")
    return "\n".join(told)
