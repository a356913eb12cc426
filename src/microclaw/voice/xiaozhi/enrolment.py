"""Lets devices of xiaozhi's firmware in: a code that a person types, and a token that is handed out once.

A device is its MAC and the id that its firmware made for itself: who knows the MAC alone gets a code of his own. It
speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.auth.codes import digest_of
from microclaw.auth.credentials import UNUSED_LIFE_MS, Identity, Reason, Refusal
from microclaw.auth.pairing import HostIdentity, PendingPairing
from microclaw.boards import board_ids
from microclaw.boards.reader import VOICE
from microclaw.channels.delivery import ChannelTasks
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.transport import LINK_SCHEME
from microclaw.errors import ConfigError
from microclaw.store.identity import XiaozhiClientRow, XiaozhiClientTable
from microclaw.wire.xiaozhi import SCHEME, credential_of

MAX_WAITING_TOKENS: Final = 64
_NOT_IN_A_BOARD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Asker(Struct, frozen=True):
    """One installation of the firmware (`client_id`) on one device."""

    mac: str
    client_id: str
    address: str

    @property
    def key(self) -> tuple[str, bytes]:
        return self.mac, digest_of(self.client_id)


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
        self._showing: dict[tuple[str, bytes], PendingPairing] = {}
        self._tokens: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        """Those that wait for their device to ask again, which it does within seconds."""

    async def start(self, asker: Asker, board: str) -> Welcome | Refusal:
        """A device starts and asks what to do."""
        token = self._tokens.pop(asker.key, None)
        if token is not None and await self.is_paired(asker):  # not one that was revoked meanwhile
            return Welcome(token=token)
        if asker.key not in self._showing and await self.is_paired(asker):
            return Welcome()
        async with self._asking:  # two requests of one device get one code
            showing = self._showing.get(asker.key) or await self._show(asker, board)
        return showing if isinstance(showing, Refusal) else Welcome(showing.code)

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
            await self._clients.put(XiaozhiClientRow(outcome.device_id, asker.key[1], self._now_ms()))
            self._tokens[asker.key] = outcome.token
            while len(self._tokens) > MAX_WAITING_TOKENS:
                self._tokens.popitem(last=False)
        finally:
            del self._showing[asker.key]

    async def _enter(self, mac: str, board: str, name: str | None, device_id: str | None) -> str:
        """Enter the device in the registry, or find it there; the id of its credential."""
        known, wanted = self._device(mac), None
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
        """True if this installation was let in, and has a token that is still good or waits for it."""
        if asker.key in self._tokens:
            return True
        credential = credential_of(asker.mac)
        row = await self._clients.get(credential)
        if row is None or not hmac.compare_digest(row.client, asker.key[1]) or self._device(asker.mac) is None:
            return False
        since_ms = self._now_ms() - UNUSED_LIFE_MS
        tokens = await self._identity.table.tokens_of(credential)
        return any(token.state == "current" and (token.used_ms or token.made_ms) >= since_ms for token in tokens)

    async def authenticate(self, asker: Asker, authorization: str | None) -> tuple[Device, Identity] | Refusal:
        """The device behind a WebSocket. Raises nothing."""
        answer = await self._identity.credentials.authenticate(None, authorization)
        if isinstance(answer, Refusal):
            self._identity.record(answer.event(asker.address))
            await self._forget_lost(asker)
            return answer
        device = self._device(asker.mac)
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

    def _device(self, mac: str) -> Device | None:
        return self._devices.owner_of(SCHEME + mac)
