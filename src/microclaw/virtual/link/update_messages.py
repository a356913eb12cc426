"""Updates over the link: the messages and the clock that one boot's updater needs. Decides nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import structs

from microclaw.link_client.client import LinkClient
from microclaw.virtual.board import Board
from microclaw.virtual.updates.slots import Slots, Start
from microclaw.virtual.updates.updater import Updater
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import AnyMessage, BlobRead, ErrorMessage, Hello, OtaCancel, OtaFacts, OtaOffer
from microclaw.wire.link.states import Phase

TICK_S: Final = 5.0
_YEAR_2001_MS: Final = 978_307_200_000
"""A calendar before it was never set."""


class LinkUpdates:
    """One boot's. `reboot` resets the board; it is called in the link's thread once the connection is over."""

    def __init__(
        self,
        client: LinkClient,
        board: Board,
        slots: Slots,
        start: Start,
        reset_reason: str,
        reboot: Callable[[], None],
    ) -> None:
        self._client = client
        self._board = board
        self._reboot = reboot
        self._updater = Updater(slots, start, self, reset_reason)
        self._timer: threading.Timer | None = None
        self._facts: OtaFacts | None = None  # that the next greeting tells
        self._tell_facts()
        client.take_blob = self._updater.take
        client.welcomed = self._welcomed

    def start(self) -> None:
        """Before the client connects."""
        self._client.post(self._boot, must=True)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def took(self, deliver: Deliver) -> bool:
        """True if the message was for updates."""
        match deliver.envelope.body:
            case OtaOffer(manifest=manifest, signature=signature) if self._updater.takes_updates:
                self._updater.offered(manifest, signature)
            case OtaCancel(version=version) if self._updater.takes_updates:
                self._updater.cancelled(version)
            case ErrorMessage(code=code) if code.startswith("blob_"):
                self._updater.refused(code)
                return True
            case _:
                return False
        self._client.applied(deliver)  # after its effect: a cut between brings it again, and it changes nothing then
        self._updater.go_on()
        self._watch()
        before = self._facts
        self._tell_facts()
        if before is not None and self._facts is not None and before.keys != self._facts.keys:
            self._client.leave(CloseCode.DONE, "other keys", lambda: None)  # and back at once: only `hello` tells them
        return True

    # What the updater needs

    def say(self, message: AnyMessage) -> None:
        if isinstance(message, BlobRead):
            self._client.send(message)
        else:
            self._client.keep_now(message)

    def restart(self) -> None:
        self._client.leave(CloseCode.SHUTTING_DOWN, "an update", self._reboot)

    def device_id(self) -> str:
        return self._client.state.device_id or ""

    def is_ready(self) -> bool:
        return self._client.session.phase is Phase.READY

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc_s(self) -> int | None:
        now_ms = self._board.calendar_ms(self._board.clock.now_ms())
        return int(now_ms) // 1000 if now_ms >= _YEAR_2001_MS else None

    # What happens

    def _welcomed(self) -> None:
        self._updater.ready()
        self._tell_facts()

    def _tell_facts(self) -> None:
        """The next greeting says what the board takes now."""
        opening = self._client.session.opening
        assert isinstance(opening, Hello)
        self._facts = self._updater.facts()
        self._client.session.opening = structs.replace(opening, ota=self._facts)

    def _boot(self) -> None:
        self._updater.booted()
        self._watch()

    def _watch(self) -> None:
        """Look after a download or a trial again in some seconds."""
        if self._timer is None and self._updater.is_waiting and not self._client.is_over:
            self._timer = threading.Timer(TICK_S, lambda: self._client.post(self._tick, must=True))
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        self._timer = None
        self._updater.tick()
        self._watch()
