"""Values that the parts of the host exchange while a turn runs. Plain values, no IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.network_use import NO_NETWORK, NetworkUse

Stage: TypeAlias = Literal[
    "intent", "plan", "code", "model", "tool", "compile", "check", "try", "approve", "deploy", "verify", "undo", "asks",
    "sorry",
]  # fmt: skip
ActOutcome: TypeAlias = Literal["done", "refused", "failed", "unknown"]
EvidenceKind: TypeAlias = Literal["counted", "reported", "accepted", "written"]
ProgramKind: TypeAlias = Literal["wasm", "py"]
"""What a program is on a board: a WebAssembly module, or MicroPython's bytecode (.mpy)."""
# An act that was requested longer ago is not done any more.
OLD_S: Final = 600.0
PROGRAM_KINDS: Final[tuple[ProgramKind, ...]] = ("wasm", "py")


class Usage(Struct, frozen=True):
    """Tokens and money of a turn; offline models leave all at 0. `cached_tokens` are part of `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    # None if the price is unknown.
    cost_usd: float | None = 0.0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        cost_usd = None
        if self.cost_usd is not None and other.cost_usd is not None:
            cost_usd = self.cost_usd + other.cost_usd
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            cost_usd,
            self.cached_tokens + other.cached_tokens,
        )


class Edge(Struct, frozen=True):
    """A level change that a board counted: board time in ms since its boot, GPIO number, new level."""

    t_ms: float
    pin: int
    level: int


class AskedProgram(Struct, frozen=True):
    """The program that a question is about, as data for an interface that draws it.

    After a yes exactly the image `sha256` is installed, in place of the image `replaces`. `pins` are those it drives or
    reads, `edges` the first of its trial as (ms, pin, level), which took `trial_ms` of board time. `diff` is the
    unified diff from the source that is there; empty where nothing is replaced, or no source is kept. `network`: the
    hosts that it talks to, and the ports that it opens. `cautions`: why pins that it drives need care.
    """

    device: str
    name: str
    sha256: str
    pins: tuple[int, ...]
    edges: tuple[tuple[float, int, int], ...]
    trial_ms: float
    replaces: str | None = None
    diff: tuple[str, ...] = ()
    network: NetworkUse = NO_NETWORK
    cautions: tuple[str, ...] = ()


class Evidence(Struct, frozen=True):
    """The evidence for an answer.

    counted: edges or levels read from the board; reported: the program's own log or event, or a reading;
    accepted: the firmware took the order and offers no read-back; written: this host keeps it itself (a schedule, a
    memory), and no device is involved.
    """

    kind: EvidenceKind
    text: str
    edges: tuple[Edge, ...] = ()


class ScreenPicture(Struct, frozen=True):
    """The last picture of a display in a trial, of `count` pictures.

    `t_ms` counts from the program's start. `kind`, `width` and `height` are those of the screen
    (hardware/screens/screen.py). `lines` draw it as text, `png` as an image (in JSON base64). `text` is what a model
    without eyes gets: what it shows in words, as far as that is known.
    """

    part: str
    t_ms: float
    count: int
    kind: str
    width: int
    height: int
    lines: tuple[str, ...]
    text: str
    png: bytes


class Step(Struct, frozen=True, tag="step", rename={"next_step": "next"}):
    """One line of progress: the stage, what happened, and lines to show below it (a program's source), then pictures.

    Three spaces in `text` part what happened from a side note, which a terminal may set flush right.
    """

    stage: Stage
    text: str
    state: Literal["running", "done", "failed"] = "done"
    detail: tuple[str, ...] = ()
    took_ms: float | None = None
    next_step: str | None = None
    screens: tuple[ScreenPicture, ...] = ()


Report: TypeAlias = Callable[[Step], None]


class Attachment(Struct, frozen=True):
    """A file that came with a message: a photo, a voice note, a file; `data` is what the channel fetched."""

    kind: Literal["image", "voice", "file"]
    media_type: str
    data: bytes
    name: str | None = None


def image_type(head: bytes) -> str | None:
    """Return the media type of an image by a file's first bytes, or None if they are not an image's."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    for start, media_type in _IMAGES:
        if head.startswith(start):
            return media_type
    return None


_IMAGES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
VOICE_CHANNEL: Final = "voice"
"""The channel whose messages were spoken, and whose answers are read aloud."""
FILE_CHANNELS: Final = frozenset({"terminal", "api", "tg"})
"""The channels whose chats get the files of an answer; for others the files stay with the task."""


class Inbound(Struct, frozen=True):
    """A person's message as a channel took it in. `chat_id` names the conversation within its channel.

    `person_id` is who may do things here (auth.people); `key` is the channel's own id of the message: the same key
    comes in once. `origin` says whether these are a person's own words, forwarded ones, or words of a schedule,
    the heartbeat or a device. `sent_ms` is when the sender sent it (Unix time); None if only this host has a time.
    `reply_to` is the message's number in its chat, if an answer can point to it. `seen` are the approvals that stood
    before the person who wrote it. `answers` is the number of the message whose answer asked the question that this one
    answers; None if the sender does not say.
    """

    beside: ClassVar = frozenset({"attachments", "seen", "answers"})  # no columns

    channel: str
    chat_id: str
    text: str
    person_id: str = field(default="owner", name="principal")  # in the store
    device: str | None = None
    key: str | None = None
    origin: Literal["person", "schedule", "heartbeat", "device", "forwarded"] = "person"
    sent_ms: int | None = None
    reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()
    seen: tuple[str, ...] = ()
    answers: int | None = None

    @property
    def schedule(self) -> int | None:
        """The number of the schedule whose run this is."""
        number = (self.key or "").removeprefix("schedule:").partition(":")[0]
        if self.origin == "schedule" and number.isdigit():
            return int(number)
        return None


class Delta(Struct, frozen=True, tag="delta"):
    """A piece of the answer's text, while a model streams it."""

    text: str


class Action(Struct, frozen=True):
    """A tool that the turn called: its arguments as JSON text, its effect class, how it ended and the evidence for it.

    refused: nothing was done; failed: it was tried; unknown: it may have been done or not. `reason` says why it is not
    done. `changes` are the numbers of the changes that it made.
    """

    tool: str
    arguments: str
    effect: str
    outcome: ActOutcome
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""
    changes: tuple[int, ...] = ()


class ToolRun(Struct, frozen=True):
    """A tool call of the turn began or ended, for those who show activity and no steps."""

    name: str
    state: Literal["started", "done", "failed"]
    evidence: tuple[Evidence, ...] = ()


class ApprovalAsked(Struct, frozen=True):
    """The turn waits for a yes or a no; `detail` shows exactly what would happen, a line each.

    `may_decide`: the person of the request may say yes; else an owner decides. `actions` are what the turn did before.
    """

    approval_id: str
    text: str
    detail: tuple[str, ...]
    expires_s: float
    may_decide: bool = True
    actions: tuple[Action, ...] = ()


class ApprovalSettled(Struct, frozen=True, tag="approval_settled"):
    """The turn continues: a person (`by` is the name) decided, in any channel, or the time was over.

    "withdrawn": the person of the request continued with something else, or left (`by` is None).
    """

    approval_id: str
    outcome: Literal["approved", "declined", "expired", "withdrawn"]
    by: str | None = None


# The error code of a bare yes or no without a question.
NOTHING_WAITS: Final = "nothing_waits"


class ResultFile(Struct, frozen=True):
    """A file that a task left, for the chat that asked: `task` and `name` find it (tasks.service)."""

    task: int
    name: str
    media_type: str
    size_bytes: int


class Choice(Struct, frozen=True):
    """An answer to a question of the host: `text` is the words on its button, `say` the message that it sends."""

    text: str
    say: str


class Answer(Struct, frozen=True):
    """The end of a turn. `error_code` is set when the turn could not do the request (errors.py codes).

    `outbound_id` is its place in the outbox, where its delivery is reported (agent.outbox). `tainted_s` is when the
    text was read that it may repeat and that is untrusted (agent.history). `question` is the question of the offline
    dialogue, with its last act. `files` are the files that tasks of the turn left for the person, `screens` the
    last pictures of displays in the turn's trials. `choices` are the answers to its question that a person may choose.
    `steps` are those that led to it, without their pictures: who listened has had them, and history shows them.
    """

    text: str
    actions: tuple[Action, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    usage: Usage = Usage()
    error_code: str | None = None
    next_step: str | None = None
    outbound_id: int | None = None
    tainted_s: int | None = None
    question: str | None = None
    files: tuple[ResultFile, ...] = ()
    screens: tuple[ScreenPicture, ...] = ()
    choices: tuple[Choice, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def waits_for_yes(self) -> bool:
        return self.error_code in ("confirm", "confirm_reading")


TurnEvent: TypeAlias = Step | Delta | ToolRun | ApprovalAsked | ApprovalSettled | Answer


class LiveEvent(Struct, frozen=True):
    """`device` is the device's name, `at_ms` Unix time."""

    kind: ClassVar[str]
    device: str
    at_ms: int


class DeviceConnected(LiveEvent, frozen=True):
    """A device's session is ready. `transport` is its kind of connection, `address` its address."""

    kind = "device.connected"
    transport: str
    address: str


class DeviceLeft(LiveEvent, frozen=True):
    """A device's connection ended, with the close code and reason."""

    kind = "device.left"
    transport: str
    code: int
    reason: str


class AppDeployed(LiveEvent, frozen=True):
    kind = "app.deployed"
    app: str


class AppEnded(LiveEvent, frozen=True):
    """A program ended by itself (`why` is exited, trapped, ...), or was removed or stopped."""

    kind = "app.ended"
    app: str
    why: str


class Alarm(LiveEvent, frozen=True):
    """A person should look: a replaced token, a crash."""

    kind = "alarm"
    code: str
    text: str


class DeviceEvent(LiveEvent, frozen=True):
    """An `event` message of the device: its name only, its data stays in the store."""

    kind = "device.event"
    name: str


class DeviceLog(LiveEvent, frozen=True):
    """A `log` message of the device. `n` grows by one with each message: a gap means lost messages."""

    kind = "log"
    level: Literal["debug", "info", "warning", "error"]
    source: str
    n: int
    text: str


class Published(LiveEvent, frozen=True):
    """A message that a program published by `mqtt.publish`. It goes to the host's broker."""

    kind = "mqtt.publish"
    app: str
    topic: str
    text: str


class Crashed(LiveEvent, frozen=True):
    """A crash that a device reported was stored. `is_new`: the first of its kind; `count`: how many of its kind."""

    kind = "crash"
    crash_id: int
    what: str
    is_new: bool
    count: int
    text: str


class RolloutChanged(LiveEvent, frozen=True):
    """A rollout's state or stage (from 1) changed; `soaking`: its stage is complete. `device` is empty."""

    kind = "rollout"
    rollout: int
    version: str
    state: str
    stage: int
    soaking: bool
    text: str


class TaskChanged(LiveEvent, frozen=True):
    """The state of a task in the sandbox changed. `device` is the task's device, or empty; `by` is a person's name.

    Only the person with `person_id`, which readers do not get, sees the event.
    """

    kind = "task"
    task: int
    state: str
    ending: str
    language: str
    by: str
    person_id: str


class ApprovalChanged(LiveEvent, frozen=True):
    """A question was asked (`state` is asked) or ended: approved, declined, expired, withdrawn; `by` decided.

    `person` is the name of the person who requested the act, `text` the act. `device` is empty. Only the person with
    `person_id`, which readers do not get, sees the event.
    """

    kind = "approval"
    approval: str
    state: str
    person: str
    by: str
    text: str
    person_id: str


class ChatChanged(LiveEvent, frozen=True):
    """A message of a chat was accepted, or answered. `turn` is its number, `channel` the way that it came.

    `device` is empty. Only the person with `person_id`, which readers do not get, sees the event.
    """

    kind = "chat"
    turn: int
    state: Literal["accepted", "answered"]
    channel: str
    person_id: str


LiveKind: TypeAlias = type[LiveEvent]
LIVE_EVENTS: tuple[LiveKind, ...] = tuple(LiveEvent.__subclasses__())
