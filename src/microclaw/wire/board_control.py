"""The virtual board's control protocol, both ends: JSON lines and typed messages (mostly declarations). No IO.

One request a line, one reply a line with the request's id; `watch` adds pushed lines that carry `stream`.
The page is docs/protocols/virtual.md. A message's JSON members are its dataclass's fields; a row (an edge, a log
line) is a JSON array in field order. Lines in both directions stay under MAX_LINE_BYTES, so long lists come in
pages: `more` says that asking again from `next` gives the rest at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, cast, get_args

from microclaw.errors import CallRejected, ProtocolError
from microclaw.wire.json_fields import (
    PLAIN_READERS,
    Reader,
    build,
    object_of,
    optional,
    read_float,
    read_int,
    read_str,
    rows_of,
    shallow,
    tuple_of,
)

MAX_LINE_BYTES = 65_536
MAX_EDGES_A_PAGE = 1_500
MAX_LOG_BYTES_A_PAGE = 24_000
MAX_UART_BYTES_A_PAGE = 16_384
MAX_SPI_EXCHANGES_A_PAGE = 24  # of at most 2 x 512 bytes
MAX_ADVANCE_MS = 86_400_000.0
MAX_PIN = 63
MAX_EVENT_NAME = 64

R_co = TypeVar("R_co", covariant=True)


class EdgeRow(NamedTuple):
    t_ms: float
    pin: int
    level: int


class LogRow(NamedTuple):
    t_ms: float
    app: str | None
    text: str


class PwmRow(NamedTuple):
    t_ms: float
    pin: int
    duty: int
    frequency_hz: int


class SpiRow(NamedTuple):
    """Bytes in hex: `sent` by the program, `received` by it."""

    t_ms: float
    bus: int
    sent: str
    received: str


@dataclass(frozen=True, slots=True)
class PinRow:
    """`role` is idle, input, output or pwm; `duty` 0-255."""

    pin: int
    level: int
    role: str
    duty: int
    frequency_hz: int
    app: str | None


@dataclass(frozen=True, slots=True)
class AppRow:
    """`state` is loaded, running, returned, exited or trapped; `kind_of_end` is empty while it runs."""

    name: str
    state: str
    error: str | None
    heap_bytes: int
    peak_heap_bytes: int
    peak_stack_bytes: int
    pins: tuple[int, ...]
    kind_of_end: str | None


@dataclass(frozen=True, slots=True)
class BoardInfo:
    name: str
    board: str
    chip: str
    mode: str
    clock: str
    generation: str
    boot: int
    boot_id: str
    powered: bool
    now_ms: float
    wasmachine: int
    serial: int | None
    pty: str | None
    pid: int


@dataclass(frozen=True, slots=True)
class PinTable:
    pins: tuple[PinRow, ...]


@dataclass(frozen=True, slots=True)
class EdgePage:
    edges: tuple[EdgeRow, ...]
    next: int
    dropped: int
    now_ms: float
    more: bool = False


@dataclass(frozen=True, slots=True)
class LogPage:
    lines: tuple[LogRow, ...]
    next: int
    dropped: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class PwmPage:
    changes: tuple[PwmRow, ...]
    next: int
    dropped: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class UartPage:
    """Bytes in hex that programs sent; `next` and `dropped` count bytes."""

    data: str
    next: int
    dropped: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class UartRoom:
    """`taken`: how many of the bytes the receive FIFO had room for."""

    taken: int
    now_ms: float


@dataclass(frozen=True, slots=True)
class SpiPage:
    exchanges: tuple[SpiRow, ...]
    next: int
    dropped: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class AppTable:
    apps: tuple[AppRow, ...]


@dataclass(frozen=True, slots=True)
class Advanced:
    """`idle`: nothing can ever happen again; `stuck` names an app that spun without giving up the CPU."""

    now_ms: float
    idle: bool
    stuck: str | None


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """`state` is off, connecting, waiting, pairing, connected or refused; `code` is the pairing code shown.

    `notified` counts notifications ever shown, `notifications` are the last of them; `ui` the present ui_state.
    """

    state: str
    url: str
    device_id: str | None = None
    code: str | None = None
    host: str | None = None
    error: str | None = None
    rtt_ms: float | None = None
    outbox: int = 0
    refused_events: int = 0
    dropped: int = 0
    notified: int = 0
    notifications: tuple[str, ...] = ()
    ui: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    now_ms: float


@dataclass(frozen=True, slots=True)
class Request(Generic[R_co]):
    """One op; R_co is what its reply carries."""

    op: ClassVar[str]
    reply: ClassVar[type[Any]]


@dataclass(frozen=True, slots=True)
class Info(Request[BoardInfo]):
    op = "info"
    reply = BoardInfo


@dataclass(frozen=True, slots=True)
class Pins(Request[PinTable]):
    op = "pins"
    reply = PinTable


@dataclass(frozen=True, slots=True)
class Edges(Request[EdgePage]):
    """Edges from sequence number `since` on; `next` is the number to ask from next time."""

    op = "edges"
    reply = EdgePage
    since: int = 0


@dataclass(frozen=True, slots=True)
class Log(Request[LogPage]):
    op = "log"
    reply = LogPage
    since: int = 0


@dataclass(frozen=True, slots=True)
class Pwm(Request[PwmPage]):
    op = "pwm"
    reply = PwmPage
    since: int = 0


@dataclass(frozen=True, slots=True)
class Apps(Request[AppTable]):
    op = "apps"
    reply = AppTable


@dataclass(frozen=True, slots=True)
class Watch(Request[Done]):
    """From now on push these streams on this connection; both false ends it."""

    op = "watch"
    reply = Done
    edges: bool = False
    log: bool = False


@dataclass(frozen=True, slots=True)
class SetInput(Request[Done]):
    """Drive a pin from outside, now or at a board time."""

    op = "set_input"
    reply = Done
    pin: int
    level: int
    at_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SetAdc(Request[Done]):
    op = "set_adc"
    reply = Done
    pin: int
    volts: float
    at_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SetSensor(Request[Done]):
    """Set some of a sensor's values, by the names its readings carry (temperature_c, ...)."""

    op = "set_sensor"
    reply = Done
    sensor: str
    values: Mapping[str, float]
    at_ms: float | None = None


