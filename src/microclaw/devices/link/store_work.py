"""Runs the store's work of one device's connection, one action after the other. Reads no message, writes no frame."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_inbox import DeviceInbox
from microclaw.devices.link.device_link import DeviceLink
from microclaw.errors import MicroclawError, NewerConnection, StoreUnreachable
from microclaw.host.auth.credentials import DeviceCredentials, Identity
from microclaw.wire.link import actions
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Envelope, Token
from microclaw.wire.link.session import LinkSession

_RETRY_S: Final = 0.5
_log = logging.getLogger(__name__)


class StoreWork:
    """The queue of a connection's actions that wait for the store, in the order of its session."""

    def __init__(
        self, link: DeviceLink, inbox: DeviceInbox, credentials: DeviceCredentials, identity: Identity
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._credentials = credentials
        self._identity = identity
        self._queue: deque[actions.Action] = deque()
        self._is_working = False

    def add(self, connection: LinkConnection, action: actions.Action) -> None:
        """Queue an action, and start to work if nothing is being worked on."""
        self._queue.append(action)
        if connection.tasks is not None and not self._is_working:
            self._is_working = True
            connection.tasks.create_task(self._run(connection), name=f"link to {connection.address}: store")

    async def _run(self, connection: LinkConnection) -> None:
        try:
            while self._queue:
                await self._do_when_reachable(connection, self._queue.popleft())
                connection.pump()
        except MicroclawError as exc:
            # What follows a message that was not applied must not be applied either. The device sends it again.
            self._queue.clear()
            _log.warning("link to %s breaks off: %s", connection.address, exc.message)
            code = CloseCode.REPLACED if isinstance(exc, NewerConnection) else CloseCode.OVERLOADED
            connection.close(code, type(exc).code)
        finally:
            self._is_working = False

    async def _do_when_reachable(self, connection: LinkConnection, action: actions.Action) -> None:
        """Carry out an action, and try it again while the cluster is away if it is about a message of the device.

        Such a message waits and is not acked, so the device stays connected.
        """
        may_wait = isinstance(action, actions.Deliver | actions.DropAcked)
        while True:
            try:
                await self._do(connection.session, action)
            except StoreUnreachable:
                if not may_wait or not connection.is_live:
                    raise
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def _do(self, session: LinkSession, action: actions.Action) -> None:
        outbox = self._link.outbox
        match action:
            case actions.ReportPeer():
                await self._welcome(session)
            case actions.Deliver(envelope=Envelope(seq=int(seq)) as envelope, epoch=bytes(epoch)):
                await self._inbox.commit(envelope, epoch=epoch)
                session.ack_applied(epoch, seq)
            case actions.Persist(message_id=message_id, payload=payload):
                await outbox.persist(message_id, payload)
            case actions.Replay(after=after, limit=limit):
                session.loaded(after, await outbox.load(after, limit))
            case actions.DropAcked(seq=seq):
                await outbox.note_acked(seq)
            case actions.RenewEpoch():
                session.epoch_renewed(await outbox.renew())

    async def _welcome(self, session: LinkSession) -> None:
        """Note that the device is here, and send it a new token if its old one is a day old."""
        self._link.is_revoked = False
        await self._link.note_presence()
        issued = await self._credentials.rotate(self._identity)
        if issued is not None:
            session.send(Token(issued.token, issued.expires_ms))
