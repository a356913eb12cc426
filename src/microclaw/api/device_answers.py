"""The forms of answers about devices and their programs, for the OpenAPI document; the routes make the answers.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing_extensions import TypedDict


class DiagnosticFacts(TypedDict):
    """One finding in a source or a file; `text` is all of it for people."""

    severity: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    source_line: str | None
    explanation: str | None
    next: str | None
    text: str
