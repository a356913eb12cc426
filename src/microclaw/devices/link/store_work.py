"""Runs the store's work of one connection, one action after the other. Reads no message and writes no frame."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from microclaw.errors import MicroclawError, NewerConnection, StoreUnreachable
from microclaw.wire.link import actions
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Envelope

if TYPE_CHECKING:
    from microclaw.devices.link.connection import LinkConnection
    from microclaw.devices.link.device_link import DeviceLink

_RETRY_S: Final = 0.5
_log = logging.getLogger(__name__)


class StoreWork:
    """The queue of a connection's actions that wait for the store, in the order of its session.

    `store` is None for a device without a credential, whose session has nothing durable.
    """

    def __init__(self, connection: LinkConnection, store: DeviceLink | None) -> None:
        self.tasks: asyncio.TaskGroup | None = None
        self._connection = connection
        self._store = store
        self._queue: deque[actions.Action] = deque()
        self._is_working = False

    def add(self, action: actions.Action) -> None:
        """Queue an action, and start to work if nothing is being worked on."""
        self._queue.append(action)
        if self.tasks is not None and not self._is_working:
            self._is_working = True
            self.tasks.create_task(self._run(), name=f"link to {self._connection.address}: store")

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._do_when_reachable(self._queue.popleft())
                self._connection.pump()
        except MicroclawError as exc:
            # What follows a message that was not applied must not be applied either. The device sends it again.
            self._queue.clear()
            _log.warning("link to %s breaks off: %s", self._connection.address, exc.message)
            code = CloseCode.REPLACED if isinstance(exc, NewerConnection) else CloseCode.OVERLOADED
            self._connection.close(code, type(exc).code)
        finally:
            self._is_working = False

    async def _do_when_reachable(self, action: actions.Action) -> None:
        """Carry out an action, and try it again while the cluster is away if it is about a message of the device.

        Such a message waits and is not acked, so the device stays connected.
        """
        may_wait = isinstance(action, actions.Deliver | actions.DropAcked)
        while True:
            try:
                await self._do(action)
            except StoreUnreachable:
                if not may_wait or not self._connection.is_live:
                    raise
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def _do(self, action: actions.Action) -> None:
        store = self._store
        session = self._connection.session
        # The session of a device without a credential has nothing durable.
        assert store is not None
        match action:
            case actions.ReportPeer() if self._connection.on_ready is not None:
                await self._connection.on_ready()
            case actions.Deliver(envelope=Envelope(seq=int(seq)) as envelope, epoch=bytes(epoch)):
                await store.commit(envelope, epoch=epoch)
                session.ack_applied(epoch, seq)
            case actions.Persist(message_id=message_id, payload=payload):
                await store.persist(message_id, payload)
            case actions.Replay(after=after, limit=limit):
                session.loaded(after, await store.load(after, limit))
            case actions.DropAcked(seq=seq):
                await store.acked(seq)
            case actions.RenewEpoch():
                session.epoch_renewed(await store.renew())
