"""Converts the sample rate of audio by libswresample (PyAV, which is imported when rates differ)."""

from __future__ import annotations

from typing import Any

from microclaw.errors import ProtocolError


class Resampler:
    """A stream of PCM with a fixed output rate. The input rate may change between two sentences."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._from_hz = rate_hz
        # The first byte of a sample whose second byte is in the next piece.
        self._odd_byte = b""
        self._graph: Any = None

    def feed(self, pcm: bytes, rate_hz: int) -> bytes:
        """Return the audio in this stream's rate. A part of it may be returned with the next piece."""
        before = b""
        if rate_hz != self._from_hz:
            before = self.rest()
            self._from_hz = rate_hz
        data = self._odd_byte + pcm
        whole_bytes = len(data) & ~1
        self._odd_byte = data[whole_bytes:]
        data = data[:whole_bytes]
        if rate_hz == self._rate_hz or not data:
            return before + data
        return before + self._resample(data)

    def rest(self) -> bytes:
        """Return the audio that is still inside. Call it at the end of the stream."""
        graph = self._graph
        self._graph = None
        self._odd_byte = b""
        if graph is None:
            return b""
        return _join(graph.resample(None))

    def _resample(self, data: bytes) -> bytes:
        """Return whole samples in the output rate. Raises ProtocolError if their rate is not supported."""
        import av

        if self._graph is None:
            self._graph = av.AudioResampler(format="s16", layout="mono", rate=self._rate_hz)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(data) // 2)
        if not 8_000 <= self._from_hz <= 192_000:
            raise ProtocolError(f"audio of {self._from_hz} Hz: 8,000 to 192,000 are supported")
        frame.sample_rate = self._from_hz
        frame.planes[0].update(data + bytes(frame.planes[0].buffer_size - len(data)))
        return _join(self._graph.resample(frame))


def _join(frames: list[Any]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
