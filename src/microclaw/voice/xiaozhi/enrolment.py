"""Lets devices of xiaozhi's firmware in: a code that a person types, and a token that is handed out once.

A device is its MAC and the id that its firmware made for itself: who knows the MAC alone gets a code of his own. It
speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.auth.credentials import UNUSED_LIFE_MS, Identity, Reason, Refusal
from microclaw.auth.pairing import HostIdentity, PendingPairing
from microclaw.boards import board_ids
from microclaw.boards.voice import VOICE_BOARD
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import ConfigError
from microclaw.store.identity import XiaozhiClientRow, XiaozhiClientTable
from microclaw.wire.xiaozhi import SCHEME, credential_of

TOKEN_WAITS_S: Final = 600.0
"""How long a token waits in memory for its device to ask again, which it does within seconds."""
MAX_WAITING_TOKENS: Final = 64
_NOT_IN_A_BOARD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LINK: Final = "link:"


class Asker(Struct, frozen=True):
    """One installation of the firmware on one device."""

    mac: str
    client: bytes  # SHA-256 of its Client-Id
    address: str

    @property
    def key(self) -> tuple[str, bytes]:
        return self.mac, self.client


def client_hash(client_id: str) -> bytes:
    return hashlib.sha256(client_id.encode()).digest()


@dataclass(frozen=True, slots=True)
class Paired:
    """It may come; `token` is what it proves that with, given to it this once."""

    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ShowCode:
    """It is to show the code to a person, and ask again."""

    code: str = field(repr=False)
    challenge: str


class _Showing(Struct, frozen=True):
    pending: PendingPairing
    challenge: str
    task: asyncio.Task[None]


class _Waiting(Struct, frozen=True):
    token: str
    until_s: float


class Enrolment:
    """`clock_s` is monotonic. What is under way is in memory: after a restart of the host a device shows a new code."""

    def __init__(
        self,
        identity: HostIdentity,
        devices: Registry,
        tasks: asyncio.TaskGroup,
        *,
        now_ms: Callable[[], int],
        clock_s: Callable[[], float],
    ) -> None:
        self._identity = identity
        self._clients = XiaozhiClientTable(identity.table.database)
        self._devices = devices
        self._tasks = tasks
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._asking = asyncio.Lock()
        self._showing: dict[tuple[str, bytes], _Showing] = {}
        self._tokens: OrderedDict[tuple[str, bytes], _Waiting] = OrderedDict()

    def close(self) -> None:
        """Nobody waits for a code any more."""
        for showing in self._showing.values():
            showing.task.cancel()

    async def start(self, asker: Asker, board: str) -> Paired | ShowCode | Refusal:
        """A device starts and asks what to do."""
        if (waiting := self._tokens.pop(asker.key, None)) is not None and waiting.until_s > self._clock_s():
            return Paired(waiting.token)
        if asker.key not in self._showing and await self.is_paired(asker):
            return Paired()
        async with self._asking:  # two requests of one device get one code
            showing = self._showing.get(asker.key) or await self._show(asker, board)
        return showing if isinstance(showing, Refusal) else ShowCode(showing.pending.code, showing.challenge)

    async def _show(self, asker: Asker, board: str) -> _Showing | Refusal:
        board = _NOT_IN_A_BOARD.sub("-", board)[:64] or VOICE_BOARD.board_id
        pending = await self._identity.request_code(asker.address, board, _Entry(self, asker))
        if isinstance(pending, Refusal):
            return pending
        work = self._see_out(asker, pending)
        task = self._tasks.create_task(work, name=f"xiaozhi: pairing of {asker.address}")
        self._showing[asker.key] = _Showing(pending, secrets.token_hex(16), task)
        return self._showing[asker.key]

    def is_showing(self, asker: Asker) -> bool:
        return asker.key in self._showing

    async def is_paired(self, asker: Asker) -> bool:
        """True if this installation was let in, and has a token that is still good or waits for it."""
        if asker.key in self._tokens:
            return True
        credential = credential_of(asker.mac)
        row = await self._clients.get(credential)
        if row is None or not hmac.compare_digest(row.client, asker.client) or self.device(asker.mac) is None:
            return False
        since_ms = self._now_ms() - UNUSED_LIFE_MS
        tokens = await self._identity.table.tokens_of(credential)
        return any(token.state == "current" and (token.used_ms or token.made_ms) >= since_ms for token in tokens)

    def device(self, mac: str) -> Device | None:
        return self._devices.owner_of(SCHEME + mac)

    async def authenticate(self, asker: Asker, authorization: str | None) -> tuple[Device, Identity] | Refusal:
        """The device behind a WebSocket. Raises nothing."""
        answer = await self._identity.credentials.authenticate(None, authorization)
        if isinstance(answer, Refusal):
            self._identity.record(answer.event(asker.address))
            await self._forget_lost(asker)
            return answer
        device = self.device(asker.mac)
        if answer.device_id != credential_of(asker.mac) or device is None or not await self.is_paired(asker):
            refusal = Refusal(Reason.WRONG_TOKEN, answer.device_id)
            self._identity.record(refusal.event(asker.address))
            return refusal
        return device, answer

    async def _forget_lost(self, asker: Asker) -> None:
        """A device that never used its token and comes without it did not get it: at its next start it shows a code."""
        credential = credential_of(asker.mac)
        tokens = await self._identity.table.tokens_of(credential)
        if asker.key not in self._tokens and await self.is_paired(asker) and all(t.used_ms is None for t in tokens):
            await self._identity.credentials.revoke(credential)

    async def _see_out(self, asker: Asker, pending: PendingPairing) -> None:
        """Until a person typed the code, or it expired."""
        try:
            outcome = await self._identity.outcome(pending)
            if isinstance(outcome, Refusal):
                self._identity.record(outcome.event(asker.address))
            else:
                await self._clients.put(XiaozhiClientRow(outcome.device_id, asker.client, self._now_ms()))
                self._tokens[asker.key] = _Waiting(outcome.token, self._clock_s() + TOKEN_WAITS_S)
                while len(self._tokens) > MAX_WAITING_TOKENS:
                    self._tokens.popitem(last=False)
        finally:
            del self._showing[asker.key]

    async def enter(self, asker: Asker, board: str, *, name: str | None, device_id: str | None) -> str:
        """Enter the device in the registry, or find it there; the id of its credential."""
        known = self.device(asker.mac)
        asked_for = (
            None if device_id is None else self._devices.owner_of(_LINK + device_id) or self._devices.get(device_id)
        )
        if known is not None and (asked_for not in (None, known) or name not in (None, known.name)):
            raise ConfigError(
                f"this device is {known.name} already",
                next_step=f"microclaw -d {known.name} device pair CODE; afterwards it can be renamed or removed",
            )
        if known is None:
            board_id = board if board in board_ids() else VOICE_BOARD.board_id
            device = asked_for or await self._devices.add(
                name or f"voice-{asker.mac[-5:].replace(':', '')}", board_id, ()
            )
            await self._devices.add_transport(device.device_id, SCHEME + asker.mac)
        return credential_of(asker.mac)


class _Entry(Struct, frozen=True):
    """The `Enrol` of one device that shows a code."""

    enrolment: Enrolment
    asker: Asker

    async def __call__(self, board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str:
        assert not is_new, "it comes with a code, not with a secret"
        return await self.enrolment.enter(self.asker, board, name=name, device_id=device_id)
