"""The security log's kinds of events, and the form of a line. It writes nothing.

Callers pass names, addresses and reasons, never a code, a token, a setting's value or a person's words. Text that still
looks like a secret is masked here, and every text is cleaned and cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from microclaw.conversion import convert
from microclaw.text import clean_text

MAX_TEXT_CHARS: Final = 200
MAX_NAME_CHARS: Final = 80


class AuditKind(StrEnum):
    """The kinds of events as `group.event`. Docs: docs/reference/security-log.md."""

    PAIRING_ASKED = "pairing.asked"
    PAIRING_REFUSED = "pairing.refused"
    PAIRING_DONE = "pairing.done"
    CODE_WRONG = "code.wrong"
    CODE_LOCKED = "code.locked"
    SECRET_MADE = "secret.made"
    SECRET_WRONG = "secret.wrong"
    SECRET_LOCKED = "secret.locked"
    CERTIFICATE_FOREIGN = "certificate.foreign"
    CREDENTIAL_REFUSED = "credential.refused"
    CREDENTIAL_SUPERSEDED = "credential.superseded"
    CREDENTIAL_REVOKED = "credential.revoked"
    TOKEN_MADE = "token.made"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_WRONG = "token.wrong"
    TOKEN_LOCKED = "token.locked"
    TOKEN_MISUSED = "token.misused"
    SIGNIN_LINK = "signin.link"
    SIGNIN_OPENED = "signin.opened"
    SIGNIN_ENDED = "signin.ended"
    SIGNIN_PASSWORD = "signin.password"
    SIGNIN_WRONG = "signin.wrong"
    SIGNIN_LOCKED = "signin.locked"
    SIGNIN_REFUSED = "signin.refused"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_DECIDED = "approval.decided"
    ROLE_CHANGED = "role.changed"
    DEVICE_ADDED = "device.added"
    DEVICE_CHANGED = "device.changed"
    DEVICE_REMOVED = "device.removed"
    CONFIG_CHANGED = "config.changed"
    FORCED = "exec.forced"
    FIRMWARE_KEY = "firmware.key"
    FIRMWARE_PUBLISHED = "firmware.published"
    FIRMWARE_WITHDRAWN = "firmware.withdrawn"
    FIRMWARE_OFFERED = "firmware.offered"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    PROGRAM_INSTALLED = "program.installed"
    PROGRAM_REMOVED = "program.removed"
    PROGRAM_STARTED = "program.started"
    PROGRAM_STOPPED = "program.stopped"
    PROGRAM_RESTORED = "program.restored"
    CHANGE_UNDONE = "change.undone"
    CALL_ACTED = "call.acted"
    TOOL_ACTED = "tool.acted"
    TASK_STARTED = "task.started"
    TASK_ENDED = "task.ended"
    TASK_REFUSED = "task.refused"
    EGRESS_ALLOWED = "egress.allowed"
    EGRESS_REFUSED = "egress.refused"


# Kinds with these ends are acts of this host's people; any other kind may come from outside.
_DONE: Final = re.compile(
    r".*\.(acted|added|changed|decided|done|ended|forced|installed|key|link|made|offered|opened|password|published"
    r"|removed|restored|revoked|started|stopped|undone|withdrawn)"
)
ACTS: Final = frozenset(kind for kind in AuditKind if _DONE.fullmatch(kind))
# Acts that a program may repeat for hours: they get fewer lines, so that they push out no other act.
BUSY: Final = frozenset({AuditKind.CALL_ACTED, AuditKind.TOOL_ACTED, AuditKind.TASK_STARTED, AuditKind.TASK_ENDED})
# A person should look at an alarm: an attacker may have a copy of a device's token. The kinds below end the alarm.
ALARMS: Final = frozenset({AuditKind.CREDENTIAL_SUPERSEDED})
SETTLED_BY: Final = frozenset({AuditKind.CREDENTIAL_REVOKED, AuditKind.PAIRING_DONE})

# Changes between capitals, small letters and digits: 0.6 in base64, 0.45 in hex, below 0.1 in words.
_MIXED: Final = 0.2
_MIXED_CHARS: Final = "A-Za-z0-9_+/=-"
_SECRET: Final = rf"(?=[{_MIXED_CHARS}]*[0-9])(?=[0-9_+/=-]*[A-Za-z])[{_MIXED_CHARS}]{{20,}}"


class AuditEvent(Struct, frozen=True):
    """An event of the security log.

    `text` describes it; `address` is its source, `by` the name of the person who acted. `about` is the device, person,
    token or setting. `count` is more than 1 for a line that stands for several events. `approval` is the number of the
    question that a person approved. `network`: the task may reach the Internet. `known` are words of the text that are
    in files of ours, such as a board's profile, so they are not masked as secrets.
    """

    kind: AuditKind
    text: str
    address: str | None = None
    about: str | None = None
    by: str | None = None
    count: int = 1
    known: tuple[str, ...] = ()
    approval: str | None = None
    network: bool = False

    @property
    def is_act(self) -> bool:
        return self.kind in ACTS


class RecordedEvent(Struct, frozen=True):
    """An event and its time (Unix ms)."""

    at_ms: int
    event: AuditEvent

    def is_wanted(self, since_ms: int, kinds: Collection[str]) -> bool:
        """Return True if the event is new enough and of one of the kinds or groups ("token"); no kinds means all."""
        kind = self.event.kind.value
        return self.at_ms >= since_ms and (not kinds or kind in kinds or kind.partition(".")[0] in kinds)


Record: TypeAlias = Callable[[AuditEvent], None]
"""A function that records an event; it neither waits nor raises."""


def no_record(event: AuditEvent) -> None:
    """Ignore the event: for a part that is used without a host."""
    del event


def line_of(event: AuditEvent, at_ms: int) -> bytes:
    """Return the line of an event: a JSON object and a newline."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    fields: dict[str, str | int] = {
        "at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "kind": event.kind.value,
        "text": _safe(event.text, MAX_TEXT_CHARS, event.known),
    }
    for name in ("about", "address", "by", "approval"):
        value = getattr(event, name)
        if value is not None:
            fields[name] = _safe(value, MAX_NAME_CHARS)
    if event.count != 1:
        fields["count"] = event.count
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def fields_of(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an event; None for other text, such as half a line after a power cut."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(fields, dict) and "kind" in fields:
        return fields
    return None


def parse_line(line: bytes) -> RecordedEvent | None:
    """Return the event of a line; None if the line has no event."""
    fields = fields_of(line) or {}
    try:
        at_ms = round(datetime.fromisoformat(fields["at"]).timestamp() * 1000)
        return RecordedEvent(at_ms, convert(fields, AuditEvent))
    except (ValueError, TypeError, KeyError, OverflowError, msgspec.ValidationError):
        return None


def _safe(text: str, limit: int, known: tuple[str, ...] = ()) -> str:
    """Return the text without control characters and without words that look like tokens, unless they are `known`."""
    cleaned = clean_text(text[: 8 * limit], one_line=True, mark="?")
    known_words = "|".join(map(re.escape, sorted(known, key=len, reverse=True))) or "(?!)"
    return re.sub(rf"(?<![{_MIXED_CHARS}])({known_words})(?![{_MIXED_CHARS}])|{_SECRET}", _masked, cleaned)[:limit]


def _masked(match: re.Match[str]) -> str:
    """Return the mask for a word as mixed as random text; names and paths of words and a number stay readable."""
    word = match[0]
    is_known = match[1] is not None
    if is_known:
        return word
    characters = [(char.isdigit(), char.isupper()) for char in word if char.isalnum()]
    changes = sum(before != after for before, after in pairwise(characters))
    if changes >= _MIXED * len(characters) or word.isupper():
        return "[masked]"
    return word
