"""The virtual board's control protocol, both ends: JSON lines and typed messages (mostly declarations). No IO.

One request a line, one reply a line with the request's id; `watch` adds pushed lines that carry `stream`.
The page is docs/protocols/virtual.md. A message's JSON members are its fields; a row (an edge, a log line) is a
JSON array in field order. Lines in both directions stay under MAX_LINE_BYTES, so long lists come in pages: `more`
says that asking again from `next` gives the rest at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from msgspec import Meta, Struct, ValidationError, convert, field, to_builtins

from microclaw.errors import CallRejected, ProtocolError

MAX_LINE_BYTES = 65_536
MAX_EDGES_A_PAGE = 1_500
MAX_LOG_BYTES_A_PAGE = 24_000
MAX_UART_BYTES_A_PAGE = 16_384
MAX_SPI_EXCHANGES_A_PAGE = 24  # of at most 2 x 512 bytes
MAX_ADVANCE_MS = 86_400_000.0
MAX_PIN = 63
MAX_EVENT_NAME = 64
_MAX_FLOAT = 1.7976931348623157e308  # the largest of 64 bits: a bound that infinities and NaN do not meet

R_co = TypeVar("R_co", covariant=True)
Whole: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]  # what every reader of JSON keeps exact
Number: TypeAlias = Annotated[float, Meta(ge=-_MAX_FLOAT, le=_MAX_FLOAT)]
PowerAction: TypeAlias = Literal["cut", "on", "reset"]
TaskKind: TypeAlias = Literal["agent", "sandbox"]
Level: TypeAlias = Annotated[int, Meta(ge=0, le=1)]
Pin: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_PIN)]
Hex: TypeAlias = Annotated[str, Meta(pattern=r"^ *([0-9A-Fa-f]{2} *)*\Z")]  # "68690d"


class EdgeRow(NamedTuple):
    t_ms: Number
    pin: Whole
    level: Whole


class LogRow(NamedTuple):
    t_ms: Number
    app: str | None
    text: str


class PwmRow(NamedTuple):
    t_ms: Number
    pin: Whole
    duty: Whole
    frequency_hz: Whole


class SpiRow(NamedTuple):
    """Bytes in hex: `sent` by the program, `received` by it."""

    t_ms: Number
    bus: Whole
    sent: str
    received: str


class PinRow(Struct, frozen=True):
    """`role` is idle, input, output or pwm; `duty` 0-255."""

    pin: Whole
    level: Whole
    role: str
    duty: Whole
    frequency_hz: Whole
    app: str | None


class AppRow(Struct, frozen=True):
    """`state` is loaded, running, returned, exited or trapped; `kind_of_end` is empty while it runs."""

    name: str
    state: str
    error: str | None
    heap_bytes: Whole
    peak_heap_bytes: Whole
    peak_stack_bytes: Whole
    pins: tuple[Whole, ...]
    kind_of_end: str | None


class BoardInfo(Struct, frozen=True):
    name: str
    board: str
    chip: str
    mode: str
    clock: str
    generation: str
    boot: Whole
    boot_id: str
    powered: bool
    now_ms: Number
    wasmachine: Whole
    serial: Whole | None
    pty: str | None
    pid: Whole


class PinTable(Struct, frozen=True):
    pins: tuple[PinRow, ...]


class EdgePage(Struct, frozen=True):
    edges: tuple[EdgeRow, ...]
    next: Whole
    dropped: Whole
    now_ms: Number
    more: bool = False


class LogPage(Struct, frozen=True):
    lines: tuple[LogRow, ...]
    next: Whole
    dropped: Whole
    more: bool = False


class PwmPage(Struct, frozen=True):
    changes: tuple[PwmRow, ...]
    next: Whole
    dropped: Whole
    more: bool = False


class UartPage(Struct, frozen=True):
    """Bytes in hex that programs sent; `next` and `dropped` count bytes."""

    data: str
    next: Whole
    dropped: Whole
    more: bool = False


class UartRoom(Struct, frozen=True):
    """`taken`: how many of the bytes the receive FIFO had room for."""

    taken: Whole
    now_ms: Number


class SpiPage(Struct, frozen=True):
    exchanges: tuple[SpiRow, ...]
    next: Whole
    dropped: Whole
    more: bool = False


class AppTable(Struct, frozen=True):
    apps: tuple[AppRow, ...]


class Advanced(Struct, frozen=True):
    """`idle`: nothing can ever happen again; `stuck` names an app that spun without giving up the CPU."""

    now_ms: Number
    idle: bool
    stuck: str | None


class LinkStatus(Struct, frozen=True):
    """`state` is off, connecting, waiting, pairing, connected or refused; `code` is the pairing code shown.

    `notified` counts notifications ever shown, `notifications` are the last of them; `ui` the present ui_state.
    """

    state: str
    url: str
    device_id: str | None = None
    code: str | None = None
    host: str | None = None
    error: str | None = None
    rtt_ms: Number | None = None
    outbox: Whole = 0
    refused_events: Whole = 0
    dropped: Whole = 0
    notified: Whole = 0
    notifications: tuple[str, ...] = ()
    ui: tuple[str, ...] = ()


class Done(Struct, frozen=True):
    now_ms: Number


class Request(Struct, Generic[R_co], frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """One op; R_co is what its reply carries."""

    @property
    def op(self) -> str:
        return str(self.__struct_config__.tag)


class Info(Request[BoardInfo], frozen=True, tag="info"):
    pass


class Pins(Request[PinTable], frozen=True, tag="pins"):
    pass


class Edges(Request[EdgePage], frozen=True, tag="edges"):
    """Edges from sequence number `since` on; `next` is the number to ask from next time."""

    since: Whole = 0


class Log(Request[LogPage], frozen=True, tag="log"):
    since: Whole = 0


class Pwm(Request[PwmPage], frozen=True, tag="pwm"):
    since: Whole = 0


class Apps(Request[AppTable], frozen=True, tag="apps"):
    pass


class Watch(Request[Done], frozen=True, tag="watch"):
    """From now on push these streams on this connection; both false ends it."""

    edges: bool = False
    log: bool = False


class SetInput(Request[Done], frozen=True, tag="set_input", omit_defaults=True):
    """Drive a pin from outside, now or at a board time."""

    pin: Pin
    level: Level
    at_ms: Number | None = None


class SetAdc(Request[Done], frozen=True, tag="set_adc", omit_defaults=True):
    pin: Pin
    volts: Number
    at_ms: Number | None = None


class SetSensor(Request[Done], frozen=True, tag="set_sensor", omit_defaults=True):
    """Set some of a sensor's values, by the names its readings carry (temperature_c, ...)."""

    sensor: str
    values: Annotated[Mapping[str, Number], Meta(min_length=1)]
    at_ms: Number | None = None


