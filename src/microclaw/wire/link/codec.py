"""CONTROL payloads: a CBOR map to an envelope and back, hardened against whatever a peer may send. No IO.

What a decoder refuses no encoder sends: a message that would be refused cannot enter an outbox and be replayed for
ever. Keys that this version does not have are ignored, in the envelope and in bodies. cbor2 reads at most what the
payload's own bytes can hold, whatever lengths they claim, so the payload's limit bounds the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import IO, Any, Final, NamedTuple, NoReturn, cast

import cbor2

from microclaw.errors import LinkViolation, ProtocolError
from microclaw.wire.link import messages
from microclaw.wire.link.body_fields import (
    MAX_DEPTH,
    READERS,
    Reader,
    check_value,
    list_of,
    read_id,
    read_text,
    read_uint,
)
from microclaw.wire.link.frame import MAX_CONTROL_BYTES, CloseCode
from microclaw.wire.link.messages import MESSAGES, AnyBody, Envelope, Unknown

VERSION: Final = 1


def encode(envelope: Envelope, max_bytes: int = MAX_CONTROL_BYTES) -> bytes:
    """The CONTROL payload of an envelope; ProtocolError for one that the other end would refuse."""
    body = envelope.body
    try:
        message: dict[str, object] = {
            "v": VERSION,
            "type": body.type,
            "id": read_id("id", envelope.id),
            "ts": read_uint("ts", envelope.ts_ms),
            "body": _write_body(body),
        }
        if envelope.seq is not None:
            message["seq"] = _read_seq(envelope.seq)
        if envelope.re is not None:
            message["re"] = read_id("re", envelope.re)
        payload = cbor2.dumps(message)
    except (LinkViolation, cbor2.CBOREncodeError, UnicodeEncodeError) as exc:
        raise ProtocolError(f"a {body.type} message that cannot be sent: {exc}") from exc
    if len(payload) > max_bytes:
        raise ProtocolError(f"a {body.type} message of {len(payload)} bytes, the limit is {max_bytes}")
    return payload


def decode(payload: bytes, max_bytes: int = MAX_CONTROL_BYTES) -> Envelope:
    """The envelope of a CONTROL payload; LinkViolation with the close code for one that breaks the contract."""
    if len(payload) > max_bytes:
        text = f"a CONTROL message of {len(payload)} bytes, the limit is {max_bytes}"
        raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")
    message = _read_map(payload)
    if message.get("v") != VERSION or type(message["v"]) is not int:
        _refuse_version(message.get("v"))
    try:
        type_ = read_text("type", message["type"])
        id_ = read_id("id", message["id"])
        ts_ms = read_uint("ts", message["ts"])
        body = message["body"]
    except KeyError as exc:
        raise LinkViolation(f"an envelope without {exc.args[0]}") from exc
    seq = _read_seq(message["seq"]) if "seq" in message else None
    re = read_id("re", message["re"]) if "re" in message else None
    if len(message) != 5 + (seq is not None) + (re is not None):
        check_value({k: v for k, v in message.items() if k != "body"}, "the envelope")
    if type(body) is not dict:
        raise LinkViolation("body must be a map")
    plan = _PLANS.get(type_)
    if plan is None:
        check_value(body, type_, MAX_DEPTH - 1)
        return Envelope(id_, Unknown(type_, body), ts_ms, seq, re)
    return Envelope(id_, cast(AnyBody, plan.read(body)), ts_ms, seq, re)


def numbered(payload: bytes, seq: int) -> bytes:
    """An encoded message without `seq`, given one: an outbox keeps messages unnumbered, sending numbers them."""
    pairs = payload[0]
    if not 0xA0 <= pairs < 0xB7:
        raise ValueError(f"not an encoded message without seq: it starts with {pairs:#04x}")
    return bytes([pairs + 1]) + payload[1:] + _SEQ_KEY + cbor2.dumps(_read_seq(seq))


class _Source:
    """What CBORDecoder reads from: it takes everything at once and seeks back over what it did not use."""

    __slots__ = ("data", "unused_bytes")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.unused_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, _size: int) -> bytes:
        data, self.data = self.data, b""
        return data

    def seek(self, offset: int, _whence: int) -> int:
        self.unused_bytes = -offset
        return 0


class _NoTags(dict[int, Any]):
    """Denies every tag, those that cbor2 knows and those that it does not."""

    def __getitem__(self, tag: int) -> NoReturn:
        raise LinkViolation(f"the CBOR tag {tag}")


def _read_map(payload: bytes) -> dict[str, Any]:
    source = _Source(payload)
    decoder = cbor2.CBORDecoder(cast(IO[bytes], source), **_HARDENED)
    try:
        message = decoder.decode()
    except cbor2.CBORError as exc:
        raise LinkViolation(f"not the link's CBOR: {exc.__cause__ or exc}") from exc
    if source.unused_bytes:
        raise LinkViolation(f"{source.unused_bytes} bytes after the message")
    if type(message) is not dict:
        raise LinkViolation("a CONTROL message must be a map")
    return message


def _refuse_version(version: object) -> NoReturn:
    if type(version) is int:
        text = f"version {version} of the link, this end speaks version {VERSION}"
        raise LinkViolation(text, reason="unsupported_version")
    raise LinkViolation("an envelope without a version")


def _read_seq(value: object) -> int:
    seq = read_uint("seq", value)
    if seq == 0:
        raise LinkViolation("seq counts from 1")
    return seq


class _Field(NamedTuple):
    name: str
    label: str  # for errors
    read: Reader
    write: Callable[[Any], object] | None
    required: bool


class _Plan:
    """How one class is read from and written to a map."""

    def __init__(self, cls: type, label: str) -> None:
        self.cls = cls
        self.fields = tuple(_field(f.name, f"{label}.{f.name}", str(f.type), f.default is MISSING) for f in fields(cls))
        self.exactly_one: tuple[str, ...] = getattr(cls, "exactly_one", ())
        self.label = label

    def read(self, members: dict[str, Any]) -> object:
        values = {}
        for name, label, read, _, required in self.fields:
            if name in members:
                values[name] = read(label, members[name])
            elif required:
                raise LinkViolation(f"{label} is missing")
        if len(values) != len(members):
            check_value(members, self.label, MAX_DEPTH - 1)
        if self.exactly_one:
            self._check_exactly_one(values)
        return self.cls(**values)

    def write(self, message: object) -> dict[str, object]:
        members = {}
        for name, label, read, write, _ in self.fields:
            value = getattr(message, name)
            if value is not None:
                members[name] = plain = value if write is None else write(value)
                read(label, plain)
        if self.exactly_one:
            self._check_exactly_one(members)
        return members

    def _check_exactly_one(self, values: dict[str, Any]) -> None:
        if sum(bool(values.get(name)) for name in self.exactly_one) != 1:
            raise LinkViolation(f"{self.label} must have exactly one of: {', '.join(self.exactly_one)}")


def _field(name: str, label: str, annotation: str, required: bool) -> _Field:
    kind = annotation.removesuffix(" | None")
    listed = kind.startswith("tuple[")
    if kind in READERS:
        return _Field(name, label, READERS[kind], list if listed else None, required)
    plan = _Plan(getattr(messages, kind.removeprefix("tuple[").removesuffix(", ...]")), label)

    def read(_label: str, value: object) -> object:
        if type(value) is not dict:
            raise LinkViolation(f"{_label} must be a map")
        return plan.read(value)

    if listed:
        return _Field(name, label, list_of(read), lambda rows: [plan.write(row) for row in rows], required)
    return _Field(name, label, read, plan.write, required)


def _write_body(body: AnyBody) -> dict[str, object]:
    if isinstance(body, Unknown):
        check_value(body.raw, body.type, MAX_DEPTH - 1)
        return dict(body.raw)
    return _PLANS[body.type].write(body)


_SEQ_KEY: Final = cbor2.dumps("seq")
_HARDENED: Final[dict[str, Any]] = {
    "max_depth": MAX_DEPTH,
    "allow_indefinite": False,
    "allow_duplicate_keys": False,
    "strict_hashable_types": True,
    "semantic_decoders": _NoTags(),
    "read_size": MAX_CONTROL_BYTES + 1,
}
_PLANS: Final = {name: _Plan(cls, name) for name, cls in MESSAGES.items()}
