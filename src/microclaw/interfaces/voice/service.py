"""The voice sessions of the host, and the texts that it speaks on devices unasked. It opens no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_link import DeviceLink
from microclaw.errors import MicroclawError
from microclaw.events import VOICE_CHANNEL
from microclaw.host.store.outbox import OutboxRow
from microclaw.interfaces.channels.delivery import ChannelTasks
from microclaw.interfaces.voice.engines.engine import failure_text
from microclaw.interfaces.voice.session_context import VoiceParts, crash_text
from microclaw.wire.link.messages import AudioFormat, Notify

if TYPE_CHECKING:
    from microclaw.interfaces.voice.link_device import LinkVoice
    from microclaw.interfaces.voice.session import VoiceSession

MAX_SESSIONS: Final = 1_000
NOTE_MS: Final = 3_600_000
"""How long a text waits for a device that is away, in ms. Later it is not spoken any more."""
_log = logging.getLogger(__name__)


class VoiceService:
    """All voice sessions. Inside `serving`, connected devices get a session, and the outbox's texts are spoken."""

    def __init__(
        self,
        parts: VoiceParts,
        *,
        now_ms: Callable[[], int],
        note_taker: Callable[[str], DeviceLink | None],
        devices: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Create the service.

        `note_taker` returns a link that keeps a note for an absent device. `devices` returns the ids of the devices
        without a session here to which this host of a cluster speaks; None for all devices.
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

    def open_link(self, link: DeviceLink, connection: LinkConnection, audio: AudioFormat) -> LinkVoice:
        """Begin the session of a device on the link. It ends when the device leaves."""
        # A host without voice devices does not load the modules of a session.
        from microclaw.interfaces.voice.link_device import LinkVoice

        voice = LinkVoice(link, connection, audio, self.parts)
        self.begin(voice.session)
        return voice

    def begin(self, session: VoiceSession) -> None:
        """Run a session, and end an earlier session of the same device."""
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
        """Look at the outbox again: texts of other hosts of a cluster may now be for a device of this host."""
        self.parts.inbox.outbox.look_again(VOICE_CHANNEL)

    async def _warm_up(self) -> None:
        """Start the engine when the first device connects, so that its first utterance need not wait."""
        # The first detector loads a library.
        await asyncio.to_thread(self.parts.new_detector)
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
            # After a failure, the streams of the device are refused.
            session.left()
            if self._sessions.get(device_id) is session:
                del self._sessions[device_id]

    async def _deliver(self) -> None:
        """Speak texts of schedules and notes on connected devices, and keep them for absent devices."""
        chats = None if self._devices is None else self._chats
        async for outbound in self.parts.inbox.outbox.outgoing(VOICE_CHANNEL, chats=chats):
            self._tasks.start(self._say(outbound), "voice: say")

    def _chats(self) -> Collection[str]:
        """Return the ids of the devices to which this host of a cluster speaks."""
        assert self._devices is not None
        return {*self._sessions, *self._devices()}

    async def _say(self, outbound: OutboxRow) -> None:
        """Speak a text on its device, or leave it with the device's note taker."""
        async with self.parts.inbox.outbox.while_delivering(VOICE_CHANNEL, outbound.outbound_id):
            session = self._sessions.get(outbound.chat_id)
            if session is not None:
                await session.say(outbound.answer.text)
                return
            note_taker = self._note_taker(outbound.chat_id)
            if note_taker is not None:
                expires_ms = self._now_ms() + NOTE_MS
                await note_taker.outbox.send(Notify(outbound.answer.text, speak=True, expires_ms=expires_ms))
