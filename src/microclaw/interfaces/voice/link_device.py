"""The voice device of a connection on the link: its streams, codecs and screens (docs/protocols/link.md)."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from microclaw.devices.link.connection import LinkConnection
from microclaw.devices.link.device_link import DeviceLink
from microclaw.errors import DeviceUnreachable, MicroclawError
from microclaw.interfaces.voice.device import Activity
from microclaw.interfaces.voice.engines.engine import RATE_HZ, Transcript
from microclaw.interfaces.voice.opus import OpusDecoder, OpusEncoder
from microclaw.interfaces.voice.session import VoiceSession
from microclaw.interfaces.voice.session_context import VoiceParts
from microclaw.wire.link import actions
from microclaw.wire.link.frame import MAX_AUDIO_BYTES
from microclaw.wire.link.messages import (
    AnyMessage,
    AsrFinal,
    AsrPartial,
    AudioFormat,
    CancelStream,
    StartAsr,
    StopAsr,
    TtsChunk,
    TtsEnd,
    TtsStart,
    UiState,
)
from microclaw.wire.link.values import StreamEnd

CODECS: Final = ("opus", "pcm16")
"""The codecs of this host, the better one first."""
FRAME_MS: Final = (20, 40, 60)
RATES_HZ: Final = (8_000, 48_000)
OPUS_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""RFC 6716, section 2."""
MAX_AHEAD_MS: Final = 400
MAX_TEXT: Final = 2_000


class LinkVoice:
    """A connection's AudioStreams and its session's VoiceDevice. Streams of the host have even numbers."""

    def __init__(self, link: DeviceLink, connection: LinkConnection, audio: AudioFormat, parts: VoiceParts) -> None:
        self.session = VoiceSession(self, parts)
        self.rate_hz = audio.rate if RATES_HZ[0] <= audio.rate <= RATES_HZ[1] else RATE_HZ
        frame_bytes = audio.frame_ms * self.rate_hz // 1000 * 2
        is_usable_frame = audio.frame_ms in FRAME_MS and frame_bytes <= MAX_AUDIO_BYTES
        self.frame_ms = audio.frame_ms if is_usable_frame else FRAME_MS[0]
        self.ahead_ms = min(audio.buffer_ms, MAX_AHEAD_MS)
        self._link = link
        self._connection = connection
        has_opus = "opus" in audio.codecs and self.rate_hz in OPUS_RATES_HZ
        self.codec = "opus" if has_opus else "pcm16"
        self._encoder: OpusEncoder | None = None
        self._decoder: OpusDecoder | None = None
        self._has_left = False
        # The number of the device's last stream.
        self._last_heard = -1
        # The host's stream that is being spoken, and the number of its last stream.
        self._speaking: int | None = None
        self._last_stream = 0
        self._chunk = 0

    # AudioStreams

    def receive(self, message: StartAsr | StopAsr | CancelStream) -> None:
        """Handle a message of the device about a stream."""
        match message:
            case StartAsr():
                self._open(message)
            case StopAsr(stream=stream):
                if stream == self.session.open_stream:
                    self.session.closed()
            case CancelStream(stream=stream):
                if stream == self._speaking:
                    self._end_speech("cancelled")
                    self.session.interrupted()
                elif stream % 2:
                    self.session.cancelled(stream)

    def receive_audio(self, hear: actions.Hear) -> None:
        if hear.stream != self.session.open_stream:
            return
        try:
            pcm = hear.payload if self._decoder is None else self._decoder.decode(hear.payload)
            self.session.hear(pcm)
        except MicroclawError as exc:
            self._refuse(hear.stream, "bad_audio", exc.message)
            self.session.cancelled(hear.stream)

    def end(self) -> None:
        # A later connection must not get what this session still sends.
        self._has_left = True
        self.session.left()

    def _open(self, start: StartAsr) -> None:
        """Open a stream of the device, or refuse it. An open stream ends in both cases, because there is only one."""
        if self.session.open_stream is not None:
            self.session.closed("cut")
        if self.session.has_left:
            self._refuse(start.stream, "no_listener", "this host has too many voice conversations")
        elif start.stream % 2 == 0 or start.stream <= self._last_heard:
            text = f"stream {start.stream}: a device's streams have odd, rising numbers"
            self._refuse(start.stream, "bad_audio", text)
        elif start.codec not in CODECS or start.rate != RATE_HZ:
            self._last_heard = start.stream
            text = f"{start.codec[:20]} at {start.rate} Hz: this host accepts {' and '.join(CODECS)} at {RATE_HZ} Hz"
            self._refuse(start.stream, "bad_audio", text)
        else:
            self._last_heard = start.stream
            self._decoder = OpusDecoder(RATE_HZ) if start.codec == "opus" else None
            self.session.opened(start.trigger, start.stream)

    def _refuse(self, stream: int, code: str, text: str) -> None:
        self._link.send_error(code, text)
        self._send(CancelStream(stream))

    # VoiceDevice

    @property
    def device_id(self) -> str:
        return self._link.link_id

    @property
    def name(self) -> str:
        return self._link.name

    def show(self, activity: Activity) -> None:
        self._send(
            UiState(listening=activity == "listening", thinking=activity == "thinking", speaking=activity == "speaking")
        )

    def partial(self, stream: int, text: str) -> None:
        self._send(AsrPartial(stream, text[:MAX_TEXT]))

    def final(self, stream: int, transcript: Transcript) -> None:
        confidence = min(1.0, max(0.0, transcript.confidence))
        self._send(AsrFinal(stream, transcript.text[:MAX_TEXT], confidence))

    def stop_listening(self, stream: int) -> None:
        self._send(CancelStream(stream))

    def begin_speech(self) -> None:
        self._last_stream += 2
        self._speaking = self._last_stream
        self._chunk = 0
        if self.codec == "opus":
            self._encoder = OpusEncoder(self.rate_hz, self.frame_ms)
        self._send(TtsStart(self._speaking, self.codec, self.rate_hz))

    def say(self, text: str, samples: int) -> None:
        if self._speaking is not None:
            self._send(TtsChunk(self._speaking, self._chunk, text[:MAX_TEXT], samples))
            self._chunk += 1

    def play(self, frame: bytes) -> None:
        if self._speaking is None:
            return
        if self._encoder is None:
            self._connection.send_audio(frame)
            return
        for packet in self._encoder.encode(frame):
            self._connection.send_audio(packet)

    def end_speech(self, *, failed: bool) -> None:
        reason: StreamEnd = "error" if failed else "done"
        self._end_speech(reason)

    def cancel_speech(self) -> None:
        if self._speaking is not None:
            self._send(CancelStream(self._speaking))
            self._end_speech("cancelled")

    def _end_speech(self, reason: StreamEnd) -> None:
        if self._speaking is not None:
            stream = self._speaking
            self._speaking = None
            self._send(TtsEnd(stream, reason))

    def _send(self, body: AnyMessage) -> None:
        if self._has_left:
            return
        # If the device has left, `left` ends the session.
        with suppress(DeviceUnreachable):
            self._link.send_now(body)
