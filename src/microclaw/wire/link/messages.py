"""Every CONTROL message of the link as a frozen dataclass: the body's keys are the fields (declarations only). No IO.

A field with the default None is optional and absent on the wire then. The annotations are the wire's types: codec.py
reads and writes by them, docs/protocols/link.cddl says the same in CDDL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal, TypeAlias, Union, get_args

Value: TypeAlias = Union[bool, int, float, str, bytes, "list[Value]", "dict[str, Value]", None]
ValueMap: TypeAlias = dict[str, Value]
Id: TypeAlias = bytes  # 16 bytes
Epoch: TypeAlias = bytes  # 8 bytes
Uint: TypeAlias = int  # 0 .. 2**63 - 1
Share: TypeAlias = float  # 0 .. 1
Level: TypeAlias = int  # 0 .. 100
PairingCode: TypeAlias = str  # 6 digits
Rate: TypeAlias = int  # samples a second
Trigger: TypeAlias = Literal["wake", "button", "vad"]
StreamEnd: TypeAlias = Literal["done", "cancelled", "error"]
TaskKind: TypeAlias = Literal["agent", "sandbox"]
TaskState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
OtaState: TypeAlias = Literal[
    "idle", "offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy", "rolled_back", "refused",
    "failed",
]  # fmt: skip


class Sender(Enum):
    """Who may send a message."""

    DEVICE = "device"
    HOST = "host"
    BOTH = "both"


class Durable(Enum):
    """Whether a message is numbered and kept until the other end has it."""

    NEVER = "never"
    ALWAYS = "always"
    IF_ASKED = "if asked"
    FINAL = "final states"


@dataclass(frozen=True, slots=True)
class Software:
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """`buffer_ms` is how much the device can hold before it plays."""

    codecs: tuple[str, ...]
    rate: Rate
    frame_ms: Uint
    buffer_ms: Uint


@dataclass(frozen=True, slots=True)
class Limits:
    control_bytes: Uint
    audio_bytes: Uint


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AppState:
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Hello:
    """`rx_epoch` and `rx_seq` say what of the host's outbox is applied; no epoch before the first message ever.
    `audio` is absent on a board without any."""

    type: ClassVar = "hello"
    sender: ClassVar = Sender.DEVICE
    boot_id: Id
    firmware: Software
    board: str
    capabilities: tuple[str, ...]
    tx_epoch: Epoch
    rx_seq: Uint
    reset_reason: str
    rx_epoch: Epoch | None = None
    audio: AudioFormat | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    type: ClassVar = "welcome"
    sender: ClassVar = Sender.HOST
    session: Id
    host: Software
    time_ms: Uint
    heartbeat_s: Uint
    tx_epoch: Epoch
    rx_seq: Uint
    limits: Limits
    rx_epoch: Epoch | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A new bearer token; `expires_ms` since the Unix epoch."""

    type: ClassVar = "token"
    sender: ClassVar = Sender.HOST
    token: str
    expires_ms: Uint


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    type: ClassVar = "error"
    sender: ClassVar = Sender.BOTH
    code: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Bye:
    type: ClassVar = "bye"
    sender: ClassVar = Sender.BOTH
    reason: str
    retry_after_s: Uint | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """`t0` is the sender's clock in microseconds."""

    type: ClassVar = "ping"
    sender: ClassVar = Sender.BOTH
    n: Uint
    t0: Uint


@dataclass(frozen=True, slots=True)
class Pong:
    """`t1` and `t2`: the answering end's clock in microseconds when the ping came and when this left."""

    type: ClassVar = "pong"
    sender: ClassVar = Sender.BOTH
    n: Uint
    t0: Uint
    t1: Uint
    t2: Uint


@dataclass(frozen=True, slots=True)
class Ack:
    """Every durable message up to `seq` has its effect or its inbox row committed."""

    type: ClassVar = "ack"
    sender: ClassVar = Sender.BOTH
    seq: Uint


