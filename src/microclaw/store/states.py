"""The states of rows: also for who opens no store."""

from __future__ import annotations

from typing import Literal, TypeAlias

ScheduleState: TypeAlias = Literal["active", "paused", "over"]
RunState: TypeAlias = Literal["claimed", "started", "done", "failed", "unknown", "skipped"]
Missed: TypeAlias = Literal["run", "skip"]
