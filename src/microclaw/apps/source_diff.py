"""The change between two versions of a program's source, as a unified diff. It reads no store."""

from __future__ import annotations

import asyncio
import difflib
from typing import Final

from microclaw.text import code_lines, count_text

MAX_LINES: Final = 1_000
MAX_CHARS: Final = 64_000
"""Of each source. A question shows no longer source either (auth/approvals.py)."""
_CONTEXT_LINES: Final = 3


async def source_diff(before: str | None, after: str | None) -> tuple[str, ...]:
    """Lines that begin with "+", "-", " " or "@@"; none only where a source is not kept, or both are the same."""
    if before is None or after is None or before == after:
        return ()
    old, new = code_lines(before), code_lines(after)
    if max(len(old), len(new)) > MAX_LINES or max(len(before), len(after)) > MAX_CHARS:
        return (f"@@ not compared: {count_text(len(old), 'line')} before, {count_text(len(new), 'line')} now @@",)
    if old == new:
        return ("@@ the lines are the same: what ends them differs @@",)
    return await asyncio.to_thread(_diff, old, new)  # some ten ms for the longest


def _diff(old: list[str], new: list[str]) -> tuple[str, ...]:
    lines = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES)
    return tuple(lines)[2:]  # without the names of files
