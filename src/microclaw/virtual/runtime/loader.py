"""Loads wasm modules as the firmware's runtime does: its checks, its texts, its natives. Speaks no protocol."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Final

from microclaw.errors import InvalidModule, ProtocolError
from microclaw.virtual.board import Board, PowerEvent
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.module import prepare
from microclaw.wire.wasm_binary import HEADER
from microclaw.wire.wasmachine.request import ENDED_EVENT, Action, Request

MIN_HEAP_BYTES: Final = 256
_DEATH_S: Final = 1.0


class Runtime:
    """All apps of one board. `on_response` and `on_event` take what apps send: the payload bytes of a frame.

    `has_network`: its apps reach others.

    They are called in the app's thread. `on_event` gets all that wasm_post_request sends, requests to other apps too.
    """

    def __init__(self, board: Board, *, has_network: bool = False) -> None:
        self.board = board
        self._has_network = has_network
        self.apps: dict[str, App] = {}
        self.on_response: Callable[[App, bytes], None] = lambda _app, _payload: None
        self.on_event: Callable[[App, bytes], None] = lambda _app, _payload: None
        self.on_trouble: Callable[[App], None] = lambda _app: None
        self._ledc = Ledc(board)
        board.on_power(self._on_power)

    def warm_up(self) -> None:
        """Import the wasm engine in the background, so that the first load need not wait for it (0.1 s)."""
        engine = "microclaw.virtual.runtime.instance"
        threading.Thread(target=importlib.import_module, args=(engine,), name="warm-up", daemon=True).start()

    def load(self, name: str, wasm: bytes, *, heap_bytes: int = 8192, timers: int = 20) -> App:
        """A loaded app, not yet started, in `apps`. InvalidModule's message is the firmware's text.

        Unresolved imports are no error here: the console shows a warning and calling one traps.
        """
        from microclaw.virtual.runtime.instance import (  # the engine takes 0.1 s to import
            Instance,
            InstantiateFailed,
            LoadFailed,
        )

        if wasm[:4] != HEADER[:4]:
            raise InvalidModule("Install WASM app failed: invalid file format.")
        if wasm[4:8] != HEADER[4:]:
            raise InvalidModule("Install WASM app failed: invalid WASM version.")
        heap_bytes = max(heap_bytes, MIN_HEAP_BYTES)
        app = App(
            self.board,
            self._ledc,
            name,
            heap_bytes=heap_bytes,
            timers=timers,
            has_network=self._has_network,
        )
        app.on_trouble = lambda app: self.on_trouble(app)
        app.process.send_response = lambda payload: self.on_response(app, payload)
        app.process.send_request = lambda payload: self._sent(app, payload)
        firmware = self.board.profile.firmware
        try:
            prepared = prepare(wasm, heap_bytes)
            app.process.place_heap(prepared.heap_start, heap_bytes)
            app.attach(Instance(prepared, app.process, firmware, firmware.max_memory_bytes))
        except (ProtocolError, LoadFailed) as exc:
            self.board.print_line(f"error: WASM module load failed: {exc}".splitlines()[0])
            raise InvalidModule("Install WASM app failed: load WASM file failed.") from exc
        except InstantiateFailed as exc:
            self.board.print_line(f"error: WASM module instantiate failed: {exc}".splitlines()[0])
            raise InvalidModule("Install WASM app failed: instantiate wasm runtime failed.") from exc
        self.apps[name] = app
        return app

    def _sent(self, app: App, payload: bytes) -> None:
        request = Request.decode(payload)
        if request.action == Action.EVENT and request.url == ENDED_EVENT:
            app.note_end()
        self.on_event(app, payload)

    def unload(self, app: App) -> None:
        """Take an app that ended out of the list."""
        self.apps.pop(app.name, None)

    def close(self) -> None:
        """Kill every app."""
        apps, self.apps = list(self.apps.values()), {}
        for app in apps:
            app.interrupt()
        # On the virtual clock tasks take turns: one of them, crashing the board, must not wait for the others.
        if not (self.board.clock.is_virtual and any(app.is_current for app in apps)):
            for app in apps:
                app.join(_DEATH_S)

    def _on_power(self, event: PowerEvent) -> None:
        if event == "cut":
            self.close()
            self._ledc.reset()
