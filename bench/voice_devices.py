"""Devices that talk with the host by voice, many in one thread, as bench.stream_devices has them.

Each says an utterance, hears the answer, and begins again. Its speaker waits PREFILL_S before it plays: a frame that
comes when everything before it is played is a gap, which is counted, and so is one that the buffer has no room for.
"""

from __future__ import annotations

import array
import heapq
import itertools
import math
import os
import secrets
import select
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from bench.link_device import control_frame, hello, next_message, websocket_frame
from bench.processes import waited_s
from bench.stream_devices import Device
from microclaw.interfaces.voice.engines.engine import FRAME_MS, RATE_HZ
from microclaw.interfaces.voice.opus import OpusEncoder
from microclaw.wire.link.codec import decode
from microclaw.wire.link.frame import FrameType, encode_frame
from microclaw.wire.link.messages import (
    AsrFinal,
    AudioFormat,
    CancelStream,
    ErrorMessage,
    Ping,
    Pong,
    StartAsr,
    TtsEnd,
    TtsStart,
)

FRAME_S: Final = 0.02
PREFILL_S: Final = 0.04
BUFFER_S: Final = 0.2
SPEECH_FRAMES: Final = 100
PAUSE_S: Final = 0.2
"""Between an answer and the next utterance."""
_AT_ONCE: Final = 4
_BURST: Final = 32
_TONE: Final = array.array("h", (round(16_000 * math.sin(math.tau * at / 32)) for at in range(320))).tobytes()
"""20 ms of 500 Hz."""
SILENCE_FRAMES: Final = 100


def utterance(codec: str) -> list[bytes]:
    """A device's speech, frame by frame as it goes over the link: a tone, then silence."""
    frames = [_TONE] * SPEECH_FRAMES + [bytes(len(_TONE))] * SILENCE_FRAMES
    if codec == "opus":
        encoder = OpusEncoder(RATE_HZ, FRAME_MS)
        frames = [packet for frame in frames for packet in encoder.encode(frame)]
    return [websocket_frame(encode_frame(FrameType.AUDIO_IN, frame)) for frame in frames]


@dataclass(slots=True)
class Counts:
    """Of all devices. `sent_late_s` is how late each frame of a device was said: the devices' own fault."""

    utterances: int = 0
    frames_heard: int = 0
    frames_said: int = 0
    gaps: int = 0
    overflows: int = 0
    sent_late_s: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    """From the last loud frame to the first of the answer."""


class Speaker:
    """The playing times of what comes."""

    def __init__(self) -> None:
        self._next_s: float | None = None

    def begin(self) -> None:
        self._next_s = None

    def take(self, now_s: float, frame_s: float = FRAME_S) -> tuple[bool, bool]:
        """Return if there was a gap before this frame, and if there is no room for it."""
        is_gap = self._next_s is not None and now_s > self._next_s
        if self._next_s is None or is_gap:
            self._next_s = now_s + PREFILL_S
        if self._next_s - now_s > BUFFER_S:
            return is_gap, True
        self._next_s += frame_s
        return is_gap, False


class Talker(Device):
    """One device. `due_s` is when it says its next frame; None while it hears."""

    codec = "pcm16"
    utterance = utterance("pcm16")
    __slots__ = ("_counts", "_number", "_said_s", "_speaker", "_spoken", "due_s", "stream")

    def __init__(self, connection: ssl.SSLSocket) -> None:
        super().__init__(connection)
        self.stream = -1
        self.due_s: float | None = None
        self._counts = Counts()
        self._speaker = Speaker()
        self._number = 0
        self._said_s = 0.0
        self._spoken = 0

    def begin(self, at_s: float, counts: Counts) -> None:
        """An utterance more, from then on."""
        self._counts = counts
        self.stream += 2
        self._number = 0
        self.due_s = at_s

    def say_next(self, now_s: float) -> None:
        assert self.due_s is not None
        counts = self._counts
        if self._number == 0:
            self.socket.send(control_frame(StartAsr(self.stream, self.codec, RATE_HZ, "wake", 0)))
            counts.utterances += 1
        counts.sent_late_s.append(now_s - self.due_s)
        self.socket.send(self.utterance[min(self._number, len(self.utterance) - 1)])
        if self._number < SPEECH_FRAMES:
            self._said_s = now_s
        self._number += 1
        counts.frames_said += 1
        self.due_s += FRAME_S

    def hear(self) -> float | None:
        """Read what is there; when it begins to speak again, if an answer has ended."""
        try:
            self._receive()
        except ssl.SSLWantReadError:  # half a record
            return None
        now_s = time.monotonic()
        again_s: float | None = None
        while (found := next_message(self._buffer)) is not None:
            opcode, message = found
            if opcode != 2:
                raise ConnectionError(f"the host closed: {int.from_bytes(message[:2], 'big')} {message[2:].decode()}")
            if message[0] == FrameType.CONTROL:
                again_s = self._take(message, now_s) or again_s
            else:
                self._play(now_s)
        return again_s

    def _greet(self) -> None:
        room_ms = round((BUFFER_S - PREFILL_S) * 1000)
        audio = AudioFormat((self.codec,), RATE_HZ, FRAME_MS, room_ms)
        self.socket.sendall(control_frame(replace(hello(secrets.token_bytes(16)), audio=audio)))
        while not self._is_welcome():
            self._receive()

    def _take(self, message: bytes, now_s: float) -> float | None:
        envelope = decode(message[1:])
        match envelope.body:
            case Ping(n=n, t0=t0):
                self.socket.send(control_frame(Pong(n, t0, t0, t0), envelope.id))
            case AsrFinal(stream=stream) | CancelStream(stream=stream) if stream == self.stream:
                self.due_s = None
            case TtsStart():
                self._speaker.begin()
                self._spoken = 0
            case TtsEnd():
                return now_s + PAUSE_S
            case ErrorMessage(code=code, message=text):
                raise ConnectionError(f"the host objects: {code}: {text}")
            case _:
                pass
        return None

    def _play(self, now_s: float) -> None:
        counts = self._counts
        if not self._spoken:
            counts.answer_s.append(now_s - self._said_s)
        self._spoken += 1
        counts.frames_heard += 1
        is_gap, is_over = self._speaker.take(now_s)
        counts.gaps += is_gap
        counts.overflows += is_over


