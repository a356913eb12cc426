"""What tokens and sessions share: found by a secret, their use noted, and a watch of each connection opened by one."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, Generic, TypeVar

from microclaw.audit import Record, no_record
from microclaw.auth.codes import digest_of
from microclaw.auth.people import Person, Roles
from microclaw.store.people import CredentialTable, Token
from microclaw.store.sign_ins import SignIn

MAX_SECRET_CHARS: Final = 128
SECRET_BYTES: Final = 32
NOTED_USE_MS: Final = 60_000  # a use is written down at most once a minute
SESSION_PREFIX: Final = "s-"  # of a session's id; a token's begins with t-
RECHECK_S: Final = 1.0  # what an open connection came in with is looked at again
C = TypeVar("C", Token, SignIn)


class TokenWatch:
    """Whether an open connection may stay: its token or session is there and not over, and its person has the role
    they had.

    Made by `Credentials.watching`. The watch of a connection that needed neither never ends.
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


class Credentials(Generic[C]):
    """Those of one kind. A secret is shown once, and its hash is kept."""

    def __init__(
        self,
        table: CredentialTable[C],
        roles: Roles,
        *,
        now_s: Callable[[], float] = time.time,
        record: Record = no_record,
    ) -> None:
        self._table = table
        self._roles = roles
        self._now_s = now_s
        self.record = record
        self._used: dict[str, int] = {}  # when they were last used here, which may not be written yet
        self._watches: set[TokenWatch] = set()
        table.follow(self.recheck)

    async def recheck(self) -> None:
        """End the connections whose token or session ended at another host, or whose person changed."""
        good = {None, *(row.number for row in await self._table.list())} if self._watches else set[str | None]()
        for watch in self._watches:
            if watch.token_id not in good:
                watch.end()
            watch.check()

    @asynccontextmanager
    async def watching(self, number: str | None) -> AsyncGenerator[TokenWatch]:
        """The watch of one connection, over already when what it came in with went meanwhile; None or "": nothing."""
        watch = TokenWatch(number or None)
        self._watches.add(watch)
        try:
            if number:
                one = self._complete(await self._table.by_id(number))
                watch.is_good = lambda: one is not None and self._lets_in(one)
            yield watch
        finally:
            self._watches.discard(watch)

    def _person_of(self, row: C) -> Person | None:
        """Who comes in with it."""
        raise NotImplementedError

    def _is_over(self, one: C, now_ms: int) -> bool:
        raise NotImplementedError

    async def _row(self, secret: str) -> C | None:
        if not 0 < len(secret) <= MAX_SECRET_CHARS or not secret.isascii():
            return None
        digest = digest_of(secret)
        row = await self._table.by_hash(digest)
        return row if row is not None and hmac.compare_digest(row.hash, digest) else None

    def _complete(self, row: C | None) -> C | None:
        """With its person, and its last use; None where there is no such person."""
        person = None if row is None else self._person_of(row)
        if row is None or person is None:
            return None
        used_ms = max(row.used_ms or 0, self._used.get(row.number, 0))
        return replace(row, person=person, used_ms=used_ms or row.used_ms)

    def _lets_in(self, one: C) -> bool:
        """Whether it is not over, and its person is who they were when it was read."""
        person = self._roles.get(one.person.person_id)
        return person is not None and person.role == one.person.role and not self._is_over(one, self._now_ms())

    def _shown(self, row: C | None) -> C | None:
        """One that lets its person in now, which is a use of it."""
        one, now_ms = self._complete(row), self._now_ms()
        if one is None or not self._lets_in(one):
            return None
        if one.used_ms is None or now_ms - one.used_ms >= NOTED_USE_MS:
            self._used[one.number] = now_ms
            self._table.note_use(one.number, now_ms)
        return one

    async def _end_one(self, number: str) -> bool:
        """False where another host was faster."""
        was_there = await self._table.delete(number)
        self._used.pop(number, None)
        for watch in self._watches:
            if watch.token_id == number:
                watch.end()
        return was_there

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)
