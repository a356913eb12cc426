"""One app on the virtual board: its thread, its queue of events, its timers and its end. Knows no transport."""

from __future__ import annotations

from enum import StrEnum


class AppState(StrEnum):
    """`trapped`, `exited`: a wasm exception or exit() in on_init ended it; it stays in the list, dead."""

    LOADED = "loaded"
    RUNNING = "running"
    RETURNED = "returned"
    EXITED = "exited"
    TRAPPED = "trapped"


class App:
    """A loaded app. Made by `Runtime.load`; `start` runs on_init in a thread of its own."""

    name: str
    wasm: bytes
    heap_bytes: int
    timers: int
    watchdog_ms: int
    state: AppState
    error: str | None
    """The text of the last wasm exception: "Exception: unreachable", ..."""
    kind_of_end: str | None
    """returned, exited or trapped; also trapped when only a callback trapped and the app goes on, as on WAMR."""
    resources: set[str]
    """Urls that it registered with wasm_register_resource."""
    subscriptions: set[str]
    """Urls that it subscribed to with wasm_sub_event."""
    pins: set[int]
    """GPIOs that it opened or drives."""

    @property
    def peak_heap_bytes(self) -> int: ...
    @property
    def peak_stack_bytes(self) -> int: ...

    def start(self) -> None: ...

    def request(self, payload: bytes) -> bool:
        """Queue on_request with the payload of a REQUEST frame; False when the queue is full or the app is dead."""
        ...

    def response(self, payload: bytes) -> bool:
        """Queue on_response, likewise."""
        ...

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Queue the end: on_destroy, then the thread ends. False when it is still busy after `timeout_s`."""
        ...

    def kill(self, timeout_s: float = 2.0) -> bool:
        """End it at once, without on_destroy, also out of a busy loop."""
        ...
