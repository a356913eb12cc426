"""One conversation with a device of xiaozhi's firmware: its messages, its audio, its session's VoiceDevice.

docs/protocols/xiaozhi.md is the contract. It opens no socket and reads none: the server does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, assert_never

from microclaw.errors import ProtocolError, VoiceError
from microclaw.link_server.limits import RateLimit
from microclaw.opus import OpusDecoder, OpusEncoder
from microclaw.voice.device import Activity
from microclaw.voice.engines.engine import RATE_HZ, Transcript
from microclaw.voice.listening import HELD
from microclaw.voice.parts import VoiceParts
from microclaw.voice.session import VoiceSession
from microclaw.voice.xiaozhi.device_tools import DeviceTools
from microclaw.voice.xiaozhi.outgoing import Outgoing
from microclaw.wire import xiaozhi
from microclaw.wire.xiaozhi import Abort, DeviceMessage, Hello, Listen, Mcp, Mode

FRAMES_AHEAD: Final = 5
"""The device holds 40 and drops what comes beyond without a word; five are what servers send it."""
START_PAUSE_S: Final = 0.1
"""Between `tts start` and the first audio: the device empties its queue when it gets to know of the start."""
STOP_PAUSE_S: Final = 0.3
"""After the last frame should be played: `tts stop` ends what is still playing on older firmware."""
MAX_TEXT: Final = 2_000
TEXTS_A_SECOND: Final = 20.0
TEXTS_AT_ONCE: Final = 60.0
FRAMES_A_SECOND: Final = 60.0
FRAMES_AT_ONCE: Final = 200.0
"""A device sends 17 a second, and at the start those of its wake word at once."""
MAX_BAD_PACKETS: Final = 20
_log = logging.getLogger(__name__)


class XiaozhiConnection:
    """`took_text` and `took_binary` raise ProtocolError for what must end the connection."""

    rate_hz: Final = xiaozhi.DOWN_RATE_HZ
    frame_ms: Final = xiaozhi.DOWN_FRAME_MS
    ahead_ms: Final = FRAMES_AHEAD * xiaozhi.DOWN_FRAME_MS

    def __init__(
        self,
        device_id: str,
        name: Callable[[], str],
        session_id: str,
        parts: VoiceParts,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` gives the device's name, which may change meanwhile."""
        self.device_id = device_id
        self._name = name
        self.session_id = session_id
        self.outgoing = Outgoing(now_s)
        self.version: int | None = None
        """Of the protocol; None before the device's hello."""
        self.session = VoiceSession(self, parts)
        self.tools = DeviceTools(self._send_mcp, lambda: self.name)
        self.has_tools = False
        self._now_s = now_s
        self._texts = RateLimit(TEXTS_A_SECOND, TEXTS_AT_ONCE, now_s())
        self._frames = RateLimit(FRAMES_A_SECOND, FRAMES_AT_ONCE, now_s())
        self._decoder: OpusDecoder | None = None
        self._encoder: OpusEncoder | None = None
        self._mode: Mode = "auto"
        self._device_listens = False  # as far as this host knows: its microphone is open
        self._hearing: int | None = None
        self._stream = 0
        self._is_speaking = self._is_first_frame = self._was_woken = False
        self._bad_packets = 0
        self._activity: Activity = "idle"
        self._active_s = now_s()

    @property
    def idle_s(self) -> float:
        """For how long nobody has said anything, neither the person nor this host."""
        return 0.0 if self._activity in ("thinking", "speaking") else self._now_s() - self._active_s

    # What the device says

    def took_text(self, text: str) -> None:
        if not self._texts.allows(self._now_s()):
            raise ProtocolError(f"more than {TEXTS_A_SECOND:g} messages a second")
        message = xiaozhi.read_text(text)
        if message is not None:
            self._took(message)

    def took_binary(self, data: bytes) -> None:
        if not self._frames.allows(self._now_s()):
            raise ProtocolError(f"more than {FRAMES_A_SECOND:g} frames a second")
        if self.version is None:
            raise ProtocolError("audio before hello")
        packet = xiaozhi.read_binary(data, self.version)
        if not packet or self._hearing is None or self._decoder is None:
            return  # the wake word itself, or what was said after the end of the utterance
        try:
            pcm = self._decoder.decode(packet)
        except VoiceError as exc:
            self._bad_packets += 1
            if self._bad_packets >= MAX_BAD_PACKETS:
                raise ProtocolError(f"{MAX_BAD_PACKETS} packets that are no Opus") from exc
            return
        self.session.hear(pcm)

    def _took(self, message: DeviceMessage) -> None:
        if (self.version is None) is not isinstance(message, Hello):
            raise ProtocolError("hello comes first, and once")
        match message:
            case Hello():
                self._greet(message)
            case Listen(state="start"):
                self._mode, self._device_listens = message.mode, True
                self._decoder = OpusDecoder(RATE_HZ)
                trigger = HELD if message.mode == "manual" else "wake" if self._was_woken else "listen"
                self._was_woken = False
                self._open(trigger)
            case Listen(state="stop"):
                self._device_listens = False
                if self._hearing is not None:
                    self._hearing = None
                    self.session.closed()
            case Listen():  # detect: the wake word, after which it listens
                self._was_woken = True
                self._active_s = self._now_s()
                if self._is_speaking:
                    self.session.interrupted()
            case Abort():
                was_speaking = self._is_speaking
                self.session.interrupted()
                if not was_speaking:
                    self._send("tts", state="stop")
                    self._listen_on()
            case Mcp(payload=payload):
                self.tools.took(payload)
            case _:
                assert_never(message)

    def _greet(self, hello: Hello) -> None:
        if hello.transport != "websocket" or hello.audio_params.format != "opus" or hello.audio_params.channels != 1:
            raise ProtocolError("this host speaks over a WebSocket, in Opus of one channel")
        self.version = xiaozhi.check_version(hello.version)
        self.has_tools = hello.features.mcp
        self.outgoing.put(xiaozhi.server_hello(self.session_id))

    def _open(self, trigger: str) -> None:
        self._stream += 1
        self._hearing = self._stream
        self._active_s = self._now_s()
        self.session.opened(trigger, self._stream)

    def _listen_on(self) -> None:
        """The device's microphone is open, and it says so no second time: hear the next utterance."""
        if self._device_listens and self._mode != "manual" and self._hearing is None and not self._is_speaking:
            self._stream += 1
            self._hearing = self._stream
            self.session.opened("listen", self._stream)

    # VoiceDevice

    @property
    def name(self) -> str:
        return self._name()

    def show(self, activity: Activity) -> None:
        if activity == "thinking" != self._activity:
            self._send("llm", emotion="thinking")
        if self._activity in ("thinking", "speaking"):
            self._active_s = self._now_s()
        self._activity = activity
        if activity == "idle":
            self._listen_on()

    def partial(self, stream: int, text: str) -> None:
        """Its screen shows whole sentences alone."""

    def final(self, stream: int, transcript: Transcript) -> None:  # noqa: ARG002 - it has one stream
        if transcript.text:
            self._active_s = self._now_s()
            self._send("stt", text=transcript.text[:MAX_TEXT])

    def stop_listening(self, stream: int) -> None:
        """The device goes on until `tts start`: what it sends until then is not heard."""
        if stream == self._hearing:
            self._hearing = None

    def begin_speech(self) -> None:
        self._encoder = OpusEncoder(self.rate_hz, self.frame_ms)
        self._is_speaking = self._is_first_frame = True
        self._device_listens = self._mode == "realtime" and self._device_listens
        self._send("llm", emotion="neutral")
        self._send("tts", state="start")

    def say(self, text: str, samples: int) -> None:  # noqa: ARG002 - it shows the text when it comes
        if text and self._is_speaking:
            self._send("tts", state="sentence_start", text=text[:MAX_TEXT])

    def play(self, frame: bytes) -> None:
        if not self._is_speaking or self._encoder is None or self.version is None:
            return
        for packet in self._encoder.encode(frame):
            pause_s = START_PAUSE_S if self._is_first_frame else 0.0
            self._is_first_frame = False
            self.outgoing.put(xiaozhi.write_binary(packet, self.version), pause_s=pause_s)

    def end_speech(self, *, failed: bool) -> None:
        if self._is_speaking:
            self._is_speaking = False
            if failed:
                self._send("llm", emotion="sad")
            self._send("tts", pause_s=STOP_PAUSE_S, state="stop")

    def cancel_speech(self) -> None:
        self.outgoing.drop_audio()
        if self._is_speaking:
            self._is_speaking = False
            self._send("tts", state="stop")

    def _send(self, kind: str, *, pause_s: float = 0.0, **members: object) -> None:
        self.outgoing.put(xiaozhi.write_text(kind, self.session_id, **members), pause_s=pause_s)

    def _send_mcp(self, payload: dict[str, object]) -> None:
        self._send("mcp", payload=payload)
