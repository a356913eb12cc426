"""The virtual board's control protocol, both ends: its requests, and the JSON lines of both directions. No IO.

One request a line, one reply a line with the request's id.
The page is docs/protocols/virtual.md. A field of a request is a member of its JSON object; board_replies.py has the
replies. No request is longer than MAX_LINE_BYTES and no reply than MAX_REPLY_BYTES, so long lists come in pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from msgspec import Meta, Struct, ValidationError, field, to_builtins

from microclaw.conversion import convert
from microclaw.errors import CallRejected, ProtocolError
from microclaw.wire import board_replies as replies
from microclaw.wire.canned_lines import CannedLine
from microclaw.wire.jsonline import parse_object
from microclaw.wire.link.values import TaskKind
from microclaw.wire.program_errors import PROGRAM_ERRORS

MAX_LINE_BYTES = 65_536
MAX_EDGES_A_PAGE = 1_500
MAX_LOG_BYTES_A_PAGE = 24_000
MAX_LED_CHANGES_A_PAGE = 6  # of at most 4096 bytes
MAX_SHOWN_A_PAGE = 500  # an id and a name have at most 32 characters each
MAX_SCREEN_BYTES_A_PAGE = 200_000
MAX_TRAFFIC_BYTES_A_PAGE = 100_000
MAX_CANNED_LINES = 1_000  # in one request
MAX_REPLY_BYTES = 524_288  # one picture of 320 x 480 colors that cannot be compressed
MAX_ADVANCE_MS = 86_400_000.0
MAX_PIN = 63

R_co = TypeVar("R_co", covariant=True)
PowerAction: TypeAlias = Literal["cut", "on", "reset"]
PyMethod: TypeAlias = Literal["begin", "write", "commit", "start", "stop", "remove", "undo", "list", "page"]
Level: TypeAlias = Annotated[int, Meta(ge=0, le=1)]
Pin: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_PIN)]


class Request(Struct, Generic[R_co], frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """One op; R_co is what its reply carries."""

    @property
    def op(self) -> str:
        return str(self.__struct_config__.tag)


class Info(Request[replies.BoardInfo], frozen=True, tag="info"):
    pass


class Pins(Request[replies.PinTable], frozen=True, tag="pins"):
    pass


class Edges(Request[replies.EdgePage], frozen=True, tag="edges"):
    """Edges from sequence number `since` on; `next` is the number to ask from next time."""

    since: replies.Whole = 0


class ReadLog(Request[replies.LogPage], frozen=True, tag="log"):
    since: replies.Whole = 0


class Pwm(Request[replies.PwmPage], frozen=True, tag="pwm"):
    since: replies.Whole = 0


class Leds(Request[replies.LedPage], frozen=True, tag="leds"):
    """The colours that addressable LEDs were sent, from number `since` on."""

    since: replies.Whole = 0


class Shown(Request[replies.ShownPage], frozen=True, tag="shown"):
    """The values that wired parts showed, from number `since` on."""

    since: replies.Whole = 0


class Values(Request[replies.ShownPage], frozen=True, tag="values"):
    """The inputs and measured values that wired parts had, from number `since` on."""

    since: replies.Whole = 0


class Screens(Request[replies.ScreenPage], frozen=True, tag="screens"):
    """The pictures that displays showed, from number `since` on."""

    since: replies.Whole = 0


class Parts(Request[replies.PartPage], frozen=True, tag="parts"):
    """The present states of the wired parts and of the pins that changed from number `since` on."""

    since: replies.Whole = 0


class Py(Request[replies.PyAnswer], frozen=True, tag="py"):
    """Call the firmware's runner of `py` programs: begin, write, commit, start, stop, remove, undo, list.

    Parameters as of `apps.*` in docs/protocols/link-methods.md, `data` in base64.
    """

    method: PyMethod
    params: Mapping[str, Any] = field(default_factory=dict)


class Apps(Request[replies.AppListReply], frozen=True, tag="apps"):
    pass


class SetInput(Request[replies.Done], frozen=True, tag="set_input", omit_defaults=True):
    """Drive a pin from outside, now or at a board time."""

    pin: Pin
    level: Level
    at_ms: replies.Number | None = None


class SetAdc(Request[replies.Done], frozen=True, tag="set_adc", omit_defaults=True):
    pin: Pin
    volts: replies.Number
    at_ms: replies.Number | None = None


class SetSensor(Request[replies.Done], frozen=True, tag="set_sensor", omit_defaults=True):
    """Set some of a part's values: `sensor` is its id.

    A value is named as in expectations ("temperature", "pressed"), or by the field of its reading ("temperature_c").
    """

    sensor: str
    values: Annotated[Mapping[str, replies.Number], Meta(min_length=1)]
    at_ms: replies.Number | None = None


class Wire(Request[replies.Done], frozen=True, tag="wire"):
    """Replace the parts of the board: a table for each part by its id, as in a wiring's file."""

    parts: Mapping[str, Mapping[str, Any]]


class Network(Request[replies.Done], frozen=True, tag="network"):
    """Add lines that answer the board's programs in place of a network, and what comes to them from there."""

    lines: Annotated[tuple[CannedLine, ...], Meta(max_length=MAX_CANNED_LINES)]