@dataclass(frozen=True, slots=True)
class PairRequest:
    """Wants a certificate for `csr` (P-256, DER) or, with `token_wanted`, a token; one of the two."""

    type: ClassVar = "pair_request"
    sender: ClassVar = Sender.DEVICE
    exactly_one: ClassVar = ("csr", "token_wanted")
    board: str
    csr: bytes | None = None
    token_wanted: bool | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class PairCode:
    type: ClassVar = "pair_code"
    sender: ClassVar = Sender.HOST
    code: PairingCode
    expires_s: Uint


@dataclass(frozen=True, slots=True)
class PairDone:
    """The credential that was asked for: a certificate (DER) or a token."""

    type: ClassVar = "pair_done"
    sender: ClassVar = Sender.HOST
    exactly_one: ClassVar = ("certificate", "token")
    certificate: bytes | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class StartAsr:
    """`wake_ts`: the device's clock when it woke, milliseconds since the Unix epoch, 0 = not set."""

    type: ClassVar = "start_asr_stream"
    sender: ClassVar = Sender.DEVICE
    stream: Uint
    codec: str
    rate: Rate
    trigger: Trigger
    wake_ts: Uint


@dataclass(frozen=True, slots=True)
class StopAsr:
    type: ClassVar = "stop_asr_stream"
    sender: ClassVar = Sender.DEVICE
    stream: Uint
    reason: str


@dataclass(frozen=True, slots=True)
class AsrPartial:
    type: ClassVar = "asr_partial"
    sender: ClassVar = Sender.HOST
    stream: Uint
    text: str


@dataclass(frozen=True, slots=True)
class AsrFinal:
    type: ClassVar = "asr_final"
    sender: ClassVar = Sender.HOST
    stream: Uint
    text: str
    confidence: Share


@dataclass(frozen=True, slots=True)
class TtsStart:
    type: ClassVar = "tts_start"
    sender: ClassVar = Sender.HOST
    stream: Uint
    codec: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class TtsChunk:
    """Announces the `samples` of AUDIO_OUT that follow and the text they say."""

    type: ClassVar = "tts_chunk"
    sender: ClassVar = Sender.HOST
    stream: Uint
    index: Uint
    text: str
    samples: Uint


@dataclass(frozen=True, slots=True)
class TtsEnd:
    type: ClassVar = "tts_end"
    sender: ClassVar = Sender.HOST
    stream: Uint
    reason: StreamEnd


@dataclass(frozen=True, slots=True)
class CancelStream:
    type: ClassVar = "cancel_stream"
    sender: ClassVar = Sender.BOTH
    stream: Uint


@dataclass(frozen=True, slots=True)
class RunTask:
    type: ClassVar = "run_task"
    sender: ClassVar = Sender.DEVICE
    durable: ClassVar = Durable.ALWAYS
    task: str
    kind: TaskKind
    input: str
    timeout_s: Uint


@dataclass(frozen=True, slots=True)
class CancelTask:
    type: ClassVar = "cancel_task"
    sender: ClassVar = Sender.DEVICE
    durable: ClassVar = Durable.ALWAYS
    task: str