@dataclass(frozen=True, slots=True)
class UartRead(Request[UartPage]):
    """What programs sent through a UART, from byte `since` on."""

    op = "uart"
    reply = UartPage
    port: int = 0
    since: int = 0


@dataclass(frozen=True, slots=True)
class UartWrite(Request[UartRoom]):
    """Let bytes (hex) arrive at a UART."""

    op = "uart_write"
    reply = UartRoom
    data: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class SpiRead(Request[SpiPage]):
    op = "spi"
    reply = SpiPage
    since: int = 0


@dataclass(frozen=True, slots=True)
class SpiConnect(Request[Done]):
    """Wire a device to an SPI bus: a loop, or one that gives `answers` (hex), one an exchange, then zeros."""

    op = "spi_connect"
    reply = Done
    bus: int
    loopback: bool = False
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Power(Request[Done]):
    """`action` is cut, on or reset."""

    op = "power"
    reply = Done
    action: str


@dataclass(frozen=True, slots=True)
class Fault(Request[Done]):
    """Make the WASMachine port misbehave `count` times: see microclaw.virtual.doors.wasmachine for the names."""

    op = "fault"
    reply = Done
    name: str
    count: int = 1
    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Advance(Request[Advanced]):
    """Run a virtual clock forward by `ms` of board time."""

    op = "advance"
    reply = Advanced
    ms: float


@dataclass(frozen=True, slots=True)
class Link(Request[LinkStatus]):
    op = "link"
    reply = LinkStatus


@dataclass(frozen=True, slots=True)
class LinkReset(Request[Done]):
    """Factory reset of the link: the board forgets its host, its credential and the programs that came by it."""

    op = "link_reset"
    reply = Done


@dataclass(frozen=True, slots=True)
class LinkEvent(Request[Done]):
    """Something happens on the board that its host is to hear of: a button, a threshold."""

    op = "link_event"
    reply = Done
    name: str
    data: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkTask(Request[Done]):
    """The board asks its host to run a task; `kind` is agent or sandbox."""

    op = "link_task"
    reply = Done
    task: str
    input: str
    kind: str = "agent"
    timeout_s: int = 60


