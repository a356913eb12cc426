"""Passes a device's request for its first credential, or a new certificate, to the pairing service. Decides nothing.

A device that renews is authenticated already, and the certificate is for the same device, so no person enters a code.
"""

from __future__ import annotations

import asyncio
import logging

from microclaw.devices.link.connection import ConnectionOwner, LinkConnection
from microclaw.errors import DeviceUnreachable, LinkViolation, MicroclawError, StoreUnreachable
from microclaw.host.auth.codes import DEVICE
from microclaw.host.auth.credentials import CredentialRefusal, DeviceCredentials, IssuedCredential
from microclaw.host.auth.pairing import HostIdentity, PendingPairing
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Envelope, PairCode, PairDone, PairRequest

_log = logging.getLogger(__name__)


class UnauthenticatedConnection(ConnectionOwner):
    """The owner of a connection without a credential: it may ask to be paired, and nothing else.

    One request at a time: a newer one withdraws the older.
    """

    def __init__(self, service: HostIdentity) -> None:
        self._service = service
        self._request: asyncio.Task[None] | None = None

    def receive(self, connection: LinkConnection, envelope: Envelope) -> None:
        """Begin a request to be paired. Other messages are ignored."""
        if isinstance(envelope.body, PairRequest):
            self.end_session()
            self._request = connection.start(self._pair(connection, envelope.id, envelope.body), "pairing")

    def end_session(self) -> None:
        """Withdraw the request, so that its code is no longer valid."""
        if self._request is not None:
            self._request.cancel()

    async def _pair(self, connection: LinkConnection, request_id: bytes, request: PairRequest) -> None:
        try:
            answer = await self._service.request(
                connection.address,
                request.board,
                csr=request.csr,
                token_wanted=bool(request.token_wanted),
                secret=request.secret,
            )
            if isinstance(answer, PendingPairing):
                _answer(connection, request_id, PairCode(answer.code, int(DEVICE.life_s)))
                answer = await self._service.wait_for_outcome(answer)
            if isinstance(answer, CredentialRefusal):
                _refuse(connection, answer.reason.close_code, str(answer.reason))
            elif isinstance(answer, IssuedCredential):
                _answer(connection, request_id, PairDone(answer.certificate, answer.token or None))
        except DeviceUnreachable:
            _log.info("the device at %s went away while it was being paired", connection.address)
        except StoreUnreachable as exc:
            # A code that only this host has could not be confirmed at the others.
            _log.warning("the device at %s must try to pair again: %s", connection.address, exc.message)
            _refuse(connection, CloseCode.OVERLOADED, exc.code)
        except MicroclawError as exc:
            _log.warning("pairing of %s failed: %s", connection.address, exc.message)
            _refuse(connection, CloseCode.MALFORMED, type(exc).code)


async def renew(
    device_id: str, credentials: DeviceCredentials, connection: LinkConnection, request_id: bytes, request: PairRequest
) -> None:
    """Send a device a new certificate while its old one is still valid."""
    try:
        answer = await credentials.renew(device_id, request.csr)
        if isinstance(answer, CredentialRefusal):
            _refuse(connection, answer.reason.close_code, str(answer.reason))
        else:
            _answer(connection, request_id, PairDone(answer.certificate))
    except MicroclawError as exc:
        # The disk is full, or the device left: its old certificate stays valid.
        _log.warning("the certificate of %s was not renewed: %s", device_id, exc.message)
        _refuse(connection, CloseCode.OVERLOADED, type(exc).code)


def _answer(connection: LinkConnection, request_id: bytes, body: PairCode | PairDone) -> None:
    connection.session.send(body, re=request_id)
    connection.pump()


def _refuse(connection: LinkConnection, code: int, reason: str) -> None:
    connection.session.refuse(LinkViolation(reason.replace("_", " "), close_code=code, reason=reason))
    connection.pump()
