"""The host's identity towards devices, and how it lets a new device in.

A device shows a code that a person confirms, or it has the secret that it was provisioned with. This module sends
nothing: the connection asks, waits for the outcome and reports it to the device. A device that waits is in memory, so
its code ends with its connection; in a cluster the code can be typed at another host, which asks the device's host.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from microclaw.addresses import address_range, single_address
from microclaw.errors import DeviceUnreachable, Overloaded, ProtocolError, StoreUnreachable, UnknownName
from microclaw.hardware.boards import board_ids, load_board
from microclaw.host.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.host.auth.authority import Authority
from microclaw.host.auth.certificates import read_csr
from microclaw.host.auth.codes import DEVICE, PROVISION, Codes
from microclaw.host.auth.credentials import CredentialRefusal, DeviceCredentials, IssuedCredential, Reason
from microclaw.host.auth.people import OWNER
from microclaw.host.auth.provisioning import Provision
from microclaw.host.store.codes import CodeRow
from microclaw.host.store.database import Database
from microclaw.host.store.identity import IdentityTable
from microclaw.text import host_called

# It is less than the 5 s that a device waits for its code.
SHOW_S: Final = 3.0
_LEFT: Final = "the device went away while it was being paired, or its code was typed at its own host"
_BOARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False)
class PendingPairing:
    """A device that shows `code` and waits for a person.

    In `row` the holder is the address that limits count, the place is the range from which the device can choose its
    address, and `about` is its board and address.
    """

    code: str = field(repr=False)
    row: CodeRow = field(repr=False)
    board: str
    address: str
    key: ec.EllipticCurvePublicKey | None
    outcome: asyncio.Future[IssuedCredential | CredentialRefusal]
    # Devices of another protocol enter the registry by their own function.
    enrol: Enrol | None = None


class WaitingDevice(Struct, frozen=True):
    """A device that shows a code, without the code."""

    address: str
    board: str
    seconds_left: int


class PairingRequest(msgspec.Struct, frozen=True):
    """The request of a person who typed a code: the device's new name, or the known device that it becomes again.

    `board_id` is the profile of a board whose own name is not a profile's; `by` is the person's name.
    """

    name: str | None = None
    device_id: str | None = None
    board_id: str | None = None
    by: str | None = None


_NOTHING: Final = PairingRequest()


class Enrol(Protocol):
    """A function that enters a device in the registry, or finds it there by its id, and returns its id.

    If `is_new`, the pairing service made the id: the device may be there already, since a try that was cut off.
    """

    async def __call__(self, board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str: ...


class HostIdentity:
    """This host as devices know it: its authority, their credentials, and how they ask to be let in."""

    def __init__(
        self,
        authority: Authority,
        database: Database,
        *,
        port: int,
        enrol: Enrol,
        mint_id: Callable[[], str],
        now_ms: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
        record: Record = no_record,
    ) -> None:
        """Build the identity. `port` is the device port; `clock_s` is monotonic."""
        self.authority = authority
        self.table = IdentityTable(database)
        self.record = record
        self.credentials = DeviceCredentials(authority, self.table, now_ms=now_ms, record=record)
        self._codes = Codes(database, now_ms=now_ms, clock_s=clock_s)
        self._provision = Provision(authority.names.names[0], port, authority.fingerprint)
        self._enrol = enrol
        self._mint_id = mint_id
        self._pending: dict[bytes, PendingPairing] = {}
        self._code_lock = asyncio.Lock()
        self._secret_lock = asyncio.Lock()
        self.ask_host: Callable[[str, bytes, PairingRequest], Awaitable[str | None]] | None = None
        """A call of `pair_shown` at another host: the device's id, its error, or None if it does not answer."""

    @property
    def pending(self) -> tuple[PendingPairing, ...]:
        """Devices that wait at this host now, the oldest first."""
        self._drop_expired()
        return tuple(self._pending.values())

    async def waiting(self) -> tuple[WaitingDevice, ...]:
        """Return the devices that show a code, here or at other hosts, the oldest first.

        The clocks of the hosts may differ, so no device has more seconds left than its code's life.
        """
        now_ms = self._codes.now_ms()
        devices = []
        for row in await self._codes.list(DEVICE):
            if self._is_here(row) and row.hash not in self._pending:
                continue
            board, _, address = row.about.partition(" ")
            left_ms = min(row.until_ms - now_ms, row.until_ms - row.made_ms)
            devices.append(WaitingDevice(address, board, seconds_left=math.ceil(left_ms / 1000)))
        return tuple(devices)

    async def request(
        self, address: str, board: str, *, csr: bytes | None, token_wanted: bool, secret: str | None
    ) -> PendingPairing | IssuedCredential | CredentialRefusal:
        """Handle a device's `pair_request`: a right secret pairs at once, otherwise a code is shown.

        Wait for a pending one with `wait_for_outcome`. Raises StoreError, and the registry's error if it refuses the
        device (its name was taken meanwhile).
        """
        key = None
        if csr is not None:
            try:
                key = read_csr(csr)
            except ProtocolError:
                return self._refuse(Reason.MALFORMED_REQUEST, address)
        if (csr is None) is not token_wanted or not _BOARD.fullmatch(board):
            return self._refuse(Reason.MALFORMED_REQUEST, address)
        if secret is None:
            return await self.request_code(address, board, key=key)
        answer = await self._pair_by_secret(address, board, key, secret)
        if isinstance(answer, Reason):
            return self._refuse(answer, address)
        return answer

    async def request_code(
        self, address: str, board: str, enrol: Enrol | None = None, key: ec.EllipticCurvePublicKey | None = None
    ) -> PendingPairing | CredentialRefusal:
        """Make a code for a device to show.

        `enrol` enters a device of another protocol. A device without a key gets a token. Raises StoreUnreachable if the
        cluster's store does not answer within SHOW_S.
        """
        holder = single_address(address)
        place = address_range(address)
        try:
            # One request at a time, so that each sees which places are taken.
            async with asyncio.timeout(SHOW_S), self._code_lock:
                rows = [pairing.row for pairing in self.pending]
                replaced_rows = DEVICE.select_replaced(rows, holder, place, self._codes.now_ms())
                if replaced_rows is None:
                    return self._refuse(Reason.TOO_MANY_PENDING, address)
                code, row = await self._codes.create(DEVICE, holder, place, f"{board} {address}")
                outcome: asyncio.Future[IssuedCredential | CredentialRefusal] = (
                    asyncio.get_running_loop().create_future()
                )
                pairing = PendingPairing(code, row, board, address, key, outcome, enrol)
                self._pending[row.hash] = pairing
        except TimeoutError as exc:
            text = "the store of the cluster does not answer, so a code would be valid only at this host"
            raise StoreUnreachable(text, next_step="let the device ask again; microclaw status --cluster") from exc
        self._end_replaced(replaced_rows)
        # The board's name comes from the device, so the log marks only a profile's name as known.
        known = (board,) if board in board_ids() else ()
        self.record(AuditEvent(AuditKind.PAIRING_ASKED, f"a {board} shows a code", address=address, known=known))
        return pairing

    async def wait_for_outcome(self, pending: PendingPairing) -> IssuedCredential | CredentialRefusal:
        """Wait until a person confirms the code, or until it expires. Cancelling withdraws the request."""
        left_s = max(0.0, (pending.row.until_ms - self._codes.now_ms()) / 1000)
        try:
            async with asyncio.timeout(left_s):
                return await pending.outcome
        except TimeoutError:
            return CredentialRefusal(Reason.PAIRING_EXPIRED)
        finally:
            self._withdraw(pending)

    async def confirm(self, code: str, wish: PairingRequest = _NOTHING) -> str:
        """Give the device that shows this code its credential, and return the device's id.

        Raises UnknownName for a wrong code, Overloaded while pairing is locked, the registry's error if it refuses the
        name (the code stays valid then), and DeviceUnreachable if the device has left, or if the host that it reached
        does not answer.
        """
        self._check_lock(wish.by)
        self._drop_expired()
        digest = DEVICE.hash(code)
        if digest in self._pending:
            return await self.pair_shown(digest, wish)
        # The row's own host decides whether it has expired, so the time is not compared here.
        row = await self._codes.table.find(DEVICE.name, digest, 0)
        if row is not None and not self._is_here(row) and self.ask_host is not None:
            device_id = await self.ask_host(row.host, digest, wish)
            if device_id is not None:
                return device_id
            text = f"the host {host_called(row.host)}, which the device reached, does not answer"
            step = "it may be paired all the same: microclaw device list; else let it ask for a new code"
            raise DeviceUnreachable(text, next_step=step)
        self._codes.count_wrong(DEVICE)
        self.record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a device in", by=wish.by))
        step = f"type the 6 digits it shows; they change after {DEVICE.life_s:.0f} s"
        raise UnknownName("no device waits with that code", next_step=step)

    async def pair_shown(self, digest: bytes, wish: PairingRequest) -> str:
        """Pair the device that waits at this host with the code of this hash, like `confirm`."""
        self._drop_expired()
        pending = self._pending.pop(digest, None)
        if pending is None:
            raise DeviceUnreachable(_LEFT, next_step="let it ask for a new code")
        try:
            enrol = pending.enrol or self._enrol
            device_id = await enrol(wish.board_id or pending.board, name=wish.name, device_id=wish.device_id)
            issued = await self._grant(device_id, pending.key, None, pending.address, wish.by)
            await self._codes.table.spend(pending.row)
        except BaseException:
            # Also if the person cancelled: the code stays valid.
            if not pending.outcome.done():
                self._pending[digest] = pending
            raise
        if issued is None or pending.outcome.done():
            raise DeviceUnreachable(_LEFT, next_step="let it ask for a new code")
        pending.outcome.set_result(issued)
        return issued.device_id

    async def provision(
        self,
        *,
        device_id: str | None = None,
        name: str | None = None,
        board_id: str | None = None,
        with_secret: bool = True,
        host: str | None = None,
    ) -> Provision:
        """Return the data for a new device that will be called `name`, or for the known `device_id` of that name.

        With `board_id` no board of another profile can use it; it is the profile of a board whose own name is not a
        profile's. The secret is valid for 30 days, until the device that paired with it has connected once. Raises
        UnknownName for a `board_id` that no profile has.
        """
        if board_id is not None:
            load_board(board_id)
        provision = replace(self._provision, host=host or self._provision.host, name=name)
        if not with_secret:
            return provision
        new_name = "" if device_id else name or ""
        secret, row = await self._codes.create(PROVISION, device_id or "", board_id or "", new_name)
        about = device_id or name
        self.record(AuditEvent(AuditKind.SECRET_MADE, "lets one device in", about=about, by=OWNER.name))
        return replace(provision, secret=secret, expires_ms=row.until_ms)

    def _refuse(self, reason: Reason, address: str) -> CredentialRefusal:
        refusal = CredentialRefusal(reason)
        self.record(refusal.event(address))
        return refusal

    def _is_here(self, row: CodeRow) -> bool:
        return row.host == (self._codes.table.host or "")

    def _end_replaced(self, rows: tuple[CodeRow, ...]) -> None:
        """Refuse the devices whose codes were replaced."""
        for row in rows:
            pairing = self._pending.pop(row.hash, None)
            if pairing is not None:
                pairing.outcome.set_result(CredentialRefusal(Reason.TOO_MANY_PENDING))

    def _check_lock(self, by: str | None) -> None:
        """Raise Overloaded after too many wrong codes."""
        locked_s = self._codes.locked_s(DEVICE)
        if locked_s > 0:
            self.record(AuditEvent(AuditKind.CODE_LOCKED, "devices' codes, after too many wrong ones", by=by))
            step = f"wait {locked_s:.0f} s, then type the code the device shows now"
            raise Overloaded(f"pairing is locked after {DEVICE.wrong_tries} wrong codes", next_step=step)

    async def _pair_by_secret(
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, secret: str
    ) -> IssuedCredential | Reason:
        source = single_address(address)
        if self._codes.locked_s(PROVISION, source) > 0:
            return Reason.PAIRING_LOCKED
        issued = None
        is_profile = board in board_ids()
        # Two requests with one secret must not enter two devices.
        async with self._secret_lock:
            row = await self._codes.find(PROVISION, secret)
            if row is not None:
                is_bound = bool(row.place or row.holder)
                if not is_profile and not is_bound:
                    return Reason.UNKNOWN_BOARD
                if not is_profile or row.place in ("", board):
                    issued = await self._use_secret(row, address, board, key)
        if issued is None:
            self._codes.count_wrong(PROVISION, source)
            return Reason.WRONG_SECRET
        return issued

    async def _use_secret(
        self, row: CodeRow, address: str, board: str, key: ec.EllipticCurvePublicKey | None
    ) -> IssuedCredential | None:
        # The id is stored first, so that a try that is cut off leaves its device to the next one.
        device_id = row.holder or await self._codes.table.hold(row.kind, row.hash, self._mint_id())
        if device_id is None:
            return None
        name = row.about or None
        device_id = await self._enrol(row.place or board, name=name, device_id=device_id, is_new=True)
        return await self._grant(device_id, key, row.hash, address)

    async def _grant(
        self,
        device_id: str,
        key: ec.EllipticCurvePublicKey | None,
        secret: bytes | None,
        address: str,
        by: str | None = None,
    ) -> IssuedCredential | None:
        """Store and return the credential; None if the secret was used meanwhile."""
        issued = await self.credentials.grant(device_id, key, secret=secret)
        if issued is not None:
            how = "by a code that a person confirmed" if secret is None else "by the secret it was provisioned with"
            self.record(AuditEvent(AuditKind.PAIRING_DONE, how, address=address, about=device_id, by=by))
        return issued

    def _drop_expired(self) -> None:
        now_ms = self._codes.now_ms()
        for pairing in tuple(self._pending.values()):
            if pairing.row.until_ms <= now_ms:
                self._withdraw(pairing)

    def _withdraw(self, pending: PendingPairing) -> None:
        if self._pending.get(pending.row.hash) is pending:
            del self._pending[pending.row.hash]
        self._codes.table.forget_later(pending.row.kind, pending.row.hash)
        pending.outcome.cancel()
