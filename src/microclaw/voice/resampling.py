"""Audio of one rate as audio of another, by libswresample (PyAV, imported when rates differ)."""

from __future__ import annotations

from typing import Any

from microclaw.errors import ProtocolError


class Resampler:
    """A stream of PCM. Its pieces may change their rate between two sentences."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._from_hz = rate_hz
        self._odd = b""
        self._graph: Any = None

    def feed(self, pcm: bytes, rate_hz: int) -> bytes:
        """The same audio in this stream's rate; some of it comes with the next piece."""
        before = b""
        if rate_hz != self._from_hz:
            before = self.rest()
            self._from_hz = rate_hz
        data = self._odd + pcm
        self._odd = data[len(data) & ~1 :]
        data = data[: len(data) & ~1]
        if rate_hz == self._rate_hz or not data:
            return before + data
        return before + self._resampled(data)

    def rest(self) -> bytes:
        """The rest inside; call it at the end."""
        graph = self._graph
        self._graph = None
        self._odd = b""
        if graph is None:
            return b""
        return _joined(graph.resample(None))

    def _resampled(self, data: bytes) -> bytes:
        import av

        if self._graph is None:
            self._graph = av.AudioResampler(format="s16", layout="mono", rate=self._rate_hz)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(data) // 2)
        if not 8_000 <= self._from_hz <= 192_000:
            raise ProtocolError(f"audio of {self._from_hz} Hz: 8,000 to 192,000 are understood")
        frame.sample_rate = self._from_hz
        frame.planes[0].update(data + bytes(frame.planes[0].buffer_size - len(data)))
        return _joined(self._graph.resample(frame))


def _joined(frames: list[Any]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
