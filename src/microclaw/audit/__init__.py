"""The security log: who tried to come in, who was let in, what was decided. It decides nothing itself."""

from microclaw.audit.event import ALARMS, AuditEvent, AuditKind, Record, RecordedEvent, no_record
from microclaw.audit.files import ChainReport, append_events, followed_events, read_events, verify_chains
from microclaw.audit.log import AuditLog, alarm_text, open_alarms

__all__ = [
    "ALARMS", "AuditEvent", "AuditKind", "AuditLog", "ChainReport", "Record", "RecordedEvent", "alarm_text",
    "append_events", "followed_events", "no_record", "open_alarms", "read_events", "verify_chains",
]  # fmt: skip
