"""Rows of codes that are good once, by their hashes: of people, devices, browsers and provisioned boards.

What is a transaction here is one over all hosts that share the store: a code is used once. It draws and judges none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from microclaw.store.rows import Table, delete, first, insert, reads, scalar, select, writes
from microclaw.store.sql import Sql

SECRET: Final = "secret"  # noqa: S105 - the kind of the codes that boards are provisioned with
FOREIGN_KEPT_MS: Final = 3_600_000  # another host's clock may be behind: so long after its end its code may go


class CodeRow(Struct, frozen=True):
    """`holder` has it: an account, an address, a person's or a device's id, "" where nobody has it yet. It takes one of
    the places of `place`: a channel, a range of addresses; of a secret it is the board's profile. `about` is a name.

    `host` gave it, and `until_ms` is by its clock. `used_ms`: it bought a credential that was not used yet.
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
        """Those that are good, the oldest first."""
        return select(sql, CodeRow, "codes WHERE kind = ? AND until_ms > ? ORDER BY made_ms, hash", (kind, now_ms))

    @writes
    def add(self, sql: Sql, row: CodeRow, now_ms: int, *, instead_of: Collection[bytes] = ()) -> bool:
        """Keep a code, and forget those of the hashes `instead_of`; False, and nothing is done, where it is out."""
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
        """A code that is good at that time; at 0 any."""
        return first(sql, CodeRow, "codes WHERE kind = ? AND hash = ? AND until_ms > ?", (kind, digest, now_ms))

    @writes
    def spend(self, sql: Sql, row: CodeRow) -> bool:
        """Use a code up; False where somebody was faster."""
        return delete(sql, "codes", kind=row.kind, hash=row.hash, made_ms=row.made_ms).rowcount > 0

    @writes
    def hold(self, sql: Sql, kind: str, digest: bytes, holder: str) -> str | None:
        """Give the code to this holder, unless it has one; return the holder. None where the code is gone."""
        query = """UPDATE codes SET holder = CASE holder WHEN '' THEN ? ELSE holder END WHERE kind = ? AND hash = ?
            RETURNING holder"""
        held: str | None = scalar(sql, query, (holder, kind, digest))
        return held

    def forget_later(self, kind: str, digest: bytes) -> None:
        """Soon."""
        self.database.write_later(lambda sql: delete(sql, "codes", kind=kind, hash=digest))


def end_codes(sql: Sql) -> None:
    """For a store that becomes another one's: whoever has a code asks for a new one; a provisioned board cannot."""
    sql.execute("DELETE FROM codes WHERE kind <> ?", (SECRET,))


def claim_secret(sql: Sql, digest: bytes | None, device_id: str, at_ms: int) -> bool:
    """Bind a board's secret to its device. The first use of the credential spends it, not a reply that may be lost."""
    if digest is None:
        return True
    query = """UPDATE codes SET holder = ?, used_ms = ?
        WHERE kind = ? AND hash = ? AND until_ms > ? AND holder IN ('', ?)"""
    return sql.execute(query, (device_id, at_ms, SECRET, digest, at_ms, device_id)).rowcount == 1


def spend_secrets(sql: Sql, device_id: str, *, unused: bool = False) -> None:
    """The credential that a secret bought was used. One that waits for the device's next pairing stays, unless `unused`
    ones end too."""
    query = "DELETE FROM codes WHERE kind = ? AND holder = ? AND (used_ms IS NOT NULL OR ? = 1)"
    sql.execute(query, (SECRET, device_id, unused))
