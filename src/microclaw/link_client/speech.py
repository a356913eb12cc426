"""A device's streams of speech over the link: which are open, and what belongs to them. No microphone, no speaker.

docs/protocols/link.md has the rules. The device's streams have odd numbers, the host's even ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from microclaw.errors import VoiceError
from microclaw.opus import OpusDecoder
from microclaw.wire.link.messages import (
    AnyMessage,
    AsrFinal,
    AsrPartial,
    CancelStream,
    StartAsr,
    StopAsr,
    TtsChunk,
    TtsEnd,
    TtsStart,
)
from microclaw.wire.link.values import Trigger

RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * 2


class SpeechEnd(Protocol):
    """A device's end of speech. Each is called while `SpeechStreams.lock` is held; none waits."""

    def partial(self, text: str) -> None:
        """All that the host understood so far of the stream that is open."""

    def final(self, stream: int, text: str) -> None:
        """Take the words that the host understood in that stream; "" for nothing. Each stream has one."""

    def stop_listening(self) -> None:
        """The host has heard enough of the stream that was open."""

    def begin(self) -> None:
        """The host begins to speak."""

    def say(self, text: str) -> None:
        """The text whose audio comes next."""

    def play(self, pcm: bytes) -> None: ...

    def end(self) -> None:
        """Everything that the host says has come."""

    def purge(self) -> None:
        """Forget what is not played yet."""

    def lost(self, *, is_stale: bool) -> None:
        """A frame was not played: it belongs to no speech (`is_stale`), or no decoder takes it."""


class SpeechStreams:
    """One boot's. `took` and `hear` are called in the link's thread; the others in any, and they do not wait."""

    def __init__(
        self,
        end: SpeechEnd,
        post: Callable[[Callable[[], None]], bool],
        send: Callable[[AnyMessage], None],
        send_audio: Callable[[bytes], object],
    ) -> None:
        """`post` runs what it gets in the link's thread, where `send` and `send_audio` are called."""
        self.lock = threading.RLock()
        self.listening: int | None = None
        """The stream that is open to the host."""
        self.speaking: int | None = None
        """The stream that the host says."""
        self._end, self._post, self._send, self._send_audio = end, post, send, send_audio
        self._last = -1
        self._decoder: OpusDecoder | None = None

    def open(self, trigger: Trigger) -> int:
        """Begin to be heard: the new stream. What the host says ends with it."""
        with self.lock:
            self._last += 2
            stream = self.listening = self._last
        start = StartAsr(stream, "pcm16", RATE_HZ, trigger, time.time_ns() // 1_000_000)
        self._post(lambda: self._send(start))
        return stream

    def feed(self, stream: int, frame: bytes) -> bool:
        """Send FRAME_BYTES of audio; False once the stream is over."""
        if self.listening != stream:
            return False
        self._post(lambda: self._send_frame(stream, frame))
        return True

    def stop(self, stream: int, reason: str) -> None:
        """The device ends its stream; what was said in it counts."""
        with self.lock:
            if self.listening == stream:
                self.listening = None
        self._post(lambda: self._send(StopAsr(stream, reason)))

    def interrupt(self) -> None:
        """Be silent: what is not played is forgotten, and the host says no more of it."""
        with self.lock:
            stream, self.speaking = self.speaking, None
            self._end.purge()
        if stream is not None:
            self._post(lambda: self._send(CancelStream(stream)))

    def took(self, body: AnyMessage) -> bool:
        """True if the message was one of speech."""
        with self.lock:
            match body:
                case AsrPartial(stream=stream, text=text):
                    if stream == self._last:
                        self._end.partial(text)
                case AsrFinal(stream=stream, text=text):
                    self._end.final(stream, text)
                case TtsStart(stream=stream, codec=codec, rate=rate):
                    self.speaking = stream
                    self._decoder = OpusDecoder(rate) if codec == "opus" else None
                    self._end.begin()
                case TtsChunk(text=text):
                    if text:
                        self._end.say(text)
                case TtsEnd(stream=stream):
                    if stream == self.speaking:
                        self.speaking = None
                        self._end.end()
                case CancelStream(stream=stream):
                    if stream == self.listening:
                        self.listening = None
                        self._end.stop_listening()
                    if stream == self.speaking:
                        self.speaking = None
                        self._end.purge()
                case _:
                    return False
        return True

    def hear(self, stream: int, payload: bytes) -> None:
        """A frame of what the host says."""
        with self.lock:
            if stream != self.speaking:
                self._end.lost(is_stale=True)
                return
            try:
                pcm = payload if self._decoder is None else self._decoder.decode(payload)
            except VoiceError:
                self._end.lost(is_stale=False)
                return
            self._end.play(pcm)

    def _send_frame(self, stream: int, frame: bytes) -> None:
        if self.listening == stream:
            self._send_audio(frame)
