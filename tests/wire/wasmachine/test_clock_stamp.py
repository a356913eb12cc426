"""The wall clock's stamp: where it is put, and when the zone changes next."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from microclaw.wire.wasm_binary import HEADER, write_section
from microclaw.wire.wasmachine.clock_stamp import next_change_s, stamp_clock

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
EMPTY = b"\xf5mcclock" + b"\xff" * 24
NOW_S = 1_774_000_000.25  # 2026-03-20 09:46:40.25 UTC


def module(*data: bytes) -> bytes:
    return HEADER + write_section(1, b"") + b"".join(write_section(11, segment) for segment in data)


CHANGES = {
    "2026-03-29T00:00:00Z": "2026-03-29T01:00:00Z",
    "2026-03-29T01:00:00Z": "2026-10-25T01:00:00Z",
    "2026-12-31T00:00:00Z": "2027-03-28T01:00:00Z",
}


def test_stamp_is_filled_in_place_where_there_is_just_one_empty_one() -> None:
    wasm = module(b"before" + EMPTY + b"behind")
    stamped = stamp_clock(wasm, NOW_S, BERLIN)
    change_s = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp())
    values = struct.pack("<qqii", 1_774_000_000_250, change_s, 3600, 7200)
    assert stamped == wasm.replace(EMPTY, EMPTY[:8] + values)
    for other in (stamped, module(b"none"), module(EMPTY + EMPTY), HEADER + write_section(0, EMPTY)):
        assert stamp_clock(other, NOW_S + 60, BERLIN) == other


def test_change_of_the_zone_is_found_to_the_second_and_one_without_keeps_its_offset() -> None:
    for now, change in CHANGES.items():
        found_s = next_change_s(datetime.fromisoformat(now).timestamp(), BERLIN)
        assert found_s == datetime.fromisoformat(change).timestamp()
    assert next_change_s(NOW_S, KOLKATA) > NOW_S + 10**9
    assert stamp_clock(module(EMPTY), NOW_S, KOLKATA)[-8:-4] == struct.pack("<i", 19_800)
