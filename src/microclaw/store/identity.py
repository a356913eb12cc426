"""Rows of what devices prove themselves with: certificates and token hashes. Checks no signature.

At most two tokens of a device can open anything, `current` and `pending`. Hashes of retired ones stay for a while, so
that a copied token is not taken for a guess; they are not valid.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from microclaw.errors import StoreError
from microclaw.store.codes import SECRET, claim_secret, spend_secrets
from microclaw.store.following import Refresh
from microclaw.store.rows import Table, insert, select
from microclaw.store.sql import Sql

TokenState: TypeAlias = Literal["current", "pending", "retired", "revoked"]

KEPT_RETIRED: Final = 100  # a device: more than the rotations of 90 days
NOTED_USE_MS: Final = 3_600_000  # a use is written down at most once an hour: reconnects of a fleet cost no writes


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`hash` is the SHA-256 of the whole token text; `used_ms` is its last noted use."""

    hash: bytes
    device_id: str
    state: TokenState
    made_ms: int
    used_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """`serial` in lower-case hexadecimal without a lead."""

    serial: str
    device_id: str
    issued_ms: int
    expires_ms: int
    used_ms: int | None = None
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class XiaozhiClientRow:
    """Which installation of xiaozhi's firmware was paired: `client` is the SHA-256 of its Client-Id."""

    device_id: str
    client: bytes
    paired_ms: int


class TokenUse(StrEnum):
    """What came of showing a token."""

    CURRENT = "current"
    PROMOTED = "promoted"  # it was the pending one, and is the current one now
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # a retired one: another took its place
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class IdentityTable(Table):
    """Credentials of one database's devices. What a method returned is on the disk."""

    async def authority(self) -> str | None:
        """The fingerprint of the certificate authority that this store's devices trust."""
        return await self._database.read(_authority)

    async def pin_authority(self, fingerprint: str, at_ms: int) -> None:
        """Remember the authority; StoreError when another one is remembered."""
        await self._database.write(lambda connection: _pin(connection, fingerprint, at_ms))

    async def trusting(self) -> int:
        """How many devices have a credential that may open something."""
        return await self._database.read(_trusting)

    async def begin_anew(self, at_ms: int) -> int:
        """Forget the authority and revoke every credential; returns how many could still open something."""
        return await self._database.write(lambda connection: _begin_anew(connection, at_ms))

    async def tokens_of(self, device_id: str) -> tuple[TokenRow, ...]:
        """The device's tokens, oldest first."""
        return await self._database.read(lambda connection: _tokens(connection, device_id))

    async def certificates_of(self, device_id: str) -> tuple[CertificateRow, ...]:
        """The device's certificates, oldest first."""
        where = "certificates WHERE device_id = ? ORDER BY issued_ms, serial"
        return await self._select(CertificateRow, where, (device_id,))

    async def grant_token(self, device_id: str, token_hash: bytes, at_ms: int, *, secret: bytes | None = None) -> bool:
        """Make this the device's one credential; False when the pairing secret of that hash is gone meanwhile."""
        return await self._database.write(
            lambda connection: _grant_token(connection, device_id, token_hash, at_ms, secret)
        )

    async def grant_certificate(self, row: CertificateRow, *, secret: bytes | None = None) -> bool:
        """Make this the device's one credential; False when the pairing secret of that hash is gone meanwhile."""
        return await self._database.write(lambda connection: _grant_certificate(connection, row, secret))

    async def add_certificate(self, row: CertificateRow) -> None:
        """One more certificate, beside those in use until it is used itself; one that never was gives way."""
        await self._database.write(lambda connection: _add_certificate(connection, row))

    async def opening(self) -> frozenset[str]:
        """Every credential that may open something: a certificate's serial, a token's hash in hexadecimal."""
        return frozenset(await self._database.read(_opening))

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow, for credentials."""
        self._database.follow(("tokens", "certificates"), refresh)

    async def revoked(self) -> frozenset[str]:
        """Devices (ids) of which a credential was revoked, and none opens anything now."""
        return frozenset(await self._database.read(_revoked))

    async def put_pending(
        self, device_id: str, token_hash: bytes, at_ms: int, *, current: bytes, seen: bytes | None
    ) -> bool:
        """Add the token that will follow; only while `current` is current and `seen` (or none) still pending."""
        return await self._database.write(
            lambda connection: _put_pending(connection, device_id, token_hash, at_ms, current, seen)
        )

    async def use_token(self, device_id: str, token_hash: bytes, at_ms: int, *, unused_since_ms: int) -> TokenUse:
        """Show a token: promotes a pending one. A retired one opens nothing and changes nothing.

        A token made and last used before `unused_since_ms` is expired.
        """
        rows = await self._database.read(lambda connection: _tokens(connection, device_id))
        use, row = _judge(rows, token_hash, unused_since_ms)
        noted = row is not None and row.used_ms is not None and abs(at_ms - row.used_ms) < NOTED_USE_MS
        if use not in (TokenUse.CURRENT, TokenUse.PROMOTED) or (use is TokenUse.CURRENT and noted):
            return use
        return await self._database.write(
            lambda connection: _use_token(connection, device_id, token_hash, at_ms, unused_since_ms)
        )

    async def use_certificate(self, serial: str, at_ms: int) -> CertificateRow | None:
        """The certificate's row before this use, or None when this store never issued it."""
        found = await self._select(CertificateRow, "certificates WHERE serial = ?", (serial,))
        if found and found[0].used_ms is None and found[0].revoked_ms is None:
            await self._database.write(
                lambda connection: _note_certificate(connection, serial, found[0].device_id, at_ms)
            )
        return found[0] if found else None

    async def revoke(self, device_id: str, at_ms: int) -> int:
        """End every credential of the device; returns how many could still open something."""
        return await self._database.write(lambda connection: _revoke(connection, device_id, at_ms))

    async def xiaozhi_client(self, device_id: str) -> XiaozhiClientRow | None:
        """The installation that was paired last; none once its credentials were revoked."""
        return next(
            iter(await self._select(XiaozhiClientRow, "xiaozhi_clients WHERE device_id = ?", (device_id,))), None
        )

    async def put_xiaozhi_client(self, row: XiaozhiClientRow) -> None:
        query = """INSERT INTO xiaozhi_clients (device_id, client, paired_ms) VALUES (?, ?, ?)
            ON CONFLICT (device_id) DO UPDATE SET client = excluded.client, paired_ms = excluded.paired_ms"""
        await self._execute(query, (row.device_id, row.client, row.paired_ms))


