"""Payloads on the disk: whole and right, or not at all."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, StoreError
from microclaw.ota.payloads import Payloads

DATA = bytes(range(256)) * 1_000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    made = Payloads(tmp_path / "firmware")
    made.open(frozenset())
    return made


def right(_data: bytes) -> None:
    """It is what its manifest says."""


def names(payloads: Payloads) -> list[str]:
    return sorted(path.name for path in payloads.folder.iterdir())


@contextmanager
def full_after(size_bytes: int) -> Iterator[None]:
    """The system refuses a file that grows beyond this, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_pieces_become_a_file_once_its_hash_is_right(payloads: Payloads) -> None:
    offset = 0
    while offset < len(DATA):
        assert payloads.begin(DIGEST) == offset
        assert not payloads.has(DIGEST)
        offset = payloads.write(DIGEST, len(DATA), offset, DATA[offset : offset + 100_000])
    payloads.complete(DIGEST, len(DATA), right)
    payloads.complete(DIGEST, len(DATA), right)
    with pytest.raises(ConfigError):  # of a manifest with a mistake
        payloads.complete(DIGEST, len(DATA) - 1, right)
    assert names(payloads) == [DIGEST]
    assert payloads.read(DIGEST, 1_000, 500) == DATA[1_000:1_500]
    assert payloads.read(DIGEST, len(DATA) - 5, 500) == DATA[-5:]


def test_a_payload_of_another_hash_or_size_is_removed(payloads: Payloads) -> None:
    for wrong, size in ((DATA[:-1] + b"x", len(DATA)), (DATA[:-1], len(DATA)), (DATA, len(DATA) - 1)):
        payloads.write(DIGEST, len(DATA), 0, wrong)
        with pytest.raises(ConfigError):
            payloads.complete(DIGEST, size, right)
        assert names(payloads) == []


def test_a_piece_of_another_place_changes_nothing_and_a_full_disk_leaves_nothing_behind(payloads: Payloads) -> None:
    payloads.write(DIGEST, len(DATA), 0, DATA[:1_000])
    for offset, piece in ((0, b"x"), (999, b"x"), (1_001, b"x"), (1_000, DATA)):
        with pytest.raises(ConfigError):
            payloads.write(DIGEST, len(DATA), offset, piece)
    assert payloads.begin(DIGEST) == 1_000
    with full_after(100_000), pytest.raises(StoreError):
        payloads.write(DIGEST, len(DATA), 1_000, DATA[1_000:])
    assert names(payloads) == []


def test_what_no_release_needs_goes_at_the_next_start(payloads: Payloads) -> None:
    payloads.write(DIGEST, len(DATA), 0, DATA)
    payloads.complete(DIGEST, len(DATA), right)
    payloads.write("a" * 64, 10, 0, b"x")
    payloads.open(frozenset({DIGEST}))
    assert names(payloads) == [DIGEST]
    (payloads.folder / "notes").mkdir()
    payloads.open(frozenset())
    assert names(payloads) == ["notes"]  # nobody's but a person's