class UartRead(Request[UartPage], frozen=True, tag="uart"):
    """What programs sent through a UART, from byte `since` on."""

    port: Whole = 0
    since: Whole = 0


class UartWrite(Request[UartRoom], frozen=True, tag="uart_write"):
    """Let bytes (hex) arrive at a UART."""

    data: Hex
    port: Whole = 0


class SpiRead(Request[SpiPage], frozen=True, tag="spi"):
    since: Whole = 0


class SpiConnect(Request[Done], frozen=True, tag="spi_connect"):
    """Wire a device to an SPI bus: a loop, or one that gives `answers` (hex), one an exchange, then zeros."""

    bus: Whole
    loopback: bool = False
    answers: tuple[Hex, ...] = ()


class Power(Request[Done], frozen=True, tag="power"):
    action: PowerAction


class Fault(Request[Done], frozen=True, tag="fault"):
    """Make the WASMachine port misbehave `count` times: see microclaw.virtual.doors.wasmachine for the names."""

    name: str
    count: Whole = 1
    after_bytes: Whole = 0


class Advance(Request[Advanced], frozen=True, tag="advance"):
    """Run a virtual clock forward by `ms` of board time."""

    ms: Annotated[float, Meta(ge=0, le=MAX_ADVANCE_MS)]


class Link(Request[LinkStatus], frozen=True, tag="link"):
    pass


class LinkReset(Request[Done], frozen=True, tag="link_reset"):
    """Factory reset of the link: the board forgets its host, its credential and the programs that came by it."""


