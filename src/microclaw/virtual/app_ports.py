"""What the application manager needs of apps, of what loads them and of what keeps them (declarations only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar


class AppInstance(Protocol):
    """One loaded app as the manager needs it: see virtual.app.App."""

    name: str
    heap_bytes: int
    resources: set[str]
    subscriptions: set[str]

    def start(self) -> None: ...
    def request(self, payload: bytes) -> bool: ...
    def response(self, payload: bytes) -> bool: ...
    def stop(self, timeout_s: float = ...) -> bool: ...
    def kill(self, timeout_s: float = ...) -> bool: ...
    def join(self, timeout_s: float) -> bool: ...


A = TypeVar("A", bound=AppInstance)


class AppLoader(Protocol[A]):
    """What makes apps of modules: see virtual.runtime.Runtime."""

    def load(
        self, name: str, wasm: bytes, *, heap_bytes: int = ..., timers: int = ..., watchdog_ms: int = ...
    ) -> A: ...
    def unload(self, app: A) -> None: ...


class AppShelf(Protocol):
    """Where boards of the kind sort keep their apps over a power cut; stock boards have none."""

    def keep(self, app: KeptApp) -> None: ...
    def forget(self, name: str) -> None: ...
    def kept(self) -> list[KeptApp]: ...


@dataclass(frozen=True, slots=True)
class KeptApp:
    name: str
    wasm: bytes
    heap_bytes: int
    timers: int
    watchdog_ms: int


@dataclass(frozen=True, slots=True)
class Limits:
    max_apps: int
    max_module_bytes: int
