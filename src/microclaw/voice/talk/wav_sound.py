"""A WAV file in the place of a sound card: said as fast as a person speaks. What is played is kept."""

from __future__ import annotations

import array
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from microclaw.errors import ConfigError
from microclaw.link_client.speech import FRAME_BYTES, FRAME_MS, RATE_HZ
from microclaw.voice.resampling import Resampler
from microclaw.voice.talk.speaker import SpeakerBuffer

MAX_WAV_S: Final = 60
MAX_PLAYED_BYTES: Final = 600 * RATE_HZ * 2
WAV_RATES_HZ: Final = (8_000, 192_000)


def read_speech(path: Path) -> bytes:
    """The file's first channel at 16 kHz. ConfigError for what is no WAV of 16 bits, or is longer than MAX_WAV_S."""
    step = f"ffmpeg -i {path.name} -ar 16000 -ac 1 -sample_fmt s16 speech.wav"
    try:
        with path.open("rb") as opened:
            _check_head(path, opened.read(12))
        with wave.open(str(path), "rb") as file:
            rate_hz, channels, bits = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
            if bits != 16 or not WAV_RATES_HZ[0] <= rate_hz <= WAV_RATES_HZ[1]:
                raise ConfigError(
                    f"{path.name} has {bits} bits at {rate_hz} Hz: 16 bits at 8,000 to 192,000 Hz are understood",
                    next_step=step,
                )
            if file.getnframes() > MAX_WAV_S * rate_hz:
                raise ConfigError(f"{path.name} is longer than {MAX_WAV_S} s", next_step="cut it into utterances")
            pcm, wanted_bytes = file.readframes(file.getnframes()), 2 * channels * file.getnframes()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}", next_step="give a WAV file of 16 bits") from exc
    except EOFError as exc:
        raise ConfigError(f"{path.name} is a WAV file that breaks off", next_step="copy or record it again") from exc
    except wave.Error as exc:  # compressed, or of floating-point numbers
        raise ConfigError(f"{path.name} is a WAV file of a kind that is not read: {exc}", next_step=step) from exc
    if not wanted_bytes:
        raise ConfigError(f"{path.name} is a WAV file without audio", next_step="record it again")
    if len(pcm) < wanted_bytes:
        raise ConfigError(
            f"{path.name} breaks off: {len(pcm):,} of {wanted_bytes:,} bytes of audio are there",
            next_step="copy or record it again",
        )
    if channels > 1:
        samples = array.array("h", pcm[: len(pcm) // (2 * channels) * 2 * channels])
        pcm = samples[::channels].tobytes()
    resampler = Resampler(RATE_HZ)
    return resampler.feed(pcm, rate_hz) + resampler.rest()


def _check_head(path: Path, head: bytes) -> None:
    """Whether it begins as a WAV (RIFF, WAVE); ConfigError says what it is else."""
    if not head:
        raise ConfigError(f"{path.name} is empty", next_step="record it again, or give another file")
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise ConfigError(
            f"{path.name} is no WAV file: it does not begin with RIFF and WAVE",
            next_step=f"ffmpeg -i {path.name} -ar 16000 -ac 1 -sample_fmt s16 speech.wav, if it is audio",
        )


class WavSound:
    """`with` starts its clock. `utter` says audio into the microphone; silence is before and after it."""

    def __init__(self, speaker: SpeakerBuffer, heard: Callable[[bytes], None]) -> None:
        self.played = bytearray()
        """Of the speaker, from the first sound to now, at most MAX_PLAYED_BYTES; silence between speeches is kept."""
        self._speaker = speaker
        self._heard = heard
        self._utterance = b""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wav sound", daemon=True)

    def __enter__(self) -> WavSound:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def left(self) -> bytes:
        """What is not said yet."""
        with self._lock:
            return self._utterance

    def utter(self, pcm: bytes) -> None:
        with self._lock:
            self._utterance = pcm

    def _run(self) -> None:
        begun_s = time.monotonic()
        number = 0
        while not self._over.wait(max(0.0, begun_s + number * FRAME_MS / 1000 - time.monotonic())):
            self._tick()
            number += 1

    def _tick(self) -> None:
        with self._lock:
            frame, self._utterance = self._utterance[:FRAME_BYTES], self._utterance[FRAME_BYTES:]
        self._heard(frame.ljust(FRAME_BYTES, b"\0"))
        played = self._speaker.fill(FRAME_BYTES)
        if (self.played or any(played)) and len(self.played) < MAX_PLAYED_BYTES:
            self.played += played
