"""What the parts of the host tell each other while a turn runs. Plain values, no IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal[
    "intent", "plan", "code", "model", "tool", "compile", "check", "try", "approve", "deploy", "verify", "undo", "asks",
    "sorry",
]  # fmt: skip
EvidenceKind: TypeAlias = Literal["counted", "reported", "accepted"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A level change that a board counted: board time in ms since its boot, GPIO number, new level."""

    t_ms: float
    pin: int
    level: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """How an answer knows what it says.

    counted: edges or levels read from the board; reported: the program's own log or event, or a reading;
    accepted: the firmware took the order and offers no read-back.
    """

    kind: EvidenceKind
    text: str
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress: the stage, what happened, and lines to show below it (a program's source).

    Three spaces in `text` part what happened from a side note, which a terminal may set flush right.
    """

    stage: Stage
    text: str
    state: Literal["running", "done", "failed"] = "done"
    detail: tuple[str, ...] = ()
    took_ms: float | None = None
    next_step: str | None = None


Report: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Attachment:
    """What came with a message: a photo, a voice note, a file; `data` is what the channel fetched."""

    kind: Literal["image", "voice", "file"]
    media_type: str
    data: bytes = field(repr=False)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A person's message as a channel took it in. `chat_id` names the conversation within its channel.

    `principal` is who may do things here (policy.people); `key` is the channel's own id of the message: the same key
    comes in once. `origin` tells a person's own words from a schedule's, the heartbeat's, a device's, and those that
    they forward.
    """

    channel: str
    chat_id: str
    text: str
    principal: str = "owner"
    device: str | None = None
    attachments: tuple[Attachment, ...] = ()
    key: str | None = None
    origin: Literal["person", "schedule", "heartbeat", "device", "forwarded"] = "person"
