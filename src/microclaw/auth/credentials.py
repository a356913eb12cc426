"""Devices' credentials: who comes in with which, how they are made, rotated and revoked; who is refused, and why.

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

from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import DEVICE_ID, from_ms, read_csr, read_device_certificate, to_ms
from microclaw.auth.codes import digest_of
from microclaw.errors import ProtocolError
from microclaw.store.identity import CertificateRow, IdentityTable, TokenRow, TokenUse
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import RENEW_BEFORE_MS

Method: TypeAlias = Literal["certificate", "token"]


class Reason(StrEnum):
    """Why a device was refused: the label of a counter, the code to close with, its kind in the security log."""

    close_code: CloseCode
    kind: AuditKind

    def __new__(
        cls, label: str, close_code: int = CloseCode.NOT_AUTHENTICATED, kind: str = AuditKind.CREDENTIAL_REFUSED
    ) -> Reason:
        reason = str.__new__(cls, label)
        reason._value_, reason.close_code, reason.kind = label, CloseCode(close_code), AuditKind(kind)
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


class Refusal(Struct, frozen=True):
    """Why, and whose the credential claimed to be."""

    reason: Reason
    device_id: str | None = None

    @property
    def may_pair(self) -> bool:
        """It has no credential: its first message may be a pair request."""
        return self.reason is Reason.NO_CREDENTIALS

    def event(self, address: str) -> AuditEvent:
        """Its line in the security log."""
        return AuditEvent(self.reason.kind, str(self.reason), address=address, about=self.device_id)


ROTATE_AFTER_MS: Final = 24 * 3_600_000
UNUSED_LIFE_MS: Final = 90 * 24 * 3_600_000
SECRET_BYTES: Final = 32
MAX_AUTHORIZATION_CHARS: Final = 256
MAX_CERTIFICATE_BYTES: Final = 4096
_TOKEN: Final = re.compile(r"mc1_([A-Za-z0-9._-]{1,64})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A certificate (DER), or a token, on its way to its device: the only time that the host has the token, which
    expires when it is unused until `expires_ms`."""

    device_id: str
    certificate: bytes | None = None
    token: str = field(default="", repr=False)
    expires_ms: int = 0


