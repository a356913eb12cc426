"""The board's microphone and speaker: WAV files in the place of air, and its streams of speech over the link.

docs/protocols/link.md has the rules; the device's streams have odd numbers, the host's even ones. The microphone sends
a frame each 20 ms of the host computer's clock. The speaker plays what comes, from a buffer, and notes each gap that a
listener would hear.
"""

from __future__ import annotations

import threading
import time
import wave
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from microclaw.errors import CallRejected
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
FORMAT: Final = AudioFormat(codecs=("pcm16",), rate=RATE_HZ, frame_ms=FRAME_MS, buffer_ms=BUFFER_MS - PREFILL_MS)


def read_wav(path: Path) -> bytes:
    """Read a WAV of 16 kHz, one channel, 16 bit and at most MAX_WAV_S. Raises CallRejected."""
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


class BoardAudio:
    """One boot's. `took` and `hear` are called in the link's thread, the rest by the bench. None waits.

    When each frame is played follows from when it came: no thread plays.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], bool],
        send: Callable[[AnyMessage], None],
        send_audio: Callable[[bytes], object],
    ) -> None:
        """`post` runs what it gets in the link's thread, where `send` and `send_audio` are called."""
        self._post = post
        self._send = send
        self._send_audio = send_audio
        self._lock = threading.RLock()
        self._listening: int | None = None  # the stream that is open to the host
        self._speaking: int | None = None  # the stream that the host says
        self._last = -1
        self._next_s = 0.0  # when the buffer will be empty
        self._is_playing = False
        self._heard: deque[str] = deque(maxlen=MAX_TEXTS)
        self._said: deque[str] = deque(maxlen=MAX_TEXTS)
        self._glitches = self._late = 0
        self._opened_s = 0.0  # when the microphone was opened
        self._said_s: float | None = None  # when all of the WAV was said
        self._answer_ms = self._cut_ms = 0
        self._over = threading.Event()

    # The bench

    def speak_into(self, path: Path, trigger: Trigger) -> None:
        """Say what is in the file into the microphone; return when it has begun. The host's speech ends with it."""
        pcm = read_wav(path)
        with self._lock:
            self._opened_s = time.monotonic()
            self._said_s = None
            self._answer_ms = 0
            self._last += 2
            stream = self._listening = self._last
        start = StartAsr(stream, "pcm16", RATE_HZ, trigger, time.time_ns() // 1_000_000)
        self._post(lambda: self._send(start))
        threading.Thread(target=self._record, args=(stream, pcm), name="microphone", daemon=True).start()

    def state(self) -> SpeakerState:
        with self._lock:
            return SpeakerState(
                listening=self._listening is not None,
                speaking=self._speaking is not None or (self._is_playing and self._next_s > time.monotonic()),
                heard=tuple(self._heard),
                said=tuple(self._said),
                glitches=self._glitches,
                stale=self._late,
                answer_ms=self._answer_ms,
                cut_ms=self._cut_ms,
            )

    def interrupt(self) -> None:
        """Be silent, as by the button: forget the sound that is not played, and have the host say no more of it."""
        with self._lock:
            stream = self._speaking
            self._speaking = None
            self._purge()
        if stream is not None:
            self._post(lambda: self._send(CancelStream(stream)))

    def end_boot(self) -> None:
        """End the microphone's thread: the power is gone."""
        self._over.set()

    # The host

    def took(self, body: AnyMessage) -> bool:
        """Handle a message; return True if it was one of speech."""
        with self._lock:
            match body:
                case AsrFinal(text=text):
                    _note(self._heard, text)
                case TtsStart(stream=stream):
                    self._speaking = stream
                case TtsChunk(text=text):
                    _note(self._said, text)
                case TtsEnd(stream=stream):
                    if stream == self._speaking:
                        self._speaking = None
                        self._is_playing = False
                case CancelStream(stream=stream):
                    self._cancel(stream)
                case AsrPartial():
                    # The board shows whole transcripts only.
                    pass
                case _:
                    return False
        return True

    def hear(self, stream: int, pcm: bytes) -> None:
        """Play a frame of the host's speech."""
        with self._lock:
            if stream != self._speaking:
                self._late += 1
                return
            now_s = time.monotonic()
            if not self._is_playing or now_s > self._next_s:
                self._glitches += self._is_playing
                self._next_s = now_s + PREFILL_MS / 1000
                self._is_playing = True
            if self._next_s - now_s > BUFFER_MS / 1000:
                self._glitches += 1  # no room for it
                return
            if not self._answer_ms and self._said_s is not None:
                self._answer_ms = max(1, round((self._next_s - self._said_s) * 1000))
            self._next_s += len(pcm) / 2 / RATE_HZ

    def _cancel(self, stream: int) -> None:
        """End a stream at once; the microphone's thread sees it."""
        if stream == self._listening:
            self._listening = None
        if stream == self._speaking:
            self._speaking = None
            self._purge()

    def _purge(self) -> None:
        """Forget what is not played yet."""
        left_s = self._next_s - time.monotonic()
        if left_s > 0:  # the frame that is being played is played
            self._next_s -= left_s - left_s % (FRAME_MS / 1000)
        self._is_playing = False
        if self._listening is not None:
            self._cut_ms = max(0, round((self._next_s - self._opened_s) * 1000))

    # The microphone's thread

    def _record(self, stream: int, pcm: bytes) -> None:
        begun_s = time.monotonic()
        self._said_s = begun_s + len(pcm) / 2 / RATE_HZ
        frames = -(-len(pcm) // FRAME_BYTES) + MAX_SILENCE_S * 1000 // FRAME_MS
        for number in range(frames):
            if self._over.wait(max(0.0, begun_s + number * FRAME_MS / 1000 - time.monotonic())):
                return
            if self._listening != stream:
                return
            frame = pcm[number * FRAME_BYTES : (number + 1) * FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            self._post(partial(self._send_frame, stream, frame))
        with self._lock:
            if self._listening == stream:
                self._listening = None
        self._post(lambda: self._send(StopAsr(stream, "silence")))

    def _send_frame(self, stream: int, frame: bytes) -> None:
        if self._listening == stream:
            self._send_audio(frame)


def _note(texts: deque[str], text: str | None) -> None:
    if text:
        texts.append(text)
