"""Admits devices of xiaozhi's firmware: a code that a person types, and a token that is handed out once.

A device is identified by its MAC and the id that its firmware made for itself: a machine that knows only the MAC gets a
code of its own. Codes, waiting tokens and refusals also belong to one address, so a machine that sends both ids of
another one does not get them. It speaks no HTTP.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from microclaw.bounded_map import BoundedMap
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.transport import LINK_SCHEME
from microclaw.errors import ConfigError
from microclaw.hardware.boards import board_ids
from microclaw.hardware.boards.reader import VOICE
from microclaw.host.auth.codes import digest_of
from microclaw.host.auth.credentials import UNUSED_LIFE_MS, CredentialRefusal, Identity, Reason
from microclaw.host.auth.pairing import HostIdentity, PendingPairing
from microclaw.host.store.identity import XiaozhiClientRow, XiaozhiClientTable
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.wire.xiaozhi import SCHEME, credential_of

MAX_WAITING_TOKENS: Final = 64
MAX_REFUSED: Final = 64
_NOT_IN_A_BOARD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class DeviceIdentity(Struct, frozen=True):
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
class EnrolmentReply:
    """The answer to a device: the `code` to show to a person, or a `token`, which is sent only once; or neither."""

    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Enrolment:
    """The admission of devices. Its state is in memory: after a restart, a waiting device shows a new code."""

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
        """New tokens, until their device asks again, which it does within seconds."""
        self._refused: BoundedMap[tuple[str, bytes, str], None] = BoundedMap(MAX_REFUSED)
        """Paired devices that connected without their token: each shows a code until it has a valid token."""

    async def start(self, asker: DeviceIdentity, board: str) -> EnrolmentReply | CredentialRefusal:
        """Answer a device that starts and asks for its configuration."""
        token = self._tokens.pop(asker.key, None)
        # The token may have been revoked since it was made.
        if token is not None and await self._has_good_token(asker):
            return EnrolmentReply(token=token)
        if asker.key not in self._showing and await self.is_paired(asker):
            return EnrolmentReply()
        # With the lock, two requests of one device get the same code.
        async with self._asking:
            pending = self._showing.get(asker.key) or await self._show(asker, board)
        if isinstance(pending, CredentialRefusal):
            return pending
        return EnrolmentReply(pending.code)

    async def _show(self, asker: DeviceIdentity, board: str) -> PendingPairing | CredentialRefusal:
        """Request a code for a device, and wait for its pairing in a task."""

        async def enrol(board: str, *, name: str | None, device_id: str | None, is_new: bool = False) -> str:
            assert not is_new, "it comes with a code, not with a secret"
            return await self._enter(asker.mac, board, name, device_id)

        board = _NOT_IN_A_BOARD.sub("-", board)[:64] or VOICE
        pending = await self._identity.request_code(asker.address, board, enrol)
        if not isinstance(pending, CredentialRefusal):
            self._showing[asker.key] = pending
            self._tasks.start(self._await_pairing(asker, pending), f"xiaozhi: pairing of {asker.address}")
        return pending

    async def _await_pairing(self, asker: DeviceIdentity, pending: PendingPairing) -> None:
        """Wait until a person has typed the code, or it has expired; keep the new token for the device."""
        try:
            outcome = await self._identity.wait_for_outcome(pending)
            if isinstance(outcome, CredentialRefusal):
                self._identity.record(outcome.event(asker.address))
                return
            await self._clients.put(XiaozhiClientRow(outcome.device_id, asker.client_digest, self._now_ms()))
            self._tokens[asker.key] = outcome.token
            self._refused.pop(asker.key, None)
        finally:
            del self._showing[asker.key]

    async def _enter(self, mac: str, board: str, name: str | None, device_id: str | None) -> str:
        """Return the id of the device's credential. A device without an entry in the registry gets one.

        Raises ConfigError if the device has an entry already, and its name or id is another one.
        """
        current = self._device(mac)
        chosen = None
        if device_id is not None:
            chosen = self._devices.owner_of(LINK_SCHEME + device_id) or self._devices.get(device_id)
        if current is None:
            board_id = board if board in board_ids() else VOICE
            default_name = f"voice-{mac[-5:].replace(':', '')}"
            device = chosen or await self._devices.add(name or default_name, board_id, ())
            await self._devices.add_transport(device.device_id, SCHEME + mac)
        elif chosen not in (None, current) or name not in (None, current.name):
            step = f"microclaw -d {current.name} device pair CODE; afterwards it can be renamed or removed"
            raise ConfigError(f"this device is {current.name} already", next_step=step)
        return credential_of(mac)

    def is_showing(self, asker: DeviceIdentity) -> bool:
        return asker.key in self._showing

    async def is_paired(self, asker: DeviceIdentity) -> bool:
        """Return True if this installation was admitted, and has a valid token or a token that waits for it."""
        if asker.key in self._tokens:
            return True
        return asker.key not in self._refused and await self._has_good_token(asker)

    async def _has_good_token(self, asker: DeviceIdentity) -> bool:
        """Return True if this installation has a current token that was used or made in the last UNUSED_LIFE_MS."""
        credential = credential_of(asker.mac)
        row = await self._clients.get(credential)
        if row is None or self._device(asker.mac) is None:
            return False
        if not hmac.compare_digest(row.client, asker.client_digest):
            return False
        since_ms = self._now_ms() - UNUSED_LIFE_MS
        tokens = await self._identity.table.tokens_of(credential)
        return any(token.state == "current" and (token.used_ms or token.made_ms) >= since_ms for token in tokens)

    async def authenticate(
        self, asker: DeviceIdentity, authorization: str | None
    ) -> tuple[Device, Identity] | CredentialRefusal:
        """Return the device behind a WebSocket, or the refusal.

        A refused device that is paired shows a code at its next start. Its token stays valid until a person types it.
        """
        answer = await self._identity.credentials.authenticate(None, authorization)
        device = self._device(asker.mac)
        has_good_token = await self._has_good_token(asker)
        if isinstance(answer, CredentialRefusal):
            refusal = answer
        elif answer.device_id != credential_of(asker.mac) or device is None or not has_good_token:
            refusal = CredentialRefusal(Reason.WRONG_TOKEN, answer.device_id)
        else:
            self._refused.pop(asker.key, None)
            return device, answer
        self._identity.record(refusal.event(asker.address))
        if has_good_token:
            self._refused[asker.key] = None
        return refusal

    def _device(self, mac: str) -> Device | None:
        return self._devices.owner_of(SCHEME + mac)
