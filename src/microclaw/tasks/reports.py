"""Reports on tasks: lines of the security log, without code or output, news for those who watch live, and reasons."""

from __future__ import annotations

from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.auth.approvals import ApprovalOutcome
from microclaw.events import TaskChanged
from microclaw.sandbox.job import SandboxLimits
from microclaw.store.tasks import TaskEnding, TaskRow
from microclaw.tasks.live_task import LiveTask
from microclaw.tasks.order import TaskOrder


def changed(row: TaskRow) -> TaskChanged:
    return TaskChanged(
        row.asked_by if row.device_id else "",
        row.ended_ms or row.started_ms or row.created_ms,
        row.number,
        row.state,
        row.ending,
        row.language,
        by=row.asked_by,
        person_id=row.person_id,
    )


def refused_event(order: TaskOrder, why: str) -> AuditEvent:
    text = f"{order.language} code of {len(order.code):,} characters was not run: {why}"
    about = None if order.device_id is None else order.asked_by
    return AuditEvent(AuditKind.TASK_REFUSED, text, by=order.asked_by, about=about)


def started_event(live: LiveTask) -> AuditEvent:
    row, limits, yes = live.row, live.job.limits, live.yes
    network = "no network" if row.allow is None else f"network: {row.allow}"
    approval = live.approval if yes is None else f"{yes.pending.approval_id}, by {yes.by}"
    text = (
        f"{row.language}, {row.code_bytes:,} bytes, sha256 {row.code_sha256[:16]}, {limits.wall_s:g} s, "
        f"{limits.memory_bytes >> 20} MB, {network}, approval: {approval}"
    )
    return _event(AuditKind.TASK_STARTED, text, row, yes)


def ended_event(row: TaskRow, yes: ApprovalOutcome | None = None) -> AuditEvent:
    code = "" if row.exit_code is None else f", exit code {row.exit_code}"
    text = f"{row.ending}{code}, {len(row.files)} files, {row.output_bytes:,} bytes printed"
    return _event(AuditKind.TASK_ENDED, text, row, yes)


def _event(kind: AuditKind, text: str, row: TaskRow, yes: ApprovalOutcome | None) -> AuditEvent:
    return AuditEvent(
        kind,
        f"task {row.number}: {text}",
        about=f"task {row.number}",
        by=row.asked_by,
        known=(row.code_sha256[:16],),
        approval=None if yes is None else yes.pending.approval_id,
        network=row.allow is not None,
    )


def limit_reason(ending: TaskEnding, limits: SandboxLimits) -> str:
    """The limit that ended it and its setting, or nothing."""
    asked = "or less where less was asked for"
    return {
        "timed_out": f"more than {limits.wall_s:g} s (tasks.wall_s, {asked})",
        "out_of_memory": f"more than {limits.memory_bytes >> 20} MB (tasks.memory_mb, {asked})",
        "too_much_output": f"it printed more than {limits.output_bytes >> 10} KB (tasks.output_kb)",
        "disk_full": f"its files have more than {limits.disk_bytes >> 20} MB (tasks.disk_mb), or are too many",
    }.get(ending, "")
