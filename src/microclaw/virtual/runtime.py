"""Loads wasm modules as the firmware's runtime does: limits, linking against the natives it offers. Speaks no protocol."""

from __future__ import annotations

from collections.abc import Callable

from microclaw.virtual.app import App
from microclaw.virtual.board import Board


class Runtime:
    """All apps of one board. `on_response` and `on_event` take what apps send: the payload bytes of a frame."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.apps: dict[str, App] = {}
        self.on_response: Callable[[App, bytes], None] = lambda app, payload: None
        self.on_event: Callable[[App, bytes], None] = lambda app, payload: None

    def load(
        self, name: str, wasm: bytes, *, heap_bytes: int = 8192, timers: int = 20, watchdog_ms: int = 180_000
    ) -> App:
        """A loaded app, not yet started, in `apps`. InvalidModule's message is the firmware's text.

        Unresolved imports are no error here: the console shows a warning and calling one traps.
        """
        ...

    def unload(self, app: App) -> None:
        """Take an app that ended out of the list."""
        ...

    def close(self) -> None:
        """Kill every app."""
        ...
