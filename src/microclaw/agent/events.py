"""What a turn tells the channel it came from: steps while it works, then one answer. Plain values, no IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

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
class ToolRun:
    """A tool call of the turn began or ended, for those who show activity and no steps."""

    name: str
    state: Literal["started", "done", "failed"]


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """The turn waits for a yes or a no; `detail` shows exactly what would happen, a line each."""

    approval_id: str
    text: str
    detail: tuple[str, ...]
    expires_s: float


@dataclass(frozen=True, slots=True)
class ApprovalSettled:
    """The turn goes on: somebody decided, wherever that was, or the time was over."""

    approval_id: str
    outcome: Literal["approved", "declined", "expired"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a turn. `error_code` is set when the turn could not do what was asked (errors.py codes).

    `outbound_id` is its place in the outbox: who has delivered it says so (agent.mail). `foreign_s` is when strangers'
    words were read that it may repeat (agent.strangers).
    """

    text: str
    actions: tuple[Action, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    usage: Usage = Usage()
    error_code: str | None = None
    next_step: str | None = None
    outbound_id: int | None = None
    foreign_s: int | None = None


TurnEvent: TypeAlias = Step | Delta | ToolRun | ApprovalAsked | ApprovalSettled | Answer
