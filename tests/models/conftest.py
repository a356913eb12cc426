"""The virtual board that sentences are about, as in tests/offline."""

from __future__ import annotations

from tests.offline.conftest import device_context

__all__ = ["device_context"]