def _authority(connection: Sql) -> str | None:
    row = connection.execute("SELECT fingerprint FROM authority").fetchone()
    return None if row is None else str(row[0])


def _pin(connection: Sql, fingerprint: str, at_ms: int) -> None:
    known = _authority(connection)
    if known is None:
        connection.execute("INSERT INTO authority VALUES (1, ?, ?)", (fingerprint, at_ms))
    elif known != fingerprint:
        raise StoreError(
            f"the store's devices trust the authority {known}, not {fingerprint}",
            next_step="start the host again: it says what to do",
        )


def _trusting(connection: Sql) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM (SELECT device_id FROM tokens WHERE state IN ('current', 'pending') "
        "UNION SELECT device_id FROM certificates WHERE revoked_ms IS NULL) AS those"
    ).fetchone()
    return int(count)


def _begin_anew(connection: Sql, at_ms: int) -> int:
    connection.execute("DELETE FROM authority")
    connection.execute("DELETE FROM codes WHERE kind = ?", (SECRET,))
    devices = connection.execute("SELECT device_id FROM tokens UNION SELECT device_id FROM certificates").fetchall()
    return sum(_revoke(connection, device_id, at_ms) for (device_id,) in devices)


def _tokens(connection: Sql, device_id: str) -> tuple[TokenRow, ...]:
    return select(connection, TokenRow, "tokens WHERE device_id = ? ORDER BY made_ms, hash", (device_id,))


def _judge(rows: tuple[TokenRow, ...], token_hash: bytes, unused_since_ms: int) -> tuple[TokenUse, TokenRow | None]:
    found: TokenRow | None = None
    for row in rows:  # each is compared, whichever matches: the time gives nothing away
        if hmac.compare_digest(row.hash, token_hash):
            found = row
    if found is None:
        return TokenUse.UNKNOWN, None
    if found.state == "revoked":
        return TokenUse.REVOKED, found
    if (found.made_ms if found.used_ms is None else found.used_ms) < unused_since_ms:
        return TokenUse.EXPIRED, found
    uses = {"current": TokenUse.CURRENT, "pending": TokenUse.PROMOTED, "retired": TokenUse.SUPERSEDED}
    return uses[found.state], found


def _use_token(connection: Sql, device_id: str, token_hash: bytes, at_ms: int, unused_since_ms: int) -> TokenUse:
    use, row = _judge(_tokens(connection, device_id), token_hash, unused_since_ms)
    if use in (TokenUse.CURRENT, TokenUse.PROMOTED) and row is not None:
        if use is TokenUse.PROMOTED:
            _retire(connection, device_id, "current", at_ms)
        connection.execute("UPDATE tokens SET state = 'current', used_ms = ? WHERE hash = ?", (at_ms, row.hash))
        spend_secrets(connection, device_id)
    return use