AnyRequest: TypeAlias = (
    Info
    | Pins
    | Edges
    | Log
    | Pwm
    | Apps
    | Watch
    | SetInput
    | SetAdc
    | SetSensor
    | UartRead
    | UartWrite
    | SpiRead
    | SpiConnect
    | Power
    | Fault
    | Advance
    | Link
    | LinkReset
    | LinkEvent
    | LinkTask
)
_REQUESTS: dict[str, type[AnyRequest]] = {cls.op: cls for cls in get_args(AnyRequest)}
OPS = tuple(_REQUESTS)


@dataclass(frozen=True, slots=True)
class Success:
    """A reply whose members are not yet read: `read_reply` needs the request to know their types."""

    id: int
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """`id` is 0 when the request was too broken to carry one."""

    id: int
    error: str
    message: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class EdgePushed:
    t_ms: float
    pin: int
    level: int
    seq: int


@dataclass(frozen=True, slots=True)
class LogPushed:
    t_ms: float
    app: str | None
    text: str
    seq: int


@dataclass(frozen=True, slots=True)
class StreamDropped:
    """The watcher read too slowly: `n` pushed lines were thrown away here."""

    n: int


Pushed: TypeAlias = EdgePushed | LogPushed | StreamDropped
_STREAMS: dict[str, type[Pushed]] = {"edge": EdgePushed, "log": LogPushed, "dropped": StreamDropped}
_STREAM_NAMES = {cls: name for name, cls in _STREAMS.items()}


