"""Codes that are good once, of every kind: drawn, kept by their hashes in the store, found again; guesses are bounded.

A code lives until its time is over, it was used, or it gave way to a newer one, also over a restart of the host.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from msgspec import Struct

from microclaw.bounded_map import BoundedMap
from microclaw.clock import now_ms
from microclaw.store.codes import SECRET, CodeRow, CodeTable
from microclaw.store.database import Database

WRONG_TOKENS_S: Final = 60.0
MAX_ADDRESSES: Final = 1024


def digest_of(secret: str) -> bytes:
    """The digest that is kept of a secret. Plain SHA-256: there is nothing to guess in 256 random bits."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


class CodeKind(Struct, frozen=True):
    """`wrong_tries` of one source within a minute, then its codes are not looked at. So many codes at a time may one
    holder have, one place (a channel, a range of addresses) and all; `kept_s`: so long none gives way that is its
    holder's only one. `is_typed`: by a person, so case, spaces and dashes do not count."""

    name: str
    chars: int
    alphabet: str
    life_s: float
    wrong_tries: int
    of_holder: int = 1
    of_place: int = 1_000_000
    in_all: int = 1_000_000
    kept_s: float = 0.0
    is_typed: bool = True

    def hash(self, code: str) -> bytes:
        """The hash that is kept of a code. A reader of it finds six digits by trying; typing them takes a person."""
        if self.is_typed:
            plain = re.sub(r"[\s-]", "", code).upper()
        else:
            plain = code
        return digest_of(plain)

    def giving_way(
        self, waiting: Sequence[CodeRow], holder: str, place: str, now_ms: int
    ) -> tuple[CodeRow, ...] | None:
        """The codes that end for one more of this holder; None where it finds no place. `waiting`: the oldest first.

        Where its place is full, the holder with the most codes in it gives one up to who has fewer; where all are
        taken, the place with the most. So a holder, and a place, has a share. A newcomer without a code also gets the
        place of the oldest that had `kept_s` to be typed: one machine can have a whole range of addresses.
        """
        holders = Counter(row.holder for row in waiting)
        places = Counter(row.place for row in waiting)
        if holders[holder] >= self.of_holder:
            return None
        if places[place] >= self.of_place:
            among = [row for row in waiting if row.place == place]
            largest = place
            own = holders[holder]
            most = max(holders[row.holder] for row in among)
        elif len(waiting) >= self.in_all:
            among = list(waiting)
            own = places[place]
            largest, most = places.most_common(1)[0]
        else:
            return ()
        if most > own + 1:  # its newest: an older code may be one that a person is just typing
            rivals = [row for row in reversed(among) if row.place == largest]
            return (max(rivals, key=lambda row: holders[row.holder]),)
        if own or among[0].made_ms + self.kept_s * 1000 > now_ms:
            return None
        return (among[0],)


PERSON: Final = CodeKind("person", 6, string.digits, 600.0, 5, of_place=64, kept_s=120.0)
DEVICE: Final = CodeKind("device", 6, string.digits, 120.0, 5, of_holder=4, of_place=16, in_all=64, kept_s=30.0)
SIGN_IN: Final = CodeKind(
    "signin", 43, f"{string.ascii_letters}{string.digits}-_", 600.0, 10, in_all=16, is_typed=False
)
PROVISION: Final = CodeKind(SECRET, 26, f"{string.ascii_uppercase}234567", 30 * 86_400.0, 5)


class WrongTokens:
    """`limit` wrong tokens are allowed within WRONG_TOKENS_S. With too many addresses the oldest one is forgotten."""

    def __init__(self, limit: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now_s = now_s
        self._times: BoundedMap[str, deque[float]] = BoundedMap(MAX_ADDRESSES)

    def add(self, address: str) -> None:
        times = self._times.get(address, deque(maxlen=self._limit))
        times.append(self._now_s())
        self._times[address] = times

    def take_back(self, address: str) -> None:
        """Forget the last failure: it was right after all."""
        times = self._times.get(address)
        if times:
            times.pop()

    def wait_s(self, address: str) -> float:
        """The time that this address has to wait; 0 while it is below the limit."""
        times = self._times.get(address)
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + WRONG_TOKENS_S - self._now_s())


class Codes:
    """`now_ms` is the clock of codes' lives, `clock_s` that of wrong tries, monotonic. A wrong code, one that is over
    and one that was used are the same to it."""

    def __init__(
        self,
        database: Database,
        *,
        now_ms: Callable[[], int] = now_ms,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = CodeTable(database)
        self.now_ms = now_ms
        kinds = (PERSON, DEVICE, SIGN_IN, PROVISION)
        self._wrong = {kind: WrongTokens(kind.wrong_tries, clock_s) for kind in kinds}

    async def list(self, kind: CodeKind) -> tuple[CodeRow, ...]:
        """Those that are good, the oldest first."""
        return await self.table.list(kind.name, self.now_ms())

    async def give(
        self,
        kind: CodeKind,
        holder: str,
        place: str = "",
        about: str = "",
        *,
        instead_of: Collection[CodeRow] = (),
    ) -> tuple[str, CodeRow]:
        """A new code that is kept, and its row: the only time that the host has it. Forgets those of `instead_of`."""
        host = self.table.host or ""
        gone = [one.hash for one in instead_of]
        while True:  # until it is one that is not out already
            code = "".join(secrets.choice(kind.alphabet) for _ in range(kind.chars))
            now_ms = self.now_ms()
            until_ms = now_ms + int(kind.life_s * 1000)
            row = CodeRow(kind.name, kind.hash(code), host, holder, place, about, now_ms, until_ms)
            if await self.table.add(row, now_ms, instead_of=gone):
                return code, row

    async def find(self, kind: CodeKind, code: str) -> CodeRow | None:
        """The good code's row; it stays good."""
        return await self.table.find(kind.name, kind.hash(code), self.now_ms())

    async def take(self, kind: CodeKind, code: str) -> CodeRow | None:
        """The good code's row; it was good once."""
        row = await self.find(kind, code)
        return row if row is not None and await self.table.spend(row) else None

    def wrong(self, kind: CodeKind, source: str = "") -> None:
        """Somebody tried a wrong code."""
        self._wrong[kind].add(source)

    def locked_s(self, kind: CodeKind, source: str = "") -> float:
        """The time that no code of this source is to be looked at; 0 where it may be."""
        return self._wrong[kind].wait_s(source)
