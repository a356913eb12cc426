"""Changes, desired apps and images as the apps stage sees them, over the host's one database. Touches no device."""

from __future__ import annotations

from typing import Any


class Ledger:
    """`Ledger(database)`: the store's rows as typed changes."""

    def __init__(self, database: Any) -> None: ...
