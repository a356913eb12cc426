"""The times of a spoken turn's steps, kept for the last turns, without text or audio."""

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
"""The steps of a turn.

`wake`: the stream was opened. `speech end`: the last speech arrived. `end heard`: the silence after it was long enough.
`first audible`: the first audio is played, if the device plays at once.
"""
KEPT_TURNS: Final = 100


class VoiceTurn(Struct, frozen=True):
    """A finished turn. `steps` are names and times in ms since the first step."""

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
    """Whether the device revoked the stream. Then its words are ignored."""

    def mark(self, step: Step, at_s: float | None = None) -> None:
        """Note the time of a step, by default now. Only the first time counts."""
        time_s = self.now_s() if at_s is None else at_s
        self.marks.setdefault(step, time_s)

    def turn(self) -> VoiceTurn:
        """Return the turn with times in ms since the first mark."""
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
