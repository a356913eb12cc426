"""The results of the operations on schedules."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from microclaw.host.operations.result import Listing, Result
from microclaw.host.store.schedules import Missed, RunState, ScheduleState


class ScheduleFacts(Result, frozen=True, kw_only=True):
    """A schedule. `when` is in the user's words, `next` in readable form, `by` the creator's name.

    `asks_model`: each run asks a model. `allowed`: the acts that its runs do without approval, although they have read
    these pages. `failure`: how its last run failed, in a list and of one schedule.
    """

    document: ClassVar[str] = "schedule"

    schedule: int
    when: str
    what: str
    kind: Literal["once", "every", "cron", "days"]
    asks_model: bool
    tool: str | None
    device: str | None
    problem: str | None
    state: ScheduleState
    why: str | None
    next: str | None
    next_ms: int | None
    zone: str
    missed: Missed
    created_ms: int
    person: str
    by: str
    channel: str
    chat_id: str
    allowed: list[str]
    failure: str | None = None

    @property
    def condition(self) -> str:
        """The state with its reasons."""
        reasons = [reason for reason in (self.why, self.problem) if reason]
        # The reason of a schedule that is over says it already.
        if self.failure and self.state != "over":
            reasons.append(f"last run failed: {self.failure}")
        if not reasons:
            return self.state
        return f"{self.state}: {'; '.join(reasons)}"


class ScheduleList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "schedules"
    columns: ClassVar = {
        "NUMBER": "schedule",
        "WHEN": "when",
        "WHAT": "what",
        "DEVICE": "device",
        "NEXT": "next",
        "STATE": "condition",
    }
    empty: ClassVar = 'nothing of yours is scheduled; microclaw schedule add "every weekday at 7" "turn on pin 4"'

    zone: str
    schedules: list[ScheduleFacts]


class NewSchedule(ScheduleFacts, frozen=True, kw_only=True):
    warning: str | None


class ScheduleRun(Struct, frozen=True, kw_only=True):
    due: str
    state: RunState
    asked_model: bool
    result: str | None


class OneSchedule(ScheduleFacts, frozen=True, kw_only=True):
    """A schedule with its latest runs, newest first."""

    runs: list[ScheduleRun]

    def lines(self) -> list[str]:
        lines = [f"{self.when}: {self.what}"]
        lines.append(f"next {self.next or '-'}, {self.condition}, missed runs: {self.missed}")
        lines.extend(f"allowed: {act}" for act in self.allowed)
        lines.extend(f"{run.due}  {run.state}  {run.result}" for run in self.runs)
        return lines


class RemovedSchedule(Result, frozen=True, kw_only=True):
    document: ClassVar = "removed"

    removed: int
    when: str
    what: str
    under_way: bool

    @property
    def goes_on(self) -> str:
        return "; its current run continues" if self.under_way else ""
