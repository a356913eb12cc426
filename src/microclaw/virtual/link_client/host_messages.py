"""Handles each message of the host once, also if it is sent several times. Runs in the link's thread.

Opens no connection. Calls and speech are for the device that it serves; the messages that every device handles alike
are handled here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Final

from msgspec import structs

from microclaw.errors import MicroclawError
from microclaw.text import clean_text
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.link_client.flash import Flash
from microclaw.wire.link import messages
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import AnyMessage, ErrorMessage, Result

NOTIFICATIONS_KEPT: Final = 16
MAX_SHOWN_CHARS: Final = 500
_log = logging.getLogger(__name__)


class HostMessages:
    """The handler of one boot. `show` gets a line for the device's screen, `take_call` each call before it is acked.

    `took_update`, `took_fetch` and `took_speech` return True if the message was for them. `name` is the person's name
    for the device.
    """

    def __init__(
        self,
        flash: Flash,
        client: LinkClient,
        show: Callable[[str], None],
        take_call: Callable[[Deliver, messages.Call], None],
        *,
        took_speech: Callable[[AnyMessage], bool],
        took_update: Callable[[Deliver], bool] = lambda _: False,
        took_fetch: Callable[[Deliver], bool] = lambda _: False,
        name: str | None = None,
    ) -> None:
        self._flash = flash
        self._client = client
        self._name = name
        self._show_line = show
        self._take_call = take_call
        self._took_speech = took_speech
        self._took_update = took_update
        self._took_fetch = took_fetch

    def handle(self, deliver: Deliver) -> None:
        """Handle a message, and ack it if it is durable."""
        match deliver.envelope.body:
            case messages.Call() as call:
                self._take_call(deliver, call)
            case messages.Notify(text=text):
                self._notify(deliver, text)
            case messages.TaskStatus() as status:
                self._show_task(deliver, status)
            case messages.Fetched() | messages.FetchPiece() | ErrorMessage() if self._took_fetch(deliver):
                pass
            case messages.OtaOffer() | messages.OtaCancel() | ErrorMessage() if self._took_update(deliver):
                pass
            case messages.OtaOffer() | messages.OtaCancel():
                self._refuse_update(deliver)
            case messages.Token() | messages.PairCode() | messages.PairDone() as credential:
                self._handle_credential(credential)
            case messages.UiState() | ErrorMessage() | messages.Bye() as news:
                self._note_state(news)
            # A message for another kind of board is acked too.
            case message if isinstance(message, messages.Unknown) or not self._took_speech(message):
                self._client.commit_effect(deliver)

    def _show_task(self, deliver: Deliver, status: messages.TaskStatus) -> None:
        if self._client.commit_effect(deliver):
            line = f"task {status.task[:60]}: {status.state}"
            if status.text:
                line += f": {status.text}"
            self._show(line)

    def _refuse_update(self, deliver: Deliver) -> None:
        if self._client.commit_effect(deliver):
            error = ErrorMessage("not_supported", "this device takes no updates over the link", fatal=False)
            self._client.send(error, re=deliver.envelope.id)

    def _handle_credential(self, message: messages.Token | messages.PairCode | messages.PairDone) -> None:
        match message:
            case messages.Token(token=token):
                self._client.identity.keep_token(token)
            case messages.PairCode(code=code, expires_s=expires_s):
                self._show_code(code, expires_s)
            case messages.PairDone():
                self._finish_pairing(message)

    def _note_state(self, message: messages.UiState | ErrorMessage | messages.Bye) -> None:
        state = self._client.state
        match message:
            case messages.UiState():
                for name, value in structs.asdict(message).items():
                    if value is not None:
                        state.ui[name] = _one_line(value) if isinstance(value, str) else value
            case ErrorMessage(code=code, message=text, fatal=is_fatal):
                state.error = _one_line(f"{code}: {text}")
                note = " (fatal)" if is_fatal else ""
                _log.warning("the host says%s %s", note, state.error)
            case messages.Bye(reason=reason):
                _log.info("the host says bye: %s", _one_line(reason))

    def _notify(self, deliver: Deliver, text: str) -> None:
        if deliver.expired:
            self._client.commit_effect(deliver)
            return
        notifications = [*self._flash.get("notifications", []), _one_line(text)]
        count = self._flash.get("notified", 0) + 1
        effect = {"notifications": notifications[-NOTIFICATIONS_KEPT:], "notified": count}
        if self._client.commit_effect(deliver, effect):
            self._show(f"notify: {text}")

    def _show_code(self, code: str, expires_s: int) -> None:
        self._client.state.code = code
        command = f"microclaw device pair {code}"
        if self._name:
            command += f" --name {self._name}"
        print(f"pairing code {code}, good for {expires_s} s: {command}", file=sys.stderr, flush=True)
        self._show(f"pairing code {code}")

    def _finish_pairing(self, done: messages.PairDone) -> None:
        try:
            self._client.identity.accept(done)
        except MicroclawError as exc:
            self._client.state.enter("pairing", exc.message)
            self._client.close(CloseCode.MALFORMED, exc.message)
            return
        self._client.state.code = None
        self._show("paired with the host")
        self._client.reconnect_paired()

    def _show(self, text: str) -> None:
        self._show_line(_one_line(text))


def refusal(code: str, message: str) -> Result:
    """Build the answer to a call that is refused."""
    return Result(ok=False, error=messages.ErrorInfo(code, message[:400]))


def _one_line(text: str) -> str:
    """Clean and cut a host's text to one console line."""
    return clean_text(text, one_line=True, limit=MAX_SHOWN_CHARS)
