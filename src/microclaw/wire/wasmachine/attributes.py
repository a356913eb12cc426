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
    """Its number in NEW and in OLD containers, which lack some, and its form where that is a fixed one."""

    BYTE = (0, 4, "<b")
    SHORT = (1, 1, "<h")
    INT = (2, 2, "<i")
    INT64 = (3, 3, "<q")
    UINT8 = (4, None, "<B")
    UINT16 = (5, 5, "<H")
    UINT32 = (6, None, "<I")
    UINT64 = (7, None, "<Q")
    FLOAT = (10, 6, "<f")
    DOUBLE = (11, 7, "<d")
    BOOL = (12, 8, "<?")
    STRING = (13, 9, None)
    BYTES = (14, 10, None)

    def number(self, generation: Generation) -> int | None:
        number: int | None = self.value[generation is Generation.OLD]
        return number


_TYPES: Final = {
    each: {one.number(each): one for one in AttributeType if one.number(each) is not None} for each in Generation
}
_FIXED: Final = {one: Struct(one.value[2]) for one in AttributeType if one.value[2] is not None}


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
        """Make a container with each value's natural type: int is INT, or INT64 beyond 32 bits; float is DOUBLE."""
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

    def encode(self, generation: Generation, *, as_device: bool = False) -> bytes:
        """Encode it; `as_device`: in WAMR's own container, which reserves room, grows by it, and has zeros at its end.

        ValueError for a value that its type or this generation cannot hold.
        """
        tag = self.tag.encode() + b"\0"
        head = _U16.pack(_fits_u16(len(tag), "tag")) + tag + _U16.pack(_fits_u16(len(self.values), "number of values"))
        pieces = [_encode_attribute(attribute, generation) for attribute in self.values]
        used = _HEAD.size + len(head)
        room = used - _U16.size + RESERVED_BYTES
        for piece in pieces:
            room += len(piece) + RESERVED_BYTES if used + len(piece) > room else 0
            used += len(piece)
        size = room if as_device else used
        return _HEAD.pack(self.flags, size - 2) + head + b"".join(pieces) + bytes(size - used)


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
    number = attribute.type.number(generation)
    kind = attribute.type.name.lower()
    if number is None:
        raise ValueError(f"{attribute.key}: {generation.value} containers have no type {kind}")
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
        raise ValueError(f"{attribute.key}: a {kind} cannot hold {value!r}")
    try:
        return head + packer.pack(value)
    except (StructError, OverflowError) as exc:
        raise ValueError(f"{attribute.key}: a {kind} cannot hold {value!r}") from exc


def text_of(raw: bytes) -> str:
    """Read a NUL-terminated string of a message. Raises ProtocolError for anything else."""
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
        key = self._text()
        number = self._take(1)[0]
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
