"""Opus packets to PCM and back, by libopus in PyAV (imported when a device wants Opus). RFC 6716; no Ogg."""

from __future__ import annotations

from typing import Any, Final

from microclaw.errors import VoiceError

MAX_PACKET_BYTES: Final = 1_500
BITRATE: Final = 24_000


class OpusDecoder:
    """Decodes one stream in order. Packets may have any duration that Opus allows."""

    def __init__(self, rate_hz: int) -> None:
        import av

        self._codec: Any = av.CodecContext.create("libopus", "r")
        self._codec.sample_rate = rate_hz
        self._codec.layout = "mono"
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
        self._packet = av.Packet
        self._error = av.FFmpegError

    def decode(self, packet: bytes) -> bytes:
        """Return the PCM samples (16 bit) of a packet. Raises VoiceError if it is not Opus."""
        if not 0 < len(packet) <= MAX_PACKET_BYTES:
            raise VoiceError(f"an Opus packet of {len(packet)} bytes: 1 to {MAX_PACKET_BYTES}")
        try:
            frames = self._codec.decode(self._packet(packet))
        except (self._error, ValueError) as exc:
            raise VoiceError(f"this is not an Opus packet: {exc}") from exc
        pieces = []
        for frame in frames:
            for resampled in self._resampler.resample(frame):
                pieces.append(bytes(resampled.planes[0])[: resampled.samples * 2])
        return b"".join(pieces)


class OpusEncoder:
    """Encodes one stream: each call of `encode` takes a frame of `frame_ms` and returns the packets that are ready."""

    def __init__(self, rate_hz: int, frame_ms: int) -> None:
        import av

        self._frame: Any = av.AudioFrame
        self._codec: Any = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate = rate_hz
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.bit_rate = BITRATE
        self._codec.options = {"frame_duration": str(frame_ms), "application": "voip"}
        self._rate_hz = rate_hz
        self._samples = rate_hz * frame_ms // 1000
        self._at = 0

    def encode(self, pcm: bytes) -> list[bytes]:
        frame = self._frame(format="s16", layout="mono", samples=self._samples)
        frame.sample_rate = self._rate_hz
        frame.pts = self._at
        self._at = self._at + self._samples
        frame.planes[0].update(pcm + bytes(frame.planes[0].buffer_size - len(pcm)))
        return [bytes(packet) for packet in self._codec.encode(frame)]
