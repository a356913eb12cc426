"""Devices' credentials: how they are checked, made, rotated and revoked; which device is refused, and why.

Tokens are kept as hashes only. A token is `mc1_<device id>_<43 characters>`, the last part 32 random bytes in
base64url. It is for boards that cannot do client certificates (MicroPython).
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from microclaw.errors import ProtocolError
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import DEVICE_ID, from_ms, read_csr, read_device_certificate, to_ms
from microclaw.host.auth.codes import digest_of
from microclaw.host.store.identity import CertificateRow, IdentityTable, TokenRow, TokenUse
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import RENEW_BEFORE_MS

Method: TypeAlias = Literal["certificate", "token"]


class Reason(StrEnum):
    """Why a device was refused: the label of a counter, the code to close with, and its kind in the security log."""

    close_code: CloseCode
    kind: AuditKind

    def __new__(
        cls, label: str, close_code: int = CloseCode.NOT_AUTHENTICATED, kind: str = AuditKind.CREDENTIAL_REFUSED
    ) -> Reason:
        reason = str.__new__(cls, label)
        reason._value_ = label
        reason.close_code = CloseCode(close_code)
        reason.kind = AuditKind(kind)
        return reason

    NO_CREDENTIALS = "no_credentials"
    WRONG_CERTIFICATE = "wrong_certificate", CloseCode.NOT_AUTHENTICATED, AuditKind.CERTIFICATE_FOREIGN
    UNKNOWN_CERTIFICATE = "unknown_certificate", CloseCode.NOT_AUTHENTICATED, AuditKind.CERTIFICATE_FOREIGN
    CERTIFICATE_EXPIRED = "certificate_expired"
    REVOKED = "revoked", CloseCode.REVOKED
    MALFORMED_AUTHORIZATION = "malformed_authorization", CloseCode.NOT_AUTHENTICATED, AuditKind.TOKEN_WRONG
    WRONG_TOKEN = "wrong_token", CloseCode.NOT_AUTHENTICATED, AuditKind.TOKEN_WRONG
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a label
    TOKEN_SUPERSEDED = "token_superseded", CloseCode.NOT_AUTHENTICATED, AuditKind.CREDENTIAL_SUPERSEDED
    MALFORMED_REQUEST = "malformed_request", CloseCode.MALFORMED, AuditKind.PAIRING_REFUSED
    WRONG_SECRET = "wrong_secret", CloseCode.NOT_AUTHENTICATED, AuditKind.SECRET_WRONG
    UNKNOWN_BOARD = "unknown_board", CloseCode.MALFORMED, AuditKind.PAIRING_REFUSED
    PAIRING_LOCKED = "pairing_locked", CloseCode.TOO_MANY, AuditKind.SECRET_LOCKED
    TOO_MANY_PENDING = "too_many_pending", CloseCode.TOO_MANY, AuditKind.PAIRING_REFUSED
    PAIRING_EXPIRED = "pairing_expired", CloseCode.NOT_AUTHENTICATED, AuditKind.PAIRING_REFUSED
    TOO_EARLY = "too_early", CloseCode.MALFORMED


class Identity(Struct, frozen=True):
    """An authenticated device. `credential` is a certificate's serial, or the hash of a token (hexadecimal)."""

    device_id: str
    method: Method
    credential: str
    authenticated_ms: int


class CredentialRefusal(Struct, frozen=True):
    """Why a device was refused, and which device its credential named."""

    reason: Reason
    device_id: str | None = None

    @property
    def may_pair(self) -> bool:
        """True if the device has no credential, so that its first message may be a pair request."""
        return self.reason is Reason.NO_CREDENTIALS

    def event(self, address: str) -> AuditEvent:
        """Return the refusal's line of the security log."""
        return AuditEvent(self.reason.kind, str(self.reason), address=address, about=self.device_id)


