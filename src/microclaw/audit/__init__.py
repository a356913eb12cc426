"""The security log: who tried to come in, who was let in, what was decided. It decides nothing itself."""

from microclaw.audit.event import ALARMS, AuditEvent, AuditKind, Record, no_record
from microclaw.audit.files import (
    Followed,
    RecordedEvent,
    alarm_text,
    append_events,
    is_wanted,
    open_alarms,
    read_events,
)
from microclaw.audit.log import AuditLog
from microclaw.audit.verify import Break, ChainReport, kept_heads, verify_chains

__all__ = [
    "ALARMS",
    "AuditEvent",
    "AuditKind",
    "AuditLog",
    "Break",
    "ChainReport",
    "Followed",
    "Record",
    "RecordedEvent",
    "alarm_text",
    "append_events",
    "is_wanted",
    "kept_heads",
    "no_record",
    "open_alarms",
    "read_events",
    "verify_chains",
]
