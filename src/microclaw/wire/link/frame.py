"""One WebSocket message of the link: a type byte and its payload, sizes checked. Does not read the payload. No IO."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from microclaw.errors import LinkViolation

MAX_CONTROL_BYTES: Final = 16_384
MAX_AUDIO_BYTES: Final = 2_048
BLOB_HEAD_BYTES: Final = 12
MAX_BLOB_BYTES: Final = 1_008
MAX_MESSAGE_BYTES: Final = MAX_CONTROL_BYTES + 1
"""The largest WebSocket message: a transport may refuse more before it buffers."""


class FrameType(IntEnum):
    CONTROL = 1
    AUDIO_IN = 2  # device to host
    AUDIO_OUT = 3  # host to device
    BLOB = 4  # host to device


class CloseCode(IntEnum):
    """WebSocket close codes of the link."""

    DONE = 1000
    SHUTTING_DOWN = 1001
    NOT_BINARY = 1003
    OVERLOADED = 1013
    MALFORMED = 4400
    NOT_AUTHENTICATED = 4401
    REVOKED = 4403
    TIMED_OUT = 4408  # no hello, or no heartbeat
    REPLACED = 4409
    TOO_LARGE = 4413
    TOO_MANY = 4429


def encode_frame(type_: FrameType, payload: bytes) -> bytes:
    return _TYPE_BYTE[type_] + payload


def read_frame(message: bytes) -> tuple[int, bytes]:
    """Type, which FrameType may not know, and payload of a binary message.

    LinkViolation 4400 for an empty one, 4413 for one over its limit.
    """
    size = len(message) - 1
    if size < 0:
        raise LinkViolation("an empty message, expected a frame type")
    type_ = message[0]
    least = 0
    most = MAX_CONTROL_BYTES
    if type_ in _AUDIO:
        least = 1
        most = MAX_AUDIO_BYTES
    elif type_ == _BLOB:
        least = BLOB_HEAD_BYTES + 1
        most = BLOB_HEAD_BYTES + MAX_BLOB_BYTES
    if size < least:
        raise LinkViolation(f"a frame of type {type_} with {size} bytes, it has {least} or more")
    if size > most:
        text = f"a frame of type {type_} with {size} bytes, the limit is {most}"
        raise LinkViolation(text, close_code=CloseCode.TOO_LARGE, reason="too_large")
    return type_, message[1:]


_BLOB: Final = int(FrameType.BLOB)
_AUDIO: Final = (int(FrameType.AUDIO_IN), int(FrameType.AUDIO_OUT))
_TYPE_BYTE: Final = {type_: bytes([type_]) for type_ in FrameType}
