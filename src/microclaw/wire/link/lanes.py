"""The four queues of messages on their way out, each with its written answer for "full", and who uses them. No IO.

MEDIA goes first, then CONTROL, then TELEMETRY, then BLOB (pieces of updates). Audio older than the device's buffer is
dropped as a glitch; TELEMETRY and BLOB drop their oldest; a full CONTROL lane ends the connection (1013), after which
what is durable is replayed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.errors import LinkViolation
from microclaw.wire.link import messages
from microclaw.wire.link.frame import CloseCode, FrameType
from microclaw.wire.link.messages import AnyBody, CancelStream
from microclaw.wire.link.values import Sender

FRAME_OF: Final = {Sender.DEVICE: FrameType.AUDIO_IN, Sender.HOST: FrameType.AUDIO_OUT}
_MEDIA: Final = (
    messages.StartAsr, messages.StopAsr, messages.TtsStart, messages.TtsChunk, messages.TtsEnd, CancelStream,
)  # fmt: skip


class Lane(IntEnum):
    """Sent in this order."""

    MEDIA = 0
    CONTROL = 1
    TELEMETRY = 2
    BLOB = 3


def lane_of(body: AnyBody) -> Lane:
    if isinstance(body, _MEDIA):
        return Lane.MEDIA
    return Lane.TELEMETRY if isinstance(body, (messages.Telemetry, messages.Log)) else Lane.CONTROL


THEIRS = False
OURS = True


class Streams:
    """`active` has the active streams of an end: at THEIRS what it receives, at OURS what it sends."""

    def __init__(self, role: Sender) -> None:
        self.role = role
        self.active: list[int | None] = [None, None]

    def note(self, body: AnyBody, sender: Sender) -> bool:
        """Follow a message of `sender`; True if this end must forget its stream's queued frames."""
        ours = sender is self.role
        match body:
            case messages.StartAsr(stream=stream) | messages.TtsStart(stream=stream):
                self.active[ours] = stream
            case messages.StopAsr(stream=stream) | messages.TtsEnd(stream=stream) if stream == self.active[ours]:
                self.active[ours] = None
            case CancelStream(stream=stream):
                was_sending = stream == self.active[OURS]
                self.active = [None if one == stream else one for one in self.active]
                return was_sending
        return False


class LaneLimits(Struct, frozen=True):
    """Messages and bytes that a lane may hold; `audio_age_ms` is the device's `buffer_ms`."""

    media: int = 256
    control: int = 256
    telemetry: int = 64
    blob: int = 17  # one window
    lane_bytes: int = 1_048_576
    audio_age_ms: float = 200


_Queued: TypeAlias = tuple[bytes, float]  # a message, and when it came


class Lanes:
    """Messages wait here while the transport is busy; `now_ms` is monotonic.

    Counted: `glitches`, audio that was too old or had no room, and `telemetry_dropped`.
    """

    def __init__(self, limits: LaneLimits | None = None) -> None:
        self.limits = limits or LaneLimits()
        self.glitches = self.telemetry_dropped = 0
        # By lane, which is an index: looking an enum up in a dict costs four times as much, and this is every frame.
        self._queues: tuple[list[_Queued], ...] = tuple([] for _ in Lane)  # an idle deque has 600 bytes
        self._bytes = [0] * len(Lane)
        self.count = 0  # messages in all
        self._most = (self.limits.media, self.limits.control, self.limits.telemetry, self.limits.blob)

    def put(self, message: bytes, lane: Lane, now_ms: float) -> None:
        """Queue a message; LinkViolation 1013 when CONTROL, or a MEDIA lane full of control messages, is full."""
        queue = self._queues[lane]
        size = len(message)
        if queue and lane is Lane.MEDIA:
            self._drop_old_audio(queue, now_ms)
        while len(queue) >= self._most[lane] or self._bytes[lane] + size > self.limits.lane_bytes:
            if not self._drop_oldest(lane):
                text = f"the {lane.name} lane is full: {len(queue)} messages, {self._bytes[lane]} bytes"
                raise LinkViolation(text, close_code=CloseCode.OVERLOADED, reason="overloaded")
        queue.append((message, now_ms))
        self._bytes[lane] += size
        self.count += 1

    def take(self, now_ms: float) -> bytes | None:
        """Take the next message to write; audio that has grown too old is left out."""
        if not self.count:
            return None
        media = self._queues[Lane.MEDIA]
        if media:
            self._drop_old_audio(media, now_ms)
        for lane, queue in enumerate(self._queues):
            if queue:
                message, _ = queue.pop(0)
                self._bytes[lane] -= len(message)
                self.count -= 1
                return message
        return None

    def depth(self, lane: Lane) -> int:
        return len(self._queues[lane])

    def _drop_oldest(self, lane: Lane) -> bool:
        """Make room where the lane's rule allows it; False when nothing may be dropped."""
        queue = self._queues[lane]
        droppable = (i for i, queued in enumerate(queue) if lane is not Lane.MEDIA or _is_audio(queued))
        if lane is Lane.CONTROL:
            at = None
        else:
            at = next(droppable, None)
        if at is None:
            return False
        self._bytes[lane] -= len(queue[at][0])
        del queue[at]
        self.count -= 1
        if lane is Lane.TELEMETRY:
            self.telemetry_dropped += 1
        elif lane is Lane.MEDIA:
            self.glitches += 1
        return True  # a piece of BLOB: the device asks for it again

    def _drop_old_audio(self, queue: list[_Queued], now_ms: float) -> None:
        if queue[0][1] < now_ms - self.limits.audio_age_ms:
            self.glitches += self.purge_audio(now_ms - self.limits.audio_age_ms)

    def purge_audio(self, before_ms: float = float("inf")) -> int:
        """Forget queued audio that came before; how many frames. Messages about streams stay."""
        queue = self._queues[Lane.MEDIA]
        kept = [queued for queued in queue if queued[1] >= before_ms or not _is_audio(queued)]
        removed = len(queue) - len(kept)
        if removed:
            queue[:] = kept
            self._bytes[Lane.MEDIA] = sum(len(message) for message, _ in kept)
            self.count -= removed
        return removed


def _is_audio(queued: _Queued) -> bool:
    return queued[0][0] != FrameType.CONTROL
