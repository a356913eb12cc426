"""Lets devices of xiaozhi's firmware in: a code that a person types, and a token that is handed out once.

A device is its MAC and the id that its firmware made for itself: who knows the MAC alone gets a code of his own. Codes,
tokens that wait and refusals are also of one address, so what another machine sends with both ids is its own.
It speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.auth.codes import digest_of
from microclaw.auth.credentials import UNUSED_LIFE_MS, Identity, Reason, Refusal
from microclaw.auth.pairing import HostIdentity, PendingPairing
from microclaw.boards import board_ids
from microclaw.boards.reader import VOICE
from microclaw.bounded_map import BoundedMap
from microclaw.channels.delivery import ChannelTasks
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.transport import LINK_SCHEME
from microclaw.errors import ConfigError
from microclaw.store.identity import XiaozhiClientRow, XiaozhiClientTable
from microclaw.wire.xiaozhi import SCHEME, credential_of

MAX_WAITING_TOKENS: Final = 64
MAX_REFUSED: Final = 64
_NOT_IN_A_BOARD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Asker(Struct, frozen=True):
    """One installation of the firmware (`client_id`) on one device."""

    mac: str
    client_id: str
    address: str

    @property
    def client_digest(self) -> bytes:
        return digest_of(self.client_id)

    @property
    def key(self) -> tuple[str, bytes, str]:
        return self.mac, self.client_digest, self.address


@dataclass(frozen=True, slots=True)
class Welcome:
    """It is to show the `code` to a person and ask again, or it may come: `token`, given this once, proves that."""

    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Enrolment:
    """Its state is in memory: after a restart of the host a device that waits shows a new code."""

    def __init__(
        self, identity: HostIdentity, devices: Registry, tasks: ChannelTasks, *, now_ms: Callable[[], int]
    ) -> None:
        self._identity = identity
        self._clients = XiaozhiClientTable(identity.table.database)
        self._devices = devices
        self._tasks = tasks
        self._now_ms = now_ms
        self._asking = asyncio.Lock()
        self._showing: dict[tuple[str, bytes, str], PendingPairing] = {}
        self._tokens: BoundedMap[tuple[str, bytes, str], str] = BoundedMap(MAX_WAITING_TOKENS)
        """Those that wait for their device to ask again, which it does within seconds."""
        self._refused: BoundedMap[tuple[str, bytes, str], None] = BoundedMap(MAX_REFUSED)
        """Paired devices that came without their token: each shows a code until it has a good one."""

    async def start(self, asker: Asker, board: str) -> Welcome | Refusal:
        """A device starts and asks what to do."""
        token = self._tokens.pop(asker.key, None)
        if token is not None and await self._has_good_token(asker):  # not one that was revoked meanwhile
            return Welcome(token=token)
        if asker.key not in self._showing and await self.is_paired(asker):
            return Welcome()
        async with self._asking:  # two requests of one device get one code
            showing = self._showing.get(asker.key) or await self._show(asker, board)
        if isinstance(showing, Refusal):
            return showing
        return Welcome(showing.code)

    async def _show(self, asker: Asker, board: str) -> PendingPairing | Refusal:
        async def enrol(board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str:
            assert not is_new, "it comes with a code, not with a secret"
            return await self._enter(asker.mac, board, name, device_id)

        board = _NOT_IN_A_BOARD.sub("-", board)[:64] or VOICE
        pending = await self._identity.request_code(asker.address, board, enrol)
        if not isinstance(pending, Refusal):
            self._showing[asker.key] = pending
            self._tasks.start(self._see_out(asker, pending), f"xiaozhi: pairing of {asker.address}")
        return pending

    async def _see_out(self, asker: Asker, pending: PendingPairing) -> None:
        """Until a person typed the code, or it expired."""
        try:
            outcome = await self._identity.outcome(pending)
            if isinstance(outcome, Refusal):
                self._identity.record(outcome.event(asker.address))
                return
            await self._clients.put(XiaozhiClientRow(outcome.device_id, asker.client_digest, self._now_ms()))
            self._tokens[asker.key] = outcome.token
            self._refused.pop(asker.key, None)
        finally:
            del self._showing[asker.key]

    async def _enter(self, mac: str, board: str, name: str | None, device_id: str | None) -> str:
        """Enter the device in the registry, or find it there; the id of its credential."""
        known = self._device(mac)
        wanted = None
        if device_id is not None:
            wanted = self._devices.owner_of(LINK_SCHEME + device_id) or self._devices.get(device_id)
        if known is None:
            board_id = board if board in board_ids() else VOICE
            device = wanted or await self._devices.add(name or f"voice-{mac[-5:].replace(':', '')}", board_id, ())
            await self._devices.add_transport(device.device_id, SCHEME + mac)
        elif wanted not in (None, known) or name not in (None, known.name):
            step = f"microclaw -d {known.name} device pair CODE; afterwards it can be renamed or removed"
            raise ConfigError(f"this device is {known.name} already", next_step=step)
        return credential_of(mac)

    def is_showing(self, asker: Asker) -> bool:
        return asker.key in self._showing

    async def is_paired(self, asker: Asker) -> bool:
        """Return True if this installation was let in, and its token is good or waits for it."""
        if asker.key in self._tokens:
            return True
        return asker.key not in self._refused and await self._has_good_token(asker)

    async def _has_good_token(self, asker: Asker) -> bool:
        credential = credential_of(asker.mac)
        row = await self._clients.get(credential)
        if row is None or not hmac.compare_digest(row.client, asker.client_digest) or self._device(asker.mac) is None:
            return False
        since_ms = self._now_ms() - UNUSED_LIFE_MS
        tokens = await self._identity.table.tokens_of(credential)
        return any(token.state == "current" and (token.used_ms or token.made_ms) >= since_ms for token in tokens)

    async def authenticate(self, asker: Asker, authorization: str | None) -> tuple[Device, Identity] | Refusal:
        """Return the device behind a WebSocket. Raises nothing.

        A refused one that is paired shows a code at its next start. Its good token stays good until a person types it.
        """
        answer = await self._identity.credentials.authenticate(None, authorization)
        device = self._device(asker.mac)
        has_good_token = await self._has_good_token(asker)
        if isinstance(answer, Refusal):
            refusal = answer
        elif answer.device_id != credential_of(asker.mac) or device is None or not has_good_token:
            refusal = Refusal(Reason.WRONG_TOKEN, answer.device_id)
        else:
            self._refused.pop(asker.key, None)
            return device, answer
        self._identity.record(refusal.event(asker.address))
        if has_good_token:
            self._refused[asker.key] = None
        return refusal

    def _device(self, mac: str) -> Device | None:
        return self._devices.owner_of(SCHEME + mac)
