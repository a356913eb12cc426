"""The host's calls, each carried out once however often it comes. Runs in the link's thread. Opens no connection.

A durable call is in flash before it is acked, and marked there before it takes effect. After a power cut one that had
not begun is carried out; so is one that had begun and is idempotent. Any other is answered with "outcome unknown".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from microclaw.errors import Overloaded, ProtocolError
from microclaw.link_client.client import LinkClient
from microclaw.link_client.flash import Flash
from microclaw.link_client.host_messages import HostMessages, refusal
from microclaw.virtual.board import UNNAMED, Board
from microclaw.virtual.link.calls import CallWorker
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.calls import ReplyCache
from microclaw.wire.link.messages import AnyMessage, Call, Result
from microclaw.wire.link.values import Id


class MessageHandler:
    """One boot's; `answered` is called with the method once the answer to a call that was carried out is sent."""

    def __init__(
        self,
        board: Board,
        flash: Flash,
        client: LinkClient,
        worker: CallWorker,
        answered: Callable[[str], None],
        took_speech: Callable[[AnyMessage], bool],
        took_update: Callable[[Deliver], bool] = lambda _: False,
    ) -> None:
        self._flash = flash
        self._client = client
        self._worker = worker
        self._answered = answered
        self._replies = ReplyCache()
        show = lambda line: board.print_line(f"link: {line}")  # noqa: E731
        name = None if board.name == UNNAMED else board.name
        self.handle = HostMessages(flash, client, show, self._call, took_speech, took_update, name).handle

    def resume_calls(self) -> None:
        """Carry out the durable calls that the last boot had not answered."""
        for name, (method, params, idempotent, began) in self._flash.under("call/").items():
            message_id = bytes.fromhex(name.removeprefix("call/"))
            call = Call(method, params, idempotent)
            if began and not idempotent:
                text = f"the board lost its power while {method} ran"
                self._finish(message_id, refusal("outcome_unknown", text), durable=True)
            else:
                self._begin(message_id, call, durable=True)

    def _call(self, deliver: Deliver, call: Call) -> None:
        message_id, durable = deliver.envelope.id, deliver.envelope.seq is not None
        if durable:
            effect = {_name(message_id): [call.method, call.params, call.idempotent, False]}
            if not self._client.applied(deliver, effect):
                return
        else:
            try:
                is_new, known = self._replies.begin(message_id, self._client.clock.now_ms())
            except Overloaded as exc:
                self._client.send(refusal(exc.code, exc.message), re=message_id)
                return
            if not is_new:
                if known is not None:
                    self._client.send(known, re=message_id)
                return
        self._begin(message_id, call, durable=durable)

    def _begin(self, message_id: Id, call: Call, *, durable: bool) -> None:
        clock = self._client.clock
        until_ms = math.inf if call.ttl_ms is None else clock.now_ms() + call.ttl_ms

        def started() -> None:
            if clock.now_ms() >= until_ms:
                raise CallRefused("expired", "the call waited here for longer than its ttl_ms")
            if durable and not call.idempotent:
                self._flash.commit({_name(message_id): [call.method, call.params, call.idempotent, True]})

        def done(result: Result) -> None:
            self._client.post(lambda: self._finish(message_id, result, durable=durable, call=call), must=True)

        try:
            self._worker.take(call, started, done)
        except Overloaded as exc:
            self._finish(message_id, refusal(exc.code, exc.message), durable=durable)

    def _finish(self, message_id: Id, result: Result, *, durable: bool, call: Call | None = None) -> None:
        if not durable:
            self._replies.finish(message_id, result, self._client.clock.now_ms())
        self._answer(message_id, result, durable=durable)
        if call is not None and result.ok:
            self._answered(call.method)

    def _answer(self, message_id: Id, result: Result, *, durable: bool) -> None:
        also: dict[str, Any] | None = {_name(message_id): None} if durable else None
        try:
            self._client.send(result, re=message_id, durable=durable, also=also)
        except ProtocolError as exc:
            self._client.send(refusal("result_too_large", exc.message), re=message_id, durable=durable, also=also)


def _name(message_id: Id) -> str:
    return f"call/{message_id.hex()}"
