"""Crashes of a Python program in a trial: how often the board started it again, equal tracebacks told once. No IO."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from microclaw.apps.traps import TRACEBACK
from microclaw.apps.verdict import Record
from microclaw.py.image import PyImage

_STOPPED: Final = re.compile(r"[\w.-]+ crashed (\d+) times in a row: it stays stopped")  # firmware/fw/runner.py
_IN_MAIN: Final = ", in <module>"
"""In a traceback only where the program's main code failed; an error in a callback or task does not end it."""
_FRAME: Final = "  "


def restart_text(record: Record) -> str | None:
    """What the board did after the crash of a Python program; None where it did not crash."""
    if not record.is_python:
        return None
    for line in record.lines:
        if line.app is None and (stopped := _STOPPED.fullmatch(line.text)):
            return f"the board started it again: {stopped[1]} crashes, then it stayed stopped"
    if _IN_MAIN not in (record.error or ""):
        return None
    if record.state == "running":
        return "it crashed and the board started it again"
    return "the board starts it again after a crash, until it crashed 3 times in a row"


def record_in_source_lines(record: Record, image: PyImage) -> Record:
    """The record with the tracebacks of a Python program in the lines of its source."""
    lines = [(line, image.source_traceback(line.text)) for line in record.lines]
    return replace(
        record,
        error=record.error and image.source_traceback(record.error),
        lines=tuple(replace(line, text=text) for line, text in lines if text or not line.text),
        is_python=True,
    )


def told_once(log: Sequence[str]) -> tuple[str, ...]:
    """The lines, each traceback at its first place alone, with how often it came; in its later places a short line."""
    parts = list(_parts(log))
    count = Counter(part for part in parts if part[0].startswith(TRACEBACK))
    told: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for part in parts:
        if count[part] < 2:
            told += part
        elif part in seen:
            told.append("(the same error again)")
        else:
            seen.add(part)
            told += (f"{part[0]} ({count[part]} times)", *part[1:])
    return tuple(told)


def _parts(log: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Single lines, and whole tracebacks: the head, the frames, and the line of the exception."""
    block: list[str] = []
    for line in log:
        is_head = line.startswith(TRACEBACK)
        if block and is_head:
            yield tuple(block)
            block = []
        if not block and not is_head:
            yield (line,)
            continue
        block.append(line)
        if not is_head and not line.startswith(_FRAME):
            yield tuple(block)
            block = []
    if block:
        yield tuple(block)
