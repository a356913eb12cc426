"""The connection of a device with xiaozhi's firmware over its WebSocket: the VoiceDevice of a session.

docs/protocols/xiaozhi.md is the contract. The server opens the socket.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, assert_never

from aiohttp import WSCloseCode, WSMsgType, web

from microclaw.devices.link.limits import RateLimit
from microclaw.devices.registry.device import Device
from microclaw.errors import MicroclawError, ProtocolError, VoiceError
from microclaw.interfaces.voice.device import Activity
from microclaw.interfaces.voice.engines.engine import RATE_HZ, Transcript
from microclaw.interfaces.voice.listening import HOLD_TRIGGER
from microclaw.interfaces.voice.opus import OpusDecoder, OpusEncoder
from microclaw.interfaces.voice.service import VoiceService
from microclaw.interfaces.voice.session import VoiceSession
from microclaw.interfaces.voice.session_context import crash_text
from microclaw.interfaces.voice.xiaozhi.device_tools import DeviceTools
from microclaw.wire import xiaozhi
from microclaw.wire.xiaozhi import Abort, Listen, Mcp, Mode, XiaozhiHello

FRAMES_AHEAD: Final = 5
"""The device holds 40 frames and silently drops further ones; other servers send five ahead."""
START_PAUSE_S: Final = 0.1
"""The pause between `tts start` and the first audio: the device empties its queue when it receives the start."""
STOP_PAUSE_S: Final = 0.3
"""The pause after the last frame: on older firmware `tts stop` ends audio that still plays."""
MAX_TEXT: Final = 2_000
TEXTS_A_SECOND: Final = 20.0
TEXTS_AT_ONCE: Final = 60.0
FRAMES_A_SECOND: Final = 60.0
FRAMES_AT_ONCE: Final = 200.0
"""A device sends 17 frames a second, and at the start all frames of its wake word at once."""
MAX_BAD_PACKETS: Final = 20
MAX_WAITING: Final = 512
"""Messages that wait for the device. If it reads nothing, about twelve a second are added."""
SEND_S: Final = 5.0
_log = logging.getLogger(__name__)


class _Ended(Exception):
    """Ends the tasks of a connection."""


class XiaozhiConnection:
    """One connection. It ends when the device leaves, breaks the protocol or is silent for long, or by `end`."""

    rate_hz: Final = xiaozhi.DOWN_RATE_HZ
    frame_ms: Final = xiaozhi.DOWN_FRAME_MS
    ahead_ms: Final = FRAMES_AHEAD * xiaozhi.DOWN_FRAME_MS

    def __init__(
        self,
        device: Device,
        session_id: str,
        voice: VoiceService,
        *,
        hello_s: float,
        idle_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = VoiceSession(self, voice.parts)
        self.tools = DeviceTools(lambda payload: self._send("mcp", payload=payload), device)
        self._device = device
        self._session_id = session_id
        self._voice = voice
        self._hello_s = hello_s
        self._idle_s = idle_s
        self._now_s = now_s
        # The version of the protocol; None before the device's hello.
        self._version: int | None = None
        self._has_tools = False
        self._texts = RateLimit(TEXTS_A_SECOND, TEXTS_AT_ONCE, now_s())
        self._frames = RateLimit(FRAMES_A_SECOND, FRAMES_AT_ONCE, now_s())
        # Messages, audio packets and pauses in seconds.
        self._outgoing: deque[str | bytes | float] = deque()
        self._has_outgoing = asyncio.Event()
        self._decoder: OpusDecoder | None = None
        self._encoder: OpusEncoder | None = None
        self._mode: Mode = "auto"
        # Whether its microphone is open, as far as this host knows.
        self._device_listens = False
        self._stream = 0
        self._is_speaking = False
        self._was_woken = False
        self._bad_packets = 0
        self._activity: Activity = "idle"
        # The time of the last message in either direction.
        self._active_s = now_s()
        self._ended = asyncio.Event()
        self._end: tuple[int, str] = (WSCloseCode.OK, "")

    def end(self, code: int, reason: str) -> None:
        """End the connection. The first reason counts."""
        if not self._ended.is_set():
            self._end = (code, reason)
            self._ended.set()

    async def run(self, socket: web.WebSocketResponse) -> None:
        """Serve the connection to its end, and close the socket."""
        try:
            async with asyncio.TaskGroup() as works:
                works.create_task(self._read(socket, works), name=f"xiaozhi: read {self.name}")
                works.create_task(self._write(socket), name=f"xiaozhi: write {self.name}")
                works.create_task(self._watch(), name=f"xiaozhi: watch {self.name}")
                await self._ended.wait()
                raise _Ended
        except* _Ended:
            pass
        except* Exception as errors:
            _log.error("xiaozhi: the connection of %s failed: %s", self.name, crash_text(errors))
        finally:
            self.session.left()
            self.tools.left()
        code, reason = self._end
        with suppress(OSError):
            await socket.close(code=code, message=reason.encode()[:120])

    async def _read(self, socket: web.WebSocketResponse, works: asyncio.TaskGroup) -> None:
        """Handle the device's messages. Its hello begins the session."""
        try:
            while True:
                is_new = self._version is None
                timeout_s = self._hello_s if is_new else None
                async with asyncio.timeout(timeout_s):
                    message = await socket.receive()
                if message.type is WSMsgType.TEXT:
                    self._take_text(message.data)
                elif message.type is WSMsgType.BINARY:
                    self._take_audio(message.data)
                else:
                    self.end(WSCloseCode.OK, "")
                    return
                if is_new and self._version is not None:
                    self._voice.begin(self.session)
                    if self._has_tools:
                        works.create_task(self._list_tools(), name=f"xiaozhi: tools of {self.name}")
        except TimeoutError:
            self.end(WSCloseCode.PROTOCOL_ERROR, "no hello")
        except ProtocolError as exc:
            _log.warning("xiaozhi: %s is cut off: %s", self.name, exc.message)
            self.end(WSCloseCode.PROTOCOL_ERROR, exc.message)

    async def _write(self, socket: web.WebSocketResponse) -> None:
        try:
            while True:
                while self._outgoing:
                    item = self._outgoing.popleft()
                    if isinstance(item, float):
                        await asyncio.sleep(item)
                        continue
                    async with asyncio.timeout(SEND_S):
                        if isinstance(item, str):
                            await socket.send_str(item)
                        else:
                            await socket.send_bytes(item)
                self._has_outgoing.clear()
                await self._has_outgoing.wait()
        except (OSError, TimeoutError):
            self.end(WSCloseCode.OK, "it takes nothing")

    async def _watch(self) -> None:
        """End the connection when neither the device nor this host has said anything for `idle_s`."""
        left_s = self._idle_s
        while left_s > 0:
            await asyncio.sleep(left_s)
            is_busy = self._activity in ("thinking", "speaking")
            active_s = self._now_s() if is_busy else self._active_s
            left_s = active_s + self._idle_s - self._now_s()
        self.end(WSCloseCode.OK, "no speech")

    async def _list_tools(self) -> None:
        try:
            await self.tools.open()
        except MicroclawError as exc:
            _log.info("xiaozhi: %s has no tools: %s", self.name, exc.message)

    # Messages of the device

    def _take_text(self, text: str) -> None:
        if not self._texts.allows(self._now_s()):
            raise ProtocolError(f"more than {TEXTS_A_SECOND:g} messages a second")
        message = xiaozhi.read_text(text)
        if message is None:
            return
        self._active_s = self._now_s()
        if (self._version is None) is not isinstance(message, XiaozhiHello):
            raise ProtocolError("hello comes first, and once")
        match message:
            case XiaozhiHello():
                self._greet(message)
            case Listen():
                self._take_listen(message)
            case Abort():
                self._abort()
            case Mcp(payload=payload):
                self.tools.handle_answer(payload)
            case _:
                assert_never(message)

    def _take_listen(self, message: Listen) -> None:
        """Open or close a stream of audio, or note the device's wake word, after which it opens one."""
        if message.state == "start":
            self._mode = message.mode
            self._device_listens = True
            if message.mode == "manual":
                trigger = HOLD_TRIGGER
            else:
                trigger = "wake" if self._was_woken else "listen"
            self._was_woken = False
            self._decoder = OpusDecoder(RATE_HZ)
            self._open(trigger)
        elif message.state == "stop":
            self._device_listens = False
            self.session.closed()
        else:
            self._was_woken = True
            if self._is_speaking:
                self.session.interrupted()

    def _abort(self) -> None:
        """Stop speaking. The device waits for `tts stop`, which an interrupted speech has sent already."""
        was_speaking = self._is_speaking
        self.session.interrupted()
        if not was_speaking:
            self._send("tts", state="stop")
            self._listen_on()

    def _greet(self, hello: XiaozhiHello) -> None:
        self._version = hello.version
        self._has_tools = hello.features.mcp
        self._put(xiaozhi.server_hello(self._session_id))

    def _take_audio(self, data: bytes) -> None:
        """Hear a packet of audio. Raises ProtocolError if there are too many, or too many invalid ones."""
        if not self._frames.allows(self._now_s()):
            raise ProtocolError(f"more than {FRAMES_A_SECOND:g} frames a second")
        if self._version is None:
            raise ProtocolError("audio before hello")
        packet = xiaozhi.read_binary(data, self._version)
        # Without a stream it is the wake word itself, or speech after the end of the utterance.
        if not packet or self.session.open_stream is None or self._decoder is None:
            return
        try:
            self.session.hear(self._decoder.decode(packet))
        except VoiceError as exc:
            self._bad_packets += 1
            if self._bad_packets >= MAX_BAD_PACKETS:
                raise ProtocolError(f"{MAX_BAD_PACKETS} packets are not Opus") from exc

    def _open(self, trigger: str) -> None:
        self._stream += 1
        self.session.opened(trigger, self._stream)

    def _listen_on(self) -> None:
        """Hear the next utterance if the microphone is still open. The device does not announce it a second time."""
        if not self._device_listens or self._mode == "manual":
            return
        if self.session.open_stream is None and not self._is_speaking:
            self._open("listen")

    # VoiceDevice

    @property
    def device_id(self) -> str:
        return self._device.device_id

    @property
    def name(self) -> str:
        return self._device.name

    def show(self, activity: Activity) -> None:
        if self._activity in ("thinking", "speaking"):
            self._active_s = self._now_s()
        if activity == "thinking" != self._activity:
            self._send("llm", emotion="thinking")
        self._activity = activity
        if activity == "idle":
            self._listen_on()

    def partial(self, stream: int, text: str) -> None:
        """Do nothing, because the screen shows only whole sentences."""

    # The device has only one stream.
    def final(self, stream: int, transcript: Transcript) -> None:  # noqa: ARG002
        if transcript.text:
            self._send("stt", text=transcript.text[:MAX_TEXT])

    def stop_listening(self, stream: int) -> None:
        """Do nothing: the device sends audio until `tts start`, which is not heard."""

    def begin_speech(self) -> None:
        self._encoder = OpusEncoder(self.rate_hz, self.frame_ms)
        self._is_speaking = True
        self._device_listens = self._mode == "realtime" and self._device_listens
        self._send("llm", emotion="neutral")
        self._send("tts", state="start")
        self._put(START_PAUSE_S)

    # The device shows the text when it arrives.
    def say(self, text: str, samples: int) -> None:  # noqa: ARG002
        if text:
            self._send("tts", state="sentence_start", text=text[:MAX_TEXT])

    def play(self, frame: bytes) -> None:
        assert self._encoder is not None
        assert self._version is not None
        for packet in self._encoder.encode(frame):
            self._put(xiaozhi.write_binary(packet, self._version))

    def end_speech(self, *, failed: bool) -> None:
        self._is_speaking = False
        if failed:
            self._send("llm", emotion="sad")
        self._put(STOP_PAUSE_S)
        self._send("tts", state="stop")

    def cancel_speech(self) -> None:
        self._outgoing = deque(item for item in self._outgoing if isinstance(item, str))
        if self._is_speaking:
            self._is_speaking = False
            self._send("tts", state="stop")

    def _send(self, kind: str, **members: object) -> None:
        self._put(xiaozhi.write_text(kind, self._session_id, **members))

    def _put(self, item: str | bytes | float) -> None:
        """Send an item after all earlier ones and their pauses. Too many waiting items end the connection."""
        self._active_s = self._now_s()
        self._outgoing.append(item)
        self._has_outgoing.set()
        if len(self._outgoing) > MAX_WAITING:
            self.end(WSCloseCode.OK, "it takes nothing")