class Traffic(Request[replies.TrafficPage], frozen=True, tag="traffic"):
    """What programs said on the board's network, from number `since` on."""

    since: replies.Whole = 0


class Power(Request[replies.Done], frozen=True, tag="power"):
    action: PowerAction


class Fault(Request[replies.Done], frozen=True, tag="fault"):
    """Make the WASMachine port misbehave `count` times: see microclaw.virtual.ports.wasmachine for the names."""

    name: str
    count: replies.Whole = 1
    after_bytes: replies.Whole = 0


class Advance(Request[replies.AdvanceResult], frozen=True, tag="advance"):
    """Run a virtual clock forward by `ms` of board time; it ends earlier once it used `most_cpu_s` of CPU time."""

    ms: Annotated[float, Meta(ge=0, le=MAX_ADVANCE_MS)]
    most_cpu_s: Annotated[float, Meta(ge=0)] = 600.0


class Link(Request[replies.BoardLinkStatus], frozen=True, tag="link"):
    pass


class LinkReset(Request[replies.Done], frozen=True, tag="link_reset"):
    """Factory reset of the link: the board forgets its host, its credential and the programs that came by it."""


class LinkTask(Request[replies.Done], frozen=True, tag="link_task"):
    """The board asks its host to run a task."""

    task: str
    input: str
    kind: TaskKind = "agent"
    timeout_s: replies.Whole = 60


class Mic(Request[replies.Done], frozen=True, tag="mic"):
    """Someone says what is in the WAV file (16 kHz, mono, 16 bit) of the computer that the board runs on."""

    path: str
    trigger: Literal["wake", "button", "vad"] = "button"


class Speaker(Request[replies.SpeakerState], frozen=True, tag="speaker", omit_defaults=True):
    """The speaker's state: heard and said texts; `hush` is a press of its button."""

    hush: bool = False


AnyRequest: TypeAlias = (
    Info
    | Pins
    | Edges
    | ReadLog
    | Pwm
    | Leds
    | Shown
    | Values
    | Screens
    | Parts
    | Py
    | Apps
    | SetInput
    | SetAdc
    | SetSensor
    | Wire
    | Network
    | Traffic
    | Power
    | Fault
    | Advance
    | Link
    | LinkReset
    | LinkTask
    | Mic
    | Speaker
)
_REQUESTS: dict[str, type[AnyRequest]] = {str(cls.__struct_config__.tag): cls for cls in get_args(AnyRequest)}
_REPLIES = {cls: get_args(cls.__orig_bases__[0])[0] for cls in get_args(AnyRequest)}  # BoardInfo of Request[BoardInfo]
OPS = tuple(_REQUESTS)


class Failure(Struct, frozen=True, omit_defaults=True):
    """`id` is 0 when the request was too broken to carry one."""

    id: replies.Whole
    error: str
    message: str
    next_step: str | None = field(default=None, name="next")


class RequestRefused(ProtocolError):
    """A line that is no request; `failure` is the reply that says so."""

    def __init__(self, request_id: int, error: str, message: str, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.failure = Failure(request_id, error, message, next_step)


def encode_request(request_id: int, request: Request[object]) -> bytes:
    return _line({"id": request_id, **to_builtins(request)})


def decode_request(line: bytes) -> tuple[int, AnyRequest]:
    """Read the id and the request on one line. Raises RequestRefused, which carries the reply, for anything else."""
    try:
        members = _object(line, MAX_LINE_BYTES)
    except ProtocolError as exc:
        raise RequestRefused(0, "bad_json", exc.message, "send one JSON object a line") from exc
    try:
        request_id = convert(members.pop("id", 0), replies.Whole)
    except ValidationError as exc:
        text = "id must be a whole number from 0"
        raise RequestRefused(0, "bad_request", text, "number the requests from 1") from exc
    op = members.get("op")
    if isinstance(op, str):
        cls = _REQUESTS.get(op)
    else:
        cls = None
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


def read_reply(line: bytes, request_id: int, request: Request[R_co]) -> R_co | None:
    """Return the typed reply to the request of this id, None for a line about another one.

    CallRejected or its kind if the board answered with an error, ProtocolError for what is no reply to it.
    """
    members = _object(line, MAX_REPLY_BYTES)
    try:
        if members.get("ok") is True:
            is_ours = convert(members.get("id"), replies.Whole) == request_id
            if is_ours:
                return cast("R_co", convert(members, _REPLIES[type(request)]))
            return None
        failure = convert(members, Failure)
    except ValidationError as exc:
        raise ProtocolError(f"a reply to {request.op} that cannot be read: {exc}"[:300]) from exc
    if failure.id != request_id:
        return None
    error_class = PROGRAM_ERRORS.get(failure.error, CallRejected)
    raise error_class(f"{request.op}: {failure.message}", next_step=failure.next_step)


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _object(line: bytes, most_bytes: int) -> dict[str, Any]:
    if len(line) > most_bytes:
        raise ProtocolError(f"a line of {len(line)} bytes, the limit is {most_bytes}")
    return parse_object(line)
