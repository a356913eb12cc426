"""Rows of what devices prove themselves with: certificates and token hashes. Checks no signature.

At most two tokens of a device can open anything, `current` and `pending`. Hashes of retired ones stay for a while, so
that a copied token is not taken for a guess; they are not valid.
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import StoreError
from microclaw.store.codes import SECRET, claim_secret, spend_secrets
from microclaw.store.rows import (
    RowTable,
    Table,
    delete,
    first,
    insert,
    keep_newest,
    reads,
    scalar,
    select,
    update,
    writes,
)
from microclaw.store.sql import Sql

TokenState: TypeAlias = Literal["current", "pending", "retired", "revoked"]

KEPT_RETIRED: Final = 100  # a device: more than the rotations of 90 days
NOTED_USE_MS: Final = 3_600_000  # a use is written down at most once an hour: reconnects of a fleet cost no writes
_LIVE: Final = """SELECT device_id FROM tokens WHERE state IN ('current', 'pending')
    UNION SELECT device_id FROM certificates WHERE revoked_ms IS NULL"""


class TokenRow(Struct, frozen=True):
    """`hash` is the SHA-256 of the whole token text; `used_ms` is its last noted use."""

    hash: bytes
    device_id: str
    state: TokenState
    made_ms: int
    used_ms: int | None = None


class CertificateRow(Struct, frozen=True):
    """`serial` in lower-case hexadecimal without a lead."""

    serial: str
    device_id: str
    issued_ms: int
    expires_ms: int
    used_ms: int | None = None
    revoked_ms: int | None = None


class XiaozhiClientRow(Struct, frozen=True):
    """The installation of xiaozhi's firmware that was paired: `client` is the SHA-256 of its Client-Id."""

    device_id: str
    client: bytes
    paired_ms: int


class TokenUse(StrEnum):
    """The outcome of showing a token."""

    CURRENT = "current"
    PROMOTED = "promoted"  # it was the pending one, and is the current one now
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # a retired one: another took its place
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class IdentityTable(Table):
    """Credentials of one database's devices. What a method returned is on the disk."""

    followed = frozenset({"tokens", "certificates"})

    @reads
    def authority(self, sql: Sql) -> str | None:
        """The fingerprint of the certificate authority that this store's devices trust."""
        return pinned_authority(sql)

    @writes
    def pin_authority(self, sql: Sql, fingerprint: str, at_ms: int) -> None:
        """Remember the authority; StoreError when another one is remembered."""
        sql.execute("INSERT INTO authority VALUES (1, ?, ?) ON CONFLICT DO NOTHING", (fingerprint, at_ms))
        known = pinned_authority(sql)
        if known != fingerprint:
            raise StoreError(
                f"the store's devices trust the authority {known}, not {fingerprint}",
                next_step="start the host again: it says what to do",
            )

    @writes
    def begin_anew(self, sql: Sql, at_ms: int) -> int:
        """Forget the authority and revoke every credential; returns how many could still open something."""
        sql.execute("DELETE FROM authority")
        delete(sql, "codes", kind=SECRET)
        devices = sql.execute("SELECT device_id FROM tokens UNION SELECT device_id FROM certificates").fetchall()
        return sum(_revoke(sql, device_id, at_ms) for (device_id,) in devices)

    @reads
    def tokens_of(self, sql: Sql, device_id: str) -> tuple[TokenRow, ...]:
        """The device's tokens, oldest first."""
        return _tokens(sql, device_id)

    @reads
    def certificates_of(self, sql: Sql, device_id: str) -> tuple[CertificateRow, ...]:
        """The device's certificates, oldest first."""
        return select(sql, CertificateRow, "certificates WHERE device_id = ? ORDER BY issued_ms, serial", (device_id,))

    @writes
    def grant(self, sql: Sql, row: TokenRow | CertificateRow, *, secret: bytes | None = None) -> bool:
        """Make this the device's one credential; False when the pairing secret of that hash is gone meanwhile."""
        table, at_ms = ("tokens", row.made_ms) if isinstance(row, TokenRow) else ("certificates", row.issued_ms)
        if not claim_secret(sql, secret, row.device_id, at_ms):
            return False
        _retire(sql, row.device_id, "current", at_ms)
        _retire(sql, row.device_id, "pending", at_ms)
        _end_certificates(sql, row.device_id, at_ms)
        insert(sql, table, row)
        return True

    @writes
    def add_certificate(self, sql: Sql, row: CertificateRow) -> None:
        """One more certificate, beside those in use until it is used itself; one that never was gives way."""
        delete(sql, "certificates", device_id=row.device_id, used_ms=None)
        insert(sql, "certificates", row)

    @reads
    def opening(self, sql: Sql) -> frozenset[str]:
        """Every credential that may open something: a certificate's serial, a token's hash in hexadecimal."""
        tokens = sql.execute("SELECT hash FROM tokens WHERE state IN ('current', 'pending')").fetchall()
        certificates = sql.execute("SELECT serial FROM certificates WHERE revoked_ms IS NULL").fetchall()
        return frozenset((*(digest.hex() for (digest,) in tokens), *(serial for (serial,) in certificates)))

    @reads
    def revoked(self, sql: Sql) -> frozenset[str]:
        """Devices (ids) of which a credential was revoked, and none opens anything now."""
        query = f"""SELECT device_id FROM tokens WHERE state = 'revoked'
            UNION SELECT device_id FROM certificates WHERE revoked_ms IS NOT NULL
            EXCEPT SELECT * FROM ({_LIVE}) AS those"""  # noqa: S608 - a constant
        return frozenset(device_id for (device_id,) in sql.execute(query))

    @writes
    def put_pending(
        self, sql: Sql, device_id: str, token_hash: bytes, at_ms: int, *, current: bytes, seen: bytes | None
    ) -> bool:
        """Add the token that will follow; only while `current` is current and `seen` (or none) still pending."""
        live = {row.state: row.hash for row in _tokens(sql, device_id)}
        if live.get("current") != current or live.get("pending") != seen:
            return False
        _retire(sql, device_id, "pending", at_ms)
        insert(sql, "tokens", TokenRow(token_hash, device_id, "pending", at_ms))
        return True

    async def use_token(self, device_id: str, token_hash: bytes, at_ms: int, *, unused_since_ms: int) -> TokenUse:
        """Show a token: promotes a pending one. A retired one opens nothing and changes nothing.

        A token made and last used before `unused_since_ms` is expired.
        """
        use, row = _judge(await self.tokens_of(device_id), token_hash, unused_since_ms)
        noted = row is not None and row.used_ms is not None and abs(at_ms - row.used_ms) < NOTED_USE_MS
        if use is TokenUse.PROMOTED or (use is TokenUse.CURRENT and not noted):
            return await self._note_token(device_id, token_hash, at_ms, unused_since_ms)
        return use

    @writes
    def _note_token(self, sql: Sql, device_id: str, token_hash: bytes, at_ms: int, unused_since_ms: int) -> TokenUse:
        use, row = _judge(_tokens(sql, device_id), token_hash, unused_since_ms)
        if use in (TokenUse.CURRENT, TokenUse.PROMOTED) and row is not None:
            if use is TokenUse.PROMOTED:
                _retire(sql, device_id, "current", at_ms)
            update(sql, "tokens", {"hash": row.hash}, state="current", used_ms=at_ms)
            spend_secrets(sql, device_id)
        return use

    async def use_certificate(self, serial: str, at_ms: int) -> CertificateRow | None:
        """The certificate's row before this use, or None when this store never issued it."""
        where = "certificates WHERE serial = ?"
        found = await self.database.read(lambda sql: first(sql, CertificateRow, where, (serial,)))
        if found is not None and found.used_ms is None and found.revoked_ms is None:
            await self._note_certificate(serial, found.device_id, at_ms)
        return found

    @writes
    def _note_certificate(self, sql: Sql, serial: str, device_id: str, at_ms: int) -> None:
        """Its first use ends the certificate that it was to follow."""
        update(sql, "certificates", {"serial": serial}, used_ms=at_ms)
        sql.execute(
            "UPDATE certificates SET revoked_ms = ? WHERE device_id = ? AND serial != ? AND revoked_ms IS NULL",
            (at_ms, device_id, serial),
        )
        spend_secrets(sql, device_id)

    @writes
    def revoke(self, sql: Sql, device_id: str, at_ms: int) -> int:
        """End every credential of the device; returns how many could still open something."""
        return _revoke(sql, device_id, at_ms)


