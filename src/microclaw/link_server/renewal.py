"""A device's new certificate while its old one is good: asked for in place of `hello`, no person needed. Judges nobody.

The connection is authenticated already, and the certificate is for the same device, so there is no code to confirm.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from microclaw.auth.credentials import Refusal
from microclaw.auth.pairing import PairingDesk
from microclaw.errors import LinkViolation, MicroclawError
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import PairDone, PairRequest
from microclaw.wire.link.session import LinkSession

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """The device's connection."""

    session: LinkSession

    def pump(self) -> None: ...


class Renewals:
    """One request a device at a time: a second one before the answer is ignored."""

    def __init__(self, desk: PairingDesk, tasks: asyncio.TaskGroup) -> None:
        self._desk = desk
        self._tasks = tasks
        self._busy: set[str] = set()

    def ask(self, device_id: str, wire: Wire, request_id: bytes, request: PairRequest) -> None:
        if device_id not in self._busy:
            self._busy.add(device_id)
            self._tasks.create_task(self._renew(device_id, wire, request_id, request), name=f"renewal of {device_id}")

    async def _renew(self, device_id: str, wire: Wire, request_id: bytes, request: PairRequest) -> None:
        try:
            answer = await self._desk.renew(device_id, csr=request.csr)
            if isinstance(answer, Refusal):
                reason = str(answer.reason)
                _refuse(wire, answer.close_code, reason)
            else:
                wire.session.send(PairDone(answer.certificate), re=request_id)
        except MicroclawError as exc:  # the disk is full, or the device went away: its old certificate stays good
            _log.warning("the certificate of %s was not renewed: %s", device_id, exc.message)
            _refuse(wire, CloseCode.OVERLOADED, type(exc).code)
        finally:
            self._busy.discard(device_id)
            wire.pump()


def _refuse(wire: Wire, code: int, reason: str) -> None:
    wire.session.refuse(LinkViolation(reason.replace("_", " "), close_code=code, reason=reason))
