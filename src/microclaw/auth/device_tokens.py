"""Device tokens: minted, rotated after a day, kept as hashes only. Where they travel is no business of this file.

A token is `mc1_<device id>_<43 characters>`, the last part 32 random bytes in base64url. It is for boards that cannot
do client certificates (MicroPython).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from microclaw.auth.certificates import DEVICE_ID
from microclaw.auth.credentials import Identity
from microclaw.store.identity import IdentityTable

ROTATE_AFTER_MS: Final = 24 * 3_600_000
UNUSED_LIFE_MS: Final = 90 * 24 * 3_600_000
SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"mc1_([A-Za-z0-9._-]{1,64})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token on its way to its device: the only time that the host has it. Expires when unused until then."""

    token: str = field(repr=False)
    expires_ms: int


class DeviceTokens:
    """Mints the tokens of one store's devices; each is on the disk, as a hash, before it is returned."""

    def __init__(self, table: IdentityTable, *, now_ms: Callable[[], int]) -> None:
        self._table = table
        self._now_ms = now_ms

    async def issue(self, device_id: str, *, secret: bytes | None = None) -> IssuedToken | None:
        """The device's one credential from now on; None when the pairing secret of that hash was spent meanwhile."""
        issued, now_ms = self._mint(device_id), self._now_ms()
        granted = await self._table.grant_token(device_id, token_hash(issued.token), now_ms, secret=secret)
        return issued if granted else None

    async def rotate(self, identity: Identity) -> IssuedToken | None:
        """The token to send a device whose own is older than a day, else None. To be asked after its `hello`.

        A pending token is replaced only by a later connection that still came with the current one: the device
        never got it then. Within the session that sent it, it may be in the device's flash already.
        """
        if identity.method != "token":
            return None
        live = {row.state: row for row in await self._table.tokens_of(identity.device_id)}
        current, pending = live.get("current"), live.get("pending")
        now_ms = self._now_ms()
        if current is None or current.hash.hex() != identity.credential or now_ms - current.made_ms < ROTATE_AFTER_MS:
            return None
        if pending is not None and pending.made_ms >= identity.authenticated_ms:
            return None
        issued = self._mint(identity.device_id)
        device_id, hashed, seen = identity.device_id, token_hash(issued.token), pending.hash if pending else None
        stored = await self._table.put_pending(device_id, hashed, now_ms, current=current.hash, seen=seen)
        return issued if stored else None

    def _mint(self, device_id: str) -> IssuedToken:
        return IssuedToken(mint_token(device_id, secrets.token_bytes(SECRET_BYTES)), self._now_ms() + UNUSED_LIFE_MS)


def mint_token(device_id: str, secret: bytes) -> str:
    """The token of a device out of 32 random bytes; ValueError for a device id that could not be read back."""
    if len(secret) != SECRET_BYTES or not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"no token can be made of {len(secret)} bytes for the device id {device_id!r}")
    return f"mc1_{device_id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def token_device(token: str) -> str | None:
    """Whose token it claims to be, or None when it is no token."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else None


def token_hash(token: str) -> bytes:
    """What is kept of a token. Plain SHA-256: there is nothing to guess in 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
