"""Lets a new device in: by a code that it shows and a person confirms, or by the secret it was provisioned with.

It sends nothing: the connection asks, waits for the outcome and tells the device. What waits is in memory only; in a
cluster the code can be typed at another host, too (typed_codes.py).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from microclaw.addresses import address_range, single_address
from microclaw.audit import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import is_late, read_csr, to_ms
from microclaw.auth.credentials import Reason, Refusal, Revocation
from microclaw.auth.device_tokens import DeviceTokens, IssuedToken
from microclaw.auth.one_time_codes import code_hash
from microclaw.auth.provisioning import secret_hash
from microclaw.auth.typed_codes import CodesOfHosts, TypedCodes, Wish, WrongTries, plain_code
from microclaw.boards import board_ids
from microclaw.errors import DeviceUnreachable, ProtocolError
from microclaw.store.identity import CertificateRow, IdentityTable
from microclaw.wire.link.frame import CloseCode

_NO_ROOM: Final = Refusal(CloseCode.TOO_MANY, Reason.TOO_MANY_PENDING)
_BOARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class PairingLimits:
    """The numbers of protocols/link.md, and bounds over a range (/24, /64) and over all addresses.

    `kept_s`: for so long nobody takes the place of an address that has no other.
    """

    code_life_s: float = 120.0
    pending_an_address: int = 4
    pending_a_range: int = 16
    pending_in_all: int = 64
    kept_s: float = 30.0
    wrong_tries: int = 5
    lock_s: float = 60.0
    remembered_addresses: int = 1024


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """What `pair_done` carries: the device's certificate (DER) or its token."""

    device_id: str
    certificate: bytes | None = None
    token: IssuedToken | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PendingPairing:
    """A device that shows `code` and waits for a person. `network` is its address as far as limits go, `range` what it
    can choose its address from."""

    code: str = field(repr=False)
    board: str
    address: str
    network: str
    range: str
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
    """Where devices ask and people confirm. `clock_s` is monotonic; `random_below(n)` draws from 0 to n - 1."""

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
        random_below: Callable[[int], int],
        limits: PairingLimits = PairingLimits(),
        record: Record = no_record,
        others: CodesOfHosts | None = None,
    ) -> None:
        self._authority = authority
        self._table = table
        self._tokens = tokens
        self._revocation = revocation
        self._enrol = enrol
        self._mint_id = mint_id
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._random_below = random_below
        self.limits = limits
        self._record = record
        self._pending: dict[str, PendingPairing] = {}
        tries = WrongTries(limits.wrong_tries, limits.lock_s)
        self.typed = TypedCodes(tries, clock_s, record, code_life_s=limits.code_life_s, others=others)
        self._others = others
        if others is not None:
            others.carry_out = self._carry_out
        self._wrong_secrets: OrderedDict[str, WrongTries] = OrderedDict()
        self._one_secret = asyncio.Lock()

    @property
    def pending(self) -> tuple[PendingPairing, ...]:
        """Devices that wait now, the oldest first."""
        self._drop_expired()
        return tuple(self._pending.values())

    def left_s(self, pending: PendingPairing) -> int:
        """How long its code is still good, in whole seconds."""
        return max(0, math.ceil(pending.expires_s - self._clock_s()))

    async def request(
        self, address: str, board: str, *, csr: bytes | None, token_wanted: bool, secret: str | None
    ) -> PendingPairing | IssuedCredential | Refusal:
        """A device's `pair_request`. A pending one is to be awaited with `outcome`; a right secret pairs at once.

        Raises what the registry raises when it will not have the device (its name was taken meanwhile).
        """
        answer = await self._request(address, board, csr, token_wanted=token_wanted, secret=secret)
        self._note(answer, address, board)
        return answer

    async def request_code(self, address: str, board: str, enrol: Enrol) -> PendingPairing | Refusal:
        """A device of another protocol shows a code, is entered by `enrol`, and gets a token."""
        malformed = Refusal(CloseCode.MALFORMED, Reason.MALFORMED_REQUEST)
        answer = await self._by_code(address, board, None, enrol) if _BOARD.fullmatch(board) else malformed
        self._note(answer, address, board)
        return answer

    def _note(self, answer: PendingPairing | IssuedCredential | Refusal, address: str, board: str) -> None:
        if isinstance(answer, Refusal):
            self._record(answer.event(address))
        elif isinstance(answer, PendingPairing):
            known = (board,) if board in board_ids() else ()
            self._record(AuditEvent(AuditKind.PAIRING_ASKED, f"a {board} shows a code", address=address, known=known))

    async def _request(
        self, address: str, board: str, csr: bytes | None, *, token_wanted: bool, secret: str | None
    ) -> PendingPairing | IssuedCredential | Refusal:
        if (csr is None) is not token_wanted or not _BOARD.fullmatch(board):
            return Refusal(CloseCode.MALFORMED, Reason.MALFORMED_REQUEST)
        try:
            key = read_csr(csr) if csr is not None else None
        except ProtocolError:
            return Refusal(CloseCode.MALFORMED, Reason.MALFORMED_REQUEST)
        if secret is not None:
            return await self._by_secret(address, board, key, secret)
        return await self._by_code(address, board, key)

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
        self.typed.check(by)
        code, wish = plain_code(code), Wish(name=name, device_id=device_id, board_id=board_id, by=by)
        if code not in self._pending:
            return IssuedCredential(await self.typed.elsewhere(code, wish))
        return await self._confirm(code, wish)

    async def _carry_out(self, digest: bytes, wish: Wish) -> str:
        self._drop_expired()
        code = next((code for code in self._pending if code_hash("device", code) == digest), None)
        if code is None:
            raise LookupError
        return (await self._confirm(code, wish)).device_id

    async def _confirm(self, code: str, wish: Wish) -> IssuedCredential:
        pending = self._pending.pop(code)
        try:
            enrol = pending.enrol or self._enrol
            enrolled = await enrol(wish.board_id or pending.board, name=wish.name, device_id=wish.device_id)
            paired = await self._grant(enrolled, pending.key, None, pending.address, wish.by)
        except BaseException:  # also a person who gave up: the code stays good
            if not pending.outcome.done():
                self._pending[pending.code] = pending
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
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, enrol: Enrol | None = None
    ) -> PendingPairing | Refusal:
        self._drop_expired()
        network, wide = single_address(address), address_range(address)
        if not self._has_room(network, wide):
            return _NO_ROOM
        while True:
            while (code := f"{self._random_below(1_000_000):06d}") in self._pending:
                pass  # at most `pending_in_all` of a million are taken
            expires_s = self._clock_s() + self.limits.code_life_s
            outcome: asyncio.Future[IssuedCredential | Refusal] = asyncio.get_running_loop().create_future()
            pending = PendingPairing(code, board, address, network, wide, key, expires_s, outcome, enrol)
            self._pending[code] = pending
            if self._others is None or await self._is_shown(pending, self._others):
                return pending

    async def _is_shown(self, pending: PendingPairing, others: CodesOfHosts) -> bool:
        """Whether the code is this device's at every host; one that another host gave is drawn again."""
        try:
            life_s = self.limits.code_life_s
            shown = await others.show(pending.code, board=pending.board, address=pending.address, life_s=life_s)
        except BaseException:
            self._withdraw(pending)
            raise
        if not shown and self._pending.get(pending.code) is pending:
            del self._pending[pending.code]
        return shown

    def _has_room(self, network: str, wide: str) -> bool:
        """Whether a newcomer may wait. Where all places are taken, who has more than the newcomer gives one up.

        So an address, and a range of addresses, has a share. An address that has no code gets a place also where each
        of the others has one, of the oldest that had `kept_s` to be typed: one machine can have a whole /24.
        """
        limits, waiting = self.limits, tuple(self._pending.values())
        of_network = Counter(pending.network for pending in waiting)
        if of_network[network] >= limits.pending_an_address:
            return False
        if len(waiting) >= limits.pending_in_all:
            of_range = Counter(pending.range for pending in waiting)
            largest, count = of_range.most_common(1)[0]
            among = [pending for pending in waiting if pending.range == largest or count == 1]
            must = count > of_range[wide] + 1
            if not self._displace(among, 0 if must else of_range[wide], must=must):
                return False
        of_it = [pending for pending in self._pending.values() if pending.range == wide]
        return len(of_it) < limits.pending_a_range or self._displace(of_it, of_network[network])

    def _displace(self, among: Sequence[PendingPairing], own: int, *, must: bool = False) -> bool:
        """Take a code away for a newcomer with `own` codes; False when none gives way, unless one `must`.

        The newest of the address that has the most: an older code may be one that a person is just typing. Where each
        has one, the oldest that was there for long enough to be typed.
        """
        network, most = Counter(pending.network for pending in among).most_common(1)[0]
        if most > own + 1:
            gone = next(pending for pending in reversed(among) if pending.network == network)
        elif must:
            gone = among[-1]
        elif own or among[0].expires_s - self.limits.code_life_s + self.limits.kept_s > self._clock_s():
            return False
        else:
            gone = among[0]
        del self._pending[gone.code]
        gone.outcome.set_result(_NO_ROOM)
        return True

    async def _by_secret(
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, secret: str
    ) -> IssuedCredential | Refusal:
        network = single_address(address)
        tries = self._wrong_secrets.get(network)
        if tries is not None and tries.locked_s(self._clock_s()) > 0:
            return Refusal(CloseCode.TOO_MANY, Reason.PAIRING_LOCKED)
        hashed = secret_hash(secret)
        async with self._one_secret:  # two requests with one secret must not enter two devices
            row = await self._table.secret(hashed, self._now_ms())
            if row is None and await self._table.catch_up():
                row = await self._table.secret(hashed, self._now_ms())
            is_profile = board in board_ids()
            if row is None or (is_profile and row.board_id not in (None, board)):
                return self._wrong_secret(network)
            if not is_profile and row.board_id is None and row.device_id is None:
                return Refusal(CloseCode.MALFORMED, Reason.UNKNOWN_BOARD)
            # On the disk first: a try that is cut off leaves its device to the next one.
            device_id = row.device_id or await self._table.reserve_secret(hashed, self._mint_id())
            if device_id is None:
                return self._wrong_secret(network)
            device_id = await self._enrol(row.board_id or board, name=row.name, device_id=device_id, is_new=True)
            paired = await self._grant(device_id, key, hashed, address)
        return self._wrong_secret(network) if paired is None else paired

    def _wrong_secret(self, network: str) -> Refusal:
        tries = self._wrong_secrets.setdefault(network, WrongTries(self.limits.wrong_tries, self.limits.lock_s))
        self._wrong_secrets.move_to_end(network)
        if len(self._wrong_secrets) > self.limits.remembered_addresses:
            self._wrong_secrets.popitem(last=False)
        tries.add(self._clock_s())
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
        if self._pending.get(pending.code) is pending:
            del self._pending[pending.code]
        if self._others is not None:
            self._others.forget(pending.code)
        pending.outcome.cancel()
