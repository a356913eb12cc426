"""Who was let in and who was not, and the codes a connection is closed with. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from microclaw.wire.link.frame import CloseCode

Method: TypeAlias = Literal["certificate", "token"]


class Reason(StrEnum):
    """Why somebody was refused; the label of a counter."""

    NO_CREDENTIALS = "no_credentials"
    WRONG_CERTIFICATE = "wrong_certificate"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    CERTIFICATE_EXPIRED = "certificate_expired"
    REVOKED = "revoked"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a label
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a label
    TOKEN_COPIED = "token_copied"  # noqa: S105 - a label
    MALFORMED_REQUEST = "malformed_request"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a label
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
    """Why not, with the code to close with. `may_pair`: showed nothing; its first message may be a pair request."""

    close_code: CloseCode
    reason: Reason
    device_id: str | None = None  # whose it claimed to be
    may_pair: bool = False
