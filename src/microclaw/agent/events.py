"""What a turn tells the channel it came from: steps while it works, then one answer. Plain values, no IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from microclaw.bus.events import Evidence, Step
from microclaw.models.protocol import Usage


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's text, while a model streams it."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A tool that the turn called: its arguments as JSON text, its effect class, how it ended."""

    tool: str
    arguments: str
    effect: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a turn. `error_code` is set when the turn could not do what was asked (errors.py codes)."""

    text: str
    actions: tuple[Action, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    usage: Usage = Usage()
    error_code: str | None = None
    next_step: str | None = None


TurnEvent: TypeAlias = Step | Delta | Answer