class RequestRefused(ProtocolError):
    """A line that is no request; `failure` is the reply that says so."""

    def __init__(self, request_id: int, error: str, message: str, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.failure = Failure(request_id, error, message, next_step)


def encode_request(request_id: int, request: Request[object]) -> bytes:
    return _line({"id": request_id, "op": request.op, **_members(request)})


def decode_request(line: bytes) -> tuple[int, AnyRequest]:
    """The id and the request on one line; RequestRefused carries the reply for anything else."""
    try:
        members = _object(line)
    except ProtocolError as exc:
        raise RequestRefused(0, "bad_json", exc.message, "send one JSON object a line") from exc
    request_id = members.get("id", 0)
    if type(request_id) is not int or not 0 <= request_id < 2**53:
        raise RequestRefused(0, "bad_request", "id must be a whole number from 0", "number the requests from 1")
    op = members.get("op")
    cls = _REQUESTS.get(op) if isinstance(op, str) else None
    if cls is None:
        raise RequestRefused(request_id, "unknown_op", f"unknown op {op!r}"[:200], f"ops: {', '.join(OPS)}")
    try:
        request = build(cls, {k: v for k, v in members.items() if k not in ("id", "op")}, _READERS, closed=True)
        _check(request)
    except ProtocolError as exc:
        raise RequestRefused(request_id, "bad_request", f"{op}: {exc.message}"[:400], exc.next_step) from exc
    return request_id, request


def encode_reply(request_id: int, reply: object) -> bytes:
    return _line({"id": request_id, "ok": True, **_members(reply)})


def encode_failure(failure: Failure) -> bytes:
    members: dict[str, object] = {"id": failure.id, "ok": False, "error": failure.error, "message": failure.message}
    if failure.next_step is not None:
        members["next"] = failure.next_step
    return _line(members)


def encode_pushed(pushed: Pushed) -> bytes:
    return _line({"stream": _STREAM_NAMES[type(pushed)], **_members(pushed)})


def decode_server_line(line: bytes) -> Success | Failure | Pushed:
    """What a client reads: a reply or a pushed line; ProtocolError for anything else."""
    members = _object(line)
    stream = members.get("stream")
    if stream is not None:
        cls = _STREAMS.get(stream) if isinstance(stream, str) else None
        if cls is None:
            raise ProtocolError(f"unknown stream {stream!r}"[:200])
        return build(cls, {k: v for k, v in members.items() if k != "stream"}, _READERS)
    reply_id = members.get("id")
    if type(reply_id) is not int:
        raise ProtocolError("a reply carries the id of its request")
    if members.get("ok") is True:
        return Success(reply_id, {k: v for k, v in members.items() if k not in ("id", "ok")})
    error, message, next_step = members.get("error"), members.get("message"), members.get("next")
    if not isinstance(error, str) or not isinstance(message, str):
        raise ProtocolError("a reply that is not ok carries error and message")
    return Failure(reply_id, error, message, next_step if isinstance(next_step, str) else None)


def read_reply(request: Request[R_co], answer: Success | Failure) -> R_co:
    """The typed reply; CallRejected when the board said no."""
    if isinstance(answer, Failure):
        raise CallRejected(f"{request.op}: {answer.message}", next_step=answer.next_step)
    return cast("R_co", build(request.reply, answer.members, _READERS))


def _check(request: AnyRequest) -> None:
    match request:
        case SetInput(pin=pin) | SetAdc(pin=pin) if not 0 <= pin <= MAX_PIN:
            raise ProtocolError(f"no pin {pin}", next_step="ask `pins` for the board's pins")
        case SetInput(level=level) if level not in (0, 1):
            raise ProtocolError(f"level must be 0 or 1, got {level}")
        case Power(action=action) if action not in ("cut", "on", "reset"):
            raise ProtocolError(f"action must be cut, on or reset, got {action!r}")
        case Advance(ms=ms) if not 0 <= ms <= MAX_ADVANCE_MS:
            raise ProtocolError(f"ms must be from 0 to {MAX_ADVANCE_MS:.0f}, got {ms}")
        case (
            Edges(since=since) | Log(since=since) | Pwm(since=since) | UartRead(since=since) | SpiRead(since=since)
        ) if since < 0:
            raise ProtocolError(f"since must not be negative, got {since}")
        case LinkEvent(name=name) if not 0 < len(name) <= MAX_EVENT_NAME:
            raise ProtocolError(f"an event's name has 1 to {MAX_EVENT_NAME} characters")
        case LinkTask(kind=kind, timeout_s=timeout_s) if kind not in ("agent", "sandbox") or timeout_s < 0:
            raise ProtocolError("kind must be agent or sandbox, timeout_s not negative")
        case UartWrite(data=data):
            _check_hex("data", data)
        case SpiConnect(answers=answers):
            for answer in answers:
                _check_hex("answers", answer)
        case Fault(count=count, after_bytes=after) if count < 0 or after < 0:
            raise ProtocolError("count and after_bytes must not be negative")
        case _:
            pass


def _check_hex(name: str, text: str) -> None:
    try:
        bytes.fromhex(text)
    except ValueError as exc:
        raise ProtocolError(f"{name} must be bytes in hex", next_step="two digits a byte, as in 68690d") from exc


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":"), allow_nan=False, default=shallow).encode() + b"\n"


def _members(message: object) -> dict[str, Any]:
    return {k: v for k, v in shallow(message).items() if v is not None or k != "at_ms"}


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"a line of {len(line)} bytes, the limit is {MAX_LINE_BYTES}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:  # invalid UTF-8 and integers too long to convert are ValueErrors
        raise ProtocolError(f"not a JSON object: {exc}"[:300]) from exc
    if not isinstance(value, dict):
        raise ProtocolError(f"not a JSON object but {type(value).__name__}")
    return value


_READERS: dict[str, Reader] = {
    **PLAIN_READERS,
    "tuple[EdgeRow, ...]": rows_of(tuple_of(EdgeRow, read_float, read_int, read_int)),
    "tuple[LogRow, ...]": rows_of(tuple_of(LogRow, read_float, optional(read_str), read_str)),
    "tuple[str, ...]": rows_of(read_str),
    "tuple[SpiRow, ...]": rows_of(tuple_of(SpiRow, read_float, read_int, read_str, read_str)),
    "tuple[PwmRow, ...]": rows_of(tuple_of(PwmRow, read_float, read_int, read_int, read_int)),
}
_READERS["tuple[PinRow, ...]"] = rows_of(object_of(PinRow, _READERS))
_READERS["tuple[AppRow, ...]"] = rows_of(object_of(AppRow, _READERS))
