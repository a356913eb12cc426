"""Rows of codes that can be used once, by their hashes: for people, devices, browsers and provisioned boards.

Each transaction here counts for all hosts that share the store, so a code is used once. This module neither draws nor
checks a code.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from microclaw.host.store.rows import Table, delete, first, insert, reads, scalar, select, writes
from microclaw.host.store.sql import Sql

SECRET: Final = "secret"  # noqa: S105 - the kind of the codes that boards are provisioned with
# Another host's clock may be behind: its code is deleted only this long after its end.
FOREIGN_KEPT_MS: Final = 3_600_000


class CodeRow(Struct, frozen=True):
    """A code that can be used once.

    `holder` has the code: an account, an address, the id of a person or device, or "" if it has no holder yet. The code
    takes one of the places of `place`: a channel or a range of addresses; for a secret it is the board's profile.
    `about` is a name. `host` issued the code, and `until_ms` is by its clock. `used_ms` is set if the code bought a
    credential that was not used yet.
    """

    kind: str
    hash: bytes
    host: str
    holder: str
    place: str
    about: str
    made_ms: int
    until_ms: int
    used_ms: int | None = None


class CodeTable(Table):
    """Codes of one database."""

    followed = frozenset({"codes"})

    @reads
    def list(self, sql: Sql, kind: str, now_ms: int) -> tuple[CodeRow, ...]:
        """Return the codes that are valid at that time, oldest first."""
        return select(sql, CodeRow, "codes WHERE kind = ? AND until_ms > ? ORDER BY made_ms, hash", (kind, now_ms))

    @writes
    def add(self, sql: Sql, row: CodeRow, now_ms: int, *, instead_of: Collection[bytes] = ()) -> bool:
        """Store a code and forget the codes with the hashes `instead_of`; return False and forget none if it exists.

        Expired codes are deleted first.
        """
        sql.execute(
            "DELETE FROM codes WHERE (host = ? AND until_ms <= ?) OR until_ms <= ?",
            (row.host, now_ms, now_ms - FOREIGN_KEPT_MS),
        )
        if not insert(sql, "codes", row, over=()):
            return False
        delete(sql, "codes", kind=row.kind, hash=tuple(instead_of))
        return True

    @reads
    def find(self, sql: Sql, kind: str, digest: bytes, now_ms: int) -> CodeRow | None:
        """Return a code that is valid at that time; at 0 also an ended one."""
        return first(sql, CodeRow, "codes WHERE kind = ? AND hash = ? AND until_ms > ?", (kind, digest, now_ms))

    @writes
    def spend(self, sql: Sql, row: CodeRow) -> bool:
        """Use a code up; return False if another caller was faster."""
        return delete(sql, "codes", kind=row.kind, hash=row.hash, made_ms=row.made_ms).rowcount > 0

    @writes
    def hold(self, sql: Sql, kind: str, digest: bytes, holder: str) -> str | None:
        """Give the code to this holder if it has none; return its holder, or None if the code does not exist."""
        query = """UPDATE codes SET holder = CASE holder WHEN '' THEN ? ELSE holder END WHERE kind = ? AND hash = ?
            RETURNING holder"""
        current_holder: str | None = scalar(sql, query, (holder, kind, digest))
        return current_holder

    def forget_later(self, kind: str, digest: bytes) -> None:
        """Delete a code with the next write."""
        self.database.write_later(lambda sql: delete(sql, "codes", kind=kind, hash=digest))


def end_codes(sql: Sql) -> None:
    """Delete all codes except board secrets, for a store that moves to another host.

    Everyone else can ask for a new code; a provisioned board cannot.
    """
    sql.execute("DELETE FROM codes WHERE kind <> ?", (SECRET,))


def claim_secret(sql: Sql, digest: bytes | None, device_id: str, at_ms: int) -> bool:
    """Bind a board's secret to its device; return False if it is not valid for that device.

    The secret is spent by the first use of the credential, not by the reply, which may be lost.
    """
    if digest is None:
        return True
    query = """UPDATE codes SET holder = ?, used_ms = ?
        WHERE kind = ? AND hash = ? AND until_ms > ? AND holder IN ('', ?)"""
    return sql.execute(query, (device_id, at_ms, SECRET, digest, at_ms, device_id)).rowcount == 1


def spend_secrets(sql: Sql, device_id: str, *, unused: bool = False) -> None:
    """Delete the secrets whose credential the device has used now.

    A secret that waits for the device's next pairing stays, unless `unused` secrets end too.
    """
    query = "DELETE FROM codes WHERE kind = ? AND holder = ? AND (used_ms IS NOT NULL OR ? = 1)"
    sql.execute(query, (SECRET, device_id, unused))
