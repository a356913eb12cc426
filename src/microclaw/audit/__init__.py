"""The security log: who tried to come in, who was let in, what was decided. It decides nothing itself."""

from microclaw.audit.event import ALARMS, AuditEvent, AuditKind, Record, no_record
from microclaw.audit.files import RecordedEvent, append_event, open_alarms, read_events
from microclaw.audit.log import AuditLog

__all__ = [
    "ALARMS",
    "AuditEvent",
    "AuditKind",
    "AuditLog",
    "Record",
    "RecordedEvent",
    "append_event",
    "no_record",
    "open_alarms",
    "read_events",
]
