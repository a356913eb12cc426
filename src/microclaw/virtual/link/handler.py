"""Acts on each message of the host once, however often it comes. Runs in the link's thread. Opens no connection.

A durable call is in flash before it is acked, and marked there before it takes effect. After a power cut one that had
not begun is carried out; so is one that had begun and is idempotent. Any other is answered with "outcome unknown".
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from microclaw.errors import MicroclawError, Overloaded, ProtocolError
from microclaw.text import clean_text
from microclaw.virtual.board import Board
from microclaw.virtual.link.calls import CallWorker, Work, refusal
from microclaw.virtual.link.client import LinkClient
from microclaw.virtual.link.flash import Flash
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.calls import ReplyCache
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import (
    Bye,
    Call,
    ErrorMessage,
    Notify,
    OtaCancel,
    OtaOffer,
    PairCode,
    PairDone,
    Result,
    TaskStatus,
    Token,
    UiState,
)
from microclaw.wire.link.values import Id

NOTIFICATIONS_KEPT: Final = 16
MAX_SHOWN_CHARS: Final = 500
_log = logging.getLogger(__name__)


class MessageHandler:
    """One boot's; `answered` is called with the method once the answer to a call that was carried out is sent."""

    def __init__(
        self, board: Board, flash: Flash, client: LinkClient, worker: CallWorker, answered: Callable[[str], None]
    ) -> None:
        self._board = board
        self._flash = flash
        self._client = client
        self._worker = worker
        self._answered = answered
        self._replies = ReplyCache()

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

    def handle(self, deliver: Deliver) -> None:
        envelope = deliver.envelope
        match envelope.body:
            case Call() as call:
                self._call(deliver, call)
            case Notify(text=text):
                self._notify(deliver, text)
            case TaskStatus(task=task, state=task_state, text=text):
                if self._client.applied(deliver):
                    self._show(f"task {task[:60]}: {task_state}{f': {text}' if text else ''}")
            case OtaOffer() | OtaCancel():
                if self._client.applied(deliver):
                    refusal_text = "this board takes no updates over the link"
                    self._client.send(ErrorMessage("not_supported", refusal_text, fatal=False), re=envelope.id)
            case Token(token=token):
                self._client.identity.keep_token(token)
            case UiState() as news:
                present = {k: v for k, v in structs.asdict(news).items() if v is not None}
                self._client.state.ui |= {k: _one_line(v) if isinstance(v, str) else v for k, v in present.items()}
            case PairCode(code=code, expires_s=expires_s):
                self._show_code(code, expires_s)
            case PairDone() as done:
                self._paired(done)
            case ErrorMessage(code=code, message=message, fatal=fatal):
                self._client.state.error = _one_line(f"{code}: {message}")
                _log.warning("the host says%s %s", " (fatal)" if fatal else "", self._client.state.error)
            case Bye(reason=reason):
                _log.info("the host says bye: %s", _one_line(reason))
            case _:  # speech, which this board cannot play, and messages of later versions
                self._client.applied(deliver)

    # Calls

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
        if deliver.expired:
            self._finish(message_id, refusal("expired", "the call came after its deadline"), durable=durable)
        else:
            self._begin(message_id, call, durable=durable)

    def _begin(self, message_id: Id, call: Call, *, durable: bool) -> None:
        def started() -> None:
            if durable and not call.idempotent:
                self._flash.commit({_name(message_id): [call.method, call.params, call.idempotent, True]})

        def done(result: Result) -> None:
            self._client.post(lambda: self._finish(message_id, result, durable=durable, call=call), must=True)

        try:
            self._worker.take(Work(call, started, done))
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

    # Others

    def _notify(self, deliver: Deliver, text: str) -> None:
        if deliver.expired:
            self._client.applied(deliver)
            return
        kept = [*self._flash.get("notifications", []), _one_line(text)]
        count = self._flash.get("notified", 0) + 1
        effect = {"notifications": kept[-NOTIFICATIONS_KEPT:], "notified": count}
        if self._client.applied(deliver, effect):
            self._show(f"notify: {text}")

    def _show_code(self, code: str, expires_s: int) -> None:
        self._client.state.code = code
        print(f"pairing code {code}, good for {expires_s} s: microclaw device pair {code}", file=sys.stderr, flush=True)
        self._show(f"pairing code {code}")

    def _paired(self, done: PairDone) -> None:
        try:
            self._client.identity.accept(done)
        except MicroclawError as exc:
            self._client.state.enter("pairing", exc.message)
            self._client.close(CloseCode.MALFORMED, exc.message)
            return
        self._client.state.code = None
        self._show(f"paired as {self._client.identity.device_id}")
        self._client.paired()

    def _show(self, text: str) -> None:
        self._board.print_line(f"link: {_one_line(text)}")


def _one_line(text: str) -> str:
    """A host's text as one console line."""
    return clean_text(text, one_line=True, limit=MAX_SHOWN_CHARS)


def _name(message_id: Id) -> str:
    return f"call/{message_id.hex()}"
