"""Attribute containers, WAMR's tagged key-value bodies, in both generations of type numbers; little-endian.

WAMR 1.2 renumbered the types. A string's type byte tells the generation; a container without one is read as
today's unless it only fits the other. Containers are parsed by their count: the rest of the
buffer is padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias

import msgspec

from microclaw.errors import ProtocolError

AttributeValue: TypeAlias = str | int | float | bool | bytes

RESERVED_BYTES: Final = 100  # WAMR allocates this much spare room at first and whenever a container grows
_HEAD: Final = Struct("<HI")  # flags, total length without the flags
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_MAX_U16: Final = 0xFFFF


class Generation(Enum):
    """OLD: WAMR up to 1.1; NEW: from 1.2, today's firmware."""

    OLD = "old"
    NEW = "new"


class AttributeType(Enum):
    BYTE = "byte"
    SHORT = "short"
    INT = "int"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT = "float"
    DOUBLE = "double"
    BOOL = "bool"
    STRING = "string"
    BYTES = "bytes"


_A = AttributeType
_NUMBERS: Final[Mapping[Generation, Mapping[AttributeType, int]]] = {
    Generation.OLD: {
        _A.SHORT: 1, _A.INT: 2, _A.INT64: 3, _A.BYTE: 4, _A.UINT16: 5,
        _A.FLOAT: 6, _A.DOUBLE: 7, _A.BOOL: 8, _A.STRING: 9, _A.BYTES: 10,
    },
    Generation.NEW: {
        _A.BYTE: 0, _A.SHORT: 1, _A.INT: 2, _A.INT64: 3, _A.UINT8: 4, _A.UINT16: 5, _A.UINT32: 6, _A.UINT64: 7,
        _A.FLOAT: 10, _A.DOUBLE: 11, _A.BOOL: 12, _A.STRING: 13, _A.BYTES: 14,
    },
}  # fmt: skip
_TYPES: Final = {generation: {n: t for t, n in numbers.items()} for generation, numbers in _NUMBERS.items()}
_FIXED: Final[Mapping[AttributeType, Struct]] = {
    _A.BYTE: Struct("<b"), _A.SHORT: Struct("<h"), _A.INT: Struct("<i"), _A.INT64: Struct("<q"),
    _A.UINT8: Struct("<B"), _A.UINT16: Struct("<H"), _A.UINT32: Struct("<I"), _A.UINT64: Struct("<Q"),
    _A.FLOAT: Struct("<f"), _A.DOUBLE: Struct("<d"), _A.BOOL: Struct("<?"),
}  # fmt: skip


class Attribute(msgspec.Struct, frozen=True):
    """A string that is given as bytes is sent as it is: what came from a broker need not be UTF-8."""

    key: str
    type: AttributeType
    value: AttributeValue


class AttributeContainer(msgspec.Struct, frozen=True):
    """A tag and its attributes in order. `flags` is kept as received."""

    tag: str
    values: tuple[Attribute, ...] = ()
    flags: int = 0

    @classmethod
    def of(cls, tag: str, values: Mapping[str, AttributeValue]) -> AttributeContainer:
        """A container with each value's natural type: int is INT, or INT64 beyond 32 bits; float is DOUBLE."""
        return cls(tag, tuple(Attribute(key, _natural_type(value), value) for key, value in values.items()))

    @classmethod
    def decode(cls, data: bytes) -> AttributeContainer:
        """Read one; of two generations that fit, the one whose rest is only padding. ProtocolError for neither."""
        found: list[AttributeContainer] = []
        for generation in (Generation.NEW, Generation.OLD):
            reader = _Reader(data, generation)
            try:
                found.append(reader.container())
            except ProtocolError:
                if generation is Generation.OLD and not found:
                    raise
            else:
                if reader.rest_is_padding():
                    return found[-1]
        return found[0]

    def get(self, key: str) -> AttributeValue | None:
        return next((a.value for a in self.values if a.key == key), None)

    def as_mapping(self) -> Mapping[str, AttributeValue]:
        return {a.key: a.value for a in reversed(self.values)}

    def encode(self, generation: Generation, *, pad_to: int | None = None) -> bytes:
        """The bytes, zero-padded to `pad_to`; ValueError for a value that its type or this generation cannot hold."""
        tag = self.tag.encode() + b"\0"
        body = [_U16.pack(_fits_u16(len(tag), "tag")), tag, _U16.pack(_fits_u16(len(self.values), "number of values"))]
        body += [_encode_attribute(a, generation) for a in self.values]
        content = b"".join(body)
        size = max(_HEAD.size + len(content), pad_to or 0)
        return _HEAD.pack(self.flags, size - 2) + content + bytes(size - _HEAD.size - len(content))

    def device_size_bytes(self, generation: Generation) -> int:
        """The length of WAMR's own container with these values: it reserves room and grows by it; a `pad_to`."""
        tag_bytes = len(self.tag.encode()) + 1
        total = 4 + 2 + tag_bytes + RESERVED_BYTES
        used = 4 + 2 + tag_bytes + 2
        for attribute in self.values:
            size = len(_encode_attribute(attribute, generation))
            if used + size > total:
                total += size + RESERVED_BYTES
            used += size
        return 2 + total


