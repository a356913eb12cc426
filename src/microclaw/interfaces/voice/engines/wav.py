"""WAV files of 16-bit PCM of one channel, as engines make and take them."""

from __future__ import annotations

import io
import wave

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import SPOKEN_HZ


def read_wav(data: bytes) -> tuple[bytes, int]:
    """Return the samples and their rate. Raises VoiceError for any other audio.

    A header may announce more samples than the file has.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels = file.getnchannels()
            width = file.getsampwidth()
            rate_hz = file.getframerate()
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as exc:
        raise VoiceError("the engine's audio is not a WAV file") from exc
    if (channels, width) != (1, 2) or rate_hz not in SPOKEN_HZ:
        raise VoiceError(f"the engine's WAV has {channels} channels of {8 * width} bits at {rate_hz} Hz")
    return pcm, rate_hz


def wav_of(pcm: bytes, rate_hz: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    return out.getvalue()