def _note_certificate(connection: Sql, serial: str, device_id: str, at_ms: int) -> None:
    """Its first use ends the certificate that it was to follow."""
    connection.execute("UPDATE certificates SET used_ms = ? WHERE serial = ?", (at_ms, serial))
    connection.execute(
        "UPDATE certificates SET revoked_ms = ? WHERE device_id = ? AND serial != ? AND revoked_ms IS NULL",
        (at_ms, device_id, serial),
    )
    spend_secrets(connection, device_id)


def _grant_token(connection: Sql, device_id: str, token_hash: bytes, at_ms: int, secret: bytes | None) -> bool:
    if not claim_secret(connection, secret, device_id, at_ms):
        return False
    _supersede(connection, device_id, at_ms)
    insert(connection, "tokens", TokenRow(token_hash, device_id, "current", at_ms))
    return True


def _grant_certificate(connection: Sql, row: CertificateRow, secret: bytes | None) -> bool:
    if not claim_secret(connection, secret, row.device_id, row.issued_ms):
        return False
    _supersede(connection, row.device_id, row.issued_ms)
    insert(connection, "certificates", row)
    return True


def _add_certificate(connection: Sql, row: CertificateRow) -> None:
    connection.execute("DELETE FROM certificates WHERE device_id = ? AND used_ms IS NULL", (row.device_id,))
    insert(connection, "certificates", row)


def _put_pending(
    connection: Sql, device_id: str, token_hash: bytes, at_ms: int, current: bytes, seen: bytes | None
) -> bool:
    live = {row.state: row.hash for row in _tokens(connection, device_id) if row.state in ("current", "pending")}
    if live.get("current") != current or live.get("pending") != seen:
        return False
    _retire(connection, device_id, "pending", at_ms)
    insert(connection, "tokens", TokenRow(token_hash, device_id, "pending", at_ms))
    return True


def _retire(connection: Sql, device_id: str, state: TokenState, at_ms: int) -> None:
    """Mark the token as retired and last used now, so that a late use of it is not counted as a guess."""
    connection.execute(
        "UPDATE tokens SET state = 'retired', used_ms = ? WHERE device_id = ? AND state = ?", (at_ms, device_id, state)
    )
    connection.execute(
        """DELETE FROM tokens WHERE device_id = ? AND state IN ('retired', 'revoked') AND hash NOT IN (
            SELECT hash FROM tokens WHERE device_id = ? AND state IN ('retired', 'revoked')
            ORDER BY made_ms DESC, hash LIMIT ?)""",
        (device_id, device_id, KEPT_RETIRED),
    )


def _supersede(connection: Sql, device_id: str, at_ms: int) -> None:
    """A device that pairs again has one credential: the new one."""
    _retire(connection, device_id, "current", at_ms)
    _retire(connection, device_id, "pending", at_ms)
    connection.execute(
        "UPDATE certificates SET revoked_ms = ? WHERE device_id = ? AND revoked_ms IS NULL", (at_ms, device_id)
    )


def _opening(connection: Sql) -> list[str]:
    tokens = connection.execute("SELECT hash FROM tokens WHERE state IN ('current', 'pending')")
    certificates = connection.execute("SELECT serial FROM certificates WHERE revoked_ms IS NULL")
    return [*(digest.hex() for (digest,) in tokens), *(serial for (serial,) in certificates)]


def _revoked(connection: Sql) -> list[str]:
    rows = connection.execute(
        """SELECT device_id FROM tokens WHERE state = 'revoked'
        UNION SELECT device_id FROM certificates WHERE revoked_ms IS NOT NULL
        EXCEPT SELECT device_id FROM tokens WHERE state IN ('current', 'pending')
        EXCEPT SELECT device_id FROM certificates WHERE revoked_ms IS NULL"""
    )
    return [str(device_id) for (device_id,) in rows]


def _revoke(connection: Sql, device_id: str, at_ms: int) -> int:
    tokens = connection.execute(
        "UPDATE tokens SET state = 'revoked' WHERE device_id = ? AND state IN ('current', 'pending')", (device_id,)
    ).rowcount
    connection.execute("UPDATE tokens SET state = 'revoked' WHERE device_id = ?", (device_id,))
    certificates = connection.execute(
        "UPDATE certificates SET revoked_ms = ? WHERE device_id = ? AND revoked_ms IS NULL", (at_ms, device_id)
    ).rowcount
    spend_secrets(connection, device_id, unused=True)
    for table in ("xiaozhi_clients", "xiaozhi_reports", "xiaozhi_updates"):
        connection.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))  # noqa: S608 - names of ours
    return tokens + certificates
