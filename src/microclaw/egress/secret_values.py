"""The secrets that tasks use by name. The proxy alone reads their values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class SecretValues:
    """`find` gives a secret's value, or None where there is none; it may block."""

    def __init__(self, find: Callable[[str], str | None]) -> None:
        self._find = find

    async def value(self, name: str) -> str | None:
        return await asyncio.to_thread(self._find, name)
