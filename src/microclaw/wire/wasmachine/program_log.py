"""The lines that a program keeps of what it printed, as it answers a host (docs/protocols/wasmachine.md). No IO."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from microclaw.errors import ProtocolError
from microclaw.text import clean_text
from microclaw.wire.wasmachine.request import FORMAT_RAW, CoapCode, Response, WasmachineRequest, app_request

LOG_URL: Final = "microclaw/log/"
"""A number follows: that of the first line that is wanted. headers/glue/printed.c has it too."""
MAX_LINE_BYTES: Final = 120
MAX_LOG_BYTES: Final = 1024
MAX_MS: Final = 1 << 32
"""A board's tick begins again here."""

_HEAD: Final = Struct("<IIII")
_RECORD: Final = Struct("<IB")
_CUT: Final = 0x80


class KeptLine(msgspec.Struct, frozen=True):
    """`t_ms`: the board's tick when its first character was printed. `is_cut`: its end is missing."""

    t_ms: int
    text: str
    is_cut: bool


class ProgramLog(msgspec.Struct, frozen=True):
    """Lines from number `first` on; `next` is the number of the line to come. Times are the board's tick, in ms.

    `began_ms`: when the program printed first.
    """

    began_ms: int
    now_ms: int
    first: int
    next: int
    lines: tuple[KeptLine, ...]

    def encode(self) -> bytes:
        parts = [_HEAD.pack(self.began_ms, self.now_ms, self.first, self.next)]
        for line in self.lines:
            text = line.text.encode()
            parts.append(_RECORD.pack(line.t_ms, len(text) | (_CUT if line.is_cut else 0)) + text)
        return b"".join(parts)


def carries_log(wasm: bytes) -> bool:
    """Return True if an image has the part that keeps its lines: the url stands in its data."""
    return LOG_URL.encode() + b"\0" in wasm


def log_request(mid: int, name: str, first: int) -> WasmachineRequest:
    """Ask the program for its lines from this number on."""
    return app_request(mid, name, f"{LOG_URL}{first}")


def read_log(response: Response) -> ProgramLog:
    """Read the lines of an answer, cleaned. Raises ProtocolError for an answer that no program of ours gives."""
    body = response.body
    if response.status != CoapCode.CONTENT or response.format != FORMAT_RAW or len(body) < _HEAD.size:
        raise ProtocolError(f"an answer of status {response.status} with {len(body)} bytes is no program's log")
    if len(body) > _HEAD.size + MAX_LOG_BYTES:
        raise ProtocolError(f"a program's log of {len(body)} bytes; it has at most {_HEAD.size + MAX_LOG_BYTES}")
    began_ms, now_ms, first, following = _HEAD.unpack_from(body)
    lines: list[KeptLine] = []
    place = _HEAD.size
    while place < len(body):
        if len(body) - place < _RECORD.size:
            raise ProtocolError(f"a program's log ends inside line {first + len(lines)}")
        t_ms, about = _RECORD.unpack_from(body, place)
        size = about & ~_CUT
        place += _RECORD.size
        if size > MAX_LINE_BYTES or size > len(body) - place:
            raise ProtocolError(f"line {first + len(lines)} of a program's log claims {size} bytes")
        text = clean_text(body[place : place + size].decode("utf-8", "replace"), one_line=True)
        lines.append(KeptLine(t_ms, text, bool(about & _CUT)))
        place += size
    if first + len(lines) != following:
        raise ProtocolError(f"a program's log has lines {first} to {first + len(lines)}, and says {following}")
    return ProgramLog(began_ms, now_ms, first, following, tuple(lines))
