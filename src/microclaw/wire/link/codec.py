"""CONTROL payloads: a CBOR map to an envelope and back, hardened against whatever a peer may send. No IO.

What a decoder refuses no encoder sends: a message that would be refused cannot enter an outbox and be replayed
forever. Keys that this version does not have are ignored, in the envelope and in bodies. cbor2 reads at most what the
payload's own bytes can hold, whatever lengths they claim, so the payload's limit bounds the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final, NoReturn

import cbor2
from msgspec import Struct, ValidationError, to_builtins

from microclaw.conversion import convert
from microclaw.errors import LinkViolation, ProtocolError
from microclaw.wire.link.frame import MAX_CONTROL_BYTES, CloseCode
from microclaw.wire.link.messages import MESSAGES, AnyMessage, Envelope, Result, Unknown
from microclaw.wire.link.values import MAX_ITEMS, MAX_UINT, Id, Seq, Uint

VERSION: Final = 1
MAX_DEPTH: Final = 8


def encode(envelope: Envelope, max_bytes: int = MAX_CONTROL_BYTES) -> bytes:
    """Encode an envelope as CONTROL payload. Raises ProtocolError if the other end would refuse it."""
    body = envelope.body
    try:
        if isinstance(body, Unknown):
            members = body.raw
        else:
            members = to_builtins(body, builtin_types=_BUILTIN)
        message = {"v": VERSION, "type": body.type, "id": envelope.id, "ts": envelope.ts_ms, "body": members}
        if envelope.seq is not None:
            message["seq"] = envelope.seq
        if envelope.re is not None:
            message["re"] = envelope.re
        payload = cbor2.dumps(message)
        decode(payload, max_bytes)
    except _UNSENDABLE as exc:
        raise ProtocolError(f"a {body.type} message that cannot be sent: {exc}") from exc
    return payload


def decode(payload: bytes, max_bytes: int = MAX_CONTROL_BYTES) -> Envelope:
    """Decode a CONTROL payload. Raises LinkViolation with the close code if it breaks the contract."""
    if len(payload) > max_bytes:
        text = f"a CONTROL message of {len(payload)} bytes, the limit is {max_bytes}"
        raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")
    message = _read_map(payload)
    version = message.get("v")
    if type(version) is not int:
        raise LinkViolation("an envelope without a version")
    if version != VERSION:
        text = f"version {version} of the link, this end speaks version {VERSION}"
        raise LinkViolation(text, reason="unsupported_version")
    _check_container(message, MAX_DEPTH)
    _refuse_nulls(message, ("seq", "re"))
    try:
        head = convert(message, _Head, builtin_types=_BUILTIN)
        cls = MESSAGES.get(head.type)
        body = Unknown(head.type, head.body) if cls is None else _read_body(cls, head.body)
    except ValidationError as exc:
        raise LinkViolation(f"a message of type {message.get('type')!r:.40}: {exc}") from exc
    return Envelope(head.id, body, head.ts, head.seq, head.re)


def numbered(payload: bytes, seq: int) -> bytes:
    """Give an encoded message its `seq`: an outbox keeps messages unnumbered, sending numbers them."""
    pairs = payload[0]
    if not 0xA0 <= pairs < 0xB7 or not 0 < seq <= MAX_UINT:
        raise ValueError(f"not an encoded message without seq, or no number: {pairs:#04x}, {seq}")
    return bytes([pairs + 1]) + payload[1:] + _SEQ_KEY + cbor2.dumps(seq)


class _Head(Struct):
    """The envelope as it is on the wire."""

    type: str
    id: Id
    ts: Uint
    body: dict[str, Any]
    seq: Seq | None = None
    re: Id | None = None


class _NoTags(dict[int, Any]):
    """Denies every tag, those that cbor2 knows and those that it does not."""

    def __getitem__(self, tag: int) -> NoReturn:
        raise LinkViolation(f"the CBOR tag {tag}")


def _read_map(payload: bytes) -> dict[str, Any]:
    source = BytesIO(payload)
    try:
        message = cbor2.CBORDecoder(source, **_HARDENED).decode()
    except cbor2.CBORError as exc:
        raise LinkViolation(f"not the link's CBOR: {exc.__cause__ or exc}") from exc
    unused_bytes = len(payload) - source.tell()
    if unused_bytes:
        raise LinkViolation(f"{unused_bytes} bytes after the message")
    if type(message) is not dict:
        raise LinkViolation("a CONTROL message must be a map")
    return message


def _refuse_nulls(members: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if members.get(name, 1) is None:
            raise LinkViolation(f"{name} is null: an optional key is left out")


def _check_container(container: Any, depth: int) -> None:
    """Raise LinkViolation unless it holds plain data: text keys, finite numbers, at most 256 items a container."""
    if depth == 0:
        raise LinkViolation(f"nested deeper than {MAX_DEPTH} levels")
    if len(container) > MAX_ITEMS:
        raise LinkViolation(f"a container of more than {MAX_ITEMS} items")
    if type(container) is dict:
        for key in container:
            if type(key) is not str:
                raise LinkViolation("a key that is not text")
        container = container.values()
    for value in container:
        kind = type(value)
        if kind in _CONTAINERS:
            _check_container(value, depth - 1)
        elif kind not in _SCALARS:
            _check_number(value)


def _check_number(value: Any) -> None:
    kind = type(value)
    if kind is int:
        if not -MAX_UINT <= value <= MAX_UINT:
            raise LinkViolation("an integer of more than 63 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise LinkViolation("a number that is not finite")
    else:
        raise LinkViolation(f"a value of a kind the link does not carry: {kind.__name__}")


def _read_body(cls: type[AnyMessage], members: dict[str, Any]) -> AnyMessage:
    """Read a body; msgspec does not check that only a result's value is null, and that of some fields one is set."""
    body = convert(members, cls, builtin_types=_BUILTIN)
    _refuse_nulls(members, ("error",) if cls is Result else cls.__struct_fields__)
    one = cls.exactly_one
    if one and sum(bool(members.get(name)) for name in one) != 1:
        raise LinkViolation(f"{cls.type} must have exactly one of: {', '.join(one)}")
    return body


_BUILTIN: Final = (bytes,)  # no base64: what is text stays text
_CONTAINERS: Final = frozenset({dict, list, tuple})
_SCALARS: Final = frozenset({str, bytes, bool, type(None)})
_UNSENDABLE: Final = (
    LinkViolation,
    ValidationError,
    cbor2.CBOREncodeError,
    UnicodeEncodeError,
    TypeError,
    RecursionError,
)
_SEQ_KEY: Final = cbor2.dumps("seq")
_HARDENED: Final[dict[str, Any]] = {
    "max_depth": MAX_DEPTH,
    "allow_indefinite": False,
    "allow_duplicate_keys": False,
    "strict_hashable_types": True,
    "semantic_decoders": _NoTags(),
    "read_size": MAX_CONTROL_BYTES + 1,
}
