"""Rows of the credentials of devices: certificates and token hashes. Checks no signature.

At most two tokens of a device are valid, `current` and `pending`. Hashes of retired tokens stay for a while, so that a
copied token is not counted as a guess; they are not valid.
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import StoreError
from microclaw.host.store.codes import SECRET, claim_secret, spend_secrets
from microclaw.host.store.rows import (
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
from microclaw.host.store.sql import Sql

TokenState: TypeAlias = Literal["current", "pending", "retired", "revoked"]

# Of one device: more than the rotations of 90 days.
KEPT_RETIRED: Final = 100
# A use is written at most once an hour, so that reconnects of a fleet cost no writes.
NOTED_USE_MS: Final = 3_600_000
_LIVE: Final = """SELECT device_id FROM tokens WHERE state IN ('current', 'pending')
    UNION SELECT device_id FROM certificates WHERE revoked_ms IS NULL"""


class TokenRow(Struct, frozen=True):
    """A token of a device. `hash` is the SHA-256 of the whole token text; `used_ms` is its last noted use."""

    hash: bytes
    device_id: str
    state: TokenState
    made_ms: int
    used_ms: int | None = None


class CertificateRow(Struct, frozen=True):
    """A certificate of a device. `serial` is in lower-case hexadecimal without a prefix."""

    serial: str
    device_id: str
    issued_ms: int
    expires_ms: int
    used_ms: int | None = None
    revoked_ms: int | None = None


class XiaozhiClientRow(Struct, frozen=True):
    """The installation of xiaozhi's firmware that was paired. `client` is the SHA-256 of its Client-Id."""

    device_id: str
    client: bytes
    paired_ms: int


class TokenUse(StrEnum):
    """The outcome of showing a token."""

    CURRENT = "current"
    # It was the pending token and is the current one now.
    PROMOTED = "promoted"
    EXPIRED = "expired"
    # It is retired: another token took its place.
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class IdentityTable(Table):
    """Credentials of one database's devices. The result of a method is on the disk."""

    followed = frozenset({"tokens", "certificates"})

    @reads
    def authority(self, sql: Sql) -> str | None:
        """Return the fingerprint of the certificate authority that this store's devices trust."""
        return pinned_authority(sql)

    @writes
    def pin_authority(self, sql: Sql, fingerprint: str, at_ms: int) -> None:
        """Remember the authority. Raises StoreError if another one is remembered."""
        sql.execute("INSERT INTO authority VALUES (1, ?, ?) ON CONFLICT DO NOTHING", (fingerprint, at_ms))
        pinned = pinned_authority(sql)
        if pinned != fingerprint:
            raise StoreError(
                f"the store's devices trust the authority {pinned}, not {fingerprint}",
                next_step="start the host again: it says what to do",
            )

    @writes
    def reset_authority(self, sql: Sql, at_ms: int) -> int:
        """Forget the authority and revoke every credential; return how many of them were valid."""
        sql.execute("DELETE FROM authority")
        delete(sql, "codes", kind=SECRET)
        rows = sql.execute("SELECT device_id FROM tokens UNION SELECT device_id FROM certificates").fetchall()
        return sum(_revoke(sql, device_id, at_ms) for (device_id,) in rows)

    @reads
    def tokens_of(self, sql: Sql, device_id: str) -> tuple[TokenRow, ...]:
        """Return the device's tokens, oldest first."""
        return _tokens(sql, device_id)

    @reads
    def certificates_of(self, sql: Sql, device_id: str) -> tuple[CertificateRow, ...]:
        """Return the device's certificates, oldest first."""
        return select(sql, CertificateRow, "certificates WHERE device_id = ? ORDER BY issued_ms, serial", (device_id,))

    @writes
    def grant(self, sql: Sql, row: TokenRow | CertificateRow, *, secret: bytes | None = None) -> bool:
        """Make this the device's only credential; return False if the pairing secret of that hash no longer exists."""
        if isinstance(row, TokenRow):
            table = "tokens"
            at_ms = row.made_ms
        else:
            table = "certificates"
            at_ms = row.issued_ms
        if not claim_secret(sql, secret, row.device_id, at_ms):
            return False
        _retire(sql, row.device_id, "current", at_ms)
        _retire(sql, row.device_id, "pending", at_ms)
        _end_certificates(sql, row.device_id, at_ms)
        insert(sql, table, row)
        return True

    @writes
    def add_certificate(self, sql: Sql, row: CertificateRow) -> None:
        """Add a certificate beside the used ones until it is used itself. It replaces one without any use."""
        delete(sql, "certificates", device_id=row.device_id, used_ms=None)
        insert(sql, "certificates", row)

    @reads
    def valid_credentials(self, sql: Sql) -> frozenset[str]:
        """Return every valid credential: a certificate's serial, a token's hash in hexadecimal."""
        tokens = sql.execute("SELECT hash FROM tokens WHERE state IN ('current', 'pending')").fetchall()
        serials = sql.execute("SELECT serial FROM certificates WHERE revoked_ms IS NULL").fetchall()
        hashes = frozenset(digest.hex() for (digest,) in tokens)
        return hashes.union(serial for (serial,) in serials)

    @reads
    def revoked(self, sql: Sql) -> frozenset[str]:
        """Return the ids of devices of which a credential was revoked and none is valid now."""
        query = f"""SELECT device_id FROM tokens WHERE state = 'revoked'
            UNION SELECT device_id FROM certificates WHERE revoked_ms IS NOT NULL
            EXCEPT SELECT * FROM ({_LIVE}) AS those"""  # noqa: S608 - a constant
        return frozenset(device_id for (device_id,) in sql.execute(query))

    @writes
    def put_pending(
        self, sql: Sql, device_id: str, token_hash: bytes, at_ms: int, *, current: bytes, seen: bytes | None
    ) -> bool:
        """Add the token that will follow; only if `current` is current and `seen` (or none) still pending."""
        hashes = {row.state: row.hash for row in _tokens(sql, device_id)}
        if hashes.get("current") != current or hashes.get("pending") != seen:
            return False
        _retire(sql, device_id, "pending", at_ms)
        insert(sql, "tokens", TokenRow(token_hash, device_id, "pending", at_ms))
        return True

    async def use_token(self, device_id: str, token_hash: bytes, at_ms: int, *, unused_since_ms: int) -> TokenUse:
        """Judge a token that a device shows, and promote a pending one.

        A retired token is not valid and changes nothing. A token made and last used before `unused_since_ms` is
        expired.
        """
        use, row = _judge(await self.tokens_of(device_id), token_hash, unused_since_ms)
        is_noted = row is not None and row.used_ms is not None and abs(at_ms - row.used_ms) < NOTED_USE_MS
        if use is TokenUse.PROMOTED or (use is TokenUse.CURRENT and not is_noted):
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
        """Return the certificate's row before this use, or None if this store never issued it."""
        where = "certificates WHERE serial = ?"
        certificate = await self.database.read(lambda sql: first(sql, CertificateRow, where, (serial,)))
        if certificate is not None and certificate.used_ms is None and certificate.revoked_ms is None:
            await self._note_certificate(serial, certificate.device_id, at_ms)
        return certificate

    @writes
    def _note_certificate(self, sql: Sql, serial: str, device_id: str, at_ms: int) -> None:
        """Note the first use of a certificate, which ends the certificate that it was to follow."""
        update(sql, "certificates", {"serial": serial}, used_ms=at_ms)
        sql.execute(
            "UPDATE certificates SET revoked_ms = ? WHERE device_id = ? AND serial != ? AND revoked_ms IS NULL",
            (at_ms, device_id, serial),
        )
        spend_secrets(sql, device_id)

    @writes
    def revoke(self, sql: Sql, device_id: str, at_ms: int) -> int:
        """End every credential of the device; return how many of them were valid."""
        return _revoke(sql, device_id, at_ms)


