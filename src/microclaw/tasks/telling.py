"""Reports on tasks: lines of the security log, without code or output, and news for those who watch live."""

from __future__ import annotations

from collections.abc import Callable

from microclaw.audit.event import AuditEvent, AuditKind, Record
from microclaw.auth.approvals import ApprovalOutcome
from microclaw.events import LiveEvent, TaskChanged
from microclaw.store.tasks import TaskRow
from microclaw.tasks.live import LiveTask
from microclaw.tasks.order import TaskOrder


class TaskTelling:
    """`changed` after each change of a row, the others once each."""

    def __init__(self, record: Record, publish: Callable[[LiveEvent], None]) -> None:
        self._record = record
        self._publish = publish

    def changed(self, row: TaskRow) -> None:
        device = row.asked_by if row.device_id else ""
        at_ms = row.ended_ms or row.started_ms or row.created_ms
        self._publish(
            TaskChanged(
                device, at_ms, row.number, row.state, row.ending, row.language, by=row.asked_by, person_id=row.person_id
            )
        )

    def refused(self, order: TaskOrder, why: str) -> None:
        text = f"{order.language[:20]} code of {len(order.code):,} characters was not run: {why}"
        self._record(AuditEvent(AuditKind.TASK_REFUSED, text, by=order.asked_by, about=order.device or None))

    def started(self, live: LiveTask) -> None:
        self._note(AuditKind.TASK_STARTED, _started_text(live), live.row, live.yes)

    def ended(self, row: TaskRow, yes: ApprovalOutcome | None = None) -> None:
        self._note(AuditKind.TASK_ENDED, _ended_text(row), row, yes)

    def _note(self, kind: AuditKind, text: str, row: TaskRow, yes: ApprovalOutcome | None) -> None:
        approval = None if yes is None else yes.pending.approval_id
        known, about, network = (row.code_sha256[:16],), f"task {row.number}", row.allow is not None
        event = AuditEvent(kind, text, about=about, by=row.asked_by, known=known, approval=approval, network=network)
        self._record(event)


def _started_text(live: LiveTask) -> str:
    row, limits = live.row, live.limits
    network = "no network" if row.allow is None else f"network: {row.allow}"
    approval = live.order.approval if live.yes is None else f"{live.yes.pending.approval_id}, by {live.yes.by}"
    return (
        f"task {row.number}: {row.language}, {row.code_bytes:,} bytes, sha256 {row.code_sha256[:16]}, "
        f"{limits.wall_s:g} s, {limits.memory_bytes >> 20} MB, {network}, approval: {approval}"
    )


def _ended_text(row: TaskRow) -> str:
    code = "" if row.exit_code is None else f", exit code {row.exit_code}"
    return f"task {row.number}: {row.ending}{code}, {len(row.files)} files, {row.output_bytes:,} bytes printed"