class LinkEvent(Request[Done], frozen=True, tag="link_event"):
    """Something happens on the board that its host is to hear of: a button, a threshold."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_NAME)]
    data: Mapping[str, Number] = field(default_factory=dict)


class LinkTask(Request[Done], frozen=True, tag="link_task"):
    """The board asks its host to run a task."""

    task: str
    input: str
    kind: TaskKind = "agent"
    timeout_s: Whole = 60


AnyRequest: TypeAlias = (
    Info | Pins | Edges | Log | Pwm | Apps | Watch | SetInput | SetAdc | SetSensor | UartRead | UartWrite | SpiRead
    | SpiConnect | Power | Fault | Advance | Link | LinkReset | LinkEvent | LinkTask
)  # fmt: skip
_REQUESTS: dict[str, type[AnyRequest]] = {str(cls.__struct_config__.tag): cls for cls in get_args(AnyRequest)}
_REPLIES = {cls: get_args(cls.__orig_bases__[0])[0] for cls in get_args(AnyRequest)}  # BoardInfo of Request[BoardInfo]
OPS = tuple(_REQUESTS)


class Success(Struct, frozen=True):
    """A reply whose members are not yet read: `read_reply` needs the request to know their types."""

    id: Whole
    members: Mapping[str, Any]


class Failure(Struct, frozen=True, omit_defaults=True):
    """`id` is 0 when the request was too broken to carry one."""

    id: Whole
    error: str
    message: str
    next_step: str | None = field(default=None, name="next")


class EdgePushed(Struct, frozen=True, tag_field="stream", tag="edge"):
    t_ms: Number
    pin: Whole
    level: Whole
    seq: Whole


class LogPushed(Struct, frozen=True, tag_field="stream", tag="log"):
    t_ms: Number
    app: str | None
    text: str
    seq: Whole


class StreamDropped(Struct, frozen=True, tag_field="stream", tag="dropped"):
    """The watcher read too slowly: `n` pushed lines were thrown away here."""

    n: Whole


Pushed: TypeAlias = EdgePushed | LogPushed | StreamDropped


class RequestRefused(ProtocolError):
    """A line that is no request; `failure` is the reply that says so."""

    def __init__(self, request_id: int, error: str, message: str, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.failure = Failure(request_id, error, message, next_step)


def encode_request(request_id: int, request: Request[object]) -> bytes:
    return _line({"id": request_id, **to_builtins(request)})


def decode_request(line: bytes) -> tuple[int, AnyRequest]:
    """The id and the request on one line; RequestRefused carries the reply for anything else."""
    try:
        members = _object(line)
    except ProtocolError as exc:
        raise RequestRefused(0, "bad_json", exc.message, "send one JSON object a line") from exc
    try:
        request_id = convert(members.pop("id", 0), Whole)
    except ValidationError as exc:
        text = "id must be a whole number from 0"
        raise RequestRefused(0, "bad_request", text, "number the requests from 1") from exc
    op = members.get("op")
    cls = _REQUESTS.get(op) if isinstance(op, str) else None
    if cls is None:
        raise RequestRefused(request_id, "unknown_op", f"unknown op {op!r}"[:200], f"ops: {', '.join(OPS)}")
    try:
        return request_id, convert(members, cls)
    except ValidationError as exc:
        known = f"members: {', '.join(cls.__struct_fields__) or 'none'}"
        raise RequestRefused(request_id, "bad_request", f"{op}: {exc}"[:400], known) from exc


def encode_reply(request_id: int, reply: object) -> bytes:
    return _line({"id": request_id, "ok": True, **to_builtins(reply)})


def encode_failure(failure: Failure) -> bytes:
    return _line({"id": failure.id, "ok": False, **to_builtins(failure)})


def encode_pushed(pushed: Pushed) -> bytes:
    return _line(to_builtins(pushed))


def decode_server_line(line: bytes) -> Success | Failure | Pushed:
    """What a client reads: a reply or a pushed line; ProtocolError for anything else."""
    members = _object(line)
    try:
        if "stream" in members:
            return convert(members, Pushed)  # type: ignore[no-any-return]  # a union is no type to mypy
        if members.get("ok") is not True:
            return convert(members, Failure)
        return Success(convert(members.get("id"), Whole), members)
    except ValidationError as exc:
        raise ProtocolError(f"not a line of a virtual board: {exc}"[:300]) from exc


def read_reply(request: Request[R_co], answer: Success | Failure) -> R_co:
    """The typed reply; CallRejected when the board said no."""
    if isinstance(answer, Failure):
        raise CallRejected(f"{request.op}: {answer.message}", next_step=answer.next_step)
    try:
        return cast("R_co", convert(answer.members, _REPLIES[type(request)]))
    except ValidationError as exc:
        raise ProtocolError(f"a reply to {request.op} that cannot be read: {exc}"[:300]) from exc


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":"), allow_nan=False).encode() + b"\n"


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
