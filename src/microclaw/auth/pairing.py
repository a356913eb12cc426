"""Lets a new device in: by a code that it shows and a person confirms, or by the secret it was provisioned with.

It sends nothing: the connection asks, waits for the outcome and tells the device. A device that waits is in memory, so
its code ends with its connection; in a cluster the code can be typed at another host, too (typed_codes.py).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from microclaw.addresses import address_range, single_address
from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import is_late, read_csr, to_ms
from microclaw.auth.codes import DEVICE, PROVISION, Codes
from microclaw.auth.credentials import Reason, Refusal, Revocation
from microclaw.auth.device_tokens import DeviceTokens, IssuedToken
from microclaw.auth.typed_codes import TypedCodes, WaitingDevice, Wish
from microclaw.boards import board_ids
from microclaw.errors import DeviceUnreachable, Overloaded, ProtocolError, UnknownName
from microclaw.store.codes import CodeRow
from microclaw.store.identity import CertificateRow, IdentityTable
from microclaw.wire.link.frame import CloseCode

_NO_ROOM: Final = Refusal(CloseCode.TOO_MANY, Reason.TOO_MANY_PENDING)
_MALFORMED: Final = Refusal(CloseCode.MALFORMED, Reason.MALFORMED_REQUEST)
_BOARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """What `pair_done` carries: the device's certificate (DER) or its token."""

    device_id: str
    certificate: bytes | None = None
    token: IssuedToken | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PendingPairing:
    """A device that shows `code` and waits for a person. Of its row the holder is its address as far as limits go, and
    the place the range that it can choose its address from."""

    code: str = field(repr=False)
    row: CodeRow = field(repr=False)
    board: str
    address: str
    key: ec.EllipticCurvePublicKey | None
    expires_s: float  # on the service's clock
    outcome: asyncio.Future[IssuedCredential | Refusal]
    enrol: Enrol | None = None  # its own way into the registry