@dataclass(frozen=True, slots=True)
class TaskStatus:
    type: ClassVar = "task_status"
    sender: ClassVar = Sender.HOST
    durable: ClassVar = Durable.FINAL
    task: str
    state: TaskState
    progress: Share | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """`expires_ms` is on the host's clock, milliseconds since the Unix epoch, here and in every other message."""

    type: ClassVar = "call"
    sender: ClassVar = Sender.HOST
    durable: ClassVar = Durable.IF_ASKED
    method: str
    params: ValueMap
    idempotent: bool
    expires_ms: Uint | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A null `value` is left out."""

    type: ClassVar = "result"
    sender: ClassVar = Sender.DEVICE
    durable: ClassVar = Durable.IF_ASKED
    ok: bool
    value: Value = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Event:
    type: ClassVar = "event"
    sender: ClassVar = Sender.DEVICE
    durable: ClassVar = Durable.ALWAYS
    name: str
    data: ValueMap


@dataclass(frozen=True, slots=True)
class Telemetry:
    """`rssi` is absent without a radio. Since boot: `dropped` of the telemetry lane, `glitches` of audio,
    `refused_events` that the full outbox did not take."""

    type: ClassVar = "telemetry"
    sender: ClassVar = Sender.DEVICE
    free_heap: Uint
    uptime_s: Uint
    apps: tuple[AppState, ...]
    rssi: int | None = None
    temperature: float | None = None
    battery: float | None = None
    dropped: Uint | None = None
    glitches: Uint | None = None
    refused_events: Uint | None = None


@dataclass(frozen=True, slots=True)
class Log:
    type: ClassVar = "log"
    sender: ClassVar = Sender.DEVICE
    level: LogLevel
    source: str
    n: Uint
    text: str


@dataclass(frozen=True, slots=True)
class UiState:
    type: ClassVar = "ui_state"
    sender: ClassVar = Sender.HOST
    thinking: bool | None = None
    listening: bool | None = None
    speaking: bool | None = None
    volume: Level | None = None
    network: str | None = None
    text: str | None = None
    emotion: str | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    type: ClassVar = "notify"
    sender: ClassVar = Sender.HOST
    durable: ClassVar = Durable.ALWAYS
    text: str
    speak: bool
    expires_ms: Uint | None = None


@dataclass(frozen=True, slots=True)
class OtaOffer:
    type: ClassVar = "ota_offer"
    sender: ClassVar = Sender.HOST
    durable: ClassVar = Durable.ALWAYS
    manifest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class OtaCancel:
    type: ClassVar = "ota_cancel"
    sender: ClassVar = Sender.HOST
    durable: ClassVar = Durable.ALWAYS
    version: str


@dataclass(frozen=True, slots=True)
class OtaStatus:
    type: ClassVar = "ota_status"
    sender: ClassVar = Sender.DEVICE
    durable: ClassVar = Durable.ALWAYS
    version: str
    state: OtaState
    progress: Share
    error: str | None = None


AnyMessage: TypeAlias = (
    Hello | Welcome | Token | ErrorMessage | Bye | Ping | Pong | Ack | PairRequest | PairCode | PairDone
    | StartAsr | StopAsr | AsrPartial | AsrFinal | TtsStart | TtsChunk | TtsEnd | CancelStream
    | RunTask | CancelTask | TaskStatus | Call | Result | Event | Telemetry | Log | UiState | Notify
    | OtaOffer | OtaCancel | OtaStatus
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message whose type this version does not have, its body as it came."""

    type: str
    raw: ValueMap


AnyBody: TypeAlias = AnyMessage | Unknown


@dataclass(frozen=True, slots=True)
class Envelope:
    """One CONTROL message. `ts_ms` is the sender's clock since the Unix epoch, 0 = not set; `seq` on durable ones."""

    id: Id
    body: AnyBody
    ts_ms: int = 0
    seq: int | None = None
    re: Id | None = None


MESSAGES: dict[str, type[AnyMessage]] = {cls.type: cls for cls in get_args(AnyMessage)}
DURABLE: dict[str, Durable] = {name: getattr(cls, "durable", Durable.NEVER) for name, cls in MESSAGES.items()}
SENDER: dict[str, Sender] = {name: cls.sender for name, cls in MESSAGES.items()}


def is_durable(body: AnyBody, *, asked: bool = False) -> bool:
    """Whether this message is numbered and kept; `asked` decides for those that are durable if asked."""
    match DURABLE.get(body.type, Durable.NEVER):
        case Durable.ALWAYS:
            return True
        case Durable.FINAL:
            return isinstance(body, TaskStatus) and body.state in ("done", "failed", "cancelled")
        case Durable.IF_ASKED:
            return asked
        case Durable.NEVER:
            return False
