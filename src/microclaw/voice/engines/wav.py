"""WAV as it comes: the rate from its head, then samples. 16-bit PCM of one channel alone (RIFF, WAVE_FORMAT_PCM)."""

from __future__ import annotations

import struct
from typing import Final

from microclaw.errors import VoiceError

MAX_HEAD_BYTES: Final = 4_096
_UNKNOWN_SIZE: Final = 0x7FFF_0000
"""From here on a size means "until the end": the program did not know it when it began to print."""


class WavStream:
    """`feed` gives the samples of what it gets; `rate_hz` is 0 until the head has come."""

    def __init__(self) -> None:
        self.rate_hz = 0
        self._head = b""
        self._left: int | None = None  # bytes of samples; None in the head

    def feed(self, data: bytes) -> bytes:
        """Raises VoiceError for what is no such WAV."""
        if self._left is None:
            self._head += data
            data = self._read_head()
        if self._left is None:
            return b""
        pcm = data[: self._left]
        self._left -= len(pcm)
        return pcm

    def _read_head(self) -> bytes:
        """The bytes after the head, once all of it is there."""
        head, at = self._head, 12
        if len(head) >= at and (head[:4] != b"RIFF" or head[8:12] != b"WAVE"):
            raise VoiceError("the engine's audio is no WAV")
        while len(head) >= at + 8:
            kind, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            if kind == b"data":
                if not self.rate_hz:
                    raise VoiceError("the engine's WAV has samples before their format")
                self._left = size if 0 < size < _UNKNOWN_SIZE else 1 << 62
                self._head = b""
                return head[at + 8 :]
            if at + 8 + size > MAX_HEAD_BYTES:
                raise VoiceError(f"the engine's WAV has a head of more than {MAX_HEAD_BYTES:,} bytes")
            if kind == b"fmt " and len(head) >= at + 24:
                self._read_format(head[at + 8 : at + 24])
            at += 8 + size + size % 2
        return b""

    def _read_format(self, fields: bytes) -> None:
        code, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", fields)
        if (code, channels, bits) != (1, 1, 16) or not 8_000 <= rate_hz <= 48_000:
            raise VoiceError(
                f"the engine's WAV has {channels} channels of {bits} bits at {rate_hz} Hz (format {code}): "
                "one channel of 16 bits at 8,000 to 48,000 Hz is understood"
            )
        self.rate_hz = rate_hz


def wav_of(pcm: bytes, rate_hz: int) -> bytes:
    """A WAV file of one channel."""
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, 1, 1, rate_hz,
                       2 * rate_hz, 2, 16, b"data", len(pcm))  # fmt: skip
    return head + pcm
