"""The frames between a process of a recognizer and its host over pipes: with a JSON or audio body."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from microclaw.errors import ProtocolError

HEADER: Final = struct.Struct("<cI")
MAX_BODY_BYTES: Final = 1 << 20
"""The largest is a whole utterance."""
MAX_ANSWER_BYTES: Final = 64 << 10
SETUP, BEGIN, AUDIO, PAUSE, END, ABANDON = b"S", b"B", b"A", b"P", b"E", b"X"  # to the process
READY, PARTIAL, FINAL = b"R", b"P", b"F"  # of the process
TO_PROCESS: Final = (SETUP, BEGIN, AUDIO, PAUSE, END, ABANDON)
OF_PROCESS: Final = (READY, PARTIAL, FINAL)


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return HEADER.pack(kind, len(body)) + body


def json_frame(kind: bytes, body: object) -> bytes:
    return frame(kind, json.dumps(body, separators=(",", ":")).encode())


def header(data: bytes, kinds: tuple[bytes, ...], most_bytes: int) -> tuple[bytes, int]:
    """Kind and size of what follows. Raises ProtocolError for any other kind, and over `most_bytes`."""
    kind, size = HEADER.unpack(data)
    if kind not in kinds or size > most_bytes:
        raise ProtocolError(
            f"a frame of kind {kind!r} with {size} bytes; kinds are {kinds}, at most {most_bytes} bytes"
        )
    return kind, size


def json_body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"no JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise ProtocolError("no JSON object")
    return body
