"""Partition tables, both ways, and the layouts of others: nothing overlaps, all fits its flash."""

from __future__ import annotations

import pytest
from tests.flash.images import partition_table

from microclaw.flash.partitions import APP, LAYOUTS, SECTOR, Layout, encode_table, layout_for, parse_table

ALL = [(name, size) for name, sizes in LAYOUTS.items() for size in sizes]


@pytest.mark.parametrize(("name", "flash_mb"), ALL)
def test_a_layout_is_written_and_read_and_fits(name: str, flash_mb: int) -> None:
    layout: Layout = LAYOUTS[name][flash_mb]
    table = encode_table(layout.partitions)
    assert len(table) == SECTOR
    assert parse_table(table) == list(layout.partitions)
    rows = [(p.kind, p.subtype, p.offset, p.size, p.label) for p in layout.partitions]
    assert table.rstrip(b"\xff") == partition_table(*rows).rstrip(b"\xff")
    for before, after in zip(layout.partitions, layout.partitions[1:], strict=False):
        assert before.end <= after.offset
    assert layout.end <= flash_mb << 20
    assert all(p.offset % 0x10000 == 0 for p in layout.partitions if p.kind == APP), "the MMU maps pages of 64 KB"


def test_the_largest_layout_that_fits_is_taken() -> None:
    assert layout_for("wasmachine", 2 << 20) is None
    assert layout_for("wasmachine", 4 << 20) is LAYOUTS["wasmachine"][4]
    assert layout_for("xiaozhi", 32 << 20) is LAYOUTS["xiaozhi"][16]


def test_a_table_with_a_flipped_bit_is_refused() -> None:
    table = bytearray(encode_table(LAYOUTS["wasmachine"][4].partitions))
    table[5] ^= 1
    with pytest.raises(ValueError, match="MD5"):
        parse_table(bytes(table))
