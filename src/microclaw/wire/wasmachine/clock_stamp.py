"""The wall clock's stamp in an image: the time and the time zone, put into the data of a program as it is sent.

Stock firmware has no calendar. A program that asks for the time carries 32 bytes, all ones behind their mark, that the
host fills in a copy: the image that is kept, hashed and compared is the one without. Layout: headers/libc/clock.c.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo
from struct import Struct
from typing import Final

from microclaw.wire.wasm_binary import HEADER, read_sections

_MARK: Final = b"\xf5mcclock"
_VALUES: Final = Struct("<qqii")  # epoch_ms, epoch of the next change of the zone, offsets before and from then on
_UNSET: Final = _MARK + b"\xff" * _VALUES.size
_DATA: Final = 11
_FAR_DAYS: Final = 400  # every zone that has summer time changes within a year
_NEVER_S: Final = 1 << 40


def stamp_clock(wasm: bytes, now_s: float, zone: tzinfo) -> bytes:
    """Return the image with the time, or itself if it has no empty stamp. Raises ModuleError if it is no module."""
    place = _place(wasm)
    if place is None:
        return wasm
    change_s = next_change_s(now_s, zone)
    values = _VALUES.pack(round(now_s * 1000), change_s, _offset_s(now_s, zone), _offset_s(change_s, zone))
    return wasm[:place] + values + wasm[place + len(values) :]


def next_change_s(now_s: float, zone: tzinfo) -> int:
    """Find the next change of the zone's offset, in seconds of the epoch; far in the future if not within 400 days."""
    now = int(now_s)
    before = _offset_s(now_s, zone)
    days = range(now + 86_400, now + _FAR_DAYS * 86_400, 86_400)
    day = next((day for day in days if _offset_s(day, zone) != before), None)
    if day is None:
        return _NEVER_S
    seconds = range(day - 86_400, day)
    return seconds.start + bisect_left(seconds, 1, key=lambda second: int(_offset_s(second, zone) != before))


def _offset_s(epoch_s: float, zone: tzinfo) -> int:
    if epoch_s >= _NEVER_S:
        return 0
    offset = datetime.fromtimestamp(epoch_s, UTC).astimezone(zone).utcoffset()
    return int((offset or timedelta()).total_seconds())


def _place(wasm: bytes) -> int | None:
    """Find the values of the only empty stamp in a data section."""
    position = len(HEADER)
    for number, _, whole in read_sections(wasm):
        if number == _DATA and whole.count(_UNSET) == 1:
            return position + whole.index(_UNSET) + len(_MARK)
        position += len(whole)
    return None
