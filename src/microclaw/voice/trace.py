"""The time of a spoken turn by steps: a mark for each step, kept for the last turns without text or audio."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Step: TypeAlias = Literal[
    "wake", "first audio", "speech end", "end heard", "first partial", "final", "first token", "first sentence",
    "first audio out", "first audible", "end",
]  # fmt: skip
"""`wake` is when the stream was opened. `speech end` is when the last speech came in, and `end
heard` when the silence after it was long enough. `first audible` is when the first audio is played if the device plays
at once.
"""
KEPT_TURNS: Final = 100


class VoiceTurn(Struct, frozen=True):
    """`steps`: each its name and its time in ms since the first."""

    device: str
    trigger: str
    outcome: str
    late_frames: int
    steps: Sequence[tuple[str, float]]


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

    def turn(self) -> VoiceTurn:
        """Times in ms since the first mark."""
        start = min(self.marks.values(), default=0.0)
        steps = sorted(self.marks.items(), key=lambda row: row[1])
        marks = [(step, round((at_s - start) * 1000, 1)) for step, at_s in steps]
        return VoiceTurn(self.device, self.trigger, self.outcome, self.late_frames, marks)

    def end(self, outcome: str, traces: VoiceTraces) -> None:
        """Keep the turn. Its outcome is one word: answered, nothing, failed, interrupted, left."""
        self.mark("end")
        self.outcome = outcome
        traces.append(self)


VoiceTraces: TypeAlias = deque[VoiceTrace]
"""The last turns."""
