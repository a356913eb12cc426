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
from pathlib import Path
from typing import Final

from microclaw.errors import CallRejected
from microclaw.link_client.speech import FRAME_BYTES, FRAME_MS, RATE_HZ, SpeechStreams
from microclaw.wire.board_replies import SpeakerState
from microclaw.wire.link.messages import AnyMessage, AudioFormat
from microclaw.wire.link.values import Trigger

BUFFER_MS: Final = 400
PREFILL_MS: Final = 40
"""So much is in the buffer before it begins to play."""
MAX_WAV_S: Final = 60
MAX_SILENCE_S: Final = 12
"""The microphone goes on after the WAV, in silence, until the host has heard enough."""
MAX_TEXTS: Final = 50
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


class BoardAudio:
    """One boot's SpeechEnd. The link's thread calls it through `streams`, the bench the rest.

    When each frame is played follows from when it came: no thread plays.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], bool],
        send: Callable[[AnyMessage], None],
        send_audio: Callable[[bytes], object],
    ) -> None:
        self.streams = SpeechStreams(self, post, send, send_audio)
        self._lock = self.streams.lock
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
        """Someone says what is in the file; returns when the microphone has begun."""
        pcm = read_wav(path)
        with self._lock:
            self._opened_s, self._said_s, self._answer_ms = time.monotonic(), None, 0
        stream = self.streams.open(trigger)
        threading.Thread(target=self._record, args=(stream, pcm), name="microphone", daemon=True).start()

    def state(self) -> SpeakerState:
        with self._lock:
            return SpeakerState(
                listening=self.streams.listening is not None,
                speaking=self.streams.speaking is not None or (self._is_playing and self._next_s > time.monotonic()),
                heard=tuple(self._heard),
                said=tuple(self._said),
                glitches=self._glitches,
                stale=self._late,
                answer_ms=self._answer_ms,
                cut_ms=self._cut_ms,
            )

    def interrupt(self) -> None:
        """The button while it speaks: be silent."""
        self.streams.interrupt()

    def end_boot(self) -> None:
        """The power is gone."""
        self._over.set()

    # SpeechEnd

    def partial(self, text: str) -> None:
        """It shows whole transcripts alone."""

    def final(self, stream: int, text: str) -> None:  # noqa: ARG002 - it shows them all
        if text:
            self._heard.append(text)

    def stop_listening(self) -> None:
        """The microphone's thread sees it."""

    def begin(self) -> None:
        """The first frame begins it."""

    def say(self, text: str) -> None:
        self._said.append(text)

    def play(self, pcm: bytes) -> None:
        now_s = time.monotonic()
        if not self._is_playing or now_s > self._next_s:
            self._glitches += self._is_playing
            self._next_s, self._is_playing = now_s + PREFILL_MS / 1000, True
        if self._next_s - now_s > BUFFER_MS / 1000:
            self._glitches += 1  # no room for it
            return
        if not self._answer_ms and self._said_s is not None:
            self._answer_ms = max(1, round((self._next_s - self._said_s) * 1000))
        self._next_s += len(pcm) / 2 / RATE_HZ

    def end(self) -> None:
        self._is_playing = False

    def purge(self) -> None:
        left_s = self._next_s - time.monotonic()
        if left_s > 0:  # the frame that is being played is played
            self._next_s -= left_s - left_s % (FRAME_MS / 1000)
        self._is_playing = False
        if self.streams.listening is not None:
            self._cut_ms = max(0, round((self._next_s - self._opened_s) * 1000))

    def lost(self, *, is_stale: bool) -> None:
        if is_stale:
            self._late += 1
        else:
            self._glitches += 1

    # The microphone's thread

    def _record(self, stream: int, pcm: bytes) -> None:
        begun_s = time.monotonic()
        self._said_s = begun_s + len(pcm) / 2 / RATE_HZ
        frames = -(-len(pcm) // FRAME_BYTES) + MAX_SILENCE_S * 1000 // FRAME_MS
        for number in range(frames):
            if self._over.wait(max(0.0, begun_s + number * FRAME_MS / 1000 - time.monotonic())):
                return
            frame = pcm[number * FRAME_BYTES : (number + 1) * FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            if not self.streams.feed(stream, frame):
                return
        self.streams.stop(stream, "silence")
