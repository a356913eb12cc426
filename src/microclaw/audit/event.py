"""What the security log has a line for, and the form of that line. It writes nothing.

A line holds no secret: callers give names, addresses and reasons, never a code, a token, a setting's value or what a
person said. What still looks like one is masked here, and every text is cleaned and cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from string import ascii_uppercase, digits
from typing import Final, TypeAlias

from microclaw.text import clean_text

MAX_TEXT_CHARS: Final = 200
MAX_NAME_CHARS: Final = 80
HIDDEN_MARK: Final = "?"
MASK: Final = "[masked]"


class AuditKind(StrEnum):
    """`group.what`. Docs: docs/audit.md."""

    PAIRING_ASKED = "pairing.asked"
    PAIRING_REFUSED = "pairing.refused"
    PAIRING_DONE = "pairing.done"
    CODE_WRONG = "code.wrong"
    CODE_LOCKED = "code.locked"
    SECRET_MADE = "secret.made"  # noqa: S105 - a label
    SECRET_WRONG = "secret.wrong"  # noqa: S105 - a label
    SECRET_LOCKED = "secret.locked"  # noqa: S105 - a label
    CERTIFICATE_FOREIGN = "certificate.foreign"
    CREDENTIAL_REFUSED = "credential.refused"
    CREDENTIAL_SUPERSEDED = "credential.superseded"
    CREDENTIAL_REVOKED = "credential.revoked"
    TOKEN_MADE = "token.made"  # noqa: S105 - a label
    TOKEN_WRONG = "token.wrong"  # noqa: S105 - a label
    TOKEN_LOCKED = "token.locked"  # noqa: S105 - a label
    TOKEN_MISUSED = "token.misused"  # noqa: S105 - a label
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a label
    SIGNIN_LINK = "signin.link"
    SIGNIN_OPENED = "signin.opened"
    SIGNIN_ENDED = "signin.ended"
    SIGNIN_PASSWORD = "signin.password"  # noqa: S105 - a label
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
    CLUSTER_STRAY = "cluster.stray"


# What a person of this host did. These lines are in files of their own, so that nothing from outside can push them out.
ACTS: Final = frozenset(
    {
        AuditKind.PAIRING_DONE,
        AuditKind.SECRET_MADE,
        AuditKind.CREDENTIAL_REVOKED,
        AuditKind.TOKEN_MADE,
        AuditKind.TOKEN_REVOKED,
        AuditKind.SIGNIN_LINK,
        AuditKind.SIGNIN_OPENED,
        AuditKind.SIGNIN_ENDED,
        AuditKind.SIGNIN_PASSWORD,
        AuditKind.APPROVAL_DECIDED,
        AuditKind.ROLE_CHANGED,
        AuditKind.DEVICE_ADDED,
        AuditKind.DEVICE_CHANGED,
        AuditKind.DEVICE_REMOVED,
        AuditKind.CONFIG_CHANGED,
        AuditKind.FORCED,
        AuditKind.FIRMWARE_KEY,
        AuditKind.FIRMWARE_PUBLISHED,
        AuditKind.FIRMWARE_WITHDRAWN,
        AuditKind.FIRMWARE_OFFERED,
        AuditKind.BACKUP_MADE,
        AuditKind.BACKUP_RESTORED,
        AuditKind.PROGRAM_INSTALLED,
        AuditKind.PROGRAM_REMOVED,
        AuditKind.PROGRAM_STARTED,
        AuditKind.PROGRAM_STOPPED,
        AuditKind.PROGRAM_RESTORED,
        AuditKind.CHANGE_UNDONE,
        AuditKind.CALL_ACTED,
        AuditKind.TOOL_ACTED,
        AuditKind.TASK_STARTED,
        AuditKind.TASK_ENDED,
    }
)
# Acts that a program may repeat for hours: they have fewer lines, so that they push out no other act.
BUSY: Final = frozenset(
    {
        AuditKind.PROGRAM_RESTORED,
        AuditKind.CALL_ACTED,
        AuditKind.TOOL_ACTED,
        AuditKind.TASK_STARTED,
        AuditKind.TASK_ENDED,
    }
)
# The host does these by itself: they count for the device, not for a person.
OF_DEVICE: Final = frozenset({AuditKind.PROGRAM_RESTORED})
# A person should look: somebody may have a copy of what a device proves itself with.
ALARMS: Final = frozenset({AuditKind.CREDENTIAL_SUPERSEDED})
# These end an alarm of the same device.
SETTLED_BY: Final = frozenset({AuditKind.CREDENTIAL_REVOKED, AuditKind.PAIRING_DONE})

_MIXED: Final = (
    0.2  # changes between capitals, small letters and digits: 0.6 in base64, 0.45 in hex, below 0.1 in words
)
_CLASSES: Final = dict.fromkeys(digits, "digit") | dict.fromkeys(ascii_uppercase, "upper")
_MIXED_CHARS: Final = "A-Za-z0-9_+/=-"
_SECRET: Final = re.compile(rf"(?=[{_MIXED_CHARS}]*[0-9])(?=[0-9_+/=-]*[A-Za-z])[{_MIXED_CHARS}]{{20,}}")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """`text` says what happened; `address` is where it came from, `by` the name of who did it.

    `about` is the device, person, token or setting. `count` is more than 1 for a line that stands for several events.
    `approval` is the number of the question that somebody said yes to before.
    `network`: it is a task's that may reach the Internet.
    `known`: words of the text that are in files of ours, such as a board's profile; they are no secrets, however mixed.
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
    def is_weighty(self) -> bool:
        """Whether a person said yes to it or it has a network: lines of the same person without that leave it in."""
        return self.network or self.approval is not None

    @property
    def is_act(self) -> bool:
        return self.kind in ACTS


Record: TypeAlias = Callable[[AuditEvent], None]
"""Takes an event; it neither waits nor raises."""


def no_record(event: AuditEvent) -> None:
    """For a part that is used without a host."""
    del event


def line_of(event: AuditEvent, at_ms: int) -> bytes:
    """One JSON object and a newline."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    fields: dict[str, str | int] = {
        "at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "kind": event.kind.value,
        "text": _safe(event.text, MAX_TEXT_CHARS, event.known),
    }
    facts = (("about", event.about), ("address", event.address), ("by", event.by), ("approval", event.approval))
    for name, value in facts:
        if value is not None:
            fields[name] = _safe(value, MAX_NAME_CHARS)
    if event.count != 1:
        fields["count"] = event.count
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _safe(text: str, limit: int, known: tuple[str, ...] = ()) -> str:
    """Without what steers a terminal or hides, and without what looks like a token, `known` words apart."""
    cleaned = clean_text(text[: 8 * limit], one_line=True, mark=HIDDEN_MARK)
    if not known:
        return _SECRET.sub(_masked, cleaned)[:limit]
    words = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
    parts = re.split(rf"(?<![{_MIXED_CHARS}])({words})(?![{_MIXED_CHARS}])", cleaned)  # the known ones are the odd ones
    return "".join(part if number % 2 else _SECRET.sub(_masked, part) for number, part in enumerate(parts))[:limit]


def _masked(found: re.Match[str]) -> str:
    """The mask for what is as mixed as random text is; names and paths of words and a number stay readable."""
    chars = [_CLASSES.get(char, "lower") for char in found[0] if char.isalnum()]
    changes = sum(before != after for before, after in pairwise(chars))
    return MASK if changes >= _MIXED * len(chars) or found[0].isupper() else found[0]
