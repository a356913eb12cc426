"""The board's microphone and speaker: WAV files in the place of air. Its frames go over the link as a device's do.

The microphone sends a frame each 20 ms of the host computer's clock. The speaker plays what comes, from a buffer, and
notes each gap that a listener would hear.
"""

from __future__ import annotations

import threading
import time
import wave
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.errors import CallRejected, VoiceError
from microclaw.opus import OpusDecoder
from microclaw.wire.board_replies import SpeakerState
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
)
from microclaw.wire.link.values import Trigger

RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * 2
BUFFER_MS: Final = 400
PREFILL_MS: Final = 40
"""So much is in the buffer before it begins to play."""
MAX_WAV_S: Final = 60
MAX_SILENCE_S: Final = 12
"""The microphone goes on after the WAV, in silence, until the host has heard enough."""
MAX_TEXTS: Final = 50
MAX_RECORDED_BYTES: Final = 120 * RATE_HZ * 2
FORMAT: Final = AudioFormat(codecs=("pcm16",), rate=RATE_HZ, frame_ms=FRAME_MS, buffer_ms=BUFFER_MS - PREFILL_MS)


def read_wav(path: Path) -> bytes:
    """16 kHz, one channel, 16 bit, at most MAX_WAV_S."""
    try:
        with wave.open(str(path), "rb") as file:
            form = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if form != (RATE_HZ, 1, 2):
                raise CallRejected(f"{path.name} has {form[0]} Hz, {form[1]} channels, {8 * form[2]} bit: 16000, 1, 16")
            if file.getnframes() > MAX_WAV_S * RATE_HZ:
                raise CallRejected(f"{path.name} is longer than {MAX_WAV_S} s")
            return file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as exc:
        raise CallRejected(f"cannot read {path.name}: {exc}") from exc


@dataclass(slots=True)
class _Speaker:
    """When each frame is played follows from when it came: no thread plays."""

    played: deque[tuple[float, bytes]] = field(default_factory=deque)
    next_s: float = 0.0
    has_begun: bool = False
    glitches: int = 0
    overflows: int = 0

    def take(self, pcm: bytes, now_s: float) -> None:
        if not self.has_begun or now_s > self.next_s:
            self.glitches += self.has_begun
            self.next_s = now_s + PREFILL_MS / 1000
            self.has_begun = True
        if self.next_s - now_s > BUFFER_MS / 1000:
            self.overflows += 1
            return
        self.played.append((self.next_s, pcm))
        self.next_s += len(pcm) / 2 / RATE_HZ

    def forget(self, now_s: float) -> int:
        """Drop what is not played yet; how many frames that was."""
        dropped = 0
        while self.played and self.played[-1][0] > now_s:
            self.played.pop()
            dropped += 1
        self.has_begun = False
        return dropped


