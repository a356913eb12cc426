"""The system's keyring (GNOME, KDE, macOS, Windows) by way of the `keyring` library, with a bound on each call.

A locked keyring asks on the person's screen and may wait there for ever; on a machine without one it refuses.
"""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

USABLE_PRIORITY: Final = 1.0  # the library gives less to places that are no better than a file, and to none
LIMIT_S: Final = 20.0  # of one call: time to type the keyring's password


class Keyring(Protocol):
    """What the `keyring` library's backends offer. Each raises errors of its backend's own kinds."""

    def get_password(self, service: str, username: str, /) -> str | None: ...

    def set_password(self, service: str, username: str, password: str, /) -> None: ...

    def delete_password(self, service: str, username: str, /) -> None: ...


def system_keyring() -> Keyring | None:
    """The system's keyring; None without the library (extra `keyring`) or without a service, as in containers."""
    try:
        found: Any = importlib.import_module("keyring").get_keyring()
        return BoundedKeyring(found) if float(found.priority) >= USABLE_PRIORITY else None
    except Exception:  # backends raise errors of their own where a service is missing
        return None


class BoundedKeyring:
    """A keyring whose calls end after `limit_s` with TimeoutError. While one still hangs, others fail at once."""

    def __init__(self, inner: Keyring, *, limit_s: float = LIMIT_S) -> None:
        self._inner = inner
        self._limit_s = limit_s
        self._hanging: threading.Thread | None = None

    def get_password(self, service: str, username: str, /) -> str | None:
        found: str | None = self._bounded(lambda: self._inner.get_password(service, username))
        return found

    def set_password(self, service: str, username: str, password: str, /) -> None:
        self._bounded(lambda: self._inner.set_password(service, username, password))

    def delete_password(self, service: str, username: str, /) -> None:
        self._bounded(lambda: self._inner.delete_password(service, username))

    def _bounded(self, call: Callable[[], Any]) -> Any:
        if self._hanging is not None and self._hanging.is_alive():
            raise TimeoutError("it still does not answer")
        answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((call(), None))
            except Exception as exc:  # of the backend's own kind: raised again by who waits
                answers.put((None, exc))

        thread = threading.Thread(target=work, name="keyring", daemon=True)  # it cannot be ended: nobody waits for it
        thread.start()
        try:
            value, failed = answers.get(timeout=self._limit_s)
        except queue.Empty:
            self._hanging = thread
            raise TimeoutError(f"it did not answer within {self._limit_s:g} s") from None
        if failed is not None:
            raise failed
        return value