class DeviceCredentials:
    """Those of one store's devices. Every connection is authenticated, resumed TLS sessions too: a revocation counts
    as soon as it is stored."""

    def __init__(
        self, authority: Authority, table: IdentityTable, *, now_ms: Callable[[], int], record: Record = no_record
    ) -> None:
        self._authority = authority
        self._table = table
        self._now_ms = now_ms
        self._record = record
        self._listeners: list[Callable[[str], None]] = []
        self._open: dict[object, Identity] = {}  # by connection; no list: thousands of them may end at once
        table.follow(self._recheck)

    # Who comes in

    async def authenticate(self, peer_certificate: bytes | None, authorization: str | None) -> Identity | Refusal:
        """`peer_certificate` in DER form as the TLS layer gives it. With a certificate the header is not looked at."""
        if peer_certificate is not None:
            return await self._by_certificate(peer_certificate)
        if authorization is not None:
            return await self._by_token(authorization)
        return Refusal(Reason.NO_CREDENTIALS)

    @asynccontextmanager
    async def entered(self, identity: Identity) -> AsyncGenerator[bool]:
        """For the time of a connection, which hears of a credential that ends, also at another host. Whether it is
        still good: looked at once more, so that no revocation falls between authentication and this moment.

        The last connection of a device is the one that counts.
        """
        connection = object()
        self._open[connection] = identity
        try:
            is_good, _, _ = (await self._of_its_kind(identity)).get(identity.credential, _NO_CREDENTIAL)
            yield is_good
        finally:
            del self._open[connection]

    async def is_ended(self, identity: Identity) -> bool:
        """True if a live connection is to be closed, as its credential opens nothing any more.

        Not where the device has shown the one that follows it: its newer connection takes this one's place.
        """
        known = await self._of_its_kind(identity)
        is_good, _, ended_ms = known.get(identity.credential, _NO_CREDENTIAL)
        is_followed = ended_ms is not None and any(good and made < ended_ms for good, made, _ in known.values())
        return not is_good and not is_followed

    # What a device gets

    async def grant(
        self, device_id: str, key: ec.EllipticCurvePublicKey | None = None, *, secret: bytes | None = None
    ) -> IssuedCredential | None:
        """The device's one credential from now on, on the disk: a certificate for its key, or else a token.

        None when the pairing secret of that hash was spent meanwhile.
        """
        if key is None:
            issued, digest = self._minted(device_id)
            row: TokenRow | CertificateRow = TokenRow(digest, device_id, "current", self._now_ms())
        else:
            issued, row = self._signed(device_id, key)
        granted = await self._table.grant(row, secret=secret)
        if granted:
            self._announce(device_id)
        return issued if granted else None

    async def rotate(self, identity: Identity) -> IssuedCredential | None:
        """The token to send a device whose own is older than a day, else None. To be asked after its `hello`.

        A pending token is replaced only by a later connection that still came with the current one: the device
        never got it then. Within the session that sent it, it may be in the device's flash already.
        """
        if identity.method != "token":
            return None
        live = {row.state: row for row in await self._table.tokens_of(identity.device_id)}
        current = live.get("current")
        pending = live.get("pending")
        now_ms = self._now_ms()
        if current is None or current.hash.hex() != identity.credential or now_ms - current.made_ms < ROTATE_AFTER_MS:
            return None
        if pending is not None and pending.made_ms >= identity.authenticated_ms:
            return None
        issued, digest = self._minted(identity.device_id)
        seen = pending.hash if pending else None
        stored = await self._table.put_pending(identity.device_id, digest, now_ms, current=current.hash, seen=seen)
        return issued if stored else None

    async def renew(self, device_id: str, csr: bytes | None) -> IssuedCredential | Refusal:
        """A new certificate for a device that came with one that ends in RENEW_BEFORE_MS or less.

        Both are good until the new one is used: the answer may be lost.
        """
        try:
            key = read_csr(csr or b"")
        except ProtocolError:
            return Refusal(Reason.MALFORMED_REQUEST, device_id)
        rows = await self._table.certificates_of(device_id)
        live = [row for row in rows if row.revoked_ms is None and row.used_ms is not None]
        if not any(self._now_ms() >= row.expires_ms - RENEW_BEFORE_MS for row in live):
            return Refusal(Reason.TOO_EARLY, device_id)
        issued, row = self._signed(device_id, key)
        await self._table.add_certificate(row)
        return issued

    # What ends it

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with the device's id after each revocation is on the disk, so that it closes the connection
        (4403). Call the result to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def revoke(self, device_id: str, *, by: str | None = None) -> int:
        """A person ends every credential of the device. Returns how many were still good."""
        ended = await self._table.revoke(device_id, self._now_ms())
        self._record(AuditEvent(AuditKind.CREDENTIAL_REVOKED, f"{ended} were still good", about=device_id, by=by))
        self._announce(device_id)
        return ended

    def _announce(self, device_id: str) -> None:
        for listener in tuple(self._listeners):
            listener(device_id)

    async def _recheck(self) -> None:
        """Announce what ended at another host."""
        if not self._open:
            return
        good = await self._table.opening()
        for identity in {identity.device_id: identity for identity in self._open.values()}.values():
            if identity.credential not in good and await self.is_ended(identity):
                self._announce(identity.device_id)

    async def _of_its_kind(self, identity: Identity) -> dict[str, tuple[bool, int, int | None]]:
        """The device's credentials: whether each opens something, when it was made, and when it was over."""
        if identity.method == "certificate":
            certificates = await self._table.certificates_of(identity.device_id)
            return {row.serial: (row.revoked_ms is None, row.issued_ms, row.revoked_ms) for row in certificates}
        tokens = await self._table.tokens_of(identity.device_id)
        return {row.hash.hex(): (row.state in ("current", "pending"), row.made_ms, row.used_ms) for row in tokens}

    async def _by_certificate(self, der: bytes) -> Identity | Refusal:
        try:
            if len(der) > MAX_CERTIFICATE_BYTES:
                raise ProtocolError(f"a certificate of {len(der)} bytes, at most {MAX_CERTIFICATE_BYTES} are read")
            device_id, certificate = read_device_certificate(der, self._authority.pair.certificate)
        except ProtocolError:
            return Refusal(Reason.WRONG_CERTIFICATE)
        now_ms = self._now_ms()
        if not certificate.not_valid_before_utc <= from_ms(now_ms) < certificate.not_valid_after_utc:
            return Refusal(Reason.CERTIFICATE_EXPIRED, device_id)
        serial = f"{certificate.serial_number:x}"
        row = await self._table.use_certificate(serial, now_ms)
        if row is None or row.device_id != device_id:
            return Refusal(Reason.UNKNOWN_CERTIFICATE, device_id)
        if row.revoked_ms is not None:
            return Refusal(Reason.REVOKED, device_id)
        return Identity(device_id, "certificate", serial, now_ms)

    async def _by_token(self, authorization: str) -> Identity | Refusal:
        """Of `Bearer <token>` (RFC 6750; the scheme's case does not matter)."""
        scheme, _, text = authorization[: MAX_AUTHORIZATION_CHARS + 1].partition(" ")
        token = text.strip()
        now_ms = self._now_ms()
        if scheme.lower() == "bearer":
            device_id = token_device(token)
        else:
            device_id = None
        if device_id is None or len(authorization) > MAX_AUTHORIZATION_CHARS:
            return Refusal(Reason.MALFORMED_AUTHORIZATION)
        digest = digest_of(token)
        use = await self._table.use_token(device_id, digest, now_ms, unused_since_ms=now_ms - UNUSED_LIFE_MS)
        refused = _REFUSED.get(use)
        if refused is not None:
            return Refusal(refused, device_id)
        return Identity(device_id, "token", digest.hex(), now_ms)

    def _minted(self, device_id: str) -> tuple[IssuedCredential, bytes]:
        """A token, and what is kept of it."""
        token = mint_token(device_id, secrets.token_bytes(SECRET_BYTES))
        issued = IssuedCredential(device_id, token=token, expires_ms=self._now_ms() + UNUSED_LIFE_MS)
        return issued, digest_of(token)

    def _signed(self, device_id: str, key: ec.EllipticCurvePublicKey) -> tuple[IssuedCredential, CertificateRow]:
        made = self._authority.sign(key, device_id)
        row = CertificateRow(f"{made.serial_number:x}", device_id, self._now_ms(), to_ms(made.not_valid_after_utc))
        return IssuedCredential(device_id, made.public_bytes(Encoding.DER)), row


_NO_CREDENTIAL: Final = (False, 0, None)
_REFUSED: Final = {
    TokenUse.SUPERSEDED: Reason.TOKEN_SUPERSEDED,
    TokenUse.REVOKED: Reason.REVOKED,
    TokenUse.EXPIRED: Reason.TOKEN_EXPIRED,
    TokenUse.UNKNOWN: Reason.WRONG_TOKEN,
}


def mint_token(device_id: str, secret: bytes) -> str:
    """The token of a device out of 32 random bytes; ValueError for a device id that could not be read back."""
    if len(secret) != SECRET_BYTES or not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"no token can be made of {len(secret)} bytes for the device id {device_id!r}")
    return f"mc1_{device_id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def token_device(token: str) -> str | None:
    """The device that a token names, or None when it is no token."""
    found = _TOKEN.fullmatch(token)
    if found:
        return found[1]
    return None
