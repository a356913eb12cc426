"""Every CONTROL message of the link as a frozen struct: its fields are the keys of the body (declarations only). No IO.

A field whose default is None is optional: it is left out on the wire then. Types and bounds are those of values.py.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeAlias

from msgspec import Meta, Struct

from microclaw.wire.link import values
from microclaw.wire.link.values import MAX_ITEMS, Body, Durable, FromBoth, FromDevice, FromHost, Message, Sender


class Software(Body, frozen=True):
    name: str
    version: str


class AudioFormat(Body, frozen=True):
    """`buffer_ms` is how much the device can hold before it plays."""

    codecs: values.Texts
    rate: values.Rate
    frame_ms: values.Uint
    buffer_ms: values.Uint


class MessageLimits(Body, frozen=True):
    control_bytes: values.Uint
    audio_bytes: values.Uint


class ErrorInfo(Body, frozen=True):
    code: str
    message: str


class AppReport(Body, frozen=True):
    name: str
    state: str


class OtaFacts(Body, frozen=True):
    """The updates that a device takes (docs/protocols/ota.md).

    `keys` are the ids of the keys that it trusts, `revision` is the board's, None if it is unknown.
    """

    board: str
    channel: str
    kinds: values.Texts
    keys: values.Texts
    security_version: values.Uint
    revision: str | None = None


class Hello(FromDevice, frozen=True):
    """A device's first message.

    `rx_epoch` and `rx_seq` say how much of the host's outbox is applied; no epoch before the first message ever.
    `audio` is absent on a board without any; `kinds` are the programs that it takes, "wasm" if it is absent.
    """

    boot_id: values.Id
    firmware: Software
    board: str
    capabilities: values.Texts
    tx_epoch: values.Epoch
    rx_seq: values.Uint
    reset_reason: str
    rx_epoch: values.Epoch | None = None
    audio: AudioFormat | None = None
    kinds: values.Texts | None = None
    ota: OtaFacts | None = None


class Welcome(FromHost, frozen=True):
    session: values.Id
    host: Software
    time_ms: values.Uint
    heartbeat_s: values.Uint
    tx_epoch: values.Epoch
    rx_seq: values.Uint
    limits: MessageLimits
    rx_epoch: values.Epoch | None = None


class Token(FromHost, frozen=True):
    """A new bearer token; `expires_ms` since the Unix epoch."""

    token: str
    expires_ms: values.Uint


class ErrorMessage(FromBoth, frozen=True):
    type: ClassVar = "error"
    code: str
    message: str
    fatal: bool


class Bye(FromBoth, frozen=True):
    reason: str
    retry_after_s: values.Uint | None = None


class Ping(FromBoth, frozen=True):
    """`t0` is the sender's clock in microseconds."""

    n: values.Uint
    t0: values.Uint


class Pong(FromBoth, frozen=True):
    """`t1` and `t2`: the answering end's clock in microseconds when the ping came and when this left."""

    n: values.Uint
    t0: values.Uint
    t1: values.Uint
    t2: values.Uint


class Ack(FromBoth, frozen=True):
    """Every durable message up to `seq` has its effect or its inbox row committed."""

    seq: values.Uint


RENEW_BEFORE_MS: Final = 1_216 * 86_400_000
"""Before the end of its certificate: from then on a device may renew it. A third of ten years."""


class PairRequest(FromDevice, frozen=True):
    """Wants a certificate for `csr` (P-256, DER) or, with `token_wanted`, a token; one of the two."""

    exactly_one: ClassVar = ("csr", "token_wanted")
    board: str
    csr: bytes | None = None
    token_wanted: bool | None = None
    secret: str | None = None


class PairCode(FromHost, frozen=True):
    code: values.PairingCode
    expires_s: values.Uint


class PairDone(FromHost, frozen=True):
    """The credential that the device requested: a certificate (DER) or a token."""

    exactly_one: ClassVar = ("certificate", "token")
    certificate: bytes | None = None
    token: str | None = None


class StartAsr(FromDevice, frozen=True):
    """`wake_ts`: the device's clock when it woke, milliseconds since the Unix epoch, 0 = not set."""

    type: ClassVar = "start_asr_stream"
    stream: values.Uint
    codec: str
    rate: values.Rate
    trigger: values.Trigger
    wake_ts: values.Uint


class StopAsr(FromDevice, frozen=True):
    type: ClassVar = "stop_asr_stream"
    stream: values.Uint
    reason: str


class AsrPartial(FromHost, frozen=True):
    stream: values.Uint
    text: str


class AsrFinal(FromHost, frozen=True):
    stream: values.Uint
    text: str
    confidence: values.Share


class TtsStart(FromHost, frozen=True):
    stream: values.Uint
    codec: str
    rate: values.Rate


class TtsChunk(FromHost, frozen=True):
    """Announces the `samples` of AUDIO_OUT that follow and the text they say."""

    stream: values.Uint
    index: values.Uint
    text: str
    samples: values.Uint


