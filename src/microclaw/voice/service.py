"""Every voice session of the host, and what the host says to a device by itself. It opens no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.channels.delivery import ChannelTasks
from microclaw.errors import MicroclawError
from microclaw.events import VOICE_CHANNEL
from microclaw.link_server.connection import Connection
from microclaw.link_server.device_link import DeviceLink
from microclaw.store.outbox import OutboxRow
from microclaw.voice.engines.engine import failure_text
from microclaw.voice.parts import VoiceParts, crash_text
from microclaw.wire.link.messages import AudioFormat, Notify

if TYPE_CHECKING:
    from microclaw.voice.link_device import LinkVoice
    from microclaw.voice.session import VoiceSession

MAX_SESSIONS: Final = 1_000
NOTE_MS: Final = 3_600_000
"""How long a text waits for a device that is away; then it is not spoken any more."""
_log = logging.getLogger(__name__)


class VoiceService:
    """Inside `serving`, devices that connect get a session, and the outbox's texts for them are spoken."""

    def __init__(
        self,
        parts: VoiceParts,
        *,
        now_ms: Callable[[], int],
        note_taker: Callable[[str], DeviceLink | None],
        devices: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """`note_taker` keeps a note for the device with this id that is away. `devices` are the ids of those that this
        host of a cluster speaks to, beside those with a session here; None for all.
        """
        self.parts = parts
        self._now_ms = now_ms
        self._note_taker = note_taker
        self._devices = devices
        self._sessions: dict[str, VoiceSession] = {}
        self._tasks = ChannelTasks()
        self._is_serving = False

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        async with self._tasks:
            self._is_serving = True
            self._tasks.start(self._deliver(), "voice: deliver")
            try:
                yield
            finally:
                self._is_serving = False
                for session in tuple(self._sessions.values()):
                    session.left()
        await self.parts.recognizer.close()
        await self.parts.synthesizer.close()

    def open_link(self, link: DeviceLink, connection: Connection, audio: AudioFormat) -> LinkVoice:
        """The session of a device on the link; it ends when the device leaves."""
        from microclaw.voice.link_device import LinkVoice  # with what a session is made of, which the first one loads

        voice = LinkVoice(link, connection, audio, self.parts)
        self.begin(voice.session)
        return voice

    def begin(self, session: VoiceSession) -> None:
        """Run a session. One of the same device ends."""
        if not self._is_serving or len(self._sessions) >= MAX_SESSIONS:
            session.left()
            return
        device_id = session.device.device_id
        before = self._sessions.get(device_id)
        if before is not None:
            before.left()
        if not self._sessions:
            self._tasks.start(self._warm_up(), "voice: warm up")
        self._sessions[device_id] = session
        self._tasks.start(self._run(device_id, session), f"voice: {device_id}")
        self.look_again()

    def look_again(self) -> None:
        """Texts of other hosts of a cluster may be for a device of this one now."""
        self.parts.inbox.outbox.look_again(VOICE_CHANNEL)

    async def _warm_up(self) -> None:
        """The first device that can speak is here: its first utterance need not wait for the engine's start."""
        await asyncio.to_thread(self.parts.new_detector)  # its library is loaded once
        try:
            await self.parts.recognizer.warm_up()
        except MicroclawError as exc:
            _log.warning("speech recognition is not ready yet: %s", failure_text(exc))

    async def _run(self, device_id: str, session: VoiceSession) -> None:
        try:
            await session.run()
        except Exception as exc:
            _log.error("a voice session failed: %s", crash_text(exc))
        finally:
            session.left()  # if it failed, its device's streams are refused
            if self._sessions.get(device_id) is session:
                del self._sessions[device_id]

    async def _deliver(self) -> None:
        """Say schedules and notes to devices that are here and keep them for those that are away."""
        devices = self._devices
        chats = None if devices is None else (lambda: {*self._sessions, *devices()})
        async for outbound in self.parts.inbox.outbox.outgoing(VOICE_CHANNEL, chats=chats):
            self._tasks.start(self._say(outbound), "voice: say")

    async def _say(self, outbound: OutboxRow) -> None:
        async with self.parts.inbox.outbox.delivering(VOICE_CHANNEL, outbound.outbound_id):
            session = self._sessions.get(outbound.chat_id)
            if session is not None:
                await session.say(outbound.answer.text)
            elif (taker := self._note_taker(outbound.chat_id)) is not None:
                await taker.send(Notify(outbound.answer.text, speak=True, expires_ms=self._now_ms() + NOTE_MS))
