"""Single-use codes of every kind: made, kept by their hashes in the store, looked up; the number of guesses is limited.

A code is valid until its time is over, it was used, or a newer code replaced it. A restart of the host keeps it.
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
from microclaw.host.store.codes import SECRET, CodeRow, CodeTable
from microclaw.host.store.database import Database

WRONG_TOKENS_S: Final = 60.0
MAX_ADDRESSES: Final = 1024


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a secret, which is what the store keeps. A slow hash is not needed for 256 random bits."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


class CodeKind(Struct, frozen=True):
    """A kind of codes, and its limits.

    After `wrong_tries` wrong codes of one source within a minute, its codes are not looked at. The limits `of_holder`,
    `of_place` and `in_all` are the codes at a time of one holder, of one place (a channel, a range of addresses) and of
    the kind. For `protected_s` no code is replaced that is its holder's only one. If `is_typed`, a person types it, so
    case, spaces and dashes do not count.
    """

    name: str
    chars: int
    alphabet: str
    life_s: float
    wrong_tries: int
    of_holder: int = 1
    of_place: int = 1_000_000
    in_all: int = 1_000_000
    protected_s: float = 0.0
    is_typed: bool = True

    def hash(self, code: str) -> bytes:
        """Return the hash of a code for the store.

        Whoever reads the store finds six digits by trying, but using them at the host needs a person.
        """
        if self.is_typed:
            code = re.sub(r"[\s-]", "", code).upper()
        return digest_of(code)

    def select_replaced(
        self, waiting: Sequence[CodeRow], holder: str, place: str, now_ms: int
    ) -> tuple[CodeRow, ...] | None:
        """Select the codes that a new code of this holder replaces; None if there is no room for it.

        `waiting` begins with the oldest. If the place is full, the holder with the most codes in it loses one to a
        holder with fewer; if all are taken, the place with the most. So each holder, and each place, has a share. A
        newcomer without a code also gets the room of the oldest code that could be typed for `protected_s`: one machine
        can have a whole range of addresses.
        """
        holders = Counter(row.holder for row in waiting)
        places = Counter(row.place for row in waiting)
        if holders[holder] >= self.of_holder:
            return None
        if places[place] >= self.of_place:
            candidates = [row for row in waiting if row.place == place]
            largest_place = place
            own_count = holders[holder]
            largest_count = max(holders[row.holder] for row in candidates)
        elif len(waiting) >= self.in_all:
            candidates = list(waiting)
            own_count = places[place]
            largest_place, largest_count = places.most_common(1)[0]
        else:
            return ()
        if largest_count > own_count + 1:
            # The newest code of that holder ends, because a person may just be typing an older one.
            rivals = [row for row in reversed(candidates) if row.place == largest_place]
            return (max(rivals, key=lambda row: holders[row.holder]),)
        oldest = candidates[0]
        if own_count or oldest.made_ms + self.protected_s * 1000 > now_ms:
            return None
        return (oldest,)


PERSON: Final = CodeKind("person", 6, string.digits, 600.0, 5, of_place=64, protected_s=120.0)
DEVICE: Final = CodeKind("device", 6, string.digits, 120.0, 5, of_holder=4, of_place=16, in_all=64, protected_s=30.0)
SIGN_IN: Final = CodeKind(
    "signin", 43, f"{string.ascii_letters}{string.digits}-_", 600.0, 10, in_all=16, is_typed=False
)
PROVISION: Final = CodeKind(SECRET, 26, f"{string.ascii_uppercase}234567", 30 * 86_400.0, 5)


class WrongTokens:
    """Failures of each address: up to `limit` within WRONG_TOKENS_S.

    If there are too many addresses, the oldest is forgotten.
    """

    def __init__(self, limit: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._now_s = now_s
        self._times: BoundedMap[str, deque[float]] = BoundedMap(MAX_ADDRESSES)

    def add(self, address: str) -> None:
        times = self._times.get(address, deque(maxlen=self._limit))
        times.append(self._now_s())
        self._times[address] = times

    def take_back(self, address: str) -> None:
        """Forget the last failure, because the secret was right after all."""
        times = self._times.get(address)
        if times:
            times.pop()

    def wait_s(self, address: str) -> float:
        """Return how many seconds this address has to wait; 0 below the limit."""
        times = self._times.get(address)
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + WRONG_TOKENS_S - self._now_s())


class Codes:
    """The codes of a store.

    `now_ms` is the clock of the codes' lives; `clock_s` is the monotonic clock of wrong tries. A wrong, an expired and
    a used code look the same to callers.
    """

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
        """Return the valid codes, the oldest first."""
        return await self.table.list(kind.name, self.now_ms())

    async def create(
        self,
        kind: CodeKind,
        holder: str,
        place: str = "",
        about: str = "",
        *,
        instead_of: Collection[CodeRow] = (),
    ) -> tuple[str, CodeRow]:
        """Make and store a new code, and return it with its row; the code itself is not kept.

        Forgets the codes of `instead_of`.
        """
        host = self.table.host or ""
        replaced_hashes = [row.hash for row in instead_of]
        # The loop ends with a code that is not in use already.
        while True:
            code = "".join(secrets.choice(kind.alphabet) for _ in range(kind.chars))
            now_ms = self.now_ms()
            until_ms = now_ms + int(kind.life_s * 1000)
            row = CodeRow(kind.name, kind.hash(code), host, holder, place, about, now_ms, until_ms)
            if await self.table.add(row, now_ms, instead_of=replaced_hashes):
                return code, row

    async def find(self, kind: CodeKind, code: str) -> CodeRow | None:
        """Return the row of a valid code, which stays valid; None for a wrong code."""
        return await self.table.find(kind.name, kind.hash(code), self.now_ms())

    async def use(self, kind: CodeKind, code: str) -> CodeRow | None:
        """Use a code up and return its row; None for a wrong code."""
        row = await self.find(kind, code)
        if row is None or not await self.table.spend(row):
            return None
        return row

    def count_wrong(self, kind: CodeKind, source: str = "") -> None:
        """Count a wrong code of this source."""
        self._wrong[kind].add(source)

    def locked_s(self, kind: CodeKind, source: str = "") -> float:
        """Return how many seconds no code of this source may be looked at; 0 if it is not locked."""
        return self._wrong[kind].wait_s(source)
