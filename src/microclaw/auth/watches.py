"""Open connections and whether they may stay: each has a watch of the token or session that it came in with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from typing import Final

SESSION_PREFIX: Final = "s-"  # of a session's id; a token's begins with t-
RECHECK_S: Final = 1.0  # what an open connection came in with is looked at again


class TokenWatch:
    """Whether an open connection may stay: its token or session is there and not over, and its person has the role
    they had.

    Made by `PersonTokens.watching` and `SignIns.watching`. The watch of a connection that needed neither never ends.
    """

    def __init__(self, token_id: str | None) -> None:
        self.token_id = token_id
        self.is_good: Callable[[], bool] = lambda: True
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    def check(self) -> bool:
        """Look at it again, in memory."""
        if not self.is_good():
            self.end()
        return not self._ended.is_set()

    async def until_ended(self) -> None:
        """Return at once when the token is removed; when it expires or its person changes, within RECHECK_S."""
        pause_s = None if self.token_id is None else RECHECK_S
        while self.check():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ended.wait()


class Watches:
    """Those of one kind of token."""

    def __init__(self) -> None:
        self._open: set[TokenWatch] = set()

    @contextmanager
    def one(self, token_id: str | None) -> Iterator[TokenWatch]:
        """The watch of one connection, for the time of the block. Who made it says when it `is_good`."""
        watch = TokenWatch(token_id)
        self._open.add(watch)
        try:
            yield watch
        finally:
            self._open.discard(watch)

    def end(self, token_id: str) -> None:
        """End the watches of this token."""
        for watch in self._open:
            if watch.token_id == token_id:
                watch.end()

    def keep(self, token_ids: Container[str]) -> None:
        """End the watches of tokens that are not among these, and those of a person who changed."""
        for watch in self._open:
            if watch.token_id is not None and watch.token_id not in token_ids:
                watch.end()
            watch.check()

    def __len__(self) -> int:
        return len(self._open)
