"""A conversation of this machine with the host: when it listens, what was understood and said. It prints nothing."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeAlias

from microclaw.link_client.identity import LinkAddress
from microclaw.voice.endpointing import Endpointer, EndpointLimits
from microclaw.voice.engines.engine import VoiceDetector
from microclaw.voice.talk.device import TalkDevice
from microclaw.voice.talk.speaker import SpeakerBuffer
from microclaw.wire.link.values import Trigger

MAX_NEWS: Final = 256
MAX_TURNS: Final = 100
MAX_SENTENCES: Final = 200
BEFORE_FRAMES: Final = 20
"""Frames from before an interruption was noticed that are sent, too: it was noticed in its second syllable."""
ENDLESS_MS: Final = 86_400_000

Kind: TypeAlias = Literal["partial", "heard", "said", "listening", "thinking", "speaking", "idle", "note", "enter",
                          "ended", "interrupt", "gone"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class News:
    """`enter`, `ended` (of the keys) and `interrupt` come from the keyboard; `gone`: the sound card broke off."""

    kind: Kind
    text: str = ""


@dataclass(slots=True)
class TalkTurn:
    """`heard` is None until the host has said what it understood."""

    heard: str | None = None
    said: list[str] = field(default_factory=list)


class Conversation:
    """`with` connects. The link's thread and the sound card's call it; `next_news` is for the thread that shows it.

    It is half-duplex: while the speaker plays, nothing goes to the host, unless `interrupts` (somebody wears
    headphones). With `new_detector` who goes on speaking before the answer, or into it where that `interrupts`, is
    heard: a "no" after a pause is an utterance of its own.
    """

    def __init__(
        self,
        folder: Path,
        address: LinkAddress,
        speaker: SpeakerBuffer,
        *,
        new_detector: Callable[[], VoiceDetector] | None = None,
        interrupts: bool = False,
    ) -> None:
        self.turns: deque[TalkTurn] = deque(maxlen=MAX_TURNS)
        self.device = TalkDevice(folder, address, self)
        self._streams = self.device.streams
        self._speaker = speaker
        self._new_detector = new_detector
        self._interrupts = interrupts
        self._trigger: Trigger = "button"
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()  # a signal's handler puts into it, too
        self._final_of: int | None = None  # the stream whose final is waited for
        self._is_idle = True
        self._before: deque[bytes] = deque(maxlen=BEFORE_FRAMES)
        self._ear: tuple[VoiceDetector, Endpointer] | None = None

    def __enter__(self) -> Conversation:
        self.device.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.device.__exit__(kind, exc, traceback)

    # The person's end

    @property
    def is_listening(self) -> bool:
        return self._streams.listening is not None

    @property
    def is_speaking(self) -> bool:
        return self._streams.speaking is not None or self._speaker.is_playing

    @property
    def is_turn_over(self) -> bool:
        """Whether what was said last is understood, answered and heard to its end."""
        with self._streams.lock:
            return self._is_idle and self._final_of is None and not self.is_listening and not self.is_speaking

    def listen(self, trigger: Trigger) -> None:
        """Open the microphone. What is being said ends at once."""
        with self._streams.lock:
            self._speaker.purge()
            self._is_idle = False
            self._ear, self._trigger = None, trigger
            self._before.clear()
            self.turns.append(TalkTurn())
            self._final_of = self._streams.open(trigger)
        self.tell(News("listening"))

    def stop(self, reason: str) -> None:
        """The person is done: the utterance is over."""
        with self._streams.lock:
            stream = self._streams.listening
            self._before.clear()
            if stream is not None:
                self._streams.stop(stream, reason)

    def interrupt(self) -> None:
        self._streams.interrupt()

    def disconnected(self) -> None:
        """The link is gone, and with it every stream: what was said last gets no answer."""
        with self._streams.lock:
            self._streams.listening = self._streams.speaking = self._final_of = None
            self._speaker.purge()
            self._is_idle = True

    def heard_frame(self, frame: bytes) -> None:
        """20 ms of the microphone, from its own thread."""
        with self._streams.lock:
            stream = self._streams.listening
            if self._speaker.is_playing and not self._interrupts:
                self._ear = None
                self._before.clear()
                return
            self._before.append(frame)
            if stream is not None:
                self._streams.feed(stream, frame)
            elif self._new_detector is not None and not self._is_idle and self._is_interrupted(self._new_detector):
                self._barge_in()

    def tell(self, news: News) -> None:
        """Of the keyboard's end and of the sound card's too. What nobody looks at is dropped, never a Ctrl-C."""
        if self._news.qsize() < MAX_NEWS or news.kind in ("interrupt", "gone"):
            self._news.put(news)

    def next_news(self, timeout_s: float) -> News | None:
        try:
            return self._news.get(timeout=timeout_s)
        except queue.Empty:
            return None

    # TalkEnd

    def activity(self, *, is_idle: bool) -> None:
        with self._streams.lock:
            self._is_idle = is_idle
            if not is_idle and self._final_of is not None and self._streams.listening is None:
                self.tell(News("thinking"))

    def note(self, text: str) -> None:
        self.tell(News("note", text))

    def partial(self, text: str) -> None:
        self.tell(News("partial", text))

    def final(self, stream: int, text: str) -> None:
        if stream != self._final_of:
            return  # of one that another one took the place of
        self._final_of = None
        self._turn.heard = text
        self.tell(News("heard", text))

    def stop_listening(self) -> None:
        """No frame goes to a stream that is over."""

    def begin(self) -> None:
        self._speaker.begin()
        self.tell(News("speaking"))

    def say(self, text: str) -> None:
        if len(self._turn.said) < MAX_SENTENCES:
            self._turn.said.append(text)
        self.tell(News("said", text))

    def play(self, pcm: bytes) -> None:
        self._speaker.put(pcm)

    def end(self) -> None:
        self._speaker.end()

    def purge(self) -> None:
        self._speaker.purge()

    def lost(self, *, is_stale: bool) -> None:
        """What came after an interruption is not heard."""

    @property
    def _turn(self) -> TalkTurn:
        if not self.turns:
            self.turns.append(TalkTurn())  # the host speaks by itself
        return self.turns[-1]

    def _is_interrupted(self, new_detector: Callable[[], VoiceDetector]) -> bool:
        """Whether speech begins with the newest frame; what came just before the last stream's end counts, too."""
        frames = [self._before[-1]]
        if self._ear is None:
            self._ear = new_detector(), Endpointer(EndpointLimits(ENDLESS_MS, ENDLESS_MS, ENDLESS_MS))
            frames = list(self._before)
        detector, endpointer = self._ear
        return "began" in [endpointer.frame(detector.is_speech(frame)) for frame in frames]

    def _barge_in(self) -> None:
        before = tuple(self._before)
        self.listen(self._trigger)
        stream = self._streams.listening
        assert stream is not None
        for one in before:
            self._streams.feed(stream, one)
