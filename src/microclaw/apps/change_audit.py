"""The security log's line for a change of a device: who asked, which approval, what it touched. Writes nothing itself.

It holds names, a pin, the beginning of an image's SHA-256: no source and no sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microclaw.apps.change_log import Change, ChangeKind, PutApp, StartApp, StopApp
from microclaw.audit.event import AuditEvent, AuditKind
from microclaw.store.apps import ChangeState

HASH_CHARS: Final = 12  # of a SHA-256: as `app list` shows it
_KINDS: Final[Mapping[ChangeKind, AuditKind]] = {
    "app.deploy": AuditKind.PROGRAM_INSTALLED,
    "app.upgrade": AuditKind.PROGRAM_INSTALLED,
    "app.remove": AuditKind.PROGRAM_REMOVED,
    "app.stop": AuditKind.PROGRAM_STOPPED,
    "app.start": AuditKind.PROGRAM_STARTED,
    "app.restart": AuditKind.PROGRAM_STARTED,
    "app.restore": AuditKind.PROGRAM_RESTORED,
    "gpio.set": AuditKind.CALL_ACTED,
    "pwm.set": AuditKind.CALL_ACTED,
}
_HOST: Final = "the host"


def change_event(change: Change, state: ChangeState, device: str, by: str | None, approval: str | None) -> AuditEvent:
    """`device` and `by` are names; `by` None is the host itself."""
    kind = _KINDS[change.kind] if change.undoes is None else AuditKind.CHANGE_UNDONE
    told = f"change {change.change_id}: {change.summary}"
    if isinstance(change.forward, PutApp | StartApp | StopApp):
        told += f" {change.forward.version.sha256[:HASH_CHARS]}"
    if change.undoes is not None:
        told += f", reverts change {change.undoes}"
    if state != "done":
        told += ", failed" if state == "failed" else ", and whether it was done is unknown"
    return AuditEvent(kind, told, about=device, by=by or _HOST, approval=approval)
