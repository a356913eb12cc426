"""The host's identity towards devices, which lets a new one in: by a code that it shows and a person confirms, or by
the secret it was provisioned with.

It sends nothing: the connection asks, waits for the outcome and tells the device. A device that waits is in memory, so
its code ends with its connection; in a cluster the code can be typed at another host, which asks the device's one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from microclaw.addresses import address_range, single_address
from microclaw.audit.event import AuditEvent, AuditKind, Record, no_record
from microclaw.auth.authority import Authority
from microclaw.auth.certificates import read_csr
from microclaw.auth.codes import DEVICE, PROVISION, Codes
from microclaw.auth.credentials import DeviceCredentials, IssuedCredential, Reason, Refusal
from microclaw.auth.people import OWNER
from microclaw.auth.provisioning import Provision
from microclaw.boards import board_ids, load_board
from microclaw.errors import DeviceUnreachable, Overloaded, ProtocolError, StoreUnreachable, UnknownName
from microclaw.store.codes import CodeRow
from microclaw.store.database import Database
from microclaw.store.identity import IdentityTable
from microclaw.text import host_called

SHOW_S: Final = 3.0  # a device waits for its code for 5 s
_LEFT: Final = "the device went away while it was being paired, or its code was typed at its own host"
_BOARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False)
class PendingPairing:
    """A device that shows `code` and waits for a person. Of its row the holder is its address as far as limits go, the
    place the range that it can choose its address from, and `about` its board and address."""

    code: str = field(repr=False)
    row: CodeRow = field(repr=False)
    board: str
    address: str
    key: ec.EllipticCurvePublicKey | None
    outcome: asyncio.Future[IssuedCredential | Refusal]
    enrol: Enrol | None = None  # its own way into the registry


class WaitingDevice(Struct, frozen=True):
    """A device that shows a code, without the code."""

    address: str
    board: str
    seconds_left: int


class Wish(msgspec.Struct, frozen=True):
    """The request of the person who typed a code: the device's name, or the known device that it becomes again.

    `board_id` is the profile of a board whose own name is no profile's, `by` the person's name.
    """

    name: str | None = None
    device_id: str | None = None
    board_id: str | None = None
    by: str | None = None


_NOTHING: Final = Wish()


class Enrol(Protocol):
    """Enters the device to be paired in the registry (or finds it there by its id) and returns its id.

    With `is_new` the id is one that the pairing service minted: the device may be there since a try that was cut off.
    """

    async def __call__(self, board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str: ...


class HostIdentity:
    """This host as devices know it: its authority, their credentials, and where devices ask to be let in and
    people confirm it."""

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
        """`port` is the device plane's; `clock_s` is monotonic."""
        self.authority = authority
        self.table = IdentityTable(database)
        self.record = record
        self.credentials = DeviceCredentials(authority, self.table, now_ms=now_ms, record=record)
        self._codes = Codes(database, now_ms=now_ms, clock_s=clock_s)
        self._known = Provision(authority.names.names[0], port, authority.fingerprint)
        self._enrol = enrol
        self._mint_id = mint_id
        self._pending: dict[bytes, PendingPairing] = {}
        self._one_code, self._one_secret = asyncio.Lock(), asyncio.Lock()
        self.ask_host: Callable[[str, bytes, Wish], Awaitable[str | None]] | None = None
        """Has another host `pair_shown`: the device's id, its error, or None where it does not answer."""

    @property
    def pending(self) -> tuple[PendingPairing, ...]:
        """Devices that wait at this host now, the oldest first."""
        self._drop_expired()
        return tuple(self._pending.values())

    async def waiting(self) -> tuple[WaitingDevice, ...]:
        """Devices that show a code, here or at other hosts as far as this one's clock is theirs, the oldest first."""
        now_ms = self._codes.now_ms()
        return tuple(
            WaitingDevice(address, board, -(-min(row.until_ms - now_ms, row.until_ms - row.made_ms) // 1000))
            for row in await self._codes.list(DEVICE)
            if row.host != (self._codes.table.host or "") or row.hash in self._pending
            for board, _, address in [row.about.partition(" ")]
        )

    async def request(
        self, address: str, board: str, *, csr: bytes | None, token_wanted: bool, secret: str | None
    ) -> PendingPairing | IssuedCredential | Refusal:
        """A device's `pair_request`. A pending one is to be awaited with `outcome`; a right secret pairs at once.

        StoreError. Raises what the registry raises when it will not have the device (its name was taken meanwhile).
        """
        try:
            if csr is None:
                key = None
            else:
                key = read_csr(csr)
        except ProtocolError:
            return self._refused(Reason.MALFORMED_REQUEST, address)
        if (csr is None) is not token_wanted or not _BOARD.fullmatch(board):
            return self._refused(Reason.MALFORMED_REQUEST, address)
        if secret is None:
            return await self.request_code(address, board, key=key)
        answer = await self._by_secret(address, board, key, secret)
        if isinstance(answer, Reason):
            return self._refused(answer, address)
        return answer

    async def request_code(
        self, address: str, board: str, enrol: Enrol | None = None, key: ec.EllipticCurvePublicKey | None = None
    ) -> PendingPairing | Refusal:
        """A device shows a code, is entered by `enrol` (of another protocol), and gets a token where it has no key."""
        holder = single_address(address)
        place = address_range(address)
        try:
            async with asyncio.timeout(SHOW_S), self._one_code:  # one at a time: each sees the places that are taken
                waiting = [one.row for one in self.pending]
                gone = DEVICE.giving_way(waiting, holder, place, self._codes.now_ms())
                if gone is None:
                    return self._refused(Reason.TOO_MANY_PENDING, address)
                code, row = await self._codes.give(DEVICE, holder, place, f"{board} {address}")
                outcome: asyncio.Future[IssuedCredential | Refusal] = asyncio.get_running_loop().create_future()
                self._pending[row.hash] = pending = PendingPairing(code, row, board, address, key, outcome, enrol)
        except TimeoutError as exc:
            text = "what the hosts of the cluster share does not answer: a code would be good at this host alone"
            raise StoreUnreachable(text, next_step="let the device ask again; microclaw status --cluster") from exc
        for one in gone:
            rival = self._pending.pop(one.hash, None)
            if rival is not None:
                rival.outcome.set_result(Refusal(Reason.TOO_MANY_PENDING))
        known = (board,) if board in board_ids() else ()
        self.record(AuditEvent(AuditKind.PAIRING_ASKED, f"a {board} shows a code", address=address, known=known))
        return pending

    def _refused(self, reason: Reason, address: str) -> Refusal:
        refusal = Refusal(reason)
        self.record(refusal.event(address))
        return refusal

    async def outcome(self, pending: PendingPairing) -> IssuedCredential | Refusal:
        """Wait until a person confirmed the code, at most until it expires. Cancelling withdraws the request."""
        try:
            async with asyncio.timeout(max(0.0, (pending.row.until_ms - self._codes.now_ms()) / 1000)):
                return await pending.outcome
        except TimeoutError:
            return Refusal(Reason.PAIRING_EXPIRED)
        finally:
            self._withdraw(pending)

    async def confirm(self, code: str, wish: Wish = _NOTHING) -> str:
        """A person typed the code that a device shows: give that device its credential. Returns the device's id.

        Raises UnknownName for a wrong code, Overloaded while pairing is locked, what the registry raises for a name it
        will not have (the code stays good then), and DeviceUnreachable when the device went away meanwhile, or the host
        that it reached does not answer.
        """
        locked_s = self._codes.locked_s(DEVICE)
        if locked_s > 0:
            self.record(AuditEvent(AuditKind.CODE_LOCKED, "devices' codes, after too many wrong ones", by=wish.by))
            step = f"wait {locked_s:.0f} s, then type the code the device shows now"
            raise Overloaded(f"pairing is locked after {DEVICE.wrong_tries} wrong codes", next_step=step)
        self._drop_expired()
        digest = DEVICE.hash(code)
        if digest in self._pending:
            return await self.pair_shown(digest, wish)
        row = await self._codes.table.find(DEVICE.name, digest, 0)  # its host says when it is over
        if row is not None and row.host != (self._codes.table.host or "") and self.ask_host is not None:
            paired = await self.ask_host(row.host, digest, wish)
            if paired is not None:
                return paired
            text = f"the host {host_called(row.host)}, which the device reached, does not answer"
            step = "it may be paired all the same: microclaw device list; else let it ask for a new code"
            raise DeviceUnreachable(text, next_step=step)
        self._codes.wrong(DEVICE)
        self.record(AuditEvent(AuditKind.CODE_WRONG, "typed to let a device in", by=wish.by))
        step = f"type the 6 digits it shows; they change after {DEVICE.life_s:.0f} s"
        raise UnknownName("no device waits with that code", next_step=step)

    async def pair_shown(self, digest: bytes, wish: Wish) -> str:
        """As `confirm`, for the device that waits at this host with the code of this hash."""
        self._drop_expired()
        pending = self._pending.pop(digest, None)
        if pending is None:
            raise DeviceUnreachable(_LEFT, next_step="let it ask for a new code")
        try:
            enrol = pending.enrol or self._enrol
            enrolled = await enrol(wish.board_id or pending.board, name=wish.name, device_id=wish.device_id)
            paired = await self._grant(enrolled, pending.key, None, pending.address, wish.by)
            await self._codes.table.spend(pending.row)
        except BaseException:  # also a person who gave up: the code stays good
            if not pending.outcome.done():
                self._pending[digest] = pending
            raise
        if paired is None or pending.outcome.done():
            raise DeviceUnreachable(_LEFT, next_step="let it ask for a new code")
        pending.outcome.set_result(paired)
        return paired.device_id

    async def provision(
        self,
        *,
        device_id: str | None = None,
        name: str | None = None,
        board_id: str | None = None,
        with_secret: bool = True,
        host: str | None = None,
    ) -> Provision:
        """For a new device to be called `name`, or the known `device_id` of that name; `board_id` lets no board of
        another profile use it, and is the profile of a board whose own name is no profile's.

        The secret is good for 30 days, until the device that paired with it has connected once.
        Raises UnknownName for a `board_id` that no profile has.
        """
        if board_id is not None:
            load_board(board_id)
        known = replace(self._known, host=host or self._known.host, name=name)
        if not with_secret:
            return known
        whose = (device_id or "", board_id or "", "" if device_id else name or "")
        secret, row = await self._codes.give(PROVISION, *whose)
        about = device_id or name
        self.record(AuditEvent(AuditKind.SECRET_MADE, "lets one device in", about=about, by=OWNER.name))
        return replace(known, secret=secret, expires_ms=row.until_ms)

    async def _by_secret(
        self, address: str, board: str, key: ec.EllipticCurvePublicKey | None, secret: str
    ) -> IssuedCredential | Reason:
        source = single_address(address)
        paired = None
        is_profile = board in board_ids()
        if self._codes.locked_s(PROVISION, source) > 0:
            return Reason.PAIRING_LOCKED
        async with self._one_secret:  # two requests with one secret must not enter two devices
            row = await self._codes.find(PROVISION, secret)
            if row is not None and not (is_profile or row.place or row.holder):
                return Reason.UNKNOWN_BOARD
            if row is not None and (not is_profile or row.place in ("", board)):
                # On the disk first: a try that is cut off leaves its device to the next one.
                device_id = row.holder or await self._codes.table.hold(row.kind, row.hash, self._mint_id())
                if device_id is not None:
                    called = row.about or None
                    device_id = await self._enrol(row.place or board, name=called, device_id=device_id, is_new=True)
                    paired = await self._grant(device_id, key, row.hash, address)
        if paired is None:
            self._codes.wrong(PROVISION, source)
            return Reason.WRONG_SECRET
        return paired

    async def _grant(
        self,
        device_id: str,
        key: ec.EllipticCurvePublicKey | None,
        secret: bytes | None,
        address: str,
        by: str | None = None,
    ) -> IssuedCredential | None:
        """The credential, once it is on the disk; None when the secret was spent meanwhile."""
        paired = await self.credentials.grant(device_id, key, secret=secret)
        if paired is not None:
            how = "by a code that a person confirmed" if secret is None else "by the secret it was provisioned with"
            self.record(AuditEvent(AuditKind.PAIRING_DONE, how, address=address, about=device_id, by=by))
        return paired

    def _drop_expired(self) -> None:
        now_ms = self._codes.now_ms()
        for pending in [pending for pending in self._pending.values() if pending.row.until_ms <= now_ms]:
            self._withdraw(pending)

    def _withdraw(self, pending: PendingPairing) -> None:
        if self._pending.get(pending.row.hash) is pending:
            del self._pending[pending.row.hash]
        self._codes.table.forget_later(pending.row.kind, pending.row.hash)
        pending.outcome.cancel()
