"""Acts on each message of the host once, however often it comes. Runs in the link's thread. Opens no connection.

Calls and speech are for the device that it serves; what every device does alike is here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Final

from msgspec import structs

from microclaw.errors import MicroclawError
from microclaw.link_client.client import LinkClient
from microclaw.link_client.flash import Flash
from microclaw.text import clean_text
from microclaw.wire.link import messages
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import AnyMessage, ErrorMessage, Result

NOTIFICATIONS_KEPT: Final = 16
MAX_SHOWN_CHARS: Final = 500
_log = logging.getLogger(__name__)


class HostMessages:
    """One boot's. `show` gets a line for the device's screen, `take_call` each call before it is acked.

    `took_update` and `took_speech` say whether what they got was for them. `name`: what a person calls the device.
    """

    def __init__(
        self,
        flash: Flash,
        client: LinkClient,
        show: Callable[[str], None],
        take_call: Callable[[Deliver, messages.Call], None],
        took_speech: Callable[[AnyMessage], bool],
        took_update: Callable[[Deliver], bool] = lambda _: False,
        name: str | None = None,
    ) -> None:
        self._flash = flash
        self._client = client
        self._name = name
        self._show_line = show
        self._take_call = take_call
        self._took_speech = took_speech
        self._took_update = took_update

    def handle(self, deliver: Deliver) -> None:
        envelope = deliver.envelope
        match envelope.body:
            case messages.Call() as call:
                self._take_call(deliver, call)
            case messages.Notify(text=text):
                self._notify(deliver, text)
            case messages.TaskStatus(task=task, state=task_state, text=text):
                if self._client.applied(deliver):
                    self._show(f"task {task[:60]}: {task_state}{f': {text}' if text else ''}")
            case messages.OtaOffer() | messages.OtaCancel() | ErrorMessage() if self._took_update(deliver):
                pass
            case messages.OtaOffer() | messages.OtaCancel():
                if self._client.applied(deliver):
                    refusal_text = "this device takes no updates over the link"
                    self._client.send(ErrorMessage("not_supported", refusal_text, fatal=False), re=envelope.id)
            case messages.Token(token=token):
                self._client.identity.keep_token(token)
            case messages.UiState() as news:
                present = {k: v for k, v in structs.asdict(news).items() if v is not None}
                self._client.state.ui |= {k: _one_line(v) if isinstance(v, str) else v for k, v in present.items()}
            case messages.PairCode(code=code, expires_s=expires_s):
                self._show_code(code, expires_s)
            case messages.PairDone() as done:
                self._paired(done)
            case ErrorMessage(code=code, message=message, fatal=fatal):
                self._client.state.error = _one_line(f"{code}: {message}")
                _log.warning("the host says%s %s", " (fatal)" if fatal else "", self._client.state.error)
            case messages.Bye(reason=reason):
                _log.info("the host says bye: %s", _one_line(reason))
            case messages.Unknown():
                self._client.applied(deliver)
            case body if not self._took_speech(body):  # what is for a board of another kind
                self._client.applied(deliver)

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
        words = f"device pair {code}" + (f" --name {self._name}" if self._name else "")
        print(f"pairing code {code}, good for {expires_s} s: microclaw {words}", file=sys.stderr, flush=True)
        self._show(f"pairing code {code}")

    def _paired(self, done: messages.PairDone) -> None:
        try:
            self._client.identity.accept(done)
        except MicroclawError as exc:
            self._client.state.enter("pairing", exc.message)
            self._client.close(CloseCode.MALFORMED, exc.message)
            return
        self._client.state.code = None
        self._show("paired with the host")
        self._client.paired()

    def _show(self, text: str) -> None:
        self._show_line(_one_line(text))


def refusal(code: str, message: str) -> Result:
    """The answer to a call that is not carried out."""
    return Result(False, error=messages.ErrorInfo(code, message[:400]))


def _one_line(text: str) -> str:
    """A host's text as one console line."""
    return clean_text(text, one_line=True, limit=MAX_SHOWN_CHARS)
