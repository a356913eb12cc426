"""The results of the acts of subagents."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from microclaw.host.operations.result import Listing, Result


class Subagent(Struct, kw_only=True):
    """A subagent and its state.

    `person` is the person who asked. `result` is its answer, or the reason why it has none. `foreign`: the result may
    hold untrusted text.
    """

    subagent: str
    task: str
    tools: list[str]
    person: str
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    result: str | None = None
    tokens: int = 0
    began_ms: int
    foreign: bool


class SubagentList(Listing, frozen=True, kw_only=True):
    document: ClassVar = "subagents"
    columns: ClassVar = {"ID": "subagent", "STATE": "state", "TOKENS": "tokens", "TASK": "task"}
    empty: ClassVar = "no subagent works"

    subagents: list[Subagent]

    @property
    def is_foreign(self) -> bool:
        return any(subagent.foreign for subagent in self.subagents)


class CancelledSubagent(Result, frozen=True, kw_only=True):
    document: ClassVar = "cancelled"

    cancelled: str
