"""Whether what a request came in with is still good, where other hosts may end it. It authenticates nobody.

A host knows of an ended token by its copy of the store. `Freshness` sees to it that the copy is new enough before
a token is looked up; `checked_writes` looks again in the transaction of the request's first write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from microclaw.auth.people import RANK
from microclaw.auth.watches import SESSION_PREFIX
from microclaw.errors import PermissionRefused
from microclaw.store.people import PersonTokenTable
from microclaw.store.sign_ins import SignInTable
from microclaw.store.write_check import checking

_ENDED: Final = "the token or session of this request ended meanwhile, or its person has another role"


class Freshness(Protocol):
    def __call__(self, *, changes: bool) -> Awaitable[None]:
        """Return once this host knows which tokens, sessions and people are good.

        For a request that `changes` something: as they were at all hosts when it came. Raises StoreError where that
        cannot be known.
        """


async def alone(*, changes: bool) -> None:
    """A host alone knows all that there is."""


@contextmanager
def checked_writes(credential_id: str | None, role: str) -> Iterator[None]:
    """Inside, the first write to a store that hosts share is refused when the token or session ended before it.

    `role` is what it came in with; None or "" came in with no credential that could end.
    """
    if not credential_id:
        yield
        return
    table = SignInTable if credential_id.startswith(SESSION_PREFIX) else PersonTokenTable

    def check(connection: sqlite3.Connection) -> None:
        now = table.role(connection, credential_id)
        if now is None or RANK[now] < RANK[role]:
            raise PermissionRefused(
                f"{_ENDED}: nothing was changed", next_step="sign in again, or use another token: microclaw token list"
            )

    with checking(check):
        yield
