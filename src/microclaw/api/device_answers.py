"""The forms of answers about devices and their programs, for the OpenAPI document; the routes make the answers.

As in answers.py: a field may be added to any of them.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from microclaw.events import ProgramKind


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


class WantedApp(TypedDict):
    name: str
    device: str
    board: str
    sha256: str
    kind: ProgramKind
    heap_bytes: int
    timers: int | None
    watchdog_ms: int | None
    every_ms: int | None
    stop_after_ms: int | None


class WantedApps(TypedDict):
    apps: list[WantedApp]


class WantedProgram(TypedDict):
    """`source` with the `optimization` that makes the same bytes of it, or the bytes as `wasm` in base64."""

    suffix: str
    source: NotRequired[str | None]
    optimization: NotRequired[str | None]
    wasm: NotRequired[str | None]
    heap_bytes: int
