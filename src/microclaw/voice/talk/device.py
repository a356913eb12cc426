"""This machine as a device on the link: it hears and speaks, and has no pins. It knows no sound card."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from microclaw import __version__
from microclaw.boards.voice import VOICE_BOARD
from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.link_client.client import LinkClient
from microclaw.link_client.flash import Flash
from microclaw.link_client.host_messages import HostMessages, refusal
from microclaw.link_client.identity import LinkAddress
from microclaw.link_client.speech import FRAME_MS, RATE_HZ, SpeechEnd, SpeechStreams
from microclaw.link_client.state import LinkState
from microclaw.voice.talk.speaker import AHEAD_MS
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.messages import AnyMessage, AudioFormat, Call, Hello, Software, Telemetry, UiState

FIRMWARE: Final = "microclaw-talk"
LOCK_NAME: Final = "lock"
FORMAT: Final = AudioFormat(codecs=("pcm16",), rate=RATE_HZ, frame_ms=FRAME_MS, buffer_ms=AHEAD_MS)
CONNECT_S: Final = 20.0
LOOK_EVERY_S: Final = 0.05
GOODBYE_S: Final = 1.0


class TalkEnd(SpeechEnd, Protocol):
    """What it does with its speech, and with what the host and the link say besides."""

    def activity(self, *, is_idle: bool) -> None:
        """The host listens, thinks or speaks, or does none of it any more (`is_idle`)."""

    def note(self, text: str) -> None:
        """A line for the screen."""


class TalkDevice:
    """`with` connects it; its credential is in `folder`, which one process has at a time."""

    def __init__(self, folder: Path, address: LinkAddress, end: TalkEnd) -> None:
        self._lock = _held(folder)
        self._end = end
        self._began_s = time.monotonic()
        try:
            self._flash = Flash(folder / "link")
            self.state = LinkState()
            hello = Hello(
                boot_id=secrets.token_bytes(16),
                firmware=Software(FIRMWARE, __version__),
                board=VOICE_BOARD.board_id,
                capabilities=(),
                tx_epoch=bytes(8),  # the session says which
                rx_seq=0,
                reset_reason="power_on",
                kinds=(),
                audio=FORMAT,
            )
            self._client = LinkClient(self._flash, address, hello, self.state, self._measure, lambda _unix_ms: None)
        except BaseException:
            os.close(self._lock)
            raise
        self.streams = SpeechStreams(end, self._client.post, self._client.send, self._client.session.send_audio)
        self._client.hear = self.streams.hear
        self._messages = HostMessages(self._flash, self._client, end.note, self._refuse, self._took)

    def __enter__(self) -> TalkDevice:
        self._client.start(self._messages.handle)
        give_up_s = time.monotonic() + CONNECT_S
        try:
            while not self.is_connected:
                if time.monotonic() > give_up_s or self.state.name == "refused":
                    raise DeviceUnreachable(
                        f"the host does not let this machine in: {self.state.error or self.state.name}",
                        next_step="microclaw status; microclaw device remove NAME makes it pair anew",
                    )
                time.sleep(LOOK_EVERY_S)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.goodbye("ended", GOODBYE_S)
        self._close()

    @property
    def is_connected(self) -> bool:
        return self.state.name == "connected"

    def _close(self) -> None:
        self._flash.close()
        self._client.end()
        os.close(self._lock)

    def _took(self, body: AnyMessage) -> bool:
        if isinstance(body, UiState):
            self._end.activity(is_idle=not (body.listening or body.thinking or body.speaking))
            return True
        return self.streams.took(body)

    def _refuse(self, deliver: Deliver, call: Call) -> None:
        """A durable one is acked and answered; should the process end between the two, its caller learns nothing."""
        if self._client.applied(deliver):
            answer = refusal("not_supported", f"this machine has no method {call.method[:60]}: it is spoken to")
            self._client.send(answer, re=deliver.envelope.id, durable=deliver.envelope.seq is not None)

    def _measure(self) -> Telemetry:
        return Telemetry(free_heap=0, uptime_s=int(time.monotonic() - self._began_s), apps=())


def _held(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise ConfigError(
            "another `voice talk` speaks here already", next_step="end it, or be another device: --name NAME"
        ) from exc
    return lock
