"""The time of a spoken turn by steps: a mark for each step, kept for the last turns without text or audio."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from microclaw.voice.operations import VoiceTurn

Step: TypeAlias = Literal[
    "wake", "first audio", "speech end", "end heard", "first partial", "final", "first token", "first sentence",
    "first audio out", "first audible", "end",
]  # fmt: skip
"""`wake` is when the stream was opened. `speech end` is when the last speech came in, and `end
heard` when the silence after it was long enough. `first audible` is when the first audio is played if the device plays
at once.
"""
KEPT_TURNS: Final = 100
SPANS: Final[Sequence[tuple[str, Step, Step]]] = (
    ("first_partial", "first audio", "first partial"),
    ("endpointing", "speech end", "end heard"),
    ("recognition", "end heard", "final"),
    ("first_token", "final", "first token"),
    ("first_sentence", "final", "first sentence"),
    ("synthesis", "first sentence", "first audio out"),
    ("speech_end_to_audible", "speech end", "first audible"),
    ("turn", "first audio", "end"),
)
"""The durations of the metrics, each from one step to another."""
BOUNDS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class VoiceTrace:
    """One turn; `stream` is the device's number of the audio. `marks` are in seconds of `now_s`."""

    device: str
    trigger: str
    stream: int
    now_s: Callable[[], float]
    marks: dict[Step, float] = field(default_factory=dict)
    outcome: str = "open"
    late_frames: int = 0
    is_cancelled: bool = False
    """The device revoked the stream: what was said in it asks for nothing."""

    def mark(self, step: Step, at_s: float | None = None) -> None:
        """Only the first time of each step counts."""
        self.marks.setdefault(step, self.now_s() if at_s is None else at_s)

    def span_s(self, first: Step, then: Step) -> float | None:
        """From one step to another; None where one of them never came."""
        if first not in self.marks or then not in self.marks:
            return None
        return max(0.0, self.marks[then] - self.marks[first])

    def turn(self) -> VoiceTurn:
        """Times in ms since the first mark."""
        start = min(self.marks.values(), default=0.0)
        steps = sorted(self.marks.items(), key=lambda row: row[1])
        marks = [(step, round((at_s - start) * 1000, 1)) for step, at_s in steps]
        return VoiceTurn(self.device, self.trigger, self.outcome, self.late_frames, marks)


@dataclass(slots=True)
class SpanCounts:
    """The number of durations between two of BOUNDS_S; the last count is of those over all of them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, span_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, span_s)] += 1
        self.sum_s += span_s


class VoiceTraces:
    """The last KEPT_TURNS turns, and the durations of all since the host's start, by their names in SPANS."""

    def __init__(self) -> None:
        self._turns: deque[VoiceTrace] = deque(maxlen=KEPT_TURNS)
        self.durations: dict[str, SpanCounts] = {name: SpanCounts() for name, _, _ in SPANS}

    def end(self, trace: VoiceTrace, outcome: str) -> None:
        """Keep the turn. Its outcome is one word: answered, nothing, failed, interrupted, left."""
        trace.mark("end")
        trace.outcome = outcome
        self._turns.append(trace)
        for name, first, then in SPANS:
            if (span_s := trace.span_s(first, then)) is not None:
                self.durations[name].add(span_s)

    def newest(self, count: int = KEPT_TURNS) -> list[VoiceTrace]:
        return list(self._turns)[-count:]