class XiaozhiClientTable(RowTable[XiaozhiClientRow]):
    """The installation of each device that was paired last; none once its credentials were revoked."""

    _kind = XiaozhiClientRow
    _name = "xiaozhi_clients"
    _key = "device_id"
    _order = "device_id"


def pinned_authority(sql: Sql) -> str | None:
    """The SHA-256 of the authority's certificate that devices trust; None where there never was one."""
    fingerprint: str | None = scalar(sql, "SELECT fingerprint FROM authority")
    return fingerprint


def _tokens(sql: Sql, device_id: str) -> tuple[TokenRow, ...]:
    return select(sql, TokenRow, "tokens WHERE device_id = ? ORDER BY made_ms, hash", (device_id,))


def _judge(rows: tuple[TokenRow, ...], token_hash: bytes, unused_since_ms: int) -> tuple[TokenUse, TokenRow | None]:
    found = next((row for row in rows if hmac.compare_digest(row.hash, token_hash)), None)
    if found is None:
        return TokenUse.UNKNOWN, None
    if found.state == "revoked":
        return TokenUse.REVOKED, found
    if (found.made_ms if found.used_ms is None else found.used_ms) < unused_since_ms:
        return TokenUse.EXPIRED, found
    uses = {"current": TokenUse.CURRENT, "pending": TokenUse.PROMOTED, "retired": TokenUse.SUPERSEDED}
    return uses[found.state], found


def _retire(sql: Sql, device_id: str, state: TokenState, at_ms: int) -> None:
    """Mark the token as retired and last used now, so that a late use of it is not counted as a guess."""
    update(sql, "tokens", {"device_id": device_id, "state": state}, state="retired", used_ms=at_ms)
    keep_newest(sql, "tokens", KEPT_RETIRED, "made_ms", device_id=device_id, state=("retired", "revoked"))


def _end_certificates(sql: Sql, device_id: str, at_ms: int) -> int:
    return update(sql, "certificates", {"device_id": device_id, "revoked_ms": None}, revoked_ms=at_ms).rowcount


def _revoke(sql: Sql, device_id: str, at_ms: int) -> int:
    live = sum(row.state in ("current", "pending") for row in _tokens(sql, device_id))
    update(sql, "tokens", {"device_id": device_id}, state="revoked")
    spend_secrets(sql, device_id, unused=True)
    delete(sql, "xiaozhi_clients", device_id=device_id)
    return live + _end_certificates(sql, device_id, at_ms)
