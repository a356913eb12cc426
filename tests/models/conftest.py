"""The virtual board that sentences are about, as in tests/offline."""

from __future__ import annotations

from tests.offline.conftest import scene

__all__ = ["scene"]
