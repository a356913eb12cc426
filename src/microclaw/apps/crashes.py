"""Crashes of a Python program in a trial: what the board did after them, and their lines in its source. No IO."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from microclaw.apps.verdict import Record
from microclaw.py.py_image import PyImage

_STOPPED: Final = re.compile(r"[\w.-]+ crashed (\d+) times in a row: it stays stopped")  # firmware/fw/runner.py
_IN_MAIN: Final = ", in <module>"
"""In a traceback only where the program's main code failed; an error in a callback or task does not end it."""


def restart_text(record: Record) -> str | None:
    """The board's reaction to the crash of a Python program; None where it did not crash."""
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
