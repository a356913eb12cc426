"""A connection without a credential: it may ask to be paired, and nothing else. It judges nobody: the desk does."""

from __future__ import annotations

import asyncio
import logging

from microclaw.auth.credentials import Refusal
from microclaw.auth.pairing import Paired, PairingDesk, PendingPairing
from microclaw.errors import DeviceUnreachable, LinkViolation, MicroclawError
from microclaw.link_server.device_link import Wire
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import Envelope, Hello, PairCode, PairDone, PairRequest

_log = logging.getLogger(__name__)


class Visitor:
    """Owner of one such connection. One request at a time: a newer one withdraws the older."""

    def __init__(self, address: str, desk: PairingDesk, tasks: asyncio.TaskGroup) -> None:
        self.wire: Wire | None = None
        self._address = address
        self._desk = desk
        self._tasks = tasks
        self._asking: asyncio.Task[None] | None = None

    def took(self, envelope: Envelope) -> None:
        if isinstance(envelope.body, PairRequest):
            self.leave()
            asked = self._ask(envelope.id, envelope.body)
            self._asking = self._tasks.create_task(asked, name=f"pairing of {self._address}")

    def leave(self) -> None:
        """The connection is gone: its code is nobody's any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, request_id: bytes, request: PairRequest) -> None:
        try:
            answer = await self._desk.request(
                self._address,
                request.board,
                csr=request.csr,
                token_wanted=bool(request.token_wanted),
                secret=request.secret,
            )
            if isinstance(answer, PendingPairing):
                self._say(request_id, PairCode(answer.code, int(self._desk.limits.code_life_s)))
                answer = await self._desk.outcome(answer)
            if isinstance(answer, Refusal):
                self._refuse(answer.close_code, str(answer.reason))
            elif isinstance(answer, Paired):
                token = answer.token.token if answer.token is not None else None
                self._say(request_id, PairDone(answer.certificate, token))
        except DeviceUnreachable:
            _log.info("the device at %s went away while it was being paired", self._address)
        except MicroclawError as exc:
            _log.warning("pairing of %s failed: %s", self._address, exc.message)
            self._refuse(CloseCode.MALFORMED, type(exc).code)

    def _say(self, request_id: bytes, body: PairCode | PairDone) -> None:
        assert self.wire is not None
        self.wire.session.send(body, re=request_id)
        self.wire.pump()

    def _refuse(self, code: int, reason: str) -> None:
        assert self.wire is not None
        self.wire.session.refuse(LinkViolation(reason.replace("_", " "), close_code=code, reason=reason))
        self.wire.pump()

    def ready(self, hello: Hello) -> None:
        raise AssertionError(f"the hello of a stranger was welcomed: {hello.board}")

    def measured(self, rtt_ms: float) -> None:
        """Nobody asks how far away a stranger is."""
