"""The host's identity towards devices: authority, tokens, pairing, and who connects. It opens no socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from microclaw.audit import Record, no_record
from microclaw.auth.authority import Authority, fingerprint_of
from microclaw.auth.certificates import HostNames, from_ms, read_device_certificate
from microclaw.auth.codes import Codes
from microclaw.auth.credentials import Cause, Identity, Reason, Refusal, Revocation
from microclaw.auth.device_tokens import UNUSED_LIFE_MS, DeviceTokens, token_device, token_hash
from microclaw.auth.pairing import Enrol, PairingService
from microclaw.auth.provisioning import Provision, Provisioner
from microclaw.errors import ProtocolError
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable, TokenUse
from microclaw.wire.link.frame import CloseCode

MAX_AUTHORIZATION_CHARS: Final = 256
MAX_CERTIFICATE_BYTES: Final = 4096


class Authenticator:
    """Authenticates every connection, resumed TLS sessions too: a revocation counts as soon as it is stored."""

    def __init__(self, authority: x509.Certificate, table: IdentityTable, *, now_ms: Callable[[], int]) -> None:
        self._authority = authority
        self._fingerprint = fingerprint_of(authority)
        self._table = table
        self._now_ms = now_ms

    async def authenticate(self, peer_certificate: bytes | None, authorization: str | None) -> Identity | Refusal:
        """`peer_certificate` in DER form as the TLS layer gives it. With a certificate the header is not looked at."""
        if peer_certificate is not None:
            return await self._by_certificate(peer_certificate)
        if authorization is not None:
            return await self._by_token(authorization)
        return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.NO_CREDENTIALS, may_pair=True)

    async def is_still_valid(self, identity: Identity) -> bool:
        """Whether a connection may live on. To be asked once more after it was entered among the live ones.

        So no revocation falls between authentication and that moment.
        """
        if identity.method == "certificate":
            rows = await self._table.certificates_of(identity.device_id)
            return any(row.serial == identity.credential and row.revoked_ms is None for row in rows)
        tokens = await self._table.tokens_of(identity.device_id)
        return any(row.hash.hex() == identity.credential and row.state in ("current", "pending") for row in tokens)

    async def why_ended(self, identity: Identity) -> Cause | None:
        """Why a live connection's credential opens nothing any more; None while it does.

        None too where the device has shown the one that follows it: its newer connection takes this one's place.
        """
        if await self.is_still_valid(identity):
            return None
        if identity.device_id in await self._table.revoked():
            return "person" if await self._table.authority() == self._fingerprint else "new_authority"
        if identity.method == "certificate":
            known = await self._table.certificates_of(identity.device_id)
            ended_ms = next((row.revoked_ms for row in known if row.serial == identity.credential), None)
            made_ms = [row.issued_ms for row in known if row.revoked_ms is None]
        else:
            tokens = await self._table.tokens_of(identity.device_id)
            ended_ms = next((row.used_ms for row in tokens if row.hash.hex() == identity.credential), None)
            made_ms = [row.made_ms for row in tokens if row.state == "current"]
        is_followed = ended_ms is not None and any(at_ms < ended_ms for at_ms in made_ms)
        return None if is_followed else "paired_again"

    async def _by_certificate(self, der: bytes) -> Identity | Refusal:
        if len(der) > MAX_CERTIFICATE_BYTES:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.WRONG_CERTIFICATE)
        try:
            device_id, certificate = read_device_certificate(der, self._authority)
        except ProtocolError:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.WRONG_CERTIFICATE)
        now_ms = self._now_ms()
        if not certificate.not_valid_before_utc <= from_ms(now_ms) < certificate.not_valid_after_utc:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.CERTIFICATE_EXPIRED, device_id)
        serial = f"{certificate.serial_number:x}"
        row = await self._table.use_certificate(serial, now_ms)
        if row is None or row.device_id != device_id:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.UNKNOWN_CERTIFICATE, device_id)
        if row.revoked_ms is not None:
            return Refusal(CloseCode.REVOKED, Reason.REVOKED, device_id)
        return Identity(device_id, "certificate", serial, now_ms)

    async def _by_token(self, authorization: str) -> Identity | Refusal:
        token = _bearer(authorization)
        if token is None or (device_id := token_device(token)) is None:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.MALFORMED_AUTHORIZATION)
        now_ms = self._now_ms()
        use = await self._table.use_token(device_id, token_hash(token), now_ms, unused_since_ms=now_ms - UNUSED_LIFE_MS)
        if use in (TokenUse.CURRENT, TokenUse.PROMOTED):
            return Identity(device_id, "token", token_hash(token).hex(), now_ms)
        return Refusal(*_REFUSED[use], device_id)


_REFUSED: Final = {
    TokenUse.SUPERSEDED: (CloseCode.NOT_AUTHENTICATED, Reason.TOKEN_SUPERSEDED),
    TokenUse.REVOKED: (CloseCode.REVOKED, Reason.REVOKED),
    TokenUse.EXPIRED: (CloseCode.NOT_AUTHENTICATED, Reason.TOKEN_EXPIRED),
    TokenUse.UNKNOWN: (CloseCode.NOT_AUTHENTICATED, Reason.WRONG_TOKEN),
}


class LiveIdentities:
    """What the devices' open connections came in with. A credential that ends at another host is announced here too."""

    def __init__(self, table: IdentityTable, authenticator: Authenticator, revocation: Revocation) -> None:
        self._table = table
        self._authenticator = authenticator
        self._revocation = revocation
        self._open: dict[object, Identity] = {}  # by connection; no list: thousands of them may end at once
        table.follow(self._recheck)

    @contextmanager
    def entered(self, identity: Identity) -> Iterator[None]:
        """For the time of a connection; the last one of a device is the one that counts."""
        connection = object()
        self._open[connection] = identity
        try:
            yield
        finally:
            del self._open[connection]

    async def _recheck(self) -> None:
        if not self._open:
            return
        good = await self._table.opening()
        for identity in {identity.device_id: identity for identity in self._open.values()}.values():
            if identity.credential not in good:
                cause = await self._authenticator.why_ended(identity)
                if cause is not None:
                    self._revocation.announce(identity.device_id, cause)