class BoardAudio:
    """One boot's. `took` and `hear` are called in the link's thread; `send` and `send_audio` go to it by `post`."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], bool],
        send: Callable[[AnyMessage], None],
        send_audio: Callable[[bytes], object],
    ) -> None:
        self._post, self._send, self._send_audio = post, send, send_audio
        self._lock = threading.Lock()
        self._stream = -1  # the microphone's have odd numbers
        self._open: int | None = None
        self._speaking: int | None = None
        self._decoder: OpusDecoder | None = None
        self._speaker = _Speaker()
        self._recorded = 0
        self._heard: deque[str] = deque(maxlen=MAX_TEXTS)
        self._said: deque[str] = deque(maxlen=MAX_TEXTS)
        self._partial = ""
        self._purged = self._speeches = self._late = 0
        self._over = threading.Event()

    # The bench

    def speak_into(self, path: Path, trigger: Trigger) -> None:
        """Someone says what is in the file; returns when the microphone has begun."""
        pcm = read_wav(path)
        with self._lock:
            self._stream += 2
            stream = self._open = self._stream
            self._partial = ""
        start = StartAsr(stream, "pcm16", RATE_HZ, trigger, time.time_ns() // 1_000_000)
        self._post(lambda: self._send(start))
        threading.Thread(target=self._record, args=(stream, pcm), name="microphone", daemon=True).start()

    def state(self, save: Path | None) -> SpeakerState:
        with self._lock:
            now_s = time.monotonic()
            left_s = max(0.0, self._speaker.next_s - now_s) if self._speaker.has_begun else 0.0
            if save is not None:
                self._save(save, b"".join(pcm for at_s, pcm in self._speaker.played if at_s <= now_s))
            return SpeakerState(
                listening=self._open is not None,
                speaking=self._speaking is not None or left_s > 0,
                partial=self._partial,
                heard=tuple(self._heard),
                said=tuple(self._said),
                speeches=self._speeches,
                played_ms=max(0, round((self._recorded / 2 / RATE_HZ - left_s) * 1000)),  # it waits before it begins
                glitches=self._speaker.glitches,
                overflows=self._speaker.overflows,
                purged=self._purged,
                stale=self._late,
            )

    def interrupt(self) -> None:
        """The button while it speaks: be silent."""
        with self._lock:
            stream, self._speaking = self._speaking, None
            self._purged += self._speaker.forget(time.monotonic())
        if stream is not None:
            self._post(lambda: self._send(CancelStream(stream)))

    def end(self) -> None:
        """The power is gone."""
        self._over.set()

    # The link's thread

    def took(self, body: AnyMessage) -> bool:
        """Whether the message was one of speech."""
        with self._lock:
            match body:
                case AsrPartial(text=text):
                    self._partial = text
                case AsrFinal(text=text):
                    if text:
                        self._heard.append(text)
                case TtsStart(stream=stream, codec=codec, rate=rate):
                    self._speaking, self._speeches = stream, self._speeches + 1
                    self._decoder = OpusDecoder(rate) if codec == "opus" else None
                case TtsChunk(text=text):
                    if text:
                        self._said.append(text)
                case TtsEnd(stream=stream):
                    if stream == self._speaking:
                        self._speaking, self._speaker.has_begun = None, False
                case CancelStream(stream=stream):
                    if stream == self._open:
                        self._open = None
                    if stream == self._speaking:
                        self._speaking = None
                        self._purged += self._speaker.forget(time.monotonic())
                case _:
                    return False
        return True

    def hear(self, stream: int, payload: bytes) -> None:
        with self._lock:
            if stream != self._speaking:
                self._late += 1
                return
            try:
                pcm = payload if self._decoder is None else self._decoder.decode(payload)
            except VoiceError:
                self._speaker.glitches += 1
                return
            self._recorded += len(pcm)
            while self._recorded > MAX_RECORDED_BYTES and self._speaker.played:
                self._recorded -= len(self._speaker.played.popleft()[1])
            self._speaker.take(pcm, time.monotonic())

    # The microphone's thread

    def _record(self, stream: int, pcm: bytes) -> None:
        begun_s = time.monotonic()
        frames = -(-len(pcm) // FRAME_BYTES) + MAX_SILENCE_S * 1000 // FRAME_MS
        for number in range(frames):
            if self._over.wait(max(0.0, begun_s + number * FRAME_MS / 1000 - time.monotonic())):
                return
            frame = pcm[number * FRAME_BYTES : (number + 1) * FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            if self._open != stream:
                return
            self._post(lambda frame=frame: self._send_frame(stream, frame))  # type: ignore[misc]
        with self._lock:
            if self._open == stream:
                self._open = None
        self._post(lambda: self._send(StopAsr(stream, "silence")))

    def _send_frame(self, stream: int, frame: bytes) -> None:
        if self._open == stream:
            self._send_audio(frame)

    def _save(self, path: Path, pcm: bytes) -> None:
        try:
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE_HZ)
                file.writeframes(pcm)
        except OSError as exc:
            raise CallRejected(f"cannot write {path.name}: {exc.strerror}") from exc
