"""The build cache: what is put comes back, damage and fullness are survived."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from microclaw.programs.builds.cache import BuildCache


def test_blob_comes_back_from_a_private_folder_and_another_key_does_not(tmp_path: Path) -> None:
    place = tmp_path / "made" / "here"
    BuildCache(place).put("a", b"one")
    assert BuildCache(place).get("a") == b"one"
    assert BuildCache(place).get("b") is None
    assert [path.stat().st_mode & 0o077 for path in (place, place / "a.build")] == [0, 0]


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 100])
def test_damaged_entry_is_a_miss_and_goes(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cache = BuildCache(tmp_path)
    cache.put("a", b"one")
    (tmp_path / "a.build").write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert cache.get("a") is None
    assert caplog.records
    assert list(tmp_path.iterdir()) == []


def test_longest_unused_entries_go_first(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path, max_bytes=400)
    for number, name in enumerate("abc"):
        cache.put(name, bytes(100))
        os.utime(tmp_path / f"{name}.build", (number, number))
    assert cache.get("a") == bytes(100)  # used again: b is now the oldest
    cache.put("d", bytes(100))
    assert [cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