class XiaozhiClientTable(RowTable[XiaozhiClientRow]):
    """The last paired installation of each device; none after its credentials were revoked."""

    _kind = XiaozhiClientRow
    _name = "xiaozhi_clients"
    _key = "device_id"
    _order = "device_id"


def pinned_authority(sql: Sql) -> str | None:
    """Return the SHA-256 of the authority's certificate that devices trust; None if there never was one."""
    fingerprint: str | None = scalar(sql, "SELECT fingerprint FROM authority")
    return fingerprint


def _tokens(sql: Sql, device_id: str) -> tuple[TokenRow, ...]:
    return select(sql, TokenRow, "tokens WHERE device_id = ? ORDER BY made_ms, hash", (device_id,))


def _judge(rows: tuple[TokenRow, ...], token_hash: bytes, unused_since_ms: int) -> tuple[TokenUse, TokenRow | None]:
    row = next((row for row in rows if hmac.compare_digest(row.hash, token_hash)), None)
    if row is None:
        return TokenUse.UNKNOWN, None
    if row.state == "revoked":
        return TokenUse.REVOKED, row
    last_used_ms = row.made_ms if row.used_ms is None else row.used_ms
    if last_used_ms < unused_since_ms:
        return TokenUse.EXPIRED, row
    uses = {"current": TokenUse.CURRENT, "pending": TokenUse.PROMOTED, "retired": TokenUse.SUPERSEDED}
    return uses[row.state], row


def _retire(sql: Sql, device_id: str, state: TokenState, at_ms: int) -> None:
    """Mark the token as retired and last used now, so that a late use of it is not counted as a guess."""
    update(sql, "tokens", {"device_id": device_id, "state": state}, state="retired", used_ms=at_ms)
    keep_newest(sql, "tokens", KEPT_RETIRED, "made_ms", device_id=device_id, state=("retired", "revoked"))


def _end_certificates(sql: Sql, device_id: str, at_ms: int) -> int:
    return update(sql, "certificates", {"device_id": device_id, "revoked_ms": None}, revoked_ms=at_ms).rowcount


def _revoke(sql: Sql, device_id: str, at_ms: int) -> int:
    valid_count = sum(row.state in ("current", "pending") for row in _tokens(sql, device_id))
    update(sql, "tokens", {"device_id": device_id}, state="revoked")
    spend_secrets(sql, device_id, unused=True)
    delete(sql, "xiaozhi_clients", device_id=device_id)
    return valid_count + _end_certificates(sql, device_id, at_ms)