class Enrol(Protocol):
    """Enters the device to be paired in the registry (or finds it there by its id) and returns its id.

    With `is_new` the id is one that the pairing service minted: the device may be there since a try that was cut off.
    """

    async def __call__(self, board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str: ...


class PairingService:
    """Where devices ask and people confirm. `clock_s` is monotonic."""

    def __init__(
        self,
        *,
        authority: Authority,
        table: IdentityTable,
        tokens: DeviceTokens,
        revocation: Revocation,
        enrol: Enrol,
        mint_id: Callable[[], str],
        now_ms: Callable[[], int],
        clock_s: Callable[[], float],
        codes: Codes,
        record: Record = no_record,
    ) -> None:
        self._authority = authority
        self._table = table
        self._tokens = tokens
        self._revocation = revocation
        self._enrol = enrol
        self._mint_id = mint_id
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._codes = codes
        self._record = record
        self._pending: dict[bytes, PendingPairing] = {}
        self.typed = TypedCodes(codes, self._carry_out)
        self._one_secret = asyncio.Lock()

    @property
    def pending(self) -> tuple[PendingPairing, ...]:
        """Devices that wait now, the oldest first."""
        self._drop_expired()
        return tuple(self._pending.values())

    def waiting(self) -> tuple[WaitingDevice, ...]:
        """Devices that show a code, here or at other hosts, the oldest of a host first."""
        now_s = self._clock_s()
        here = (WaitingDevice(one.address, one.board, math.ceil(one.expires_s - now_s)) for one in self.pending)
        return (*here, *self.typed.waiting())

    async def request(
        self, address: str, board: str, *, csr: bytes | None, token_wanted: bool, secret: str | None
    ) -> PendingPairing | IssuedCredential | Refusal:
        """A device's `pair_request`. A pending one is to be awaited with `outcome`; a right secret pairs at once.

        Raises what the registry raises when it will not have the device (its name was taken meanwhile).
        """
        try:
            key = read_csr(csr) if csr is not None else None
            is_request = (csr is None) is token_wanted and _BOARD.fullmatch(board) is not None
        except ProtocolError:
            is_request = False
        if is_request and secret is None:
            return await self.request_code(address, board, key=key)
        answer = await self._by_secret(address, board, key, secret or "") if is_request else _MALFORMED
        if isinstance(answer, Refusal):
            self._record(answer.event(address))
        return answer

    async def request_code(
        self, address: str, board: str, enrol: Enrol | None = None, key: ec.EllipticCurvePublicKey | None = None
    ) -> PendingPairing | Refusal:
        """A device shows a code, is entered by `enrol` (of another protocol), and gets a token where it has no key."""
        answer = await self._by_code(address, board, key, enrol) if _BOARD.fullmatch(board) else _MALFORMED
        if isinstance(answer, Refusal):
            self._record(answer.event(address))
        else:
            known = (board,) if board in board_ids() else ()
            self._record(AuditEvent(AuditKind.PAIRING_ASKED, f"a {board} shows a code", address=address, known=known))
        return answer

    async def outcome(self, pending: PendingPairing) -> IssuedCredential | Refusal:
        """Wait until a person confirmed the code, at most until it expires. Cancelling withdraws the request."""
        try:
            async with asyncio.timeout(max(0.0, pending.expires_s - self._clock_s())):
                return await pending.outcome
        except TimeoutError:
            return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.PAIRING_EXPIRED)
        finally:
            self._withdraw(pending)

    async def confirm(
        self,
        code: str,
        *,
        name: str | None = None,
        device_id: str | None = None,
        board_id: str | None = None,
        by: str | None = None,
    ) -> IssuedCredential:
        """A person typed the code that a device shows: give that device its credential.

        With `device_id` it becomes that known device again. `board_id` is the profile that the person chose for a board
        whose own name is no profile's, `by` the person's name. Of a device that waits at another host the id alone is
        returned. Raises UnknownName for a wrong code, Overloaded while pairing is locked, what the registry raises for
        a name it will not have (the code stays good then), and DeviceUnreachable when the device went away meanwhile.
        """
        self._drop_expired()
        if (locked_s := self._codes.locked_s(DEVICE)) > 0:
            self._record(AuditEvent(AuditKind.CODE_LOCKED, "devices' codes, after too many wrong ones", by=by))
            raise Overloaded(
                f"pairing is locked after {DEVICE.wrong_tries} wrong codes",
                next_step=f"wait {locked_s:.0f} s, then type the code the device shows now",
            )
        wish = Wish(name=name, device_id=device_id, board_id=board_id, by=by)
        if DEVICE.hash(code) in self._pending:
            return await self._confirm(DEVICE.hash(code), wish)
        paired = await self.typed.order(code, wish)
        if paired is not None:
            return IssuedCredential(paired)
        self._codes.wrong(DEVICE)
        self._record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a device in", by=by))
        step = f"type the 6 digits it shows; they change after {DEVICE.life_s:.0f} s"
        raise UnknownName("no device waits with that code", next_step=step)

    async def _carry_out(self, digest: bytes, wish: Wish) -> str:
        self._drop_expired()
        return (await self._confirm(digest, wish)).device_id

    async def _confirm(self, digest: bytes, wish: Wish) -> IssuedCredential:
        pending = self._pending.pop(digest)
        try:
            enrol = pending.enrol or self._enrol
            enrolled = await enrol(wish.board_id or pending.board, name=wish.name, device_id=wish.device_id)
            paired = await self._grant(enrolled, pending.key, None, pending.address, wish.by)
        except BaseException:  # also a person who gave up: the code stays good
            if not pending.outcome.done():
                self._pending[digest] = pending
            raise
        if paired is None or pending.outcome.done():
            raise DeviceUnreachable(
                "the device went away while it was being paired", next_step="let it ask for a new code"
            )
        pending.outcome.set_result(paired)
        return paired

    async def renew(self, device_id: str, *, csr: bytes | None) -> IssuedCredential | Refusal:
        """A new certificate for a device that came with one in the last third of its life.

        Both are good until the new one is used: the answer may be lost.
        """
        try:
            key = read_csr(csr or b"")
        except ProtocolError:
            return Refusal(CloseCode.MALFORMED, Reason.MALFORMED_REQUEST, device_id)
        rows = await self._table.certificates_of(device_id)
        live = [row for row in rows if row.revoked_ms is None and row.used_ms is not None]
        if not any(is_late(row.issued_ms, row.expires_ms, self._now_ms()) for row in live):
            return Refusal(CloseCode.MALFORMED, Reason.TOO_EARLY, device_id)
        certificate = self._authority.sign(key, device_id)
        await self._table.add_certificate(self._row(certificate, device_id))
        return IssuedCredential(device_id, certificate=certificate.public_bytes(Encoding.DER))

    async def _by_code(
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, enrol: Enrol | None
    ) -> PendingPairing | Refusal:
        self._drop_expired()
        holder, place = single_address(address), address_range(address)
        waiting = [one.row for one in self._pending.values()]
        gone = DEVICE.giving_way(waiting, holder, place, self._now_ms())
        if gone is None:
            return _NO_ROOM
        for row in gone:
            self._pending.pop(row.hash).outcome.set_result(_NO_ROOM)
        while True:
            code, row = self._codes.draw(DEVICE, holder, place, f"{board} {address}")
            if row.hash in self._pending:
                continue  # at most `in_all` of a million are taken
            expires_s = self._clock_s() + DEVICE.life_s
            outcome: asyncio.Future[IssuedCredential | Refusal] = asyncio.get_running_loop().create_future()
            pending = PendingPairing(code, row, board, address, key, expires_s, outcome, enrol)
            self._pending[row.hash] = pending
            if await self._is_shown(pending):
                return pending

    async def _is_shown(self, pending: PendingPairing) -> bool:
        """Whether the code is this device's at every host; one that another host gave is drawn again."""
        try:
            shown = await self.typed.show(pending.row)
        except BaseException:
            self._withdraw(pending)
            raise
        if not shown and self._pending.get(pending.row.hash) is pending:
            del self._pending[pending.row.hash]
        return shown

    async def _by_secret(
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, secret: str
    ) -> IssuedCredential | Refusal:
        source = single_address(address)
        if self._codes.locked_s(PROVISION, source) > 0:
            return Refusal(CloseCode.TOO_MANY, Reason.PAIRING_LOCKED)
        async with self._one_secret:  # two requests with one secret must not enter two devices
            row = await self._codes.find(PROVISION, secret)
            is_profile = board in board_ids()
            if row is None or (is_profile and row.place not in ("", board)):
                return self._wrong_secret(source)
            if not is_profile and not row.place and not row.holder:
                return Refusal(CloseCode.MALFORMED, Reason.UNKNOWN_BOARD)
            # On the disk first: a try that is cut off leaves its device to the next one.
            device_id = row.holder or await self._codes.table.hold(row.kind, row.hash, self._mint_id())
            if device_id is None:
                return self._wrong_secret(source)
            device_id = await self._enrol(row.place or board, name=row.about or None, device_id=device_id, is_new=True)
            paired = await self._grant(device_id, key, row.hash, address)
        return self._wrong_secret(source) if paired is None else paired

    def _wrong_secret(self, source: str) -> Refusal:
        self._codes.wrong(PROVISION, source)
        return Refusal(CloseCode.NOT_AUTHENTICATED, Reason.WRONG_SECRET)

    async def _grant(
        self,
        device_id: str,
        key: ec.EllipticCurvePublicKey | None,
        secret: bytes | None,
        address: str,
        by: str | None = None,
    ) -> IssuedCredential | None:
        """The credential, once it is on the disk; None when the secret was spent meanwhile."""
        if key is None:
            token = await self._tokens.issue(device_id, secret=secret)
            if token is None:
                return None
            paired = IssuedCredential(device_id, token=token)
        else:
            certificate = self._authority.sign(key, device_id)
            if not await self._table.grant_certificate(self._row(certificate, device_id), secret=secret):
                return None
            paired = IssuedCredential(device_id, certificate=certificate.public_bytes(Encoding.DER))
        how = "by a code that a person confirmed" if secret is None else "by the secret it was provisioned with"
        self._record(AuditEvent(AuditKind.PAIRING_DONE, how, address=address, about=device_id, by=by))
        self._revocation.announce(device_id, "paired_again")
        return paired

    def _row(self, certificate: x509.Certificate, device_id: str) -> CertificateRow:
        expires_ms = to_ms(certificate.not_valid_after_utc)
        return CertificateRow(f"{certificate.serial_number:x}", device_id, self._now_ms(), expires_ms)

    def _drop_expired(self) -> None:
        now_s = self._clock_s()
        for pending in [pending for pending in self._pending.values() if pending.expires_s <= now_s]:
            self._withdraw(pending)

    def _withdraw(self, pending: PendingPairing) -> None:
        if self._pending.get(pending.row.hash) is pending:
            del self._pending[pending.row.hash]
        self._codes.table.forget_later(pending.row.kind, pending.row.hash)
        pending.outcome.cancel()
