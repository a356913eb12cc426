"""Calls, their answers and their errors as bytes between hosts (msgpack). It sends nothing.

The classes of devices/calls.py are the schema: a field that the other host does not know is refused, never left out.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, TypeVar, cast, get_args

import msgspec

from microclaw.devices import calls
from microclaw.devices.calls import AppReply, AppRequest, Call
from microclaw.errors import (
    AppExists,
    AppNotFound,
    CallRejected,
    DeployRejected,
    DeviceError,
    DeviceLied,
    DeviceMoved,
    DeviceSilent,
    DeviceTimeout,
    DeviceUnreachable,
    ImageTooLarge,
    InstallInterrupted,
    InvalidModule,
    MicroclawError,
    NotSupported,
    OutcomeUnknown,
    Overloaded,
    PinClaimed,
    PinRefused,
    ProtocolError,
    StoreError,
    TooManyApps,
    UndoElsewhere,
)

R = TypeVar("R")

MAX_LEFT_S: Final = 3600.0
VERSION_STEP: Final = "give all hosts of the cluster the same version: microclaw cluster status"
MAX_ERROR_CHARS: Final = 2_000

# What a call to a device may raise at another host; what is none of them comes as the nearest above it.
ERRORS: Final[dict[str, type[MicroclawError]]] = {
    error.__name__: error
    for error in (
        AppExists, AppNotFound, CallRejected, DeployRejected, DeviceError, DeviceLied, DeviceMoved, DeviceSilent,
        DeviceTimeout, DeviceUnreachable, ImageTooLarge, InvalidModule, NotSupported, OutcomeUnknown, Overloaded,
        PinClaimed, PinRefused, ProtocolError, StoreError, TooManyApps, UndoElsewhere,
    )
}  # fmt: skip


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`left_s`: how long the answer is waited for, from when the request comes; hosts' clocks differ."""

    link_id: str
    method: str
    left_s: float
    fields: msgspec.Raw


class ToldError(msgspec.Struct, frozen=True, array_like=True):
    """`name` is that of a class in ERRORS. With an `outcome` it is InstallInterrupted, and so is `silent`."""

    name: str
    message: str
    next_step: str | None
    foreign: bool
    outcome: Literal["not_installed", "listed", "unknown"] | None = None
    silent: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`host` is where it was done, `fence` that of the device's connection there when it was begun."""

    host: str
    fence: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")  # nil
    error: ToldError | None = None


def encode_request(link_id: str, call: Call[Any], left_s: float) -> bytes:
    return _encoder.encode(Request(link_id, call.method, left_s, msgspec.Raw(_encoder.encode(call))))


def read_request(data: bytes) -> Request:
    """ProtocolError for bytes that are none."""
    try:
        request = _requests.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ProtocolError(f"a request of another host that cannot be read: {exc}", next_step=VERSION_STEP) from exc
    if not 0 < request.left_s <= MAX_LEFT_S:
        raise ProtocolError(
            f"a request of another host with {request.left_s:g} s left, 0 to {MAX_LEFT_S:g} are allowed"
        )
    return request


def call_of(request: Request) -> Call[Any]:
    """ProtocolError for a call that this host does not know, or whose fields are other ones."""
    kind = _CALLS.get(request.method)
    if kind is None:
        text = f"a request of another host for {request.method:.40}, which this one does not know"
        raise ProtocolError(text, next_step=VERSION_STEP)
    try:
        given = msgspec.msgpack.decode(request.fields, type=dict[str, Any])
        unknown = given.keys() - {field.name for field in dataclasses.fields(kind)}
        if unknown:
            raise ProtocolError(
                f"a request of another host for {request.method} with fields that this one does not know: "
                f"{', '.join(sorted(unknown))[:80]}",
                next_step=VERSION_STEP,
            )
        call: Call[Any] = msgspec.convert(given, kind)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ProtocolError(f"a request of another host for {request.method}: {exc}", next_step=VERSION_STEP) from exc
    return call


def encode_value(host: str, fence: int, value: object) -> bytes:
    return _encoder.encode(Answer(host, fence, msgspec.Raw(_encoder.encode(value))))


def encode_error(host: str, fence: int, error: MicroclawError) -> bytes:
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS or kind is MicroclawError)
    step = None if error.next_step is None else error.next_step[:MAX_ERROR_CHARS]
    told = ToldError(name, error.message[:MAX_ERROR_CHARS], step, error.foreign)
    if isinstance(error, InstallInterrupted):
        told = msgspec.structs.replace(told, outcome=error.outcome, silent=error.silent)
    return _encoder.encode(Answer(host, fence, error=told))


def read_answer(data: bytes, call: Call[R]) -> tuple[Answer, R]:
    """The answer and its value. Raises its error; ProtocolError for what is no answer to this call."""
    try:
        answer = _answers.decode(data)
        if answer.error is not None:
            raise _error_of(answer.error)
        value = msgspec.msgpack.decode(answer.value, type=_ANSWERS[call.method])
    except (msgspec.DecodeError, RecursionError) as exc:
        text = f"another host answered {call.method} with what this one cannot read: {exc}"
        raise ProtocolError(text, next_step=VERSION_STEP) from exc
    return answer, cast("R", AppReply(value.status, value.values) if isinstance(value, _Reply) else value)


class _Reply(msgspec.Struct, frozen=True):
    """AppReply: msgspec decodes no union of text and bytes."""

    status: int
    values: dict[str, Any]


def _error_of(told: ToldError) -> MicroclawError:
    """DeviceError for a class that is not in the table."""
    kind, text = ERRORS.get(told.name, DeviceError), told.message[:MAX_ERROR_CHARS]
    if told.outcome is not None:
        return InstallInterrupted(text, outcome=told.outcome, next_step=told.next_step, silent=told.silent)
    return kind(text, next_step=told.next_step, foreign=told.foreign)


def _answer_type(kind: type[Call[Any]]) -> Any:
    """R of Call[R]."""
    (base,) = kind.__orig_bases__  # type: ignore[attr-defined]
    (answer,) = get_args(base)
    name = getattr(answer, "__forward_arg__", None)
    return answer if name is None else getattr(calls, name)


_CALLS: Final[dict[str, type[Call[Any]]]] = {
    kind.method: kind
    for kind in vars(calls).values()
    if isinstance(kind, type) and issubclass(kind, Call) and kind is not Call
}
_ANSWERS: Final = {method: _answer_type(kind) for method, kind in _CALLS.items()} | {AppRequest.method: _Reply}
_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(Request)
_answers: Final = msgspec.msgpack.Decoder(Answer)
