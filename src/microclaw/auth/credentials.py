"""Who was authenticated, who was refused and why, and whose credentials ended. It checks no credential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.store.identity import IdentityTable
from microclaw.wire.link.frame import CloseCode

Method: TypeAlias = Literal["certificate", "token"]


class Reason(StrEnum):
    """Why a device was refused; the label of a counter."""

    NO_CREDENTIALS = "no_credentials"
    WRONG_CERTIFICATE = "wrong_certificate"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    CERTIFICATE_EXPIRED = "certificate_expired"
    REVOKED = "revoked"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a label
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a label
    TOKEN_SUPERSEDED = "token_superseded"  # noqa: S105 - a label
    MALFORMED_REQUEST = "malformed_request"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a label
    UNKNOWN_BOARD = "unknown_board"
    PAIRING_LOCKED = "pairing_locked"
    TOO_MANY_PENDING = "too_many_pending"
    PAIRING_EXPIRED = "pairing_expired"
    TOO_EARLY = "too_early"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated device. `credential` is a certificate's serial, or the hash of a token (hexadecimal)."""

    device_id: str
    method: Method
    credential: str
    authenticated_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, and the code to close with. `may_pair`: it has no credential; its first message may be a pair request."""

    close_code: CloseCode
    reason: Reason
    device_id: str | None = None  # whose it claimed to be
    may_pair: bool = False

    def event(self, address: str) -> AuditEvent:
        """Its line in the security log."""
        kind = _KINDS.get(self.reason, AuditKind.CREDENTIAL_REFUSED)
        return AuditEvent(kind, str(self.reason), address=address, about=self.device_id)


_KINDS: Final = {
    Reason.WRONG_CERTIFICATE: AuditKind.CERTIFICATE_FOREIGN,
    Reason.UNKNOWN_CERTIFICATE: AuditKind.CERTIFICATE_FOREIGN,
    Reason.MALFORMED_AUTHORIZATION: AuditKind.TOKEN_WRONG,
    Reason.WRONG_TOKEN: AuditKind.TOKEN_WRONG,
    Reason.TOKEN_SUPERSEDED: AuditKind.CREDENTIAL_SUPERSEDED,
    Reason.WRONG_SECRET: AuditKind.SECRET_WRONG,
    Reason.PAIRING_LOCKED: AuditKind.SECRET_LOCKED,
    Reason.MALFORMED_REQUEST: AuditKind.PAIRING_REFUSED,
    Reason.TOO_MANY_PENDING: AuditKind.PAIRING_REFUSED,
    Reason.PAIRING_EXPIRED: AuditKind.PAIRING_REFUSED,
    Reason.UNKNOWN_BOARD: AuditKind.PAIRING_REFUSED,
}
Cause: TypeAlias = Literal["person", "paired_again", "new_authority"]


@dataclass(frozen=True, slots=True)
class RevocationNotice:
    """A device's credentials ended."""

    device_id: str
    cause: Cause
    at_ms: int


class Revocation:
    """Revokes credentials. Each listener is called on the event loop after the revocation is on the disk."""

    def __init__(self, table: IdentityTable, *, now_ms: Callable[[], int], record: Record = no_record) -> None:
        self._table = table
        self._record = record
        self._now_ms = now_ms
        self._listeners: list[Callable[[RevocationNotice], None]] = []

    def listen(self, listener: Callable[[RevocationNotice], None]) -> Callable[[], None]:
        """Call `listener` for every revocation, so that it closes the connection (4403). Call the result to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def revoke(self, device_id: str, *, by: str | None = None) -> int:
        """A person ends every credential of the device. Returns how many were still good."""
        ended = await self._table.revoke(device_id, self._now_ms())
        self._record(AuditEvent(AuditKind.CREDENTIAL_REVOKED, f"{ended} were still good", about=device_id, by=by))
        self.announce(device_id, "person")
        return ended

    def announce(self, device_id: str, cause: Cause) -> None:
        """Tell the listeners of a revocation that is on the disk already."""
        notice = RevocationNotice(device_id, cause, self._now_ms())
        for listener in tuple(self._listeners):
            listener(notice)
