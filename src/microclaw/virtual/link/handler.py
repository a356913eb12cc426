"""The host's calls, each carried out once however often it comes, one at a time on a thread of its own.

A durable call is in flash before it is acked, and marked there before it takes effect. After a power cut one that had
not begun is carried out; so is one that had begun and is idempotent. Any other is answered with "outcome unknown".
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from microclaw.errors import MicroclawError, NotSupported, Overloaded, ProtocolError
from microclaw.virtual.link.calls import Method
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.link_client.flash import Flash, PowerGone
from microclaw.virtual.link_client.host_messages import refusal
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.calls import ReplyCache
from microclaw.wire.link.messages import Call, Result
from microclaw.wire.link.values import Id

MAX_WAITING: Final = 64
_log = logging.getLogger(__name__)


class _Work(NamedTuple):
    message_id: Id
    call: Call
    durable: bool
    until_ms: float

    @property
    def key(self) -> str:
        """Its name in flash."""
        return f"call/{self.message_id.hex()}"

    def entry(self, *, began: bool) -> dict[str, Any]:
        return {self.key: [self.call.method, self.call.params, self.call.idempotent, began]}


class CallHandler:
    """One boot's; `answered` is called with the method once the answer to a call that was carried out is sent."""

    def __init__(
        self, methods: Mapping[str, Method], flash: Flash, client: LinkClient, answered: Callable[[str], None]
    ) -> None:
        self._methods = methods
        self._flash = flash
        self._client = client
        self._answered = answered
        self._replies = ReplyCache()
        self._waiting: queue.Queue[_Work | None] = queue.Queue(MAX_WAITING + 1)
        self._thread = threading.Thread(target=self._run, name="link-calls", daemon=True)

    def start(self) -> None:
        """Carry out first the durable calls that the last boot had not answered."""
        self._client.post(self._resume, must=True)
        self._thread.start()

    def end(self) -> None:
        """End the thread once the running call has returned."""
        with contextlib.suppress(queue.Full):  # the thread sees that the client is over
            self._waiting.put_nowait(None)

    def take(self, deliver: Deliver, call: Call) -> None:
        """Take a call of the host, in the link's thread as all that is not the worker's."""
        message_id = deliver.envelope.id
        now_ms = self._client.clock.now_ms()
        if call.ttl_ms is None:
            until_ms = math.inf
        else:
            until_ms = now_ms + call.ttl_ms
        work = _Work(message_id, call, deliver.envelope.seq is not None, until_ms)
        if work.durable:
            if self._client.commit_effect(deliver, work.entry(began=False)):
                self._begin(work)
            return
        try:
            is_new, known = self._replies.begin(message_id, now_ms)
        except Overloaded as exc:
            self._client.send(refusal(exc.code, exc.message), re=message_id)
            return
        if is_new:
            self._begin(work)
        elif known is not None:
            self._client.send(known, re=message_id)

    def _resume(self) -> None:
        for key, (method, params, idempotent, began) in self._flash.under("call/").items():
            call = Call(method, params, idempotent)
            work = _Work(bytes.fromhex(key.removeprefix("call/")), call, durable=True, until_ms=math.inf)
            if began and not idempotent:
                text = f"the board lost its power while {method} ran"
                self._finish(work, refusal("outcome_unknown", text))
            else:
                self._begin(work)

    def _begin(self, work: _Work) -> None:
        if self._waiting.qsize() >= MAX_WAITING:
            self._finish(work, refusal(Overloaded.code, f"{MAX_WAITING} calls wait"))
        else:
            self._waiting.put_nowait(work)

    def _finish(self, work: _Work, result: Result) -> None:
        if not work.durable:
            self._replies.finish(work.message_id, result, self._client.clock.now_ms())
        if work.durable:
            also: dict[str, Any] | None = {work.key: None}
        else:
            also = None
        send = partial(self._client.send, re=work.message_id, durable=work.durable, also=also)
        try:
            send(result)
        except ProtocolError as exc:
            send(refusal("result_too_large", exc.message))
        if result.ok:
            self._answered(work.call.method)

    # The worker's thread

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._client.is_over:
            try:
                result = self._carry_out(work)
            except PowerGone:
                return
            self._client.post(partial(self._finish, work, result), must=True)

    def _carry_out(self, work: _Work) -> Result:
        """Return the answer to any call. Raises PowerGone if the power goes meanwhile."""
        call = work.call
        try:
            if self._client.clock.now_ms() >= work.until_ms:
                raise CallRefused("expired", "the call waited here for longer than its ttl_ms")
            method = self._methods.get(call.method)
            if method is None:
                raise NotSupported(f"this board has no method {call.method[:60]}")
            if work.durable and not call.idempotent:
                self._flash.commit(work.entry(began=True))
            return Result(ok=True, value=method(call.params))
        except PowerGone:
            raise
        except MicroclawError as exc:  # also a full disk: what cannot be noted down is not begun
            return refusal(exc.code, exc.message)
        except Exception:
            _log.exception("the call %s failed", call.method)  # the next call must find the board alive
            return refusal("internal_error", f"{call.method} failed inside the virtual board")