class TtsEnd(FromHost, frozen=True):
    stream: values.Uint
    reason: values.StreamEnd


class CancelStream(FromBoth, frozen=True):
    stream: values.Uint


class RunTask(FromDevice, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    task: str
    kind: values.TaskKind
    input: str
    timeout_s: values.Uint


class CancelTask(FromDevice, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    task: str


class TaskStatus(FromHost, frozen=True):
    durable: ClassVar = Durable.FINAL
    task: str
    state: values.TaskState
    progress: values.Share | None = None
    text: str | None = None


class Call(FromHost, frozen=True):
    """`ttl_ms`: milliseconds from its arrival in which it may begin, on no calendar's clock."""

    durable: ClassVar = Durable.IF_ASKED
    method: str
    params: values.ValueMap
    idempotent: bool
    ttl_ms: values.Uint | None = None


class Result(FromDevice, frozen=True):
    """A null `value` is left out."""

    durable: ClassVar = Durable.IF_ASKED
    ok: bool
    value: values.Value = None
    error: ErrorInfo | None = None


class Event(FromDevice, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    name: str
    data: values.ValueMap


class Telemetry(FromDevice, frozen=True):
    """A device's measurements; `rssi` is absent without a radio.

    Since boot: `dropped` of the telemetry lane, `glitches` of audio, `refused_events` that a full outbox did not take.
    """

    free_heap: values.Uint
    uptime_s: values.Uint
    apps: Annotated[tuple[AppReport, ...], Meta(max_length=MAX_ITEMS)]
    rssi: values.Int | None = None
    temperature: values.Finite | None = None
    battery: values.Finite | None = None
    dropped: values.Uint | None = None
    glitches: values.Uint | None = None
    refused_events: values.Uint | None = None


class Log(FromDevice, frozen=True):
    level: values.LogLevel
    source: str
    n: values.Uint
    text: str


class UiState(FromHost, frozen=True):
    thinking: bool | None = None
    listening: bool | None = None
    speaking: bool | None = None
    volume: values.Level | None = None
    network: str | None = None
    text: str | None = None
    emotion: str | None = None


class Notify(FromHost, frozen=True):
    """`expires_ms` is on the host's clock, milliseconds since the Unix epoch."""

    durable: ClassVar = Durable.ALWAYS
    text: str
    speak: bool
    expires_ms: values.Uint | None = None


class OtaOffer(FromHost, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    manifest: bytes
    signature: bytes


class OtaCancel(FromHost, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    version: str


class BlobRead(FromDevice, frozen=True):
    """Asks for the next window of a payload; answered by BLOB frames, or by an `error` that is not fatal."""

    sha256: values.Sha256
    offset: values.Uint
    length: values.BlobLength


class Fetch(FromDevice, frozen=True):
    """Asks the host for an HTTPS request of a program; answered by `fetched`, or by an `error` that is not fatal.

    `size` bytes of the request's body follow in pieces; the device has room for `most` bytes of the answer's body.
    """

    app: str
    method: str
    url: str
    headers: values.TextMap
    size: values.Uint
    most: values.Uint
    timeout_ms: values.Uint


class Fetched(FromHost, frozen=True):
    """The head of a server's answer; `size` bytes of its body follow in pieces. Names of headers are small."""

    status: values.HttpStatus
    headers: values.TextMap
    size: values.Uint


class FetchPiece(FromBoth, frozen=True):
    """The next bytes of a body, of the fetch that `re` names."""

    data: values.Piece


class OtaStatus(FromDevice, frozen=True):
    durable: ClassVar = Durable.ALWAYS
    version: str
    state: values.OtaState
    progress: values.Share
    error: str | None = None


class Unknown(Struct, frozen=True):
    """A message whose type this version does not have, its body as it came."""

    sender: ClassVar = Sender.BOTH
    durable: ClassVar = Durable.IF_ASKED
    type: str
    raw: values.ValueMap


AnyMessage: TypeAlias = Message
AnyBody: TypeAlias = AnyMessage | Unknown


class Envelope(Struct, frozen=True):
    """One CONTROL message. `ts_ms` is the sender's clock since the Unix epoch, 0 = not set; `seq` on durable ones."""

    id: values.Id
    body: AnyBody
    ts_ms: int = 0
    seq: int | None = None
    re: values.Id | None = None


_CLASSES = [*FromDevice.__subclasses__(), *FromHost.__subclasses__(), *FromBoth.__subclasses__()]
MESSAGES = {cls.type: cls for cls in _CLASSES}


def is_durable(body: AnyBody, *, asked: bool = False) -> bool:
    """Return True if this message is numbered and kept; `asked` decides for kinds that are durable if asked."""
    if body.durable is Durable.FINAL:
        return isinstance(body, TaskStatus) and body.state in ("done", "failed", "cancelled")
    return body.durable is Durable.ALWAYS or (asked and body.durable is Durable.IF_ASKED)
