"""Which audio stream is active in each direction, and which lane a message takes. No IO.

At most one a direction: a new one ends the one before it. Audio outside a stream is dropped: what was on its way when
a person talked over it (barge-in).
"""

from __future__ import annotations

from typing import Final

from microclaw.wire.link.actions import Lane
from microclaw.wire.link.frame import FrameType
from microclaw.wire.link.messages import (
    AnyBody,
    CancelStream,
    Log,
    StartAsr,
    StopAsr,
    Telemetry,
    TtsChunk,
    TtsEnd,
    TtsStart,
)
from microclaw.wire.link.values import Sender

FRAME_OF: Final = {Sender.DEVICE: FrameType.AUDIO_IN, Sender.HOST: FrameType.AUDIO_OUT}
_MEDIA: Final = (StartAsr, StopAsr, TtsStart, TtsChunk, TtsEnd, CancelStream)


def lane_of(body: AnyBody) -> Lane:
    if isinstance(body, _MEDIA):
        return Lane.MEDIA
    return Lane.TELEMETRY if isinstance(body, (Telemetry, Log)) else Lane.CONTROL


class Streams:
    """`sending` and `receiving` are the active streams of an end, by direction."""

    def __init__(self, role: Sender) -> None:
        self.role = role
        self.sending: int | None = None
        self.receiving: int | None = None

    def clear(self) -> None:
        self.sending = self.receiving = None

    def note(self, body: AnyBody, sender: Sender) -> int | None:
        """Follow a message of `sender`; the stream whose queued frames this end must forget, if any."""
        ours = sender is self.role
        match body:
            case StartAsr(stream=stream) | TtsStart(stream=stream):
                self._set(ours, stream)
            case StopAsr(stream=stream) | TtsEnd(stream=stream):
                if stream == (self.sending if ours else self.receiving):
                    self._set(ours, None)
            case CancelStream(stream=stream):
                if stream == self.receiving:
                    self.receiving = None
                if stream == self.sending:
                    self.sending = None
                    return stream
        return None

    def _set(self, ours: bool, stream: int | None) -> None:
        if ours:
            self.sending = stream
        else:
            self.receiving = stream