ROTATE_AFTER_MS: Final = 24 * 3_600_000
UNUSED_LIFE_MS: Final = 90 * 24 * 3_600_000
SECRET_BYTES: Final = 32
MAX_AUTHORIZATION_CHARS: Final = 256
MAX_CERTIFICATE_BYTES: Final = 4096
_TOKEN: Final = re.compile(r"mc1_([A-Za-z0-9._-]{1,64})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A certificate (DER) or a token on its way to its device.

    The host has the token only here. It expires if it is not used until `expires_ms`.
    """

    device_id: str
    certificate: bytes | None = None
    token: str = field(default="", repr=False)
    expires_ms: int = 0


class _CredentialState(Struct, frozen=True):
    """Whether a credential is valid, when it was made, and when it ended (revoked or replaced)."""

    is_good: bool
    made_ms: int
    ended_ms: int | None


class DeviceCredentials:
    """The credentials of one store's devices.

    Every connection is authenticated, also a resumed TLS session, so a revocation counts as soon as it is stored.
    """

    def __init__(
        self, authority: Authority, table: IdentityTable, *, now_ms: Callable[[], int], record: Record = no_record
    ) -> None:
        self._authority = authority
        self._table = table
        self._now_ms = now_ms
        self._record = record
        self._listeners: list[Callable[[str], None]] = []
        # By connection. It is not a list, because thousands of connections may end at once.
        self._open: dict[object, Identity] = {}
        table.follow(self._recheck)

    async def authenticate(
        self, peer_certificate: bytes | None, authorization: str | None
    ) -> Identity | CredentialRefusal:
        """Check the credential of a new connection.

        `peer_certificate` is in DER form, from the TLS layer. If there is one, the header is ignored.
        """
        if peer_certificate is not None:
            return await self._by_certificate(peer_certificate)
        if authorization is not None:
            return await self._by_token(authorization)
        return CredentialRefusal(Reason.NO_CREDENTIALS)

    @asynccontextmanager
    async def watch_connection(self, identity: Identity) -> AsyncGenerator[bool]:
        """Watch a credential for the time of its connection, and yield whether it is still valid.

        It is checked once more here, so that no revocation is missed between authentication and this moment. Later the
        listeners are called if it ends, also at another host. Only the last connection of a device counts.
        """
        connection = object()
        self._open[connection] = identity
        try:
            states = await self._states(identity)
            state = states.get(identity.credential, _NO_CREDENTIAL)
            yield state.is_good
        finally:
            del self._open[connection]

    async def is_ended(self, identity: Identity) -> bool:
        """Return True if a live connection must be closed because its credential is not valid any more.

        False if the device has shown its next credential: that newer connection replaces this one.
        """
        states = await self._states(identity)
        state = states.get(identity.credential, _NO_CREDENTIAL)
        if state.is_good:
            return False
        if state.ended_ms is None:
            return True
        ended_ms = state.ended_ms
        return not any(other.is_good and other.made_ms < ended_ms for other in states.values())

    async def grant(
        self, device_id: str, key: ec.EllipticCurvePublicKey | None = None, *, secret: bytes | None = None
    ) -> IssuedCredential | None:
        """Store and return the device's only credential from now on: a certificate for its key, or else a token.

        Returns None if the pairing secret of that hash was used meanwhile.
        """
        row: TokenRow | CertificateRow
        if key is None:
            issued, digest = self._mint(device_id)
            row = TokenRow(digest, device_id, "current", self._now_ms())
        else:
            issued, row = self._sign(device_id, key)
        if not await self._table.grant(row, secret=secret):
            return None
        self._announce(device_id)
        return issued

    async def rotate(self, identity: Identity) -> IssuedCredential | None:
        """Return a new token for a device if its own is older than a day, else None. Call it after its `hello`.

        A pending token is replaced only in a later connection that still used the current one: the device never
        received it then. Within the session that sent it, it may be in the device's flash already.
        """
        if identity.method != "token":
            return None
        tokens = {row.state: row for row in await self._table.tokens_of(identity.device_id)}
        current = tokens.get("current")
        pending = tokens.get("pending")
        now_ms = self._now_ms()
        if current is None or current.hash.hex() != identity.credential or now_ms - current.made_ms < ROTATE_AFTER_MS:
            return None
        if pending is not None and pending.made_ms >= identity.authenticated_ms:
            return None
        issued, digest = self._mint(identity.device_id)
        pending_hash = pending.hash if pending else None
        is_stored = await self._table.put_pending(
            identity.device_id, digest, now_ms, current=current.hash, seen=pending_hash
        )
        return issued if is_stored else None

    async def renew(self, device_id: str, csr: bytes | None) -> IssuedCredential | CredentialRefusal:
        """Return a new certificate for a device whose own ends in RENEW_BEFORE_MS or less.

        Both are valid until the new one is used, because the answer may be lost.
        """
        try:
            key = read_csr(csr or b"")
        except ProtocolError:
            return CredentialRefusal(Reason.MALFORMED_REQUEST, device_id)
        rows = await self._table.certificates_of(device_id)
        used_rows = [row for row in rows if row.revoked_ms is None and row.used_ms is not None]
        now_ms = self._now_ms()
        if not any(now_ms >= row.expires_ms - RENEW_BEFORE_MS for row in used_rows):
            return CredentialRefusal(Reason.TOO_EARLY, device_id)
        issued, row = self._sign(device_id, key)
        await self._table.add_certificate(row)
        return issued

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with the device's id after each revocation is stored, to close its connection (4403).

        Call the result to stop.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def revoke(self, device_id: str, *, by: str | None = None) -> int:
        """End every credential of the device, and return how many were still valid."""
        ended_count = await self._table.revoke(device_id, self._now_ms())
        self._record(AuditEvent(AuditKind.CREDENTIAL_REVOKED, f"{ended_count} were still good", about=device_id, by=by))
        self._announce(device_id)
        return ended_count

    def _announce(self, device_id: str) -> None:
        for listener in tuple(self._listeners):
            listener(device_id)

    async def _recheck(self) -> None:
        """Announce the credentials that ended at another host."""
        if not self._open:
            return
        valid = await self._table.valid_credentials()
        # Only the last connection of each device counts.
        identities = {identity.device_id: identity for identity in self._open.values()}
        for identity in identities.values():
            if identity.credential not in valid and await self.is_ended(identity):
                self._announce(identity.device_id)

    async def _states(self, identity: Identity) -> dict[str, _CredentialState]:
        """Return the state of each of the device's credentials of the same method."""
        states = {}
        if identity.method == "certificate":
            for certificate in await self._table.certificates_of(identity.device_id):
                is_good = certificate.revoked_ms is None
                states[certificate.serial] = _CredentialState(is_good, certificate.issued_ms, certificate.revoked_ms)
            return states
        for token in await self._table.tokens_of(identity.device_id):
            is_good = token.state in ("current", "pending")
            states[token.hash.hex()] = _CredentialState(is_good, token.made_ms, token.used_ms)
        return states

    async def _by_certificate(self, der: bytes) -> Identity | CredentialRefusal:
        try:
            if len(der) > MAX_CERTIFICATE_BYTES:
                raise ProtocolError(f"a certificate of {len(der)} bytes, at most {MAX_CERTIFICATE_BYTES} are read")
            device_id, certificate = read_device_certificate(der, self._authority.pair.certificate)
        except ProtocolError:
            return CredentialRefusal(Reason.WRONG_CERTIFICATE)
        now_ms = self._now_ms()
        if not certificate.not_valid_before_utc <= from_ms(now_ms) < certificate.not_valid_after_utc:
            return CredentialRefusal(Reason.CERTIFICATE_EXPIRED, device_id)
        serial = f"{certificate.serial_number:x}"
        row = await self._table.use_certificate(serial, now_ms)
        if row is None or row.device_id != device_id:
            return CredentialRefusal(Reason.UNKNOWN_CERTIFICATE, device_id)
        if row.revoked_ms is not None:
            return CredentialRefusal(Reason.REVOKED, device_id)
        return Identity(device_id, "certificate", serial, now_ms)

    async def _by_token(self, authorization: str) -> Identity | CredentialRefusal:
        """Check `Bearer <token>` (RFC 6750; the scheme's case does not matter)."""
        if len(authorization) > MAX_AUTHORIZATION_CHARS:
            return CredentialRefusal(Reason.MALFORMED_AUTHORIZATION)
        scheme, _, text = authorization.partition(" ")
        token = text.strip()
        device_id = token_device(token)
        if scheme.lower() != "bearer" or device_id is None:
            return CredentialRefusal(Reason.MALFORMED_AUTHORIZATION)
        now_ms = self._now_ms()
        digest = digest_of(token)
        use = await self._table.use_token(device_id, digest, now_ms, unused_since_ms=now_ms - UNUSED_LIFE_MS)
        reason = _REFUSED.get(use)
        if reason is not None:
            return CredentialRefusal(reason, device_id)
        return Identity(device_id, "token", digest.hex(), now_ms)

    def _mint(self, device_id: str) -> tuple[IssuedCredential, bytes]:
        """Make a token, and return it with its digest for the store."""
        token = mint_token(device_id, secrets.token_bytes(SECRET_BYTES))
        issued = IssuedCredential(device_id, token=token, expires_ms=self._now_ms() + UNUSED_LIFE_MS)
        return issued, digest_of(token)

    def _sign(self, device_id: str, key: ec.EllipticCurvePublicKey) -> tuple[IssuedCredential, CertificateRow]:
        certificate = self._authority.sign(key, device_id)
        serial = f"{certificate.serial_number:x}"
        row = CertificateRow(serial, device_id, self._now_ms(), to_ms(certificate.not_valid_after_utc))
        return IssuedCredential(device_id, certificate.public_bytes(Encoding.DER)), row


_NO_CREDENTIAL: Final = _CredentialState(is_good=False, made_ms=0, ended_ms=None)
_REFUSED: Final = {
    TokenUse.SUPERSEDED: Reason.TOKEN_SUPERSEDED,
    TokenUse.REVOKED: Reason.REVOKED,
    TokenUse.EXPIRED: Reason.TOKEN_EXPIRED,
    TokenUse.UNKNOWN: Reason.WRONG_TOKEN,
}


def mint_token(device_id: str, secret: bytes) -> str:
    """Make the token of a device from 32 random bytes.

    Raises ValueError for a device id that could not be read back.
    """
    if len(secret) != SECRET_BYTES or not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"no token can be made of {len(secret)} bytes for the device id {device_id!r}")
    return f"mc1_{device_id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def token_device(token: str) -> str | None:
    """Return the device that a token names, or None if it is not a token."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    return match[1]