def _natural_type(value: AttributeValue) -> AttributeType:
    if isinstance(value, bool):
        return AttributeType.BOOL
    if isinstance(value, int):
        return AttributeType.INT if -(2**31) <= value < 2**31 else AttributeType.INT64
    if isinstance(value, float):
        return AttributeType.DOUBLE
    return AttributeType.STRING if isinstance(value, str) else AttributeType.BYTES


def _fits_u16(number: int, what: str) -> int:
    if number > _MAX_U16:
        raise ValueError(f"{what} of {number} does not fit the 16 bits an attribute container has for it")
    return number


def _encode_attribute(attribute: Attribute, generation: Generation) -> bytes:
    number = _NUMBERS[generation].get(attribute.type)
    if number is None:
        raise ValueError(f"{attribute.key}: {generation.value} containers have no type {attribute.type.value}")
    key = attribute.key.encode()
    if not key or b"\0" in key:
        raise ValueError(f"not a key: {attribute.key!r}")
    head = _U16.pack(_fits_u16(len(key) + 1, "key")) + key + b"\0" + bytes((number,))
    value = attribute.value
    if attribute.type is AttributeType.STRING and isinstance(value, (str, bytes)):
        text = (value.encode() if isinstance(value, str) else value) + b"\0"
        if b"\0" in text[:-1]:
            raise ValueError(f"{attribute.key}: a string cannot hold a NUL")
        return head + _U16.pack(_fits_u16(len(text), "string")) + text
    if attribute.type is AttributeType.BYTES and isinstance(value, bytes):
        return head + _U32.pack(len(value)) + value
    packer = _FIXED.get(attribute.type)
    if packer is None or isinstance(value, (str, bytes)):
        raise ValueError(f"{attribute.key}: a {attribute.type.value} cannot hold {value!r}")
    try:
        return head + packer.pack(value)
    except (StructError, OverflowError) as exc:
        raise ValueError(f"{attribute.key}: a {attribute.type.value} cannot hold {value!r}") from exc


def text_of(raw: bytes) -> str:
    """A NUL-terminated string of a message; ProtocolError for anything else."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise ProtocolError(f"a string that is not UTF-8: {raw[:40]!r}") from exc
    if text.find("\0") != len(text) - 1 or not text:
        raise ProtocolError(f"not one NUL-terminated string: {raw[:40]!r}")
    return text[:-1]


class _Reader:
    def __init__(self, data: bytes, generation: Generation) -> None:
        self._data = data
        self._at = 0
        self._types = _TYPES[generation]

    def container(self) -> AttributeContainer:
        flags, _total_length = self._numbers(_HEAD)
        tag = self._text()
        (count,) = self._numbers(_U16)
        return AttributeContainer(tag, tuple(self._attribute() for _ in range(count)), flags)

    def rest_is_padding(self) -> bool:
        return not any(memoryview(self._data)[self._at :])

    def _attribute(self) -> Attribute:
        key, number = self._text(), self._take(1)[0]
        kind = self._types.get(number)
        if not key or kind is None:
            raise ProtocolError(f"attribute container: the value {key!r} has the unknown type {number}")
        if kind is AttributeType.STRING:
            return Attribute(key, kind, self._text())
        if kind is AttributeType.BYTES:
            return Attribute(key, kind, self._take(*self._numbers(_U32)))
        return Attribute(key, kind, *self._numbers(_FIXED[kind]))

    def _text(self) -> str:
        return text_of(self._take(*self._numbers(_U16)))

    def _numbers(self, form: Struct) -> tuple[Any, ...]:
        return form.unpack(self._take(form.size))

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ProtocolError(f"attribute container of {len(self._data)} bytes ends before {size} at {self._at}")
        piece = self._data[self._at : end]
        self._at = end
        return piece