def _bearer(authorization: str) -> str | None:
    """The credentials of `Bearer <credentials>` (RFC 6750; the scheme's case does not matter)."""
    if len(authorization) > MAX_AUTHORIZATION_CHARS:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Made by `HostIdentity.open`; holds nothing that must be closed."""

    table: IdentityTable
    authority: Authority
    tokens: DeviceTokens
    revocation: Revocation
    authenticator: Authenticator
    live: LiveIdentities
    pairing: PairingService
    provisioner: Provisioner
    record: Record

    @classmethod
    async def open(
        cls,
        folder: Path,
        database: Database,
        *,
        names: HostNames,
        port: int,
        enrol: Enrol,
        mint_id: Callable[[], str],
        now_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> HostIdentity:
        """Read or make the identity in `folder` (home/identity); StoreError when it is not whole.

        `port` is the device plane's; `clock_s` is monotonic.
        """
        table = IdentityTable(database)
        authority = await Authority.open(folder, table, names, now_ms=now_ms, record=record)
        tokens = DeviceTokens(table, now_ms=now_ms)
        revocation = Revocation(table, now_ms=now_ms, record=record)
        codes = Codes(database, now_ms=now_ms, clock_s=clock_s)
        pairing = PairingService(
            authority=authority,
            table=table,
            tokens=tokens,
            revocation=revocation,
            enrol=enrol,
            mint_id=mint_id,
            now_ms=now_ms,
            clock_s=clock_s,
            codes=codes,
            record=record,
        )
        await pairing.typed.look()
        provisioner = Provisioner(codes, Provision(names.names[0], port, authority.fingerprint), record)
        authenticator = Authenticator(authority.certificate, table, now_ms=now_ms)
        live = LiveIdentities(table, authenticator, revocation)
        return cls(table, authority, tokens, revocation, authenticator, live, pairing, provisioner, record)