class OpusTalker(Talker):
    """The same with Opus both ways."""

    codec = "opus"
    utterance = utterance("opus")
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Conversations:
    counts: Counts
    cpu_share: float
    waited_share: float
    lasted_s: float


class Talkers:
    """All devices of one thread."""

    def __init__(self, kind: type[Talker] = Talker) -> None:
        self._kind = kind
        self._poll = select.epoll()
        self._all: dict[int, Talker] = {}
        self._due: list[tuple[float, int, Talker]] = []
        self._order = itertools.count()

    def connect(
        self, port: int, tokens: Sequence[str], tls: ssl.SSLContext, *, address: str = "127.0.0.1"
    ) -> list[Talker]:
        def one(token: str) -> Talker:
            return self._kind.connect(port, token, tls, linked=True, address=address)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            talkers = list(pool.map(one, tokens))
        for talker in talkers:
            self._all[talker.socket.fileno()] = talker
            self._poll.register(talker.socket, select.EPOLLIN)
        return talkers

    def converse(self, talkers: Sequence[Talker], lasts_s: float) -> Conversations:
        """All of them talk, begun evenly over one utterance; those that talk when it is over end what they say."""
        counts = Counts()
        began_s = time.monotonic()
        gap_s = SPEECH_FRAMES * FRAME_S / len(talkers)
        for number, talker in enumerate(talkers):
            self._begin(talker, began_s + number * gap_s, counts)
        cpu_s = time.process_time()
        delayed_s = waited_s(os.getpid())
        end_s = began_s + lasts_s
        while (now_s := time.monotonic()) < end_s or self._due:
            for talker in self._ripe(now_s):
                talker.say_next(time.monotonic())
            wait_s = max(0.0, (self._due[0][0] if self._due else end_s) - time.monotonic())
            self._listen(wait_s, counts, end_s)
        lasted_s = time.monotonic() - began_s
        cpu_s = time.process_time() - cpu_s
        delayed_s = waited_s(os.getpid()) - delayed_s
        self.rest(counts)
        return Conversations(counts, cpu_s / lasted_s, delayed_s / lasted_s, lasted_s)

    def rest(self, counts: Counts, quiet_s: float = 1.0) -> None:
        """Listen until the host has spoken to no device for so long."""
        heard = counts.frames_heard
        since_s = time.monotonic()
        while time.monotonic() - since_s < quiet_s:
            self._listen(quiet_s, counts, 0.0)
            if counts.frames_heard != heard:
                heard = counts.frames_heard
                since_s = time.monotonic()

    def close(self) -> None:
        self._poll.close()
        for talker in self._all.values():
            talker.socket.close()

    def _begin(self, talker: Talker, at_s: float, counts: Counts) -> None:
        talker.begin(at_s, counts)
        heapq.heappush(self._due, (at_s, next(self._order), talker))

    def _ripe(self, now_s: float) -> Iterator[Talker]:
        """At most _BURST devices whose frame is due; those that hear meanwhile are passed over."""
        for _ in range(_BURST):
            if not self._due or self._due[0][0] > now_s:
                return
            _, _, talker = heapq.heappop(self._due)
            if talker.due_s is None:
                continue
            yield talker
            heapq.heappush(self._due, (talker.due_s, next(self._order), talker))

    def _listen(self, wait_s: float, counts: Counts, end_s: float) -> bool:
        events = self._poll.poll(wait_s, _BURST)
        for file, _ in events:
            talker = self._all[file]
            again_s = talker.hear()
            if again_s is not None and again_s < end_s:
                self._begin(talker, again_s, counts)
        return bool(events)
